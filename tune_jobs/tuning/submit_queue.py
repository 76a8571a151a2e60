"""Attempts on their way to the backend: some wait for their time, some for an answer."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.tuning.tracker import RunTracker


class SubmitQueue:
    """What was intended, until the ledger says that the backend took it.

    Args:
        runs: Starts them.
    """

    def __init__(self, runs: RunTracker) -> None:
        self._runs = runs
        self._waiting: list[Attempt] = []
        self._not_before: dict[str, float] = {}
        self._unacknowledged: set[str] = set()
        self.taken: list[tuple[str, str, float]] = []
        """Names, run ids and times of what the backend took and the ledger does not have yet."""

    @property
    def waiting(self) -> int:
        """How many attempts wait for their time; they hold their slots."""
        return len(self._waiting)

    @property
    def due(self) -> float:
        """When the next of them may be started; never, if none waits."""
        return min((self._not_before.get(a.name, 0.0) for a in self._waiting), default=math.inf)

    def delay(self, attempt: Attempt, until: float) -> None:
        """Do not start an attempt before a time."""
        self._not_before[attempt.name] = until

    def start(self, intended: Iterable[Attempt], now: float) -> list[Attempt]:
        """Start these, and those whose time has come; returns which were started."""
        candidates, self._waiting = [*self._waiting, *intended], []
        started = []
        for attempt in candidates:
            if self._not_before.get(attempt.name, now) > now:
                self._waiting.append(attempt)
            else:
                self._start(attempt, now)
                started.append(attempt)
        return started

    def _start(self, attempt: Attempt, now: float) -> None:
        self._not_before.pop(attempt.name, None)
        run_id = self._runs.submit(attempt)
        if run_id is None:
            self._unacknowledged.add(attempt.name)
        else:
            self.taken.append((attempt.name, run_id, now))

    def heard(self, update: RunUpdate, now: float) -> None:
        """A run's first news tell that the backend took it."""
        if update.run_id is not None and update.name in self._unacknowledged:
            self._unacknowledged.remove(update.name)
            self.taken.append((update.name, update.run_id, now))
