"""Trials that wait to be run: enqueue a configuration, or withdraw it before it starts.

A configuration is enqueued by Optuna's own method, so whichever process tunes the study takes it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, insert, update

from tune_jobs.core.requests import find_same
from tune_jobs.core.trial_attributes import (
    CAUSE_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    REQUEST_ATTRIBUTE,
    WITHDRAWN,
    is_withdrawn,
)
from tune_jobs.errors import StudyError
from tune_jobs.space.requests import check_request
from tune_jobs.space.search_space import Space
from tune_jobs.storage import optuna_tables as tables
from tune_jobs.storage.database import find_storage_refusal, unwrap_storage
from tune_jobs.storage.database_errors import explain_database_error, is_database_error
from tune_jobs.storage.retry import write_beside_owner

_enqueueing = threading.Lock()  # one request must not be found missing by two threads


class SameConfiguration(StudyError):
    """An earlier trial has the configuration that is to be enqueued.

    Args:
        trial: Its number.
        state: Name of its state.
    """

    def __init__(self, trial: int, state: str) -> None:
        super().__init__(
            f"trial {trial} ({state.lower()}) has the same configuration: enqueue it again to "
            "run it once more, for example because its result is noisy"
        )
        self.trial = trial


@dataclass(frozen=True)
class Enqueued:
    """A configuration that was enqueued.

    Args:
        trial: Number of its trial.
        params: The parameters that it was enqueued with; others are sampled when it starts.
    """

    trial: int
    params: Mapping[str, Any]


def enqueue_configuration(
    study: optuna.Study,
    space: Space,
    params: Mapping[str, Any],
    *,
    again: bool = False,
    request: str = "",
) -> Enqueued:
    """Enqueue a configuration; the next trial that is started runs it.

    Args:
        study: The study.
        space: Its search space.
        params: Parameters; the sampler chooses those that are left out.
        again: Whether to enqueue a configuration that an earlier trial has.
        request: Identifies the request. It is enqueued once, however often it is repeated.

    Raises:
        SpaceError: If a trial cannot have these parameters.
        SameConfiguration: If an earlier trial has them, unless ``again``.
        StudyError: If the study cannot be written.
    """
    checked = check_request(space, params)
    with _enqueueing:
        try:
            trials = study.get_trials(deepcopy=False)
            earlier = _find_request(trials, request)
            if earlier is None:
                same = None if again else find_same(checked, trials)
                if same is not None:
                    raise SameConfiguration(same.number, same.state.name)
                _check_writable(study)
                marks = {REQUEST_ATTRIBUTE: request} if request else {}
                study.enqueue_trial(checked, user_attrs=marks)
                earlier = _find_newest(study, trials, checked, request)
        except optuna.exceptions.StorageInternalError as error:
            if not is_database_error(error):
                raise
            raise StudyError(
                f"not enqueued: the study's database cannot be written: "
                f"{explain_database_error(error)}"
            ) from error
    return Enqueued(earlier.number, checked)


def _find_request(trials: list[FrozenTrial], request: str) -> FrozenTrial | None:
    if not request:
        return None
    return next((t for t in trials if t.user_attrs.get(REQUEST_ATTRIBUTE) == request), None)


def _find_newest(
    study: optuna.Study, before: list[FrozenTrial], params: Mapping[str, Any], request: str
) -> FrozenTrial:
    """Return the trial that was enqueued just now; others may have been added meanwhile."""
    known = {trial.number for trial in before}
    added = [t for t in study.get_trials(deepcopy=False) if t.number not in known]
    return _find_request(added, request) or find_same(params, added) or added[-1]


def withdraw_trial(study: optuna.Study, number: int, *, is_tuned: bool) -> None:
    """Withdraw a trial that waits to be run, unless a process has started it.

    It fails without a run, and counts neither towards ``n_trials`` nor as a failure.

    Args:
        study: The study.
        number: Number of the trial.
        is_tuned: Whether a process is tuning the study.

    Raises:
        StudyError: If it does not wait any more, or the storage cannot withdraw it safely.
    """
    trials = study.get_trials(deepcopy=False)
    trial = next((t for t in trials if t.number == number), None)
    if trial is None:
        raise StudyError(f"there is no trial {number} to withdraw")
    if is_withdrawn(trial.user_attrs):
        return  # by an earlier request, or by another page
    if trial.state != TrialState.WAITING:
        raise _started(number, trial.state)
    _check_writable(study)
    storage = unwrap_storage(study)
    if isinstance(storage, RDBStorage):
        if not write_beside_owner(storage.engine, lambda c: _withdraw(c, trial._trial_id)):
            raise _started(number, storage.get_trial(trial._trial_id).state)
        return
    if is_tuned:
        raise StudyError(
            f"trial {number} cannot be withdrawn while the study is tuned: its storage cannot tell "
            "whether it is being started; stop the tuning first, or cancel the trial once it runs"
        )
    for name in (CAUSE_ATTRIBUTE, REFUSED_ATTRIBUTE):
        storage.set_trial_user_attr(trial._trial_id, name, WITHDRAWN)
    storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _started(number: int, state: TrialState) -> StudyError:
    fix = ": cancel it" if state == TrialState.RUNNING else ""
    return StudyError(f"trial {number} is {state.name} and does not wait any more{fix}")


def _withdraw(connection: Connection, trial_id: int) -> bool:
    """Finish a waiting trial; return whether it was still waiting, or is withdrawn already."""
    columns = tables.trials.c
    finish = (
        update(tables.trials)
        .where(columns.trial_id == trial_id, columns.state == TrialState.WAITING)
        .values(state=TrialState.FAIL, datetime_complete=datetime.now(UTC).replace(tzinfo=None))
    )
    attrs = tables.user_attrs
    if connection.execute(finish).rowcount == 1:
        value = tables.encode_attribute(WITHDRAWN)
        rows = [
            {"trial_id": trial_id, "key": name, "value_json": value}
            for name in (CAUSE_ATTRIBUTE, REFUSED_ATTRIBUTE)
        ]
        connection.execute(insert(attrs), rows)
        return True
    # Perhaps an earlier try did it, and the connection broke during its commit.
    done = attrs.select().filter_by(
        trial_id=trial_id,
        key=REFUSED_ATTRIBUTE,
        value_json=tables.encode_attribute(WITHDRAWN),
    )
    return connection.execute(done).first() is not None


def _check_writable(study: optuna.Study) -> None:
    if refusal := find_storage_refusal(study):
        raise StudyError(refusal)
