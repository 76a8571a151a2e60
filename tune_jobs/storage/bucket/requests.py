"""Repetition of requests to a store of objects, and the errors in which it ends."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from tune_jobs.errors import StudyError
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.runtime.oci_answers import FIRST_PATIENCE
from tune_jobs.storage.bucket.stores import BucketTrouble, ObjectStore

logger = logging.getLogger(__name__)

QUIET_SECONDS = 4.0
"""Seconds of repetition after which it is said."""

PATIENCE = 600.0
"""Seconds for which a request is repeated. `tune_jobs.storage.retry` repeats operations as well,
so that a tuner needs less; Optuna by itself does not."""

OPENING_PATIENCE = 30.0
"""Seconds for which a store that has never answered is asked."""

READABLE_PATIENCE = 1.0
"""Seconds for which a first refusal is repeated by a store that has accepted other requests: it is
likely a missing permission, as that of a user who may only read."""

BACKOFF = Backoff(first=0.1, longest=5.0)

_T = TypeVar("_T")


class Requests:
    """Requests to a store, which are repeated while that may help: the same bytes, the same name.

    When that is given up, they raise ``sqlite3.OperationalError`` with "database is locked" if the
    same operation may succeed later, so that `tune_jobs.storage.retry` and Optuna repeat it;
    otherwise a `StudyError`, which nothing repeats.

    Args:
        store: The store.
        patience: Seconds for which a request is repeated.
        sleep, clock: In seconds; the clock is monotonic.
    """

    def __init__(
        self,
        store: ObjectStore,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self.patience = store, patience
        self._sleep, self._clock = sleep, clock
        self._accepted: set[str] = set()
        self.url = store.url

    def get(self, name: str, limit: int) -> bytes | None:
        """See `ObjectStore.get`."""
        return self._repeat("read", lambda: self._store.get(name, limit))

    def list(self, folder: str, start: str = "") -> list[str]:
        """See `ObjectStore.list`."""
        return self._repeat("read", lambda: self._store.list(folder, start))

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`; False may also mean that an earlier try took effect."""
        return self._repeat("written", lambda: self._store.put_if_absent(name, data))

    def put(self, name: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        self._repeat("written", lambda: self._store.put(name, data))

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        self._repeat("written", lambda: self._store.delete(name))

    def _repeat(self, action: str, request: Callable[[], _T]) -> _T:
        since: dict[str, float] = {}
        tries, began, is_said = 0, self._clock(), False
        while True:
            try:
                result = request()
            except BucketTrouble as trouble:
                tries += 1
                now = self._clock()
                waited = now - since.setdefault(trouble.meaning.kind, now)
                if waited >= self._find_patience(trouble, action):
                    raise self._build_error(trouble, action) from trouble
                if not is_said and now - began >= QUIET_SECONDS:
                    logger.warning(
                        "%s cannot be %s now, and is asked again: %s", self.url, action, trouble
                    )
                    is_said = True
                self._sleep(BACKOFF.pause(tries))
            else:
                if result is not False:  # an object may exist, although none may be created
                    self._accepted.add(action)
                return result

    def _find_patience(self, trouble: BucketTrouble, action: str) -> float:
        patience = min(trouble.meaning.patience, self.patience)
        if action in self._accepted:
            return patience
        if not trouble.meaning.is_refusal:
            return min(patience, OPENING_PATIENCE)
        return min(patience, READABLE_PATIENCE if self._accepted else FIRST_PATIENCE)

    def _build_error(self, trouble: BucketTrouble, action: str) -> Exception:
        advice = f". {trouble.meaning.advice}" if trouble.meaning.advice else ""
        may_pass = trouble.meaning.is_transient or action in self._accepted
        if may_pass and trouble.meaning.patience:
            return sqlite3.OperationalError(
                f"database is locked: {self.url} cannot be {action} now: {trouble}{advice}"
            )
        is_readable = trouble.meaning.is_refusal and "read" in self._accepted
        subject = f"{self.url} can be read, but" if is_readable else self.url
        return StudyError(f"{subject} cannot be {action}: {trouble}{advice}")
