"""What the dashboard reads studies from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import optuna
from sqlalchemy import Engine

from tune_jobs.dashboard.model import Study


@dataclass(frozen=True)
class Head:
    """A study in the list of studies, for which its trials need not be read.

    Args:
        key, name, maximize: See `Study`.
        counts: Number of trials by state.
        best: Best value; None if there is none, or several objectives.
        no_best: Why there is no best trial, in a few words; empty if there is one.
        run_hours: See `Study.run_hours`.
        live, owner, first, last: See `LedgerSummary`.
    """

    key: str
    name: str
    maximize: tuple[bool, ...]
    counts: Mapping[str, int]
    best: float | None
    run_hours: float = 0.0
    live: int = 0
    owner: str | None = None
    first: float | None = None
    last: float | None = None
    no_best: str = ""

    @property
    def activity(self) -> str:
        """What happens to it: ``tuned``, ``left behind``, ``running``, ``empty`` or ``ended``.

        It is left behind if no process watches its job runs any more; its trials run if another
        program than tune_jobs started them.
        """
        if self.owner is not None:
            return "tuned"
        if self.live:
            return "left behind"
        if self.counts.get("RUNNING"):
            return "running"
        return "ended" if any(self.counts.values()) else "empty"


class Source(Protocol):
    """A storage, read only."""

    @property
    def label(self) -> str:
        """The storage as pages show it, without its password."""
        ...

    @property
    def fresh(self) -> float:
        """Seconds for which one reading answers all requests."""
        ...

    def heads(self) -> list[Head]:
        """Return all studies."""
        ...

    def study(self, key: str) -> Study:
        """Return a study; what has finished is read once.

        Raises:
            KeyError: If there is no study with this key.
        """
        ...

    def engine(self, key: str) -> Engine | None:
        """Return the database of a study's ledger; None if it has no ledger."""
        ...

    def open(self, key: str) -> optuna.Study:
        """Return Optuna's study, to write to it.

        Raises:
            KeyError: If there is no study with this key.
        """
        ...
