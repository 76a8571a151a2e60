"""Read studies for the dashboard: fast for 10,000 trials, and faster when they are read again.

The tables of a relational storage are read directly, with a few statements for a whole study, and
what has finished is not read again. Other storages are read by Optuna's public methods. Nothing is
written and no table is created.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy import Connection, Engine, make_url

from tune_jobs.core.best_trials import Result, find_best
from tune_jobs.core.no_best import explain_no_best
from tune_jobs.core.requests import FIXED_PARAMS, read_configuration
from tune_jobs.core.trial_attributes import OWN_PREFIX
from tune_jobs.dashboard.file_source import FileSource
from tune_jobs.dashboard.model import HOUR, Study, Trial, measure_span
from tune_jobs.dashboard.recent import Recent
from tune_jobs.dashboard.source import Head, Source
from tune_jobs.errors import StudyError, TuneJobsError
from tune_jobs.runtime.private_files import find_refusal
from tune_jobs.storage.database import unwrap_storage
from tune_jobs.storage.database_errors import explain_database_error
from tune_jobs.storage.intervals import DATABASE, find_intervals
from tune_jobs.storage.ledger_reader import (
    LedgerContent,
    LedgerReader,
    LedgerSummary,
    find_ledger,
    has_ledger,
    read_summaries,
)
from tune_jobs.storage.notes import (
    decode_note,
    find_note_attributes,
    number_trials,
    read_note_attributes,
)
from tune_jobs.storage.opening import (
    find_missing_database,
    find_missing_file,
    find_url_problem,
    is_sqlite_file,
)
from tune_jobs.storage.registration import UID_ATTRIBUTE
from tune_jobs.storage.sqlite_files import find_file
from tune_jobs.storage.study_reader import (
    StoredStudy,
    TrialStamp,
    count_trials,
    read_end_stamps,
    read_metric_names,
    read_results,
    read_stamps,
    read_studies,
    read_trial_times,
    read_trials,
    read_user_attr,
    read_user_attrs,
)

MAX_STUDIES = 20
"""Studies of a storage of which finished trials are remembered."""

TRIALS_AT_ONCE = 1000
"""Trials that are read with the same statements: the memory for the rows of all would be kept."""

_SQLITE = "sqlite:///"
_FAILED_TRIAL = "failed_trial"
"""Optuna's system attribute of a trial that a callback has enqueued to repeat a failed one."""

_STUDY_NUMBER = re.compile("[1-9][0-9]{0,8}")


def open_source(where: str, prefix: str) -> Source:
    """Open a storage for reading.

    Args:
        where: Database URL, or path of an SQLite or journal file.
        prefix: Prefix of the keys of its studies.

    Raises:
        StudyError: If the storage does not exist, or cannot be opened.
    """
    file = find_file(where) if "://" in where else Path(where)
    if file is None:
        return _open_url(where, prefix)
    return FileSource(file, lambda: _open_file(where, file, prefix))


def _open_file(where: str, path: Path, prefix: str) -> Source:
    if "://" not in where:
        if refusal := find_refusal(path, write=False):
            raise StudyError(f"cannot open storage {where!r}: {refusal}")
        if not path.is_file():
            hint = "it is a folder" if path.is_dir() else "give a database URL or an existing file"
            raise StudyError(f"no storage {where!r}: {hint}")
        if not is_sqlite_file(path):
            return OptunaSource(_open_journal(where), where, prefix)
    return _open_url(where if "://" in where else f"{_SQLITE}{path.absolute()}", prefix)


def _open_url(url: str, prefix: str) -> Source:
    if (problem := find_url_problem(url)) or find_missing_file(url):
        raise StudyError(problem or f"no storage {url!r}: the file does not exist")
    try:
        if missing := find_missing_database(url):
            raise StudyError(f"no storage {url!r}: {missing}")
        return RelationalSource(RDBStorage(url), prefix)
    except TuneJobsError:
        raise
    except Exception as error:  # drivers raise many types
        shown = make_url(url).render_as_string(hide_password=True)
        problem = explain_database_error(error, url)
        raise StudyError(f"cannot open storage {shown}: {problem}") from error


def _open_journal(path: str) -> JournalStorage:
    try:
        return JournalStorage(JournalFileBackend(path))
    except PermissionError as error:  # Optuna opens journals for writing, too
        problem = find_refusal(path, write=True) or str(error)
        raise StudyError(f"cannot open storage {path!r}: {problem}") from error
    except Exception as error:  # of a file that is something else
        raise StudyError(
            f"{path!r} is neither an SQLite database nor a journal of Optuna: {error}"
        ) from error


# -- relational storages --------------------------------------------------------------------------


@dataclass
class _Known:
    """What has been read of a study.

    Args:
        trials: Finished trials by id, with their stamps.
        ledger: The reader of its ledger; None if it has none.
    """

    trials: dict[int, tuple[TrialStamp, Trial]] = field(default_factory=dict)
    ledger: LedgerReader | None = None


