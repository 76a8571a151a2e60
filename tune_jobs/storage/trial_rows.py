"""Trials as rows of Optuna's relational tables, written within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, bindparam, delete, func, select, update

from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
from tune_jobs.storage.changes import TrialChange, TrialNumberConflict
from tune_jobs.storage.optuna_tables import (
    encode_attribute,
    encode_distribution,
    encode_step,
    encode_time,
    encode_value,
    params,
    steps,
    studies,
    system_attrs,
    trials,
    user_attrs,
    values,
)

# Built once: SQLAlchemy then finds their compiled form by identity.
_LOCK_STUDY = (
    select(studies.c.study_id).where(studies.c.study_id == bindparam("study")).with_for_update()
)
_SELECT_STUDY = select(studies.c.study_id).where(studies.c.study_id == bindparam("study"))
_COUNT_BEFORE = select(func.count()).where(
    trials.c.study_id == bindparam("study"), trials.c.trial_id < bindparam("trial")
)
_LIST_AFTER = (
    select(trials.c.trial_id)
    .where(trials.c.study_id == bindparam("study"), trials.c.trial_id > bindparam("trial"))
    .order_by(trials.c.trial_id)
)
_CLAIM = (
    update(trials)
    .where(trials.c.trial_id == bindparam("trial"), trials.c.state == TrialState.WAITING)
    .values(state=TrialState.RUNNING, datetime_start=bindparam("now"))
)
_FINISH = (
    update(trials)
    .where(trials.c.trial_id == bindparam("trial"), trials.c.state == TrialState.RUNNING)
    .values(state=bindparam("new_state"), datetime_complete=bindparam("completed"))
)


def check_study(connection: Connection, study_id: int) -> None:
    """Check within a transaction, after its writes, that their study was not deleted before.

    SQLite does not, as Optuna leaves its foreign keys unchecked.

    Raises:
        KeyError: If there is no such study; the transaction must not be committed.
    """
    if connection.execute(_SELECT_STUDY, {"study": study_id}).first() is None:
        raise KeyError(f"no study with study_id {study_id} exists")


def list_trials_after(connection: Connection, study_id: int, trial_id: int) -> list[int]:
    """Return the trials of a study with a greater id, in order."""
    rows = connection.execute(_LIST_AFTER, {"study": study_id, "trial": trial_id})
    return [int(row[0]) for row in rows]


def claim_trial(connection: Connection, trial_id: int, attempt: str) -> bool:
    """Change the state of a waiting trial to running; see `StudyWriter.claim`.

    Optuna reads the state before it writes it, so two processes may get the same trial from it.
    """
    claim = {"trial": trial_id, "now": datetime.now(UTC).replace(tzinfo=None)}
    if int(connection.execute(_CLAIM, claim).rowcount) == 0:
        return False
    _delete_keys(connection, user_attrs, [(trial_id, RUN_ATTRIBUTE)])  # of a copied trial
    value = encode_attribute(attempt)
    row = {"trial_id": trial_id, "key": RUN_ATTRIBUTE, "value_json": value}
    connection.execute(user_attrs.insert(), row)
    return True


def insert_trials(
    connection: Connection, study_id: int, created: Sequence[FrozenTrial]
) -> list[int]:
    """Insert new trials; return their ids.

    Raises:
        TrialNumberConflict: If other processes added trials before them.
    """
    if not created:
        return []
    # The lock keeps others from adding a trial between the insertion and the count. On SQLite the
    # insertion itself locks the database.
    if connection.dialect.name != "sqlite":
        connection.execute(_LOCK_STUDY, {"study": study_id})
    trial_ids = [_insert_trial(connection, study_id, trial) for trial in created]
    before = connection.execute(_COUNT_BEFORE, {"study": study_id, "trial": trial_ids[0]})
    if before.scalar_one() != created[0].number:
        raise TrialNumberConflict
    _insert_details(connection, map(_describe_whole, trial_ids, created))
    for trial_id, trial in zip(trial_ids, created, strict=True):
        _insert_values(connection, trial_id, trial)
    return trial_ids


def _insert_trial(connection: Connection, study_id: int, trial: FrozenTrial) -> int:
    row = {
        "number": trial.number,
        "study_id": study_id,
        "state": trial.state,
        "datetime_start": encode_time(trial.datetime_start),
        "datetime_complete": encode_time(trial.datetime_complete),
    }
    inserted = connection.execute(trials.insert(), row)
    return int(inserted.inserted_primary_key[0])  # type: ignore[index]


def _describe_whole(trial_id: int, trial: FrozenTrial) -> TrialChange:
    return TrialChange(
        trial_id,
        trial,
        params=frozenset(trial.params),
        user_attrs=frozenset(trial.user_attrs),
        system_attrs=frozenset(trial.system_attrs),
        steps=frozenset(trial.intermediate_values),
    )


def change_trials(connection: Connection, changed: Sequence[TrialChange]) -> None:
    """Write changes of trials, except for those that another process has finished meanwhile."""
    finished = [c for c in changed if c.finished]
    lost = {c.trial_id for c in finished if not _finish_trial(connection, c)}
    kept = [c for c in changed if c.trial_id not in lost]
    _delete_keys(connection, user_attrs, [(c.trial_id, k) for c in kept for k in c.user_attrs])
    _delete_keys(connection, system_attrs, [(c.trial_id, k) for c in kept for k in c.system_attrs])
    _insert_details(connection, kept)
    for change in finished:
        if change.trial_id not in lost:
            _insert_values(connection, change.trial_id, change.trial)


def _finish_trial(connection: Connection, change: TrialChange) -> bool:
    finish = {
        "trial": change.trial_id,
        "new_state": change.trial.state,
        "completed": encode_time(change.trial.datetime_complete),
    }
    return connection.execute(_FINISH, finish).rowcount == 1


def _delete_keys(connection: Connection, table: Table, keys: Sequence[tuple[int, str]]) -> None:
    if keys:
        statement = delete(table).where(
            table.c.trial_id == bindparam("trial"), table.c.key == bindparam("name")
        )
        connection.execute(statement, [{"trial": trial, "name": name} for trial, name in keys])


def _insert_details(connection: Connection, changes: Iterable[TrialChange]) -> None:
    """Insert parameters, attributes and intermediate values, with one statement for each table."""
    rows: dict[Table, list[dict[str, Any]]] = {
        params: [],
        user_attrs: [],
        system_attrs: [],
        steps: [],
    }
    for change in changes:
        trial_id, trial = change.trial_id, change.trial
        rows[params] += _param_rows(trial_id, trial, change.params)
        rows[user_attrs] += _attr_rows(trial_id, trial.user_attrs, change.user_attrs)
        rows[system_attrs] += _attr_rows(trial_id, trial.system_attrs, change.system_attrs)
        rows[steps] += _step_rows(trial_id, trial.intermediate_values, change.steps)
    for table, inserted in rows.items():
        if inserted:
            connection.execute(table.insert(), inserted)


def _param_rows(
    trial_id: int, trial: FrozenTrial, names: frozenset[str]
) -> Iterable[dict[str, Any]]:
    for name, value in trial.params.items():  # in order, as Optuna sorts parameters by row
        if name in names:
            distribution = trial.distributions[name]
            yield {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": distribution.to_internal_repr(value),
                "distribution_json": encode_distribution(distribution),
            }


def _attr_rows(
    trial_id: int, attrs: Mapping[str, Any], keys: frozenset[str]
) -> Iterable[dict[str, Any]]:
    for key, value in attrs.items():
        if key in keys:
            yield {"trial_id": trial_id, "key": key, "value_json": encode_attribute(value)}


def _step_rows(
    trial_id: int, reported: Mapping[int, float], changed: frozenset[int]
) -> Iterable[dict[str, Any]]:
    for step in changed:
        stored, kind = encode_step(reported[step])
        yield {
            "trial_id": trial_id,
            "step": step,
            "intermediate_value": stored,
            "intermediate_value_type": kind,
        }


def _insert_values(connection: Connection, trial_id: int, trial: FrozenTrial) -> None:
    rows = []
    for objective, value in enumerate(trial.values or ()):
        stored, kind = encode_value(value)
        row = {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}
        rows.append(row)
    if rows:
        connection.execute(values.insert(), rows)
