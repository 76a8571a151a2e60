"""Runs that should be pruned but will end before a new run could take their slot."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.usage import RunStatistics


class PruneDeferral:
    """Decides which pruned runs are left to finish.

    A deferred run that has not ended after the time it takes to replace a run is stopped.

    Args:
        statistics: Durations of runs, startups and stops.
    """

    def __init__(self, statistics: RunStatistics) -> None:
        self._statistics = statistics
        self._deferred: dict[str, tuple[float, str]] = {}

    def defer(self, attempt: Attempt, cause: str, steps: int, now: float) -> bool:
        """Return whether a run is left to finish.

        Args:
            attempt: The run's attempt.
            cause: Why it should be pruned.
            steps: How many steps it has reported.
            now: Seconds since the epoch.
        """
        if attempt.name in self._deferred:
            return True
        overhead = self._statistics.overhead(attempt.shape)
        if is_worth_stopping(self._statistics.seconds_left(attempt, steps, now), overhead):
            return False
        self._deferred[attempt.name] = (now + overhead, cause)
        return True

    @property
    def due(self) -> float:
        """Time at which the first deferred run should have ended; infinity without one."""
        return min((until for until, _ in self._deferred.values()), default=math.inf)

    def overdue(self, live: Mapping[str, Attempt], now: float) -> list[tuple[Attempt, str]]:
        """Return, and forget, the live runs that should have ended by now, with the cause."""
        due = [(name, cause) for name, (until, cause) in self._deferred.items() if now >= until]
        for name, _ in due:
            del self._deferred[name]
        return [(live[name], cause) for name, cause in due if name in live]


def is_worth_stopping(seconds_left: float | None, overhead: float) -> bool:
    """Return whether stopping a run frees its slot earlier than letting it finish.

    Args:
        seconds_left: Expected remaining time of the run; None if unknown.
        overhead: Seconds to stop it and to start another run.
    """
    return seconds_left is None or seconds_left > overhead
