"""Runs that are to be pruned, but would end before another one could be in their place."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.outcomes import worth_stopping
from tune_jobs.core.usage import RunStatistics


class PruneDeferral:
    """Says which pruned runs are really stopped.

    A run that is spared because it should be nearly done, and then is not, is stopped after all.

    Args:
        statistics: Knows what runs take, and what it takes to replace one.
    """

    def __init__(self, statistics: RunStatistics) -> None:
        self._statistics = statistics
        self._spared: dict[str, tuple[float, str]] = {}

    def spares(self, attempt: Attempt, cause: str, steps: int, now: float) -> bool:
        """Whether a run is left alone.

        Args:
            attempt: The run.
            cause: Why it is to be stopped.
            steps: How many it has reported.
            now: Seconds since the epoch.
        """
        if attempt.name in self._spared:
            return True
        overhead = self._statistics.overhead(attempt.shape)
        if worth_stopping(self._statistics.seconds_left(attempt, steps, now), overhead):
            return False
        self._spared[attempt.name] = (now + overhead, cause)
        return True

    @property
    def due(self) -> float:
        """When the next of them should have ended; never, if none is spared."""
        return min((until for until, _ in self._spared.values()), default=math.inf)

    def overdue(self, live: Mapping[str, Attempt], now: float) -> list[tuple[Attempt, str]]:
        """Runs that were spared and should have ended by now, with the cause."""
        due = [(name, cause) for name, (until, cause) in self._spared.items() if now >= until]
        for name, _ in due:
            del self._spared[name]
        return [(live[name], cause) for name, cause in due if name in live]
