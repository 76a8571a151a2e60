"""Places where controllers run, as `launching` and `handle` see them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tune_jobs.core.controllers import ControllerRecord
from tune_jobs.detached.recipe import Recipe
from tune_jobs.storage.controllers import ControllerRows


class Place(Protocol):
    """Place where a controller of one study can run.

    Attributes:
        name: The name that the ledger records.
        elsewhere: Whether it is another machine.
    """

    name: str
    elsewhere: bool

    def check(self, recipe: Recipe) -> None:
        """Check that a controller can run there, before anything is created.

        Raises:
            ConfigError: If it cannot; the message names the fix.
        """
        ...

    def launch(self, recipe: Recipe, record: ControllerRecord, rows: ControllerRows) -> None:
        """Start a controller that is recorded.

        Raises:
            TuneJobsError: If it cannot be started, or ended at once; the error is the
                controller's own.
        """
        ...

    def find_end(self, record: ControllerRecord) -> float | None:
        """Return when a controller ended; None if it lives, or may live.

        Raises:
            BackendError: If its service does not answer.
        """
        ...

    def describe_end(self, record: ControllerRecord) -> str:
        """Return how a controller ended; empty if it lives, or if its log says it."""
        ...

    def log_path(self, name: str) -> str:
        """Return the path or URI of a controller's log."""
        ...

    def read_log(self, record: ControllerRecord, offset: int) -> bytes:
        """Return the log of a controller from an offset on."""
        ...


def read_file(path: str, offset: int) -> bytes:
    """Return a file from an offset on; empty if there is none."""
    try:
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""
