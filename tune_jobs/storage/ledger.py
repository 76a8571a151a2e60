"""The ledger: the attempts of a study's trials, in the database of the study.

An attempt is one job run of a trial, or of a final run. Its row is written before the run is
submitted and again when it has ended; each arrow is a method of `Ledger`:

    record_intended  ──▶ record_submitted ──▶ (record_started) ──▶ (record_pruning) ──▶ record_ended
    (before the          (with the next       (with the next       (before the          (with the
     submission)          turn)                turn)                cancel)              result)

An attempt without a time in ``told`` is open: its result is not reported to Optuna, and the next
tuner finds out from the backend how it ended. What follows from study and name is not stored: the
key of the metrics (``metrics/NAME.jsonl``), and on OCI the retry token.

In a relational storage the rows are written in the transaction of Optuna's rows. Beside a journal
file they are in an SQLite file of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from sqlalchemy import Connection, Row, Select, select, update

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.strict_json import encode_json
from tune_jobs.storage import attempt_rows
from tune_jobs.storage.bucket.opening import is_bucket
from tune_jobs.storage.database import find_ledger_engine, has_relational_storage
from tune_jobs.storage.registration import Registration, register_study
from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.schema import attempts, prepare, studies


class Ledger:
    """The rows of one study; creates the tables and registers the study.

    Methods that take a ``connection`` write in the transaction of the turn. With None, for a
    storage without transactions, they write in one of their own.

    Args:
        study: The study.
        store: URI of the metric store; ignored if the study is registered with another one.
        retry: Retries while the database does not answer.

    Raises:
        StudyError: If a later version of tune_jobs wrote the ledger, or it cannot be used.
    """

    def __init__(self, study: optuna.Study, store: str, retry: DatabaseRetry | None = None) -> None:
        self.engine = find_ledger_engine(study)
        self._retry = retry or DatabaseRetry(repr(self.engine.url))
        self._shares_transactions = has_relational_storage(study)
        registration = self._retry.call(lambda: self._open(study, store))
        self.uid, self.store = registration.uid, registration.store

    def _open(self, study: optuna.Study, store: str) -> Registration:
        prepare(self.engine)
        return register_study(study, self.engine, store)

    @property
    def durable(self) -> bool:
        """Whether the ledger outlives this process."""
        url = self.engine.url
        return is_bucket(url) or url.database not in (None, "", ":memory:")

    # -- the life of an attempt -----------------------------------------------------------------

    def record_intended(self, connection: Connection | None, intended: Sequence[Attempt]) -> None:
        """Insert attempts before their runs are submitted."""
        rows = [attempt_rows.encode_attempt(self.uid, attempt) for attempt in intended]
        self._execute(connection, attempt_rows.INSERT, rows)

    def record_submitted(
        self, connection: Connection | None, submitted: Iterable[tuple[str, str, float]]
    ) -> None:
        """Record runs that the backend accepted: attempt name, run id, and time of acceptance."""
        rows = [{**self._key(name), "run": run, "at": at} for name, run, at in submitted]
        self._execute(connection, attempt_rows.SET_SUBMITTED, rows)

    def record_started(
        self, connection: Connection | None, started: Iterable[tuple[str, float]]
    ) -> None:
        """Record when the scripts of live runs started: attempt name and time."""
        rows = [{**self._key(name), "at": at} for name, at in started]
        self._execute(connection, attempt_rows.SET_STARTED, rows)

    def record_pruning(self, connection: Connection | None, pruned: Sequence[Attempt]) -> None:
        """Record the decision to prune runs, before they are canceled."""
        rows = [{**self._key(attempt.name), "why": attempt.cause} for attempt in pruned]
        self._execute(connection, attempt_rows.SET_PRUNING, rows)

    def record_ended(
        self, connection: Connection | None, ended: Sequence[Attempt], reported: float
    ) -> None:
        """Record how runs ended, with the report of their trials' results at that time."""
        rows = [{**self._key(a.name), **attempt_rows.encode_end(a, reported)} for a in ended]
        self._execute(connection, attempt_rows.SET_ENDED, rows)
        used = [row for a in ended if (row := attempt_rows.encode_usage(self.uid, a)) is not None]
        # An end may be recorded again, if the database did not say that it was.
        self._execute(connection, attempt_rows.DELETE_USAGE, [self._key(r["name"]) for r in used])
        self._execute(connection, attempt_rows.INSERT_USAGE, used)

    def _key(self, name: str) -> dict[str, str]:
        return {"of_study": self.uid, "of_name": name}

    def _execute(
        self, connection: Connection | None, statement: Any, rows: list[dict[str, Any]]
    ) -> None:
        if not rows:
            return
        if connection is not None and self._shares_transactions:
            connection.execute(statement, rows)
            return
        with self.engine.begin() as own:
            own.execute(statement, rows)

    # -- reads ------------------------------------------------------------------------------------

    def read_attempts(self, trial: int | None = None) -> list[Attempt]:
        """Return all attempts, or those of one trial, oldest first."""
        return self._read() if trial is None else self._read(attempts.c.trial == trial)

    def read_open_attempts(self) -> list[Attempt]:
        """Return the attempts whose result is not reported to Optuna, oldest first."""
        return self._read(attempts.c.told.is_(None))

    def read_ended_attempts(self) -> list[Attempt]:
        """Return the attempts whose result is reported to Optuna, oldest first."""
        return self._read(attempts.c.told.is_not(None))

    def read_trial_numbers(self) -> set[int]:
        """Return the numbers of the trials that have an attempt."""
        query = select(attempts.c.trial).where(attempts.c.study == self.uid).distinct()
        return {int(row.trial) for row in self._fetch(query)}

    def _read(self, *conditions: Any) -> list[Attempt]:
        query = attempt_rows.select_attempts(self.uid).where(*conditions)
        rows = self._fetch(query.order_by(attempts.c.id))
        return [attempt_rows.decode_attempt(row) for row in rows]

    def _fetch(self, query: Select[Any]) -> Sequence[Row[Any]]:
        def fetch() -> Sequence[Row[Any]]:
            with self.engine.connect() as connection:
                return connection.execute(query).all()

        return self._retry.call(fetch)

    # -- the definition ---------------------------------------------------------------------------

    def write_definition(self, definition: Mapping[str, Any]) -> None:
        """Store what the study is tuned with, such as space, script and command line."""
        statement = (
            update(studies)
            .where(studies.c.uid == self.uid)
            .values(definition=encode_json(definition))
        )

        def write() -> None:
            with self.engine.begin() as connection:
                connection.execute(statement)

        self._retry.call(write)

    def write_limits(self, changed: Mapping[str, Any]) -> None:
        """Store limits that were changed while the study is tuned."""
        definition = self.read_definition()
        limits = {**definition.get("limits", {}), **changed}
        self.write_definition({**definition, "limits": limits})

    def read_definition(self) -> dict[str, Any]:
        """Return the last stored definition; empty if there is none."""
        query = select(studies.c.definition).where(studies.c.uid == self.uid)
        (row,) = self._fetch(query)
        return dict(json.loads(row.definition))
