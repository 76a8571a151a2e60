"""What waits in the host because the machine is in trouble."""

from __future__ import annotations

import time
from typing import Any

from tune_jobs.runtime.trouble import describe_trouble, is_freed_by_runs


class Waiting:
    """Runs that cannot be started or recorded, and why."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[str, bool]] = {}
        self._since = 0.0

    def note(self, run_id: str, what: str, error: BaseException) -> None:
        """Note that a run waits.

        Args:
            run_id: Its id.
            what: What is not possible, after the run's name.
            error: The machine's trouble.
        """
        if not self._runs:
            self._since = time.monotonic()
        name = run_id.rpartition("/")[2]
        line = f"{name} {what}: {describe_trouble(error)}"
        self._runs[run_id] = line, is_freed_by_runs(error)

    def clear(self, run_id: str) -> None:
        """Note that a run does not wait any more."""
        if self._runs.pop(run_id, None) is not None:
            self._since = time.monotonic()  # something works again

    def describe(self, *, live: int) -> dict[str, Any] | None:
        """Return what waits, as a tuner shows it; None if nothing does.

        Args:
            live: Number of live runs, whose end may free what is missing.

        Returns:
            ``what`` for a person, ``seconds`` without progress, and ``limited``: whether there is
            nothing to wait for.
        """
        if not self._runs:
            return None
        line, is_freed = next(iter(self._runs.values()))
        others = f" ({len(self._runs) - 1} more wait)" if len(self._runs) > 1 else ""
        return {
            "what": line + others,
            "seconds": time.monotonic() - self._since,
            "limited": not (is_freed and live),
        }
