"""How changes of a study reach its Optuna storage: in one transaction where it is relational.

`RdbWriter` accepts only the schema version it was written for and leaves any other to
`StorageWriter`, which uses nothing but `BaseStorage`'s methods.
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


def writer_for(
    study: optuna.Study, lease: Lease | None = None, retry: DatabaseRetry | None = None
) -> StudyWriter:
    """The writer that fits the storage of ``study``.

    Args:
        lease: The right to write, which every transaction proves; None: nobody asks.
        retry: What to do while the database does not answer.
    """
    storage = unwrap_storage(study)
    if isinstance(storage, RDBStorage) and storage.get_current_version() == KNOWN_SCHEMA:
        return RdbWriter(storage, study._study_id, lease, retry)
    return StorageWriter(storage, study._study_id, lease)


class StorageWriter:
    """Any Optuna storage, by its public methods: one call a created trial, some a finished one."""

    engine: Engine | None = None

    def __init__(self, storage: BaseStorage, study_id: int, lease: Lease | None = None) -> None:
        self._storage = storage
        self._study_id = study_id
        self._lease = lease

    def write(self, changes: Changes, also: ExtraWrites) -> list[int]:
        if self._lease is not None:
            self._lease.renew(at_once=True)  # as near to what follows as it gets
        for change in changes.changed:
            self._apply(change)
        rows = [self._storage.create_new_trial(self._study_id, t) for t in changes.created]
        numbers = [self._storage.get_trial_number_from_id(row) for row in rows]
        if numbers != [trial.number for trial in changes.created]:
            raise TrialNumberConflict(rows)
        also(None)
        return rows

    def _apply(self, change: TrialChange) -> None:
        row, trial, storage = change.row, change.trial, self._storage
        if storage.get_trial(row).state.is_finished():
            return  # told by somebody else, or by us before a failure in the middle of a turn
        for name in trial.params:
            if name in change.params:
                distribution = trial.distributions[name]
                value = distribution.to_internal_repr(trial.params[name])
                storage.set_trial_param(row, name, value, distribution)
        for key in change.user_attrs:
            storage.set_trial_user_attr(row, key, trial.user_attrs[key])
        for key in change.system_attrs:
            storage.set_trial_system_attr(row, key, trial.system_attrs[key])
        for step in sorted(change.steps):
            storage.set_trial_intermediate_value(row, step, trial.intermediate_values[step])
        if change.finished:
            storage.set_trial_state_values(row, trial.state, trial.values)

    def claim(self, row: int, attempt: str) -> bool:
        if self._storage.get_trial(row).state != TrialState.WAITING:
            return False
        with contextlib.suppress(UpdateFinishedTrialError):  # by somebody who was faster
            # Noted first: a trial that is claimed and not noted would be nobody's.
            self._storage.set_trial_user_attr(row, RUN_ATTRIBUTE, attempt)
            if self._storage.set_trial_state_values(row, TrialState.RUNNING):
                return True
            self._storage.set_trial_user_attr(row, RUN_ATTRIBUTE, "")
        return False

    def rows_after(self, row: int) -> list[int]:
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        return [t._trial_id for t in trials if t._trial_id > row]

    def read(self, row: int) -> FrozenTrial:
        return self._storage.get_trial(row)
