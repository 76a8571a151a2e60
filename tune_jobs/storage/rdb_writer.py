"""Writes a turn into Optuna's relational tables, together with the tuner's own rows.

Optuna's own storage classes spend one transaction on every parameter; here a turn is one. The
tables and their value encodings are Optuna's (``optuna.storages._rdb.models``), so the study stays
a plain Optuna study; only the schema version that this was written for is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
from tune_jobs.storage.changes import Changes, ExtraWrites, TrialChange, TrialNumberConflict
from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.tables import tables as optuna_tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table
    from sqlalchemy.engine import Engine

    from tune_jobs.storage.lease import Lease

KNOWN_SCHEMA = "v3.2.0.a"
"""The revision of Optuna's tables that `RdbWriter` writes (Optuna 3.2 to 5.x)."""


class RdbWriter:
    """Optuna's relational tables, a few statements a turn in one transaction."""

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

    def write(self, changes: Changes, also: ExtraWrites) -> list[int]:
        with self._one_at_a_time:
            return self._write_enduringly(changes, also)

    def _write_enduringly(self, changes: Changes, also: ExtraWrites) -> list[int]:
        from sqlalchemy.exc import SQLAlchemyError

        while True:
            rows: list[int] | None = None
            try:
                with self._engine.begin() as connection:
                    rows = self._write(connection, changes, also)
            except SQLAlchemyError as error:
                self._retry.wait(error)
                if rows is None or not self._took_effect():
                    continue  # nothing of it was written
            if self._lease is not None:
                self._lease.committed()
            self._retry.reset()
            return rows

    def _write(self, connection: Connection, changes: Changes, also: ExtraWrites) -> list[int]:
        if self._lease is not None:
            self._lease.heartbeat(connection)  # first: it says whether anything may be written
        rows = self._create(connection, changes.created) if changes.created else []
        if changes.changed:
            self._change(connection, changes.changed)
        also(connection)
        return rows

    def _took_effect(self) -> bool:
        """Whether a commit whose answer was lost was one."""
        return self._lease is not None and self._retry.call(self._lease.was_committed)

    def _create(self, connection: Connection, created: Sequence[FrozenTrial]) -> list[int]:
        # The first statement takes the write lock (a row lock; SQLite: of the database), so that
        # nobody adds a trial between the insertion and the count.
        tables = optuna_tables()
        if self._engine.dialect.name != "sqlite":
            connection.execute(_lock_study(), {"study": self._study_id})
        rows = [
            int(
                connection.execute(
                    tables.trials.insert(),
                    {
                        "number": trial.number,
                        "study_id": self._study_id,
                        "state": trial.state,
                        "datetime_start": _utc(trial.datetime_start),
                        "datetime_complete": _utc(trial.datetime_complete),
                    },
                ).inserted_primary_key[0]  # type: ignore[index]
            )
            for trial in created
        ]
        past = connection.execute(_count_before(), {"study": self._study_id, "row": rows[0]})
        if past.scalar_one() != created[0].number:
            raise TrialNumberConflict
        inserts = [
            TrialChange(
                row,
                trial,
                params=frozenset(trial.params),
                user_attrs=frozenset(trial.user_attrs),
                system_attrs=frozenset(trial.system_attrs),
                steps=frozenset(trial.intermediate_values),
            )
            for row, trial in zip(rows, created, strict=True)
        ]
        self._insert_details(connection, inserts)
        for row, trial in zip(rows, created, strict=True):
            self._insert_values(connection, row, trial)
        return rows

    def _change(self, connection: Connection, changed: Sequence[TrialChange]) -> None:
        # A trial that somebody else has told meanwhile is theirs: Optuna's first tell wins.
        finished = [c for c in changed if c.finished]
        lost = {c.row for c in finished if not self._finish(connection, c)}
        kept = [c for c in changed if c.row not in lost]
        tables = optuna_tables()
        _delete_keys(
            connection, tables.user_attrs, [(c.row, k) for c in kept for k in c.user_attrs]
        )
        _delete_keys(
            connection, tables.system_attrs, [(c.row, k) for c in kept for k in c.system_attrs]
        )
        self._insert_details(connection, kept)
        for change in finished:
            if change.row not in lost:
                self._insert_values(connection, change.row, change.trial)

    def _finish(self, connection: Connection, change: TrialChange) -> bool:
        result = connection.execute(
            _finish_trial(),
            {
                "row": change.row,
                "new_state": change.trial.state,
                "completed": _utc(change.trial.datetime_complete),
            },
        )
        return result.rowcount == 1

    def _insert_details(self, connection: Connection, changes: Iterable[TrialChange]) -> None:
        """Parameters, attributes and intermediate values, an executemany each."""
        from optuna.storages._rdb.models import TrialIntermediateValueModel as Step

        tables = optuna_tables()
        params, users, systems, steps = [], [], [], []
        for change in changes:
            row, trial = change.row, change.trial
            for name, value in trial.params.items():  # in order: Optuna sorts them by row
                if name in change.params:
                    distribution = trial.distributions[name]
                    params.append(
                        {
                            "trial_id": row,
                            "param_name": name,
                            "param_value": distribution.to_internal_repr(value),
                            "distribution_json": _distribution_text(distribution),
                        }
                    )
            users += _attributes(row, trial.user_attrs, change.user_attrs)
            systems += _attributes(row, trial.system_attrs, change.system_attrs)
            for step in change.steps:
                stored, kind = Step.intermediate_value_to_stored_repr(
                    trial.intermediate_values[step]
                )
                steps.append(
                    {
                        "trial_id": row,
                        "step": step,
                        "intermediate_value": stored,
                        "intermediate_value_type": kind,
                    }
                )
        for table, values in (
            (tables.params, params),
            (tables.user_attrs, users),
            (tables.system_attrs, systems),
            (tables.steps, steps),
        ):
            if values:
                connection.execute(table.insert(), values)

    def _insert_values(self, connection: Connection, row: int, trial: FrozenTrial) -> None:
        from optuna.storages._rdb.models import TrialValueModel as Value

        values = []
        for objective, value in enumerate(trial.values or ()):
            stored, kind = Value.value_to_stored_repr(value)
            values.append(
                {"trial_id": row, "objective": objective, "value": stored, "value_type": kind}
            )
        if values:
            connection.execute(optuna_tables().values.insert(), values)

    def claim(self, row: int, attempt: str) -> bool:
        with self._one_at_a_time:
            taken = self._retry.call(lambda: self._claim(row, attempt))
            if self._lease is not None:
                self._lease.committed()
            return taken

    def _claim(self, row: int, attempt: str) -> bool:
        # Optuna's own way reads the state and then writes it, so two may take the same trial.
        noted = {"trial_id": row, "key": RUN_ATTRIBUTE, "value_json": json.dumps(attempt)}
        user_attrs = optuna_tables().user_attrs
        with self._engine.begin() as connection:
            if self._lease is not None:
                self._lease.heartbeat(connection)
            values = {"row": row, "begun": datetime.now(UTC).replace(tzinfo=None)}
            if int(connection.execute(_claim_trial(), values).rowcount) == 1:
                connection.execute(user_attrs.insert(), noted)
                return True
            # Perhaps it was us: a commit that took effect, and whose answer was lost.
            ours = user_attrs.select().filter_by(**noted)
            return connection.execute(ours).first() is not None

    def rows_after(self, row: int) -> list[int]:
        return self._retry.call(lambda: self._rows_after(row))

    def _rows_after(self, row: int) -> list[int]:
        with self._engine.connect() as connection:
            found = connection.execute(_rows_after(), {"study": self._study_id, "row": row})
            return [int(r[0]) for r in found]

    def read(self, row: int) -> FrozenTrial:
        return self._retry.call(lambda: self._storage.get_trial(row))


