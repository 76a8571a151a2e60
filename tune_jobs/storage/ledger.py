"""The ledger: every attempt of every trial, in the database of its study.

An attempt is one job run of one trial (or of the final run). Its row is written before the run is
started and after it ended:

    INTENDED ──▶ SUBMITTED ──▶ (PRUNING) ──▶ SUCCEEDED | FAILED | CANCELED | LOST, and told
     (before the     (with the     (before the      (what the run did, in the transaction
      effect)        next turn)     cancel)          that tells Optuna)

An attempt whose ``told`` is empty is open: the next tuner asks the backend what became of it. What
can be made from study and name is not kept again: the key of its metrics (``metrics/NAME.jsonl``),
and on OCI its retry token (`data_science.request.token`).
Where the study's storage is relational the rows are written in the same transaction as Optuna's;
beside a journal file they live in an SQLite file of their own.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import optuna
from optuna.storages._rdb.models import StudyUserAttributeModel
from sqlalchemy import (
    Connection,
    Engine,
    Row,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from tune_jobs.core.attempts import (
    Attempt,
    AttemptState,
)
from tune_jobs.errors import StudyError
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.invocations import invocation_from_json, invocation_to_json
from tune_jobs.storage.schema import attempts as _attempts
from tune_jobs.storage.schema import prepare
from tune_jobs.storage.schema import studies as _studies

UID_ATTRIBUTE = "tune_jobs:uid"
"""The study's user attribute that ties it to its ledger rows and to its folder in the store."""

_REGISTRATIONS = 5


class Ledger:
    """The rows of one study.

    Methods that take a ``connection`` write within the turn's transaction; with None (the study's
    storage has none) they write in one of their own.
    """

    def __init__(self, study: optuna.Study, store: str) -> None:
        """Open the ledger of ``study``; creates the tables and the study's row.

        Raises:
            StudyError: a later version of tune_jobs wrote this ledger.
        """
        self._shared, self.engine = find_ledger_engine(study)
        prepare(self.engine)
        self.uid, self.store = _registered(study, self.engine, self._shared, store)

    @property
    def durable(self) -> bool:
        """Whether the ledger outlives this process."""
        return self.engine.url.database not in (None, "", ":memory:")

    def intend(self, connection: Connection | None, attempts: Sequence[Attempt]) -> None:
        """Record attempts before they are submitted."""
        rows = [
            {
                "study": self.uid,
                "name": a.name,
                "trial": a.trial,
                "attempt": a.attempt,
                "backend": a.backend,
                "state": a.state.value,
                "invocation": invocation_to_json(a.invocation),
                "digest": a.invocation.digest,
                "intended": a.intended,
            }
            for a in attempts
        ]
        self._execute(connection, insert(_attempts), rows)

    def submitted(
        self, connection: Connection | None, taken: Iterable[tuple[str, str, float]]
    ) -> None:
        """Record that the backend took these runs: ``(attempt name, run id, when)``."""
        rows = [
            {"of_study": self.uid, "of_name": name, "run": run, "at": at} for name, run, at in taken
        ]
        self._execute(connection, _submitted(), rows)

    def began(self, connection: Connection | None, began: Iterable[tuple[str, float]]) -> None:
        """Record since when the scripts of live runs run: ``(attempt name, when)``."""
        rows = [{"of_study": self.uid, "of_name": name, "at": at} for name, at in began]
        self._execute(connection, _began(), rows)

    def pruning(self, connection: Connection | None, attempts: Sequence[Attempt]) -> None:
        """Record that these runs are to be stopped because they will not pay off."""
        rows = [{"of_study": self.uid, "of_name": a.name, "why": a.cause} for a in attempts]
        self._execute(connection, _pruning(), rows)

    def ended(
        self, connection: Connection | None, attempts: Sequence[Attempt], told: float
    ) -> None:
        """Record how attempts ended, with the telling of their trials."""
        rows = [
            {
                "of_study": self.uid,
                "of_name": a.name,
                "new_state": a.state.value,
                "run": a.run_id,
                "on": a.shape,
                "start": a.started,
                "finish": a.finished,
                "at": told,
                "why": a.cause,
                "code": a.exit_code,
            }
            for a in attempts
        ]
        self._execute(connection, _ended(), rows)

    def attempts(self, trial: int | None = None) -> list[Attempt]:
        """All attempts (of one trial), oldest first."""
        query = select(_attempts).where(_attempts.c.study == self.uid).order_by(_attempts.c.id)
        if trial is not None:
            query = query.where(_attempts.c.trial == trial)
        return self._read(query)

    def open_attempts(self) -> list[Attempt]:
        """Attempts that Optuna was not told of."""
        return self._read(
            select(_attempts)
            .where(_attempts.c.study == self.uid, _attempts.c.told.is_(None))
            .order_by(_attempts.c.id)
        )

    def ended_attempts(self) -> list[Attempt]:
        """Attempts that Optuna was told of, oldest first."""
        return self._read(
            select(_attempts)
            .where(_attempts.c.study == self.uid, _attempts.c.told.is_not(None))
            .order_by(_attempts.c.id)
        )

    def trials(self) -> set[int]:
        """Numbers of the trials that have an attempt."""
        query = select(_attempts.c.trial).where(_attempts.c.study == self.uid).distinct()
        with self.engine.connect() as connection:
            return {int(number) for number in connection.execute(query).scalars()}

    def define(self, definition: Mapping[str, Any]) -> None:
        """Keep what the study was tuned with (space, script, command line) with the study."""
        with self.engine.begin() as connection:
            connection.execute(
                update(_studies)
                .where(_studies.c.uid == self.uid)
                .values(definition=json.dumps(definition))
            )

    def definition(self) -> dict[str, Any]:
        """What `define` kept last; empty before."""
        query = select(_studies.c.definition).where(_studies.c.uid == self.uid)
        with self.engine.connect() as connection:
            return dict(json.loads(connection.execute(query).scalar_one()))

    def _read(self, query: Any) -> list[Attempt]:
        with self.engine.connect() as connection:
            return [build_attempt(row) for row in connection.execute(query)]

    def _execute(
        self, connection: Connection | None, statement: Any, rows: list[dict[str, Any]]
    ) -> None:
        if not rows:
            return
        if connection is not None and self._shared:
            connection.execute(statement, rows)
            return
        with self.engine.begin() as own:
            own.execute(statement, rows)


