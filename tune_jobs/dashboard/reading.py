"""Reading studies to look at them: cheap at 10,000 trials, and cheaper the second time.

Of a relational storage the tables are read directly, a few statements for a whole study, and what
is finished is never read again. Any other storage is read by Optuna's public methods. Nothing is
written, no table is created.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy import Connection, Engine, func, inspect, select

from tune_jobs.dashboard.model import Run, Study, Trial
from tune_jobs.errors import StudyError
from tune_jobs.storage import schema as ledger_schema
from tune_jobs.storage.database import find_ledger_engine, unwrap_storage
from tune_jobs.storage.lease import find_owner
from tune_jobs.storage.ledger import UID_ATTRIBUTE
from tune_jobs.storage.study_reader import (
    StoredStudy,
    count_trials,
    read_states,
    read_studies,
    read_trials,
    read_user_attr,
    read_value_ranges,
)


@dataclass(frozen=True)
class Head:
    """What an overview shows of a study without reading its trials.

    Args:
        key, name, maximize: See `Study`.
        counts: Trials by state.
        best: The best value, of one objective.
        run_hours: Of runs that have ended.
        live: Runs that have not.
        owner: Who tunes it now.
        first, last: When its first run was intended and the last one told.
    """

    key: str
    name: str
    maximize: tuple[bool, ...]
    counts: Mapping[str, int]
    best: float | None
    run_hours: float = 0.0
    live: int = 0
    owner: str | None = None
    first: float | None = None
    last: float | None = None


class Source(Protocol):
    """A storage, read only.

    Attributes:
        label: What people call it; no password in it.
    """

    label: str

    def heads(self) -> list[Head]:
        """All studies."""
        ...

    def study(self, key: str) -> Study:
        """One study; what was read before is not read again.

        Raises:
            KeyError: there is none.
        """
        ...

    def engine(self, key: str) -> Engine | None:
        """The database of the study's ledger; None: it has none."""
        ...


def open_source(where: str, prefix: str) -> Source:
    """A storage: a URL, or the path of an SQLite or journal file.

    Args:
        where: The storage.
        prefix: Begins the keys of its studies.

    Raises:
        StudyError: there is no such storage.
    """
    path = Path(where)
    if "://" not in where and not path.exists():
        raise StudyError(f"there is no storage {where}: give a database URL or an existing file")
    if "://" not in where and path.read_bytes()[:15] != b"SQLite format 3":
        return OptunaSource(JournalStorage(JournalFileBackend(where)), where, prefix)
    url = where if "://" in where else f"sqlite:///{path.absolute()}"
    missing = url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()
    if missing:
        raise StudyError(f"there is no storage {url}: nothing was tuned there yet")
    try:
        return RelationalSource(RDBStorage(url), prefix)
    except Exception as error:  # of any database driver
        raise StudyError(f"storage {_without_password(url)} cannot be opened: {error}") from error


def _without_password(url: str) -> str:
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)


# -- a relational storage -----------------------------------------------------------------------


@dataclass
class _Known:
    """What was read of a study and will not change, and the rows of runs that will."""

    trials: dict[int, Trial] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    live: set[int] = field(default_factory=set)


class RelationalSource:
    """SQLite, PostgreSQL, MySQL or MariaDB."""

    def __init__(self, storage: RDBStorage, prefix: str) -> None:
        self._engine = storage.engine
        self._prefix = prefix
        self.label = self._engine.url.render_as_string(hide_password=True)
        self._known: dict[int, _Known] = defaultdict(_Known)

    @property
    def _has_ledger(self) -> bool:
        return inspect(self._engine).has_table(ledger_schema.attempts.name)

    def engine(self, key: str) -> Engine | None:
        """See `Source.engine`."""
        return self._engine if self._has_ledger else None

    def heads(self) -> list[Head]:
        """See `Source.heads`: six statements, however many studies there are."""
        with self._engine.connect() as connection:
            studies = read_studies(connection)
            counts = count_trials(connection)
            ranges = read_value_ranges(connection)
            uids = read_user_attr(connection, UID_ATTRIBUTE)
        ledgers = self._ledgers()
        return [
            Head(
                key=f"{self._prefix}{study.study_id}",
                name=study.name,
                maximize=study.maximize,
                counts=counts.get(study.study_id, {}),
                best=_best(study, ranges),
                **ledgers.get(uids.get(study.study_id, ""), {}),
            )
            for study in studies
        ]

    def _ledgers(self) -> dict[str, dict[str, Any]]:
        """What the ledger adds to heads, by uid."""
        if not self._has_ledger:
            return {}
        runs = ledger_schema.attempts.c
        query = select(
            runs.study,
            func.sum(runs.finished - runs.started),
            func.count() - func.count(runs.told),
            func.min(runs.intended),
            func.max(runs.told),
        ).group_by(runs.study)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {
            uid: {
                "run_hours": float(seconds or 0.0) / 3600.0,
                "live": live,
                "owner": find_owner(self._engine, uid),
                "first": first,
                "last": last,
            }
            for uid, seconds, live, first, last in rows
        }

    def study(self, key: str) -> Study:
        """See `Source.study`."""
        number = key.removeprefix(self._prefix)
        if not number.isdecimal():
            raise KeyError(key)
        study_id = int(number)
        with self._engine.connect() as connection:
            found = read_studies(connection, study_id)
            if not found:
                raise KeyError(key)
            uid = read_user_attr(connection, UID_ATTRIBUTE, study_id).get(study_id)
            trials = self._trials(connection, study_id)
        facts: dict[str, Any] = {}
        if uid is not None and self._has_ledger:
            facts = _ledger_facts(self._engine, uid, self._known[study_id])
        return Study(key, found[0].name, found[0].maximize, trials, uid=uid, **facts)

    def _trials(self, connection: Connection, study_id: int) -> list[Trial]:
        known = self._known[study_id].trials
        states = read_states(connection, study_id)
        fresh = [trial_id for trial_id in states if trial_id not in known]
        found = {i: _trial_of(t) for i, t in read_trials(connection, study_id, fresh).items()}
        known.update({i: trial for i, trial in found.items() if states[i].is_finished()})
        everything = {**known, **found}
        return [everything[trial_id] for trial_id in states if trial_id in everything]


