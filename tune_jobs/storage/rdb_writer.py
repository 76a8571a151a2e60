"""Write a turn to a relational storage: trials and ledger in one transaction.

Optuna's own storage spends a transaction on every parameter. The tables and their encodings are
Optuna's, so the study stays an ordinary Optuna study that Optuna and its dashboard read; only the
schema version below is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from tune_jobs.storage import trial_rows
from tune_jobs.storage.changes import Changes, ExtraWrites
from tune_jobs.storage.lease import AlreadyCommitted
from tune_jobs.storage.retry import DatabaseRetry, Outage

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine

    from tune_jobs.storage.lease import Lease

_T = TypeVar("_T")

KNOWN_SCHEMA = "v3.2.0.a"
"""Revision of Optuna's tables that `RdbWriter` writes: Optuna 3.2 to 5.x."""


class RdbWriter:
    """Writer for relational storages: a few statements a turn, in one transaction.

    Args:
        storage: The study's storage.
        study_id: The study's id in it.
        lease: Fences every transaction; None to write without a fence.
        retry: Retries while the database does not answer.
    """

    engine: Engine | None

    def __init__(
        self,
        storage: RDBStorage,
        study_id: int,
        lease: Lease | None = None,
        retry: DatabaseRetry | None = None,
    ) -> None:
        self._storage = storage
        self._study_id = study_id
        self._engine: Engine = storage.engine
        self.engine = self._engine
        self._lease = lease
        self._retry = retry or DatabaseRetry(repr(self._engine.url))

    def write(self, changes: Changes, extra_writes: ExtraWrites) -> list[int]:
        return self._commit(lambda connection: self._write(connection, changes, extra_writes))

    def _write(
        self, connection: Connection, changes: Changes, extra_writes: ExtraWrites
    ) -> list[int]:
        created = trial_rows.insert_trials(connection, self._study_id, changes.created)
        trial_rows.change_trials(connection, changes.changed)
        trial_rows.check_study(connection, self._study_id)
        extra_writes(connection)
        return created

    def claim(self, trial_id: int, attempt: str) -> bool:
        return self._commit(
            lambda connection: trial_rows.claim_trial(connection, trial_id, attempt)
        )

    def _commit(self, operation: Callable[[Connection], _T]) -> _T:
        """Run an operation in a transaction that is committed exactly once; return its result."""
        if self._lease is None:
            return self._retry.call(lambda: self._run(operation))
        self._lease.check()  # first, as a lock that a forked child inherits may be held for ever
        # Heartbeats are numbered, so threads write one after another.
        with self._retry.operation() as outage, self._lease.lock:
            return self._commit_as_owner(self._lease, operation, outage)

    def _run(self, operation: Callable[[Connection], _T]) -> _T:
        with self._engine.begin() as connection:
            return operation(connection)

    def _commit_as_owner(
        self, lease: Lease, operation: Callable[[Connection], _T], outage: Outage
    ) -> _T:
        in_doubt: list[_T] = []  # the result of a transaction whose commit failed
        while True:
            results: list[_T] = []
            try:
                with self._engine.begin() as connection:
                    lease.heartbeat(connection)  # first, as it fails if another one is the owner
                    results.append(operation(connection))
            except AlreadyCommitted:
                lease.committed()
                if in_doubt:
                    return in_doubt[-1]
                # It was the heartbeat before, which wrote nothing else.
            except SQLAlchemyError as error:
                in_doubt = results or in_doubt
                outage.wait(error)
            else:
                lease.committed()
                return results[0]

    def list_trials_after(self, trial_id: int) -> list[int]:
        return self._retry.call(lambda: self._list_trials_after(trial_id))

    def _list_trials_after(self, trial_id: int) -> list[int]:
        with self._engine.connect() as connection:
            return trial_rows.list_trials_after(connection, self._study_id, trial_id)

    def read_trial(self, trial_id: int) -> FrozenTrial:
        return self._retry.call(lambda: self._storage.get_trial(trial_id))