# Statements are built once: SQLAlchemy's cache then finds them by identity.


@lru_cache(maxsize=1)
def _submitted() -> Any:
    return (
        update(_attempts)
        .where(_attempts.c.study == bindparam("of_study"), _attempts.c.name == bindparam("of_name"))
        .where(_attempts.c.state == AttemptState.INTENDED.value)
        .values(
            state=AttemptState.SUBMITTED.value, run_id=bindparam("run"), accepted=bindparam("at")
        )
    )


@lru_cache(maxsize=1)
def _began() -> Any:
    return (
        update(_attempts)
        .where(_attempts.c.study == bindparam("of_study"), _attempts.c.name == bindparam("of_name"))
        .values(started=bindparam("at"))
    )


@lru_cache(maxsize=1)
def _pruning() -> Any:
    return (
        update(_attempts)
        .where(_attempts.c.study == bindparam("of_study"), _attempts.c.name == bindparam("of_name"))
        .values(state=AttemptState.PRUNING.value, cause=bindparam("why"))
    )


@lru_cache(maxsize=1)
def _ended() -> Any:
    return (
        update(_attempts)
        .where(_attempts.c.study == bindparam("of_study"), _attempts.c.name == bindparam("of_name"))
        .values(
            state=bindparam("new_state"),
            run_id=bindparam("run"),
            shape=bindparam("on"),
            started=bindparam("start"),
            finished=bindparam("finish"),
            told=bindparam("at"),
            cause=bindparam("why"),
            exit_code=bindparam("code"),
        )
    )


def build_attempt(row: Row[Any]) -> Attempt:
    """Return the attempt of a row of the table of attempts."""
    return Attempt(
        name=row.name,
        trial=row.trial,
        attempt=row.attempt,
        backend=row.backend,
        state=AttemptState(row.state),
        invocation=invocation_from_json(row.invocation),
        intended=row.intended,
        run_id=row.run_id,
        shape=row.shape,
        accepted=row.accepted,
        started=row.started,
        finished=row.finished,
        told=row.told,
        cause=row.cause,
        exit_code=row.exit_code,
    )


def _registered(study: optuna.Study, engine: Engine, shared: bool, store: str) -> tuple[str, str]:
    """The study's uid and store: those of its first tuner, also of several at the same moment.

    The uid is kept as an attribute of the study, so a study that was deleted and created again
    under its old name starts afresh and never meets the runs of its predecessor.
    """
    for _ in range(_REGISTRATIONS):
        with (
            contextlib.suppress(IntegrityError),  # another process was first: look again
            engine.begin() as connection,
        ):
            return _register(connection, study, shared, store)
    raise StudyError(f"study {study.study_name!r} cannot be registered: its rows contradict")


def _register(
    connection: Connection, study: optuna.Study, shared: bool, store: str
) -> tuple[str, str]:
    if not shared:
        # Takes SQLite's lock for writing: who opens the same study waits here.
        connection.execute(delete(_studies).where(_studies.c.uid == ""))
    uid = study.user_attrs.get(UID_ATTRIBUTE)
    query = select(_studies.c.store).where(_studies.c.uid == uid)
    known = None if uid is None else connection.execute(query).scalar()
    if uid is not None and known is not None:
        return str(uid), str(known)
    chosen = str(uid or secrets.token_hex(4))
    row = {"uid": chosen, "study_name": study.study_name, "store": store, "definition": "{}"}
    connection.execute(insert(_studies), row)
    if uid is None and shared:
        # Optuna would overwrite another's; here the second one violates a constraint.
        attribute = {"study_id": study._study_id, "key": UID_ATTRIBUTE}
        connection.execute(
            insert(StudyUserAttributeModel), {**attribute, "value_json": json.dumps(chosen)}
        )
    elif uid is None:
        study.set_user_attr(UID_ATTRIBUTE, chosen)
    return chosen, store
