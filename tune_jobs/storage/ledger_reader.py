"""Read ledgers without writing to them, for the dashboard; `Ledger` is for the tuner."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from sqlalchemy import Connection, Engine, func, inspect, select

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.controllers import ControllerRecord
from tune_jobs.errors import StudyError
from tune_jobs.storage.attempt_rows import decode_attempt, select_attempts
from tune_jobs.storage.controllers import read_controllers
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.lease import find_owner
from tune_jobs.storage.schema import SCHEMA_VERSION, attempts, schema, studies, usage
from tune_jobs.storage.sqlite_files import find_file


@dataclass(frozen=True)
class LedgerContent:
    """What the ledger of a study has.

    Args:
        runs: All attempts, oldest first.
        store: The metric store; None if the study is not registered.
        definition: What the study was tuned with, see `TuningSpec.describe`.
        owner: The process that is tuning the study; None if there is none.
        controllers: Its detached controllers, oldest first.
    """

    runs: Sequence[Attempt] = ()
    store: str | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None
    controllers: Sequence[ControllerRecord] = ()


@dataclass(frozen=True)
class LedgerSummary:
    """What the ledger of a study amounts to.

    Args:
        run_hours: Run hours of the attempts that have ended.
        live: Number of attempts that have not ended.
        first, last: When the first attempt was intended and when the last one was reported to
            Optuna; seconds since the epoch.
        owner: The process that is tuning the study; None if there is none.
    """

    run_hours: float = 0.0
    live: int = 0
    first: float | None = None
    last: float | None = None
    owner: str | None = None


def find_ledger(study: optuna.Study) -> Engine | None:
    """Return the database of a study's ledger; None if it has none. Creates nothing."""
    engine = find_ledger_engine(study)
    path = find_file(engine.url.render_as_string(hide_password=False))
    if path is not None and not path.exists():
        return None
    return engine if has_ledger(engine) else None


def has_ledger(engine: Engine) -> bool:
    """Return whether a database has the tables of a ledger.

    Raises:
        StudyError: If another version of tune_jobs wrote them.
    """
    if not inspect(engine).has_table(attempts.name):
        return False
    with engine.connect() as connection:
        version = connection.execute(select(schema.c.version)).scalar() or 1
    if version == SCHEMA_VERSION:
        return True
    fix = (
        "install the newer tune_jobs that wrote it"
        if version > SCHEMA_VERSION
        else "`tune-jobs status` or Tuner.costs() brings it up to date"
    )
    raise StudyError(
        f"the ledger in this database has schema version {version}, this tune_jobs reads "
        f"version {SCHEMA_VERSION}: {fix}"
    )


def read_summaries(engine: Engine) -> dict[str, LedgerSummary]:
    """Return a summary of each study with attempts, by uid."""
    columns = attempts.c
    query = select(
        columns.study,
        func.sum(columns.finished - columns.started),
        func.count() - func.count(columns.told),
        func.min(columns.intended),
        func.max(columns.told),
    ).group_by(columns.study)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return {
        uid: LedgerSummary(
            run_hours=float(seconds or 0.0) / 3600.0,
            live=live,
            first=first,
            last=last,
            owner=find_owner(engine, uid),
        )
        for uid, seconds, live, first, last in rows
    }


class LedgerReader:
    """Reads the ledger of one study repeatedly; attempts that have ended are read once.

    Args:
        engine: Database of the ledger.
        uid: The study's uid.
    """

    def __init__(self, engine: Engine, uid: str) -> None:
        self._engine, self._uid = engine, uid
        self._ended: dict[int, Attempt] = {}
        self._live: frozenset[int] = frozenset()

    def read(self) -> LedgerContent:
        """Return the current content of the ledger."""
        query = select(studies.c.store, studies.c.definition).where(studies.c.uid == self._uid)
        with self._engine.connect() as connection:
            runs = self._read_attempts(connection)
            registered = connection.execute(query).first()
        return LedgerContent(
            runs=runs,
            store=registered.store if registered else None,
            definition=json.loads(registered.definition) if registered else {},
            owner=find_owner(self._engine, self._uid),
            controllers=read_controllers(self._engine, self._uid),
        )

    def _read_attempts(self, connection: Connection) -> list[Attempt]:
        query = select_attempts(self._uid, has_usage=inspect(connection).has_table(usage.name))
        if self._ended:
            query = query.where((attempts.c.id > max(self._ended)) | attempts.c.id.in_(self._live))
        fresh = {row.id: decode_attempt(row) for row in connection.execute(query)}
        live = {i: attempt for i, attempt in fresh.items() if attempt.told is None}
        self._ended.update((i, attempt) for i, attempt in fresh.items() if i not in live)
        self._live = frozenset(live)
        return [attempt for _, attempt in sorted({**self._ended, **live}.items())]
