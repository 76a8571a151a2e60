"""Retry while the database does not answer: it is locked, restarting, or cut off."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tune_jobs.errors import StudyError
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.storage.database_errors import explain_database_error
from tune_jobs.storage.opening import find_missing_file

PATIENCE = 600.0
"""Seconds of failures in a row after which an error is raised."""

BACKOFF = Backoff(first=0.1, longest=5.0)

_T = TypeVar("_T")


class DatabaseRetry:
    """Retries of operations on one database.

    Args:
        where: Name of the database for messages, without its password.
        notice: Called with a message for the user when retries begin.
        sleep, clock: In seconds; the clock is monotonic.
    """

    def __init__(
        self,
        where: str,
        notice: Callable[[str], None] = lambda message: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where, self.notice = where, notice
        self._sleep, self._clock = sleep, clock
        self._failing_since: float | None = None
        self._failures = 0

    def call(self, operation: Callable[[], _T]) -> _T:
        """Return the result of an idempotent operation, which is retried until it succeeds.

        Raises:
            StudyError: If the error is fatal, or persists for `PATIENCE` seconds.
        """
        while True:
            try:
                result = operation()
            except Exception as error:
                if not isinstance(_find_database_error(error), DBAPIError | PoolTimeout):
                    raise
                self.wait(error)
            else:
                self.reset()
                return result

    def wait(self, error: Exception) -> None:
        """Sleep before the next try of what raised ``error``.

        Raises:
            StudyError: If the error is fatal, or has persisted for `PATIENCE` seconds.
        """
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        if not is_transient(error) or now - self._failing_since > PATIENCE:
            raise _build_error(self._where, error) from error
        if self._failures == 0:
            self.notice(
                f"the study's database does not answer, retrying: {explain_database_error(error)}"
            )
        self._failures += 1
        self._sleep(BACKOFF.pause(self._failures))

    def reset(self) -> None:
        """Start afresh after a success."""
        self._failing_since, self._failures = None, 0


def is_transient(error: Exception) -> bool:
    """Return whether a retry of what raised ``error`` may succeed."""
    found = _find_database_error(error)
    if isinstance(found, PoolTimeout):
        return True
    if not isinstance(found, DBAPIError):
        return False
    message = str(found.orig).lower()
    if "sqlite" in type(found.orig).__module__:
        return "locked" in message or "busy" in message
    return found.connection_invalidated or isinstance(found, OperationalError | InterfaceError)


def _build_error(where: str, error: Exception) -> StudyError:
    if (file := find_missing_file(where)) is not None:
        return StudyError(
            f"the study's database {file} was removed: put it back, and call optimize() again to "
            "resume"
        )
    return StudyError(
        f"the study's database ({where}) cannot be written: {explain_database_error(error)}. All "
        "that was recorded before is kept; fix the database and call optimize() again to resume."
    )


def _find_database_error(error: BaseException | None) -> BaseException | None:
    """Return the database's own error, from which Optuna raises another one."""
    while error is not None and not isinstance(error, DBAPIError | PoolTimeout):
        error = error.__cause__
    return error
