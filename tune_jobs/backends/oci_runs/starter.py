"""Starts job runs: a few requests at a time, no faster than a rate, and until there is an answer.

A request that is not answered (throttled, a broken connection, an error of the service) is made
again with the same retry token, so it does not matter whether it took effect. What the service
refuses for good is reported once.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.backends.oci_runs.failures import brief, is_limit, is_transient
from tune_jobs.runtime.backoff import Backoff

BACKOFF = Backoff(first=1.0, longest=60.0)
"""Seconds between two requests for the same run."""

THREADS = 4
"""Requests at a time, at most."""

LIMIT_PAUSE = 30.0
"""Seconds before the service is asked again when it has no room for another run."""


@dataclass(frozen=True)
class Started:
    """The service took a run."""

    name: str
    run_id: str


@dataclass(frozen=True)
class Refused:
    """The service will not take a run."""

    name: str
    error: Exception


@dataclass(order=True)
class _Pending:
    """A run that is to be asked for at a time."""

    due: float
    name: str = field(compare=False)
    details: Mapping[str, Any] = field(compare=False)
    tries: int = field(compare=False, default=0)


class Starter:
    """Runs that were not acknowledged yet.

    Args:
        create: Asks for a run by its details and its name; returns its OCID.
        notice: Called with what a person should know.
        clock: Seconds; monotonic.
        rate: Requests a second, at most.
    """

    def __init__(
        self,
        create: Callable[[Mapping[str, Any], str], str],
        notice: Callable[[str], None],
        clock: Callable[[], float],
        rate: float,
    ) -> None:
        self._create, self._notice, self._clock = create, notice, clock
        self._interval = 1.0 / rate
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="tune_jobs-start")
        self._pending: list[_Pending] = []
        self._answers: list[Started | Refused] = []
        self._in_flight: set[str] = set()
        self._next = 0.0
        self.limited_since: float | None = None
        self._in_trouble = False
        self._lock = threading.Lock()
        self.answered = threading.Event()

    def add(self, name: str, details: Mapping[str, Any]) -> None:
        """Ask for a run, now if the rate allows it; else `poll` does."""
        with self._lock:
            heapq.heappush(self._pending, _Pending(self._clock(), name, details))
        self._dispatch()

    def drop(self, name: str) -> bool:
        """Forget a run that was not asked for yet; False if it is too late for that."""
        with self._lock:
            waiting = [p for p in self._pending if p.name != name]
            # One that was asked for without an answer may exist.
            certain = all(p.tries == 0 for p in self._pending if p.name == name)
            if name in self._in_flight or len(waiting) == len(self._pending) or not certain:
                return False
            self._pending = waiting
            heapq.heapify(self._pending)
            return True

    def poll(self) -> list[Started | Refused]:
        """The answers since the last call; asks for what is due."""
        self._dispatch()
        with self._lock:
            answers, self._answers = self._answers, []
            self.answered.clear()
        return answers

    def until_due(self) -> float | None:
        """Seconds until something can be asked for; None if there is nothing."""
        with self._lock:
            if not self._pending:
                return None
            return max(0.0, max(self._pending[0].due, self._next) - self._clock())

    def close(self) -> None:
        """Ask for nothing more; what was not asked for stays intended."""
        with self._lock:
            self._pending.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _dispatch(self) -> None:
        with self._lock:
            now = self._clock()
            while self._pending and max(self._pending[0].due, self._next) <= now:
                pending = heapq.heappop(self._pending)
                self._next = max(self._next, now) + self._interval
                self._in_flight.add(pending.name)
                self._pool.submit(self._ask, pending)

    def _ask(self, pending: _Pending) -> None:
        try:
            answer: Started | Refused = Started(
                pending.name, self._create(pending.details, pending.name)
            )
        except Exception as error:  # told apart below; none may be lost in a thread
            if is_transient(error) or is_limit(error):
                self._again(pending, error)
                return
            answer = Refused(pending.name, error)
        with self._lock:
            self._in_flight.discard(pending.name)
            self._answers.append(answer)
            if isinstance(answer, Started):
                self.limited_since, self._in_trouble = None, False
        self.answered.set()

    def _again(self, pending: _Pending, error: Exception) -> None:
        limited = is_limit(error)
        now = self._clock()
        with self._lock:
            told, self._in_trouble = self._in_trouble, True
            if limited:
                self.limited_since = self.limited_since or now
                self._next = max(self._next, now + LIMIT_PAUSE)  # nobody else gets in, either
            tries = pending.tries + 1
            due = now + BACKOFF.pause(tries)
            again = _Pending(due, pending.name, pending.details, tries)
            self._in_flight.discard(pending.name)
            heapq.heappush(self._pending, again)
        self.answered.set()  # so that whoever waits learns when it is due
        if not told:
            self._notice(f"{pending.name} is not started yet, trying again: {brief(error)}")
