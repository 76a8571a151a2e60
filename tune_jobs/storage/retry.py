"""Retry while the database does not answer: it is locked, restarting, or cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tune_jobs.errors import DatabaseTrouble, StudyError
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.runtime.trouble import is_trouble_message
from tune_jobs.storage.database_errors import explain_database_error, find_refusal_behind
from tune_jobs.storage.opening import find_missing_file

PATIENCE = 600.0
"""Seconds of failures in a row after which an error is raised."""

BACKOFF = Backoff(first=0.1, longest=5.0)

STALLED = 1.0
"""Seconds after which a database that has not answered is stalled, for who interrupts."""

_SLICE = 0.25
"""Longest sleep in seconds: an interruption is noticed after it."""

_T = TypeVar("_T")


class DatabaseRetry:
    """Retries of operations on one database.

    Args:
        where: Name of the database for messages, without its password.
        notice: Called with a message for the user when retries begin.
        sleep, clock: In seconds; the clock is monotonic.
        patience: Seconds of failures of one operation after which an error is raised.

    Attributes:
        is_interrupted: Whether the user has asked for the end, so that waiting is in vain.
    """

    def __init__(
        self,
        where: str,
        notice: Callable[[str], None] = lambda message: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self.where, self.notice = where, notice
        self.sleep, self.clock, self.patience = sleep, clock, patience
        self.is_interrupted: Callable[[], bool] = lambda: False
        self._since: dict[int, float] = {}  # begin of an operation, by thread
        self._refused: set[int] = set()  # threads whose operation is tried again

    @property
    def is_stalled(self) -> bool:
        """Whether an operation of this thread has been waiting for the database for long."""
        since = self._since.get(threading.get_ident())
        return since is not None and self.clock() - since > STALLED

    @property
    def waiting_since(self) -> float | None:
        """When the oldest operation began that has had no answer; None without one.

        One that was refused and is tried again does not count: that has been said.
        """
        return min(
            (t for i, t in list(self._since.items()) if i not in self._refused), default=None
        )

    @contextmanager
    def operation(self) -> Iterator[Outage]:
        """Mark an operation, for `is_stalled`; return the patience with it.

        What else succeeds meanwhile does not renew that patience.
        """
        thread = threading.get_ident()
        is_outermost = thread not in self._since
        self._since.setdefault(thread, self.clock())
        try:
            yield Outage(self)
        finally:
            if is_outermost:
                del self._since[thread]
                self._refused.discard(thread)

    def refused(self) -> None:
        """Note that the operation of this thread had an answer, and is tried again."""
        self._refused.add(threading.get_ident())

    def call(self, operation: Callable[[], _T]) -> _T:
        """Return the result of an idempotent operation, which is retried until it succeeds.

        Raises:
            StudyError: If the error is fatal, or persists for too long.
            KeyboardInterrupt: If interrupted meanwhile.
        """
        with self.operation() as outage:
            while True:
                try:
                    return operation()
                except Exception as error:
                    if not isinstance(_find_database_error(error), DBAPIError | PoolTimeout):
                        raise
                    outage.wait(error)


class Outage:
    """The failures of one operation. Made by `DatabaseRetry.operation`."""

    def __init__(self, retry: DatabaseRetry) -> None:
        self._retry = retry
        self._failing_since: float | None = None
        self._failures = 0

    def wait(self, error: Exception) -> None:
        """Sleep before the next try of what raised ``error``.

        Raises:
            StudyError: If the error is fatal, or has persisted for too long.
            KeyboardInterrupt: If interrupted meanwhile.
        """
        now = self._retry.clock()
        if self._failing_since is None:
            self._failing_since = now
        refusal = find_refusal_behind(str(error), self._retry.where)
        if refusal or not is_transient(error) or now - self._failing_since > self._retry.patience:
            raise _build_error(self._retry.where, error, refusal) from error
        if self._failures == 0:
            self._retry.notice(
                f"the study's database does not answer, retrying: {explain_database_error(error)}"
            )
        self._failures += 1
        self._retry.refused()
        self._pause(BACKOFF.pause(self._failures))

    def _pause(self, seconds: float) -> None:
        while True:
            if self._retry.is_interrupted():
                raise KeyboardInterrupt
            if seconds <= 0:
                return
            self._retry.sleep(min(seconds, _SLICE))
            seconds -= _SLICE


def is_transient(error: Exception) -> bool:
    """Return whether a retry of what raised ``error`` may succeed."""
    found = _find_database_error(error)
    if isinstance(found, PoolTimeout):
        return True
    if not isinstance(found, DBAPIError):
        return False
    message = str(found.orig).lower()
    if "sqlite" in type(found.orig).__module__:
        return "locked" in message or "busy" in message or is_trouble_message(message)
    return found.connection_invalidated or isinstance(found, OperationalError | InterfaceError)


def _build_error(where: str, error: Exception, refusal: str) -> StudyError:
    if refusal:
        return StudyError(f"the study's database cannot be used: {refusal}")
    if (file := find_missing_file(where)) is not None:
        return StudyError(
            f"the study's database {file} was removed: put it back, and call optimize() again to "
            "resume"
        )
    kind = DatabaseTrouble if is_trouble_message(str(error)) else StudyError
    return kind(
        f"the study's database ({where}) cannot be written: {explain_database_error(error)}. All "
        "that was recorded before is kept; fix the database and call optimize() again to resume."
    )


def _find_database_error(error: BaseException | None) -> BaseException | None:
    """Return the database's own error, from which Optuna raises another one."""
    while error is not None and not isinstance(error, DBAPIError | PoolTimeout):
        error = error.__cause__
    return error
