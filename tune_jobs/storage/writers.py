"""Choose how the changes of a study are written: in one transaction if its storage is relational.

`RdbWriter` writes the tables of one schema version of Optuna. Other versions and storages are left
to `StorageWriter`, which calls only methods of `optuna.storages.BaseStorage`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
from tune_jobs.storage.changes import (
    Changes,
    ExtraWrites,
    StudyWriter,
    TrialChange,
    TrialNumberConflict,
)
from tune_jobs.storage.database import unwrap_storage
from tune_jobs.storage.rdb_writer import KNOWN_SCHEMA, RdbWriter
from tune_jobs.storage.retry import DatabaseRetry

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from tune_jobs.storage.lease import Lease


def build_writer(
    study: optuna.Study, lease: Lease | None = None, retry: DatabaseRetry | None = None
) -> StudyWriter:
    """Return the writer for the storage of a study.

    Args:
        study: The study.
        lease: Fences every write; None to write without a fence.
        retry: Retries while the database does not answer.
    """
    storage = unwrap_storage(study)
    if isinstance(storage, RDBStorage) and storage.get_current_version() == KNOWN_SCHEMA:
        return RdbWriter(storage, study._study_id, lease, retry)
    return StorageWriter(storage, study._study_id, lease)


class StorageWriter:
    """Writer for any Optuna storage: one call for a created trial, several for a changed one.

    Args:
        storage: The study's storage.
        study_id: The study's id in it.
        lease: Fences every write as well as possible without transactions.
    """

    engine: Engine | None = None

    def __init__(self, storage: BaseStorage, study_id: int, lease: Lease | None = None) -> None:
        self._storage = storage
        self._study_id = study_id
        self._lease = lease

    def write(self, changes: Changes, extra_writes: ExtraWrites) -> list[int]:
        if self._lease is not None:
            self._lease.renew(at_once=True)  # immediately before the writes, for want of better
        for change in changes.changed:
            self._apply(change)
        created = [self._storage.create_new_trial(self._study_id, t) for t in changes.created]
        numbers = [self._storage.get_trial_number_from_id(trial_id) for trial_id in created]
        if numbers != [trial.number for trial in changes.created]:
            raise TrialNumberConflict(created)
        extra_writes(None)
        return created

    def _apply(self, change: TrialChange) -> None:
        trial_id, trial, storage = change.trial_id, change.trial, self._storage
        if storage.get_trial(trial_id).state.is_finished():
            return  # by another process, or by this one before a turn was interrupted
        for name in trial.params:
            if name in change.params:
                distribution = trial.distributions[name]
                value = distribution.to_internal_repr(trial.params[name])
                storage.set_trial_param(trial_id, name, value, distribution)
        for key in change.user_attrs:
            storage.set_trial_user_attr(trial_id, key, trial.user_attrs[key])
        for key in change.system_attrs:
            storage.set_trial_system_attr(trial_id, key, trial.system_attrs[key])
        for step in sorted(change.steps):
            storage.set_trial_intermediate_value(trial_id, step, trial.intermediate_values[step])
        if change.finished:
            storage.set_trial_state_values(trial_id, trial.state, trial.values)

    def claim(self, trial_id: int, attempt: str) -> bool:
        if self._storage.get_trial(trial_id).state != TrialState.WAITING:
            return False
        with contextlib.suppress(UpdateFinishedTrialError):  # another process was faster
            # First the attribute: a running trial without it would have no owner.
            self._storage.set_trial_user_attr(trial_id, RUN_ATTRIBUTE, attempt)
            if self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                return True
            self._storage.set_trial_user_attr(trial_id, RUN_ATTRIBUTE, "")
        return False

    def list_trials_after(self, trial_id: int) -> list[int]:
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        return [t._trial_id for t in trials if t._trial_id > trial_id]

    def read_trial(self, trial_id: int) -> FrozenTrial:
        return self._storage.get_trial(trial_id)