class RelationalSource:
    """Storage in SQLite, PostgreSQL, MySQL or MariaDB."""

    def __init__(self, storage: RDBStorage, prefix: str) -> None:
        self._storage, self._engine = storage, storage.engine
        self._prefix = prefix
        self.label = self._engine.url.render_as_string(hide_password=True)
        self.fresh = find_intervals(self._engine).progress
        self._known: Recent[tuple[int, str | None], _Known] = Recent(MAX_STUDIES)
        self._trial_hours: dict[int, tuple[tuple[Any, ...], float]] = {}

    def engine(self, key: str) -> Engine | None:
        """See `Source.engine`."""
        return self._engine if has_ledger(self._engine) else None

    def open(self, key: str) -> optuna.Study:
        """See `Source.open`."""
        with self._engine.connect() as connection:
            (study,) = self._find(connection, key)
        return optuna.load_study(study_name=study.name, storage=self._storage)

    def _find(self, connection: Connection, key: str) -> list[StoredStudy]:
        number = key.removeprefix(self._prefix)
        studies = read_studies(connection, int(number)) if _STUDY_NUMBER.fullmatch(number) else []
        if not studies:
            raise KeyError(key)
        return studies

    def heads(self) -> list[Head]:
        """See `Source.heads`; the number of statements does not depend on that of studies."""
        with self._engine.connect() as connection:
            studies = read_studies(connection)
            counts = count_trials(connection)
            results = read_results(connection)
            uids = read_user_attr(connection, UID_ATTRIBUTE)
            summaries = read_summaries(self._engine) if has_ledger(self._engine) else {}
            stamps = read_end_stamps(connection)
            plain = {n: s for n, s in stamps.items() if uids.get(n, "") not in summaries}
            hours = self._sum_trial_hours(connection, plain)
        return [
            Head(
                key=f"{self._prefix}{study.study_id}",
                name=study.name,
                maximize=study.maximize,
                counts=counts.get(study.study_id, {}),
                **_find_best(study, results.get(study.study_id, ())),
                **asdict(
                    summaries.get(uids.get(study.study_id, ""))
                    or LedgerSummary(run_hours=hours.get(study.study_id, 0.0))
                ),
            )
            for study in studies
        ]

    def _sum_trial_hours(
        self, connection: Connection, stamps: Mapping[int, tuple[Any, ...]]
    ) -> dict[int, float]:
        """Return the hours of the trials of studies without job runs.

        Args:
            connection: Connection to the storage.
            stamps: See `read_end_stamps`. Times are read again if more trials have finished.
        """
        known = self._trial_hours
        changed = [i for i, stamp in stamps.items() if known.get(i, ((), 0.0))[0] != stamp]
        times = read_trial_times(connection, changed)
        for study_id in changed:
            spans = (
                measure_span(_to_timestamp(a), _to_timestamp(b)) for a, b in times.get(study_id, ())
            )
            known[study_id] = stamps[study_id], sum(s or 0.0 for s in spans) / HOUR
        return {study_id: known[study_id][1] for study_id in stamps}

    def study(self, key: str) -> Study:
        """See `Source.study`."""
        with self._engine.connect() as connection:
            (study,) = self._find(connection, key)
            study_id = study.study_id
            attributes = read_user_attrs(connection, study_id)
            uid = attributes.get(UID_ATTRIBUTE)
            known = self._known.get((study_id, uid), _Known)
            trials = _read_trials(connection, study_id, known)
            noted = read_note_attributes(connection, study_id)
            names = read_metric_names(connection, study_id)
        ledger = LedgerContent()
        if uid is not None and has_ledger(self._engine):
            known.ledger = known.ledger or LedgerReader(self._engine, uid)
            ledger = known.ledger.read()
        built = _build_study(
            key, study.name, study.maximize, list(trials.values()), attributes, ledger
        )
        built = replace(built, metric_names=names)
        return _add_notes(built, noted, {i: trial.number for i, trial in trials.items()})


def _read_trials(connection: Connection, study_id: int, known: _Known) -> dict[int, Trial]:
    """Return all trials by id. Those that have finished are read once."""
    stamps = read_stamps(connection, study_id)
    trials = {i: trial for i, (stamp, trial) in known.trials.items() if stamps.get(i) == stamp}
    unread = [trial_id for trial_id in stamps if trial_id not in trials]
    for start in range(0, len(unread), TRIALS_AT_ONCE):
        read = read_trials(connection, study_id, unread[start : start + TRIALS_AT_ONCE])
        trials.update((i, _convert_trial(trial)) for i, trial in read.items())
    known.trials = {
        i: (stamp, trials[i])
        for i, stamp in stamps.items()
        if i in trials and stamp.state.is_finished()
    }
    return {trial_id: trials[trial_id] for trial_id in stamps if trial_id in trials}


