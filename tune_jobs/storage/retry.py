"""A database that is locked, restarted or gone for a while: asked again, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tune_jobs.errors import StudyError

PATIENCE = 600.0
"""Seconds for which a database that does not answer is asked again."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two attempts; doubled each time."""

_T = TypeVar("_T")


class DatabaseRetry:
    """What to do about an error of the database.

    Args:
        where: The database, for messages; without its password.
        notice: Called with what a person should know.
        sleep, clock: Seconds; monotonic.
    """

    def __init__(
        self,
        where: str,
        notice: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where, self.notice = where, notice
        self._sleep, self._clock = sleep, clock
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def wait(self, error: Exception) -> None:
        """Wait a moment, after which the same may be tried again.

        Raises:
            StudyError: waiting does not help, or did not for `PATIENCE` seconds.
        """
        now = self._clock()
        if self._since is None:
            self._since = now
        if not may_pass(error) or now - self._since > PATIENCE:
            raise refused(self._where, error) from error
        if self._pause == FIRST_PAUSE:
            self.notice(f"the study's database does not answer, trying again: {_reason(error)}")
        self._sleep(self._pause)
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)

    def over(self) -> None:
        """It answers again."""
        self._since, self._pause = None, FIRST_PAUSE

    def call(self, work: Callable[[], _T]) -> _T:
        """Do something that may be done twice, until it succeeds.

        Raises:
            StudyError: see `endure`.
        """
        while True:
            try:
                done = work()
            except Exception as error:
                if not isinstance(_database_error(error), DBAPIError | PoolTimeout):
                    raise
                self.wait(error)
            else:
                self.over()
                return done


def may_pass(error: Exception) -> bool:
    """Whether the database may answer when it is asked again."""
    found = _database_error(error)
    if isinstance(found, PoolTimeout):
        return True
    if not isinstance(found, DBAPIError):
        return False
    text = str(found.orig).lower()
    if "sqlite" in type(found.orig).__module__:
        return "locked" in text or "busy" in text
    return found.connection_invalidated or isinstance(found, OperationalError | InterfaceError)


def refused(where: str, error: Exception) -> StudyError:
    """The error for people."""
    return StudyError(
        f"the study's database ({where}) cannot be written: {_reason(error)}. Nothing that was "
        "recorded is lost; mend it and call optimize() again to go on."
    )


def _database_error(error: BaseException | None) -> BaseException | None:
    """The database's own error; Optuna raises another one from it."""
    while error is not None and not isinstance(error, DBAPIError | PoolTimeout):
        error = error.__cause__
    return error


def _reason(error: Exception) -> str:
    found = _database_error(error) or error
    return str(getattr(found, "orig", None) or found).strip()
