"""Starting of job runs: a few requests at a time, at a limited rate, until each is answered.

A request without an answer (throttled, a broken connection, an error of the service) is repeated
with the same retry token, so it does not matter whether it took effect. A fatal answer is reported
once.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.backends.oci_runs.failures import describe_error, is_limit, is_transient
from tune_jobs.runtime.backoff import Backoff

BACKOFF = Backoff(first=1.0, longest=60.0)
"""Seconds between two requests for the same run."""

THREADS = 4
"""Concurrent requests."""

LIMIT_PAUSE = 30.0
"""Seconds without requests after the service had no room for another run."""


@dataclass(frozen=True)
class Started:
    """Answer of a service that accepted a run."""

    name: str
    run_id: str


@dataclass(frozen=True)
class Refused:
    """Fatal error that answered the request for a run."""

    name: str
    error: Exception


@dataclass(order=True)
class _Pending:
    """Request that is due at a time; ``tries`` counts those without an answer."""

    due: float
    name: str = field(compare=False)
    details: Mapping[str, Any] = field(compare=False)
    tries: int = field(compare=False, default=0)


class Starter:
    """Requests for runs that have no answer yet.

    Args:
        create: Requests a run, given its details and its name, and returns its OCID.
        notice: Called with what a person should know.
        clock: Monotonic clock, in seconds.
        rate: Requests per second, at most.

    Attributes:
        answered: Set when `poll` may have something to return or to request.
        limited_since: When the service first had no room for a run; None since it accepted one.
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
        self._next_request = 0.0
        self.limited_since: float | None = None
        self._is_failing = False
        self._lock = threading.Lock()
        self.answered = threading.Event()

    def add(self, name: str, details: Mapping[str, Any]) -> None:
        """Request a run, now if the rate permits, or else in a later `poll`."""
        with self._lock:
            heapq.heappush(self._pending, _Pending(self._clock(), name, details))
        self._dispatch()

    def drop(self, name: str) -> bool:
        """Withdraw a run, and return whether it was still possible: it was never requested."""
        with self._lock:
            others = [p for p in self._pending if p.name != name]
            # A run whose request was not answered may exist.
            was_requested = any(p.tries > 0 for p in self._pending if p.name == name)
            if name in self._in_flight or len(others) == len(self._pending) or was_requested:
                return False
            self._pending = others
            heapq.heapify(self._pending)
            return True

    def poll(self) -> list[Started | Refused]:
        """Send the requests that are due, and return the answers since the last call."""
        self._dispatch()
        with self._lock:
            answers, self._answers = self._answers, []
            self.answered.clear()
        return answers

    def until_due(self) -> float | None:
        """Return the seconds until a request is due; None if there is none."""
        with self._lock:
            if not self._pending:
                return None
            return max(0.0, max(self._pending[0].due, self._next_request) - self._clock())

    def close(self) -> None:
        """Send no more requests, and wait for the answers to those that were sent."""
        with self._lock:
            self._pending.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _dispatch(self) -> None:
        with self._lock:
            now = self._clock()
            while self._pending and max(self._pending[0].due, self._next_request) <= now:
                pending = heapq.heappop(self._pending)
                self._next_request = max(self._next_request, now) + self._interval
                self._in_flight.add(pending.name)
                self._pool.submit(self._request, pending)

    def _request(self, pending: _Pending) -> None:
        try:
            answer: Started | Refused = Started(
                pending.name, self._create(pending.details, pending.name)
            )
        except Exception as error:  # classified below; in a thread it would be lost
            if is_transient(error) or is_limit(error):
                self._retry_later(pending, error)
                return
            answer = Refused(pending.name, error)
        with self._lock:
            self._in_flight.discard(pending.name)
            self._answers.append(answer)
            if isinstance(answer, Started):
                self.limited_since, self._is_failing = None, False
        self.answered.set()

    def _retry_later(self, pending: _Pending, error: Exception) -> None:
        now = self._clock()
        with self._lock:
            was_failing, self._is_failing = self._is_failing, True
            if is_limit(error):
                self.limited_since = self.limited_since or now
                # The limit holds for all runs.
                self._next_request = max(self._next_request, now + LIMIT_PAUSE)
            tries = pending.tries + 1
            due = now + BACKOFF.pause(tries)
            self._in_flight.discard(pending.name)
            heapq.heappush(self._pending, _Pending(due, pending.name, pending.details, tries))
        self.answered.set()  # the caller's wait depends on when the request is due
        if not was_failing:
            self._notice(f"{pending.name} is not started yet, retrying: {describe_error(error)}")
