"""Follow a controller: its log, and until it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tune_jobs.core.controllers import PREFIX, ControllerRecord
from tune_jobs.detached.places import Place
from tune_jobs.errors import StudyError
from tune_jobs.storage.controllers import ControllerRows

LOOK_SECONDS = 0.5
"""Seconds between two looks at a controller of this machine."""

LOOK_SECONDS_ELSEWHERE = 10.0
"""Seconds between two looks at one of another machine."""


def select_controller(records: Sequence[ControllerRecord], word: str) -> ControllerRecord:
    """Return the controller of a name; of the word ``controller``, the last one.

    Raises:
        StudyError: If there is none.
    """
    last = word == PREFIX.rstrip("-")
    found = [each for each in records if last or each.name == word]
    if not found:
        known = ", ".join(each.name for each in records) or "none: it was never detached"
        raise StudyError(f"the study has no controller {word!r}; it has: {known}")
    return found[-1]


class ControllerFollower:
    """Follows one controller.

    Args:
        place: Where it runs.
        rows: The records of the study's controllers.
        name: Its name.
    """

    def __init__(self, place: Place, rows: ControllerRows, name: str) -> None:
        self._place, self._rows, self._name = place, rows, name

    def read_record(self) -> ControllerRecord:
        """Return its current record."""
        return select_controller(self._rows.read(), self._name)

    def read_log(self, offset: int = 0) -> bytes:
        """Return what it printed, from an offset on."""
        return self._place.read_log(self.read_record(), offset)

    def follow(self, timeout: float | None = None, *, show: bool = False) -> bool:
        """Wait until it has ended.

        Args:
            timeout: Seconds to wait; None for no limit.
            show: Whether to print its log meanwhile.

        Returns:
            Whether it has ended.
        """
        shown = 0
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            # The end is looked for first: once it is known, the log is complete.
            has_ended = self.find_end() is not None
            if show:
                new = self.read_log(shown)
                shown += len(new)
                sys.stdout.write(new.decode("utf-8", "replace"))
                sys.stdout.flush()
            if has_ended:
                return True
            left = float("inf") if end is None else end - time.monotonic()
            if left <= 0:
                return False
            # The controller is another process, perhaps on another machine.
            pause = LOOK_SECONDS_ELSEWHERE if self._place.elsewhere else LOOK_SECONDS
            time.sleep(min(pause, left))

    def describe_end(self) -> str:
        """Return how it ended, where its log does not say it; empty while it lives."""
        record = self.read_record()
        if record.run_id is None and record.finished is not None:
            return f"{record.name} was not started; the command that launched it said why"
        return self._place.describe_end(record)

    def find_end(self) -> float | None:
        """Return when it ended, and record that; None while it lives or may live."""
        record = self.read_record()
        found = record.finished or self._place.find_end(record)
        if found is not None and record.finished is None:
            self._rows.change(self._name, finished=found)
        return found
