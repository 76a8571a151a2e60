"""Write a turn to a relational storage: trials and ledger in one transaction.

Optuna's own storage spends a transaction on every parameter. The tables and their encodings are
Optuna's, so the study stays an ordinary Optuna study that Optuna and its dashboard read; only the
schema version below is written.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from tune_jobs.storage import trial_rows
from tune_jobs.storage.changes import Changes, ExtraWrites
from tune_jobs.storage.retry import DatabaseRetry

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine

    from tune_jobs.storage.lease import Lease

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
        # The lease numbers its heartbeats, so threads write one after another.
        self._one_at_a_time = nullcontext() if lease is None else lease.lock
        self._retry = retry or DatabaseRetry(repr(self._engine.url))

    def write(self, changes: Changes, extra_writes: ExtraWrites) -> list[int]:
        with self._one_at_a_time:
            return self._write_until_committed(changes, extra_writes)

    def _write_until_committed(self, changes: Changes, extra_writes: ExtraWrites) -> list[int]:
        while True:
            created: list[int] | None = None
            try:
                with self._engine.begin() as connection:
                    created = self._write(connection, changes, extra_writes)
            except SQLAlchemyError as error:
                self._retry.wait(error)
                if created is None or not self._was_committed():
                    continue
            if self._lease is not None:
                self._lease.committed()
            self._retry.reset()
            return created

    def _write(
        self, connection: Connection, changes: Changes, extra_writes: ExtraWrites
    ) -> list[int]:
        if self._lease is not None:
            self._lease.heartbeat(connection)  # first, as it fails if another process is the owner
        created = trial_rows.insert_trials(connection, self._study_id, changes.created)
        trial_rows.change_trials(connection, changes.changed)
        extra_writes(connection)
        return created

    def _was_committed(self) -> bool:
        """Return whether a commit took effect although the connection broke."""
        return self._lease is not None and self._retry.call(self._lease.was_committed)

    def claim(self, trial_id: int, attempt: str) -> bool:
        with self._one_at_a_time:
            claimed = self._retry.call(lambda: self._claim(trial_id, attempt))
            if self._lease is not None:
                self._lease.committed()
            return claimed

    def _claim(self, trial_id: int, attempt: str) -> bool:
        with self._engine.begin() as connection:
            if self._lease is not None:
                self._lease.heartbeat(connection)
            return trial_rows.claim_trial(connection, trial_id, attempt)

    def list_trials_after(self, trial_id: int) -> list[int]:
        return self._retry.call(lambda: self._list_trials_after(trial_id))

    def _list_trials_after(self, trial_id: int) -> list[int]:
        with self._engine.connect() as connection:
            return trial_rows.list_trials_after(connection, self._study_id, trial_id)

    def read_trial(self, trial_id: int) -> FrozenTrial:
        return self._retry.call(lambda: self._storage.get_trial(trial_id))
