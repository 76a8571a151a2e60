"""Retry while the database does not answer: it is locked, restarting, or cut off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tune_jobs.errors import DatabaseTrouble, StudyError
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.runtime.trouble import is_trouble_message
from tune_jobs.storage.database_errors import explain_database_error, find_refusal_behind
from tune_jobs.storage.opening import find_missing_file

logger = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds of failures in a row after which an error is raised."""

BESIDE_PATIENCE = 60.0
"""The same for a process that does not own the study, such as one that sends a command."""

BACKOFF = Backoff(first=0.1, longest=5.0)

STALLED = 1.0
"""Seconds after which a database that has not answered is stalled, for who interrupts."""

CONTENTION = 2.0
"""Seconds for which other processes may be faster, which is ordinary, before it is said."""

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
        return self.elapsed > STALLED

    @property
    def elapsed(self) -> float:
        """Seconds for which this thread's operation has lasted; 0 without one."""
        since = self._since.get(threading.get_ident())
        return 0.0 if since is None else self.clock() - since

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


def write_beside_owner(engine: Engine, operation: Callable[[Connection], _T]) -> _T:
    """Run a transaction of a process that does not own the study; return its result.

    Others write meanwhile, so it may lose a race, and is repeated: its effect must not depend on
    how often it is committed.

    Raises:
        StudyError: If the error is fatal, or persists for `BESIDE_PATIENCE` seconds.
    """

    def run() -> _T:
        with engine.begin() as connection:
            return operation(connection)

    where = engine.url.render_as_string(hide_password=True)
    return DatabaseRetry(where, logger.warning, patience=BESIDE_PATIENCE).call(run)


class Outage:
    """The failures of one operation. Made by `DatabaseRetry.operation`."""

    def __init__(self, retry: DatabaseRetry) -> None:
        self._retry = retry
        self._failing_since: float | None = None
        self._failures = 0
        self._is_said = False

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
        self._say(error)
        self._failures += 1
        self._retry.refused()
        self._pause(BACKOFF.pause(self._failures))

    def _say(self, error: Exception) -> None:
        if self._is_said or (_is_contention(error) and self._retry.elapsed < CONTENTION):
            return
        self._is_said = True
        self._retry.notice(
            f"the study's database does not answer, retrying: {explain_database_error(error)}"
        )

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


def _is_contention(error: Exception) -> bool:
    """Return whether another process was faster, in a file or a bucket."""
    found = _find_database_error(error)
    if not isinstance(found, DBAPIError):
        return False
    return "sqlite" in type(found.orig).__module__ and "locked" in str(found.orig).lower()


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