def _best(study: StoredStudy, ranges: Mapping[int, tuple[float, float]]) -> float | None:
    if len(study.maximize) != 1 or study.study_id not in ranges:
        return None
    low, high = ranges[study.study_id]
    return high if study.maximize[0] else low


def _ledger_facts(engine: Engine, uid: str, known: _Known) -> dict[str, Any]:
    """Runs, store, owner and definition; runs that were told are read once."""
    table, studies = ledger_schema.attempts, ledger_schema.studies
    names = list(Run.__dataclass_fields__)
    query = select(table.c.id, *(table.c[name] for name in names)).where(table.c.study == uid)
    if known.runs:
        query = query.where((table.c.id > max(known.runs)) | table.c.id.in_(known.live))
    with engine.connect() as connection:
        rows = connection.execute(query).all()
        about = connection.execute(
            select(studies.c.store, studies.c.definition).where(studies.c.uid == uid)
        ).first()
    live: dict[int, Run] = {}
    for row in rows:
        run = Run(**{name: getattr(row, name) for name in names})
        (known.runs if run.told is not None else live)[row.id] = run
    known.live = set(live)
    return {
        "runs": [run for _, run in sorted({**known.runs, **live}.items())],
        "store": about.store if about else None,
        "definition": json.loads(about.definition) if about else {},
        "owner": find_owner(engine, uid),
    }


# -- any other storage --------------------------------------------------------------------------


class OptunaSource:
    """A journal, or whatever else Optuna can read."""

    def __init__(self, storage: BaseStorage, label: str, prefix: str) -> None:
        self._storage, self.label, self._prefix = storage, label, prefix

    def heads(self) -> list[Head]:
        """See `Source.heads`."""
        heads = []
        for name in optuna.get_all_study_names(self._storage):
            study = self.study(f"{self._prefix}{self._storage.get_study_id_from_name(name)}")
            best = study.best()
            spans = [r.seconds for r in study.runs if r.seconds is not None]
            heads.append(
                Head(
                    key=study.key,
                    name=study.name,
                    maximize=study.maximize,
                    counts=study.counts(),
                    best=best.values[0] if best else None,
                    run_hours=sum(spans) / 3600.0,
                    live=sum(r.told is None for r in study.runs),
                    owner=study.owner,
                    first=min((r.intended for r in study.runs), default=None),
                    last=max((r.told for r in study.runs if r.told), default=None),
                )
            )
        return heads

    def _open(self, key: str) -> optuna.Study:
        number = key.removeprefix(self._prefix)
        for name in optuna.get_all_study_names(self._storage):
            if number == str(self._storage.get_study_id_from_name(name)):
                return optuna.load_study(study_name=name, storage=self._storage)
        raise KeyError(key)

    def study(self, key: str) -> Study:
        """See `Source.study`."""
        opened = self._open(key)
        engine, uid = self._engine_of(opened), opened.user_attrs.get(UID_ATTRIBUTE)
        facts = {} if engine is None or uid is None else _ledger_facts(engine, uid, _Known())
        return find_study(opened, key, uid=uid, **facts)

    def engine(self, key: str) -> Engine | None:
        """See `Source.engine`."""
        return self._engine_of(self._open(key))

    def _engine_of(self, study: optuna.Study) -> Engine | None:
        _, engine = find_ledger_engine(study)
        path = engine.url.database
        if path and path != ":memory:" and not Path(path).exists():
            return None  # reading creates nothing
        return engine if inspect(engine).has_table(ledger_schema.attempts.name) else None


def find_study(opened: optuna.Study, key: str = "study", **facts: Any) -> Study:
    """Any Optuna study, as it is looked at; ``facts`` are those of its ledger."""
    return Study(
        key=key,
        name=opened.study_name,
        maximize=tuple(d == StudyDirection.MAXIMIZE for d in opened.directions),
        trials=[_trial_of(t) for t in opened.get_trials(deepcopy=False)],
        **facts,
    )


def read_study(opened: optuna.Study, key: str = "study") -> Study:
    """An Optuna study with what its ledger knows."""
    storage = unwrap_storage(opened)
    if isinstance(storage, RDBStorage):
        study_id = storage.get_study_id_from_name(opened.study_name)
        return RelationalSource(storage, "").study(str(study_id))
    uid = opened.user_attrs.get(UID_ATTRIBUTE)
    _, engine = find_ledger_engine(opened)
    if uid is None or not inspect(engine).has_table(ledger_schema.attempts.name):
        return find_study(opened, key, uid=uid)
    return find_study(opened, key, uid=uid, **_ledger_facts(engine, uid, _Known()))


def _trial_of(trial: optuna.trial.FrozenTrial) -> Trial:
    return Trial(
        number=trial.number,
        state=trial.state.name,
        values=tuple(trial.values or ()),
        params=trial.params,
        started=_local_seconds(trial.datetime_start),
        finished=_local_seconds(trial.datetime_complete),
        steps=dict(sorted(trial.intermediate_values.items())),
        attributes=trial.user_attrs,
    )


def _local_seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