@lru_cache(maxsize=1)
def _lock_study() -> Any:
    from optuna.storages._rdb import models
    from sqlalchemy import bindparam, select

    studies = models.StudyModel.__table__
    return (
        select(studies.c.study_id).where(studies.c.study_id == bindparam("study")).with_for_update()
    )


@lru_cache(maxsize=1)
def _count_before() -> Any:
    from sqlalchemy import bindparam, func, select

    trials = optuna_tables().trials
    return select(func.count()).where(
        trials.c.study_id == bindparam("study"), trials.c.trial_id < bindparam("row")
    )


@lru_cache(maxsize=1)
def _rows_after() -> Any:
    from sqlalchemy import bindparam, select

    trials = optuna_tables().trials
    return (
        select(trials.c.trial_id)
        .where(trials.c.study_id == bindparam("study"), trials.c.trial_id > bindparam("row"))
        .order_by(trials.c.trial_id)
    )


@lru_cache(maxsize=1)
def _claim_trial() -> Any:
    from sqlalchemy import bindparam, update

    trials = optuna_tables().trials
    return (
        update(trials)
        .where(trials.c.trial_id == bindparam("row"), trials.c.state == TrialState.WAITING)
        .values(state=TrialState.RUNNING, datetime_start=bindparam("begun"))
    )


@lru_cache(maxsize=1)
def _finish_trial() -> Any:
    from sqlalchemy import bindparam, update

    trials = optuna_tables().trials
    return (
        update(trials)
        .where(trials.c.trial_id == bindparam("row"), trials.c.state == TrialState.RUNNING)
        .values(state=bindparam("new_state"), datetime_complete=bindparam("completed"))
    )


def _delete_keys(connection: Connection, table: Table, keys: Sequence[tuple[int, str]]) -> None:
    from sqlalchemy import bindparam, delete

    if keys:
        statement = delete(table).where(
            table.c.trial_id == bindparam("row"), table.c.key == bindparam("name")
        )
        connection.execute(statement, [{"row": row, "name": name} for row, name in keys])


def _attributes(row: int, attrs: Mapping[str, Any], names: frozenset[str]) -> list[dict[str, Any]]:
    return [
        {"trial_id": row, "key": key, "value_json": json.dumps(value)}
        for key, value in attrs.items()
        if key in names
    ]


@lru_cache(maxsize=4096)
def _distribution_text(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)


def _utc(local: datetime | None) -> datetime | None:
    """Optuna keeps naive local times in a FrozenTrial and naive UTC in the tables."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)
