"""An Optuna storage whose writes are fenced by the lease, for Optuna's own loop.

`optuna.Study.optimize` writes trials itself, through the study's storage. While `tuner.objective`
runs its trials, that storage is a `FencedStorage`: a process that was suspended and has lost the
study to another owner gets `LeaseLost` from its next write and changes nothing.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune_jobs.core.attempts import trial_attempt_name
from tune_jobs.storage.changes import (
    Changes,
    ExtraWrites,
    StudyWriter,
    TrialChange,
    TrialNumberConflict,
)
from tune_jobs.storage.lease import LeaseLost


class FencedStorage(BaseStorage):
    """A study's storage: reads as before, writes through a `StudyWriter`.

    Args:
        inner: The study's own storage.
        study_id: The study's id in it.
        writer: Fenced.
    """

    def __init__(self, inner: BaseStorage, study_id: int, writer: StudyWriter) -> None:
        self.inner, self._study_id, self._writer = inner, study_id, writer
        self._with_result: dict[int, ExtraWrites] = {}
        self._refused: set[int] = set()
        self._left_open: set[int] = set()
        self._adopted: set[int] = set()
        self._claiming = threading.Lock()
        self._open: set[int] = set()  # trials of Optuna's loop
        self._entering = 0  # creations and claims of trials that have not returned
        self._is_lifted = False
        self._changing = threading.RLock()

    def adopt(self, trial: optuna.Trial) -> None:
        """Let a trial that was created before the fence write through it.

        Without the fence, Optuna may give an enqueued trial to two of its threads: the second one
        gets another trial.
        """
        trial.storage = self
        self._open.add(trial._trial_id)
        with self._claiming:
            is_taken = trial._trial_id in self._adopted
            self._adopted.add(trial._trial_id)
        if is_taken:
            vars(trial).update(vars(trial.study.ask()))
            self.adopt(trial)

    def leave_open(self, trial: optuna.Trial) -> None:
        """Ignore the result that Optuna's loop will report of a trial: it stays RUNNING."""
        self._left_open.add(trial._trial_id)

    @property
    def is_busy(self) -> bool:
        """Whether a trial of Optuna's loop is created and not finished."""
        with self._changing:
            return bool(self._open or self._entering)

    def lift(self, writer: StudyWriter, *, if_idle: bool = False) -> bool:
        """Write through another writer from now on, such as one without a lease.

        Args:
            writer: The other writer.
            if_idle: Do nothing while `is_busy`.

        Returns:
            Whether the other writer is used from now on, and was not before.
        """
        with self._changing:
            if self._is_lifted or (if_idle and self.is_busy):
                return False
            self._writer, self._is_lifted = writer, True
            return True

    @contextmanager
    def _opening(self) -> Iterator[None]:
        with self._changing:
            self._entering += 1
        try:
            yield
        finally:
            with self._changing:
                self._entering -= 1

    def write_with_result(self, trial: optuna.Trial, extra_writes: ExtraWrites) -> None:
        """Add writes to the transaction in which Optuna will finish a trial."""
        self._with_result[trial._trial_id] = extra_writes

    # -- writes ---------------------------------------------------------------------------------

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        template = template_trial or create_trial(state=TrialState.RUNNING)
        with self._opening():
            created = self._create(study_id, template)
            if template.state == TrialState.RUNNING:
                self._open.add(created)
            return created

    def _create(self, study_id: int, template: FrozenTrial) -> int:
        while True:
            template.number = self.inner.get_n_trials(study_id)
            try:
                return self._write(Changes(created=[template]))[0]
            except TrialNumberConflict as conflict:
                if conflict.trial_ids:  # a storage without transactions has created it nevertheless
                    return conflict.trial_ids[0]

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        trial = self._copy_trial(trial_id)
        trial.params = {param_name: distribution.to_external_repr(param_value_internal)}
        trial.distributions = {param_name: distribution}
        self._change(TrialChange(trial_id, trial, params=frozenset({param_name})))

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        trial = self._copy_trial(trial_id)
        trial.intermediate_values = {step: intermediate_value}
        self._change(TrialChange(trial_id, trial, steps=frozenset({step})))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._copy_trial(trial_id)
        trial.user_attrs = {key: value}
        self._change(TrialChange(trial_id, trial, user_attrs=frozenset({key})))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._copy_trial(trial_id)
        trial.system_attrs = {key: value}
        self._change(TrialChange(trial_id, trial, system_attrs=frozenset({key})))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        trial = self._copy_trial(trial_id)
        self.check_trial_is_updatable(trial_id, trial.state)
        if state == TrialState.RUNNING and self._is_lifted:
            # Not marked as ours: the next owner would recover it beside Optuna's loop.
            return self.inner.set_trial_state_values(trial_id, state, values)
        if state == TrialState.RUNNING:
            return self._claim(trial_id, trial_attempt_name(trial.number, 1))
        self._open.discard(trial_id)
        if trial_id in self._left_open:
            self._refused.add(trial_id)
            return True
        trial.state, trial.values = state, None if values is None else list(values)
        trial.datetime_complete = create_trial(state=TrialState.FAIL).datetime_complete
        change = TrialChange(trial_id, trial, finished=True)
        try:
            self._write(Changes(changed=[change]), self._with_result.pop(trial_id, _nothing))
        except LeaseLost:
            self._refused.add(trial_id)
            raise
        return True

    def _copy_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial to describe a change with: a storage may return what it keeps itself.

        The copy is shallow: what changes is replaced, as only that is written.
        """
        return copy.copy(self.inner.get_trial(trial_id))

    def _claim(self, trial_id: int, attempt: str) -> bool:
        """Claim an enqueued trial for one of the threads of Optuna's loop."""
        with self._claiming:  # a journal is read and written in several steps
            return self._writer.claim(trial_id, attempt)

    def _change(self, change: TrialChange) -> None:
        self.check_trial_is_updatable(change.trial_id, change.trial.state)
        self._write(Changes(changed=[change]))

    def _write(self, changes: Changes, extra_writes: ExtraWrites | None = None) -> list[int]:
        return self._writer.write(changes, extra_writes or _nothing)

    # -- the study, and reads -------------------------------------------------------------------

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        return self.inner.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        self.inner.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._write(Changes())
        self.inner.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._write(Changes())
        self.inner.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self.inner.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.inner.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self.inner.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self.inner.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.inner.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self.inner.get_all_studies()

    def get_trial(self, trial_id: int) -> FrozenTrial:
        trial = self.inner.get_trial(trial_id)
        if trial_id in self._refused and not trial.state.is_finished():
            # Optuna's loop asserts that a trial it could not finish is finished nevertheless.
            trial = copy.copy(trial)
            trial.state = TrialState.FAIL
        return trial

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return self.inner.get_all_trials(study_id, deepcopy, states)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self.inner.get_best_trial(study_id)

    def remove_session(self) -> None:
        self.inner.remove_session()


def _nothing(connection: object) -> None:
    """Write nothing more."""


def fence_study(study: optuna.Study, writer: StudyWriter) -> FencedStorage:
    """Replace a study's storage by a fenced one, instead of an earlier fence."""
    fenced = FencedStorage(remove_fence(study), study._study_id, writer)
    study._storage = fenced
    return fenced


def remove_fence(study: optuna.Study) -> BaseStorage:
    """Return the storage of a study without its fence."""
    storage = study._storage
    return storage.inner if isinstance(storage, FencedStorage) else storage


def freeze_trial(trial: optuna.Trial) -> FrozenTrial:
    """Return a running trial as it is stored, with its system attributes."""
    return trial.storage.get_trial(trial._trial_id)