def _find_best(study: StoredStudy, results: Sequence[Result]) -> dict[str, Any]:
    """Return ``best`` and ``no_best`` of a `Head`."""
    no_best = explain_no_best(results)
    single = len(study.maximize) == 1
    best = find_best(results, study.maximize) if single else []
    return {
        "best": best[0].values[0] if best else None,
        "no_best": no_best.summary if no_best else "",
    }


# -- other storages -------------------------------------------------------------------------------


class OptunaSource:
    """Journal, or any other storage that Optuna reads."""

    def __init__(self, storage: BaseStorage, label: str, prefix: str) -> None:
        self._storage, self.label, self._prefix = storage, label, prefix
        self.fresh = DATABASE.progress

    def heads(self) -> list[Head]:
        """See `Source.heads`."""
        heads = []
        for name in optuna.get_all_study_names(self._storage):
            study = self.study(f"{self._prefix}{self._storage.get_study_id_from_name(name)}")
            best, no_best = study.best(), study.no_best()
            heads.append(
                Head(
                    key=study.key,
                    name=study.name,
                    maximize=study.maximize,
                    counts=study.counts(),
                    best=best.values[0] if best else None,
                    run_hours=study.run_hours,
                    live=sum(r.told is None for r in study.runs),
                    owner=study.owner,
                    first=min((r.intended for r in study.runs), default=None),
                    last=max((r.told for r in study.runs if r.told), default=None),
                    no_best=no_best.summary if no_best else "",
                )
            )
        return heads

    def study(self, key: str) -> Study:
        """See `Source.study`."""
        return _read_with_ledger(self.open(key), key)

    def engine(self, key: str) -> Engine | None:
        """See `Source.engine`."""
        return find_ledger(self.open(key))

    def open(self, key: str) -> optuna.Study:
        """See `Source.open`."""
        number = key.removeprefix(self._prefix)
        for name in optuna.get_all_study_names(self._storage):
            if number == str(self._storage.get_study_id_from_name(name)):
                return optuna.load_study(study_name=name, storage=self._storage)
        raise KeyError(key)


def read_study(opened: optuna.Study, key: str = "study") -> Study:
    """Return an Optuna study with its ledger."""
    storage = unwrap_storage(opened)
    if isinstance(storage, RDBStorage):
        study_id = storage.get_study_id_from_name(opened.study_name)
        return RelationalSource(storage, "").study(str(study_id))
    return _read_with_ledger(opened, key)


def _read_with_ledger(opened: optuna.Study, key: str) -> Study:
    uid: str | None = opened.user_attrs.get(UID_ATTRIBUTE)
    ledger = LedgerContent()
    if uid is not None and (engine := find_ledger(opened)) is not None:
        ledger = LedgerReader(engine, uid).read()
    trials = opened.get_trials(deepcopy=False)
    built = _build_study(
        key,
        opened.study_name,
        tuple(direction == StudyDirection.MAXIMIZE for direction in opened.directions),
        [_convert_trial(trial) for trial in trials],
        opened.user_attrs,
        ledger,
    )
    built = replace(built, metric_names=tuple(opened.metric_names or ()))
    return _add_notes(built, find_note_attributes(opened), number_trials(trials))


def _add_notes(study: Study, attributes: Mapping[str, Any], numbers: Mapping[int, int]) -> Study:
    """Return the study with its notes.

    Args:
        study: The study without notes.
        attributes: See `find_note_attributes`.
        numbers: Numbers of the trials by their ids in the storage.
    """
    if not attributes:
        return study
    notes = {number: decode_note(attributes, i) for i, number in numbers.items()}
    return replace(
        study,
        note=decode_note(attributes),
        notes={number: note for number, note in notes.items() if note.version},
    )


def _build_study(
    key: str,
    name: str,
    maximize: tuple[bool, ...],
    trials: list[Trial],
    attributes: Mapping[str, Any],
    ledger: LedgerContent,
) -> Study:
    return Study(
        key=key,
        name=name,
        maximize=maximize,
        trials=trials,
        runs=ledger.runs,
        uid=attributes.get(UID_ATTRIBUTE),
        store=ledger.store,
        owner=ledger.owner,
        definition=ledger.definition,
        controllers=ledger.controllers,
        attributes={k: v for k, v in attributes.items() if not k.startswith(OWN_PREFIX)},
    )


def _convert_trial(trial: optuna.trial.FrozenTrial) -> Trial:
    return Trial(
        number=trial.number,
        state=trial.state.name,
        values=tuple(trial.values or ()),
        params=read_configuration(trial),
        started=_to_timestamp(trial.datetime_start),
        finished=_to_timestamp(trial.datetime_complete),
        steps=dict(sorted(trial.intermediate_values.items())),
        attributes=trial.user_attrs,
        constraints=trial.constraints,
        requested=bool(trial.system_attrs.get(FIXED_PARAMS)),
        retry_of=trial.system_attrs.get(_FAILED_TRIAL),
        distributions=trial.distributions,
    )


def _to_timestamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
