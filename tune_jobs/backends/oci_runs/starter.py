"""Starting of job runs: a few requests at a time, at a limited rate, until each is answered.

A request without an answer (throttled, a broken connection, an error of the service) is repeated
with the same retry token, so it does not matter whether it took effect. A refusal may be a matter
of the shape, in whatever words: the request is then sent with another one. A fatal answer is
reported once.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.runtime.backoff import Backoff
from tune_jobs.runtime.oci_answers import (
    ERROR,
    INVALID,
    Meaning,
    Outage,
    describe_answer,
    read_answer,
)

BACKOFF = Backoff(first=1.0, longest=60.0)
"""Seconds between two requests for the same run."""

THREADS = 4
"""Concurrent requests."""

LIMIT_PAUSE = 30.0
"""Seconds without requests after the service had no room for another run."""

ERRORS_PER_SHAPE = 4
"""Errors of the service after which a request is sent with another shape."""

Details = Mapping[str, Any]
Redirect = Callable[[str, Details, Exception, Meaning], "Details | None"]
"""Returns other details for a run that was refused, if its shape may be the reason."""


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
    details: Details = field(compare=False)
    tries: int = field(compare=False, default=0)


class Starter:
    """Requests for runs that have no answer yet.

    Args:
        create: Requests a run, given its details and its name, and returns its OCID.
        notice: Called with what a person should know.
        clock: Monotonic clock, in seconds.
        rate: Requests per second, at most.
        redirect: Finds another shape for a run that was refused.

    Attributes:
        answered: Set when `poll` may have something to return or to request.
        exhausted_by: The answer that outlasted its patience; None since a run was accepted.
    """

    def __init__(
        self,
        create: Callable[[Details, str], str],
        notice: Callable[[str], None],
        clock: Callable[[], float],
        rate: float,
        redirect: Redirect = lambda name, details, error, meaning: None,
    ) -> None:
        self._redirect = redirect
        self._create, self._notice, self._clock = create, notice, clock
        self._interval = 1.0 / rate
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="tune_jobs-start")
        self._pending: list[_Pending] = []
        self._answers: list[Started | Refused] = []
        self._in_flight: set[str] = set()
        self._next_request = 0.0
        self.exhausted_by: Exception | None = None
        self._outage = Outage(clock, BACKOFF, "start")
        self._said: set[str] = set()  # kinds of answers, since the last run that was accepted
        self._lock = threading.Lock()
        self.answered = threading.Event()

    def add(self, name: str, details: Details) -> None:
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

    @property
    def is_requesting(self) -> bool:
        """Whether a request was sent and not answered yet."""
        with self._lock:
            return bool(self._in_flight)

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
            run_id = self._create(pending.details, pending.name)
        except Exception as error:  # classified below; in a thread it would be lost
            self._refused(pending, error, read_answer(error, "start"))
            return
        with self._lock:
            self._in_flight.discard(pending.name)
            self._answers.append(Started(pending.name, run_id))
            self._outage.succeed()
            self.exhausted_by = None
            self._said.clear()
        self.answered.set()

    def _refused(self, pending: _Pending, error: Exception, meaning: Meaning) -> None:
        if _may_be_the_shape(meaning, pending.tries):
            other = self._redirect(pending.name, pending.details, error, meaning)
            if other is not None:
                self._repeat(pending, other, self._clock())
                return
        if meaning.patience and self._retry_later(pending, error, meaning):
            return
        if meaning.is_refusal:  # for good; perhaps of this shape only
            other = self._redirect(pending.name, pending.details, error, meaning)
            if other is not None:
                self._repeat(pending, other, self._clock())
                return
        with self._lock:
            self._in_flight.discard(pending.name)
            self._answers.append(Refused(pending.name, error))
        self.answered.set()

    def _retry_later(self, pending: _Pending, error: Exception, meaning: Meaning) -> bool:
        """Repeat a request later, and return whether that makes sense."""
        now = self._clock()
        with self._lock:
            pause = self._outage.fail(error)
            if pause is None and meaning.is_refusal:
                return False
            if pause is None:
                self.exhausted_by = self.exhausted_by or error
            # What holds for one run holds for all of them: a single request tries again.
            if meaning.has_no_room:
                self._next_request = max(self._next_request, now + LIMIT_PAUSE)
            elif meaning.is_refusal:
                self._next_request = max(self._next_request, now + (pause or 0.0))
            subject = "repeated" if meaning.is_transient else meaning.kind
            is_new = subject not in self._said
            self._said.add(subject)
        if is_new:
            self._notice(_describe_wait(pending.name, error, meaning))
        self._repeat(pending, pending.details, now + BACKOFF.pause(pending.tries + 1))
        return True

    def _repeat(self, pending: _Pending, details: Details, due: float) -> None:
        with self._lock:
            self._in_flight.discard(pending.name)
            again = _Pending(due, pending.name, details, pending.tries + 1)
            heapq.heappush(self._pending, again)
        self.answered.set()  # the caller's wait depends on when the request is due


def _may_be_the_shape(meaning: Meaning, tries: int) -> bool:
    """Return whether a request may be accepted with another shape, whatever its answer says."""
    is_persistent = meaning.kind == ERROR and tries % ERRORS_PER_SHAPE == ERRORS_PER_SHAPE - 1
    return meaning.has_no_room or meaning.kind == INVALID or is_persistent


def _describe_wait(name: str, error: Exception, meaning: Meaning) -> str:
    if meaning.has_no_room:
        return (
            f"OCI has no room for another job run now ({describe_answer(error)}); {name} and the "
            f"others wait, with a request every {LIMIT_PAUSE:g} s"
        )
    return f"{name} is not started yet, retrying: {describe_answer(error)}"
