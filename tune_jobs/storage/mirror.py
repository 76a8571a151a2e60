"""A study in memory whose changes are written to its storage in one transaction a turn.

`StudyMirror` is an Optuna storage that holds one study. Samplers, pruners and `optuna.Trial` use it
as any other storage and never wait for a database. What they write is collected until `commit`
hands it to a `StudyWriter` as one `Changes`. As nothing is visible outside before that, the tuner
submits no job run for a trial before its commit.

Trials that other processes add to the stored study, such as enqueued ones, are taken over by
`sync`. A trial of the mirror is never created twice under two numbers: if others added trials
first, `commit` takes them over and renumbers the mirror's.

Of trials that diverged, samplers and pruners see stand-ins (`sampler_view`); `trial` and `trials`
return the trials themselves, and only these are written.

Ids of trials in the mirror are its own; `storage ids` are those of the study's storage.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune_jobs.core.attempts import trial_attempt_name
from tune_jobs.core.scratch import unannounced
from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
from tune_jobs.space.sampler_errors import explain_sampler_errors
from tune_jobs.storage.bulk_read import read_ahead
from tune_jobs.storage.changes import (
    Changes,
    ExtraWrites,
    StudyWriter,
    TrialChange,
    TrialNumberConflict,
)
from tune_jobs.storage.lease import Lease
from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.sampler_view import SamplerView
from tune_jobs.storage.writers import build_writer


@dataclass
class _Uncommitted:
    """What was set since the last commit in a trial that the storage has."""

    params: set[str] = field(default_factory=set)
    user_attrs: set[str] = field(default_factory=set)
    system_attrs: set[str] = field(default_factory=set)
    steps: set[int] = field(default_factory=set)
    finished: bool = False


class Renumbered(Exception):
    """Other processes added trials, so the uncommitted trials have new numbers.

    Args:
        numbers: Old number to new number.
    """

    def __init__(self, numbers: dict[int, int]) -> None:
        super().__init__(f"{len(numbers)} trials were renumbered")
        self.numbers = numbers


class _MirroredStudy(optuna.Study):
    """Study that notes a sampler's `stop`, which Optuna allows only in its own loop."""

    exhausted = False

    def stop(self) -> None:
        self.exhausted = True


class StudyMirror(InMemoryStorage):
    """Storage of one study in memory, and its changes since the last commit.

    Args:
        stored: The user's study, whose sampler, pruner and storage are used.
        lease, retry: See `build_writer`.

    Attributes:
        study: The Optuna study to ask and tell; replaced when trials are renumbered.
    """

    def __init__(
        self, stored: optuna.Study, lease: Lease | None = None, retry: DatabaseRetry | None = None
    ) -> None:
        self._stored = stored
        self._writer: StudyWriter = build_writer(stored, lease, retry)
        self._finished: list[int] = []
        self._reset()
        read_ahead(stored)
        read = partial(stored.get_trials, deepcopy=False)
        for trial in read() if retry is None else retry.call(read):
            self._take_over(trial, trial._trial_id)
        self.study = self._open_study()

    @property
    def exhausted(self) -> bool:
        """Whether the sampler has nothing left to suggest, as after the last point of a grid."""
        return self.study.exhausted

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._created or self._uncommitted)

    @property
    def writer(self) -> StudyWriter:
        """The writer of the stored study."""
        return self._writer

    def _reset(self) -> None:
        # Created afresh, the study has the same id again, on which samplers rely.
        super().__init__()
        self._storage_ids: dict[int, int] = {}  # by trial id
        self._created: list[int] = []
        self._uncommitted: dict[int, _Uncommitted] = {}
        self._foreign: set[int] = set()  # unfinished trials that other processes may change
        self._view = SamplerView(self._stored)
        self._behind: dict[int, FrozenTrial] = {}  # the trials that have a stand-in
        self._last_storage_id = -1
        with unannounced():
            self._id = super().create_new_study(self._stored.directions, self._stored.study_name)
        for key, value in self._stored.user_attrs.items():
            super().set_study_user_attr(self._id, key, value)
        for key, value in self._stored._storage.get_study_system_attrs(
            self._stored._study_id
        ).items():
            super().set_study_system_attr(self._id, key, value)

    def _open_study(self) -> _MirroredStudy:
        return _MirroredStudy(
            study_name=self._stored.study_name,
            storage=self,
            sampler=self._stored.sampler,
            pruner=self._stored.pruner,
        )

    # -- trials, by number ------------------------------------------------------------------

    def ask(self) -> optuna.Trial:
        """Return a new trial, or an enqueued one.

        Raises:
            SamplerError: If the sampler raises an error.
        """
        self._view.refresh(self._studies[self._id].trials)
        with explain_sampler_errors(self.study.sampler):
            return self.study.ask()

    def tell(
        self,
        number: int,
        values: float | Sequence[float] | None = None,
        state: TrialState | None = None,
    ) -> None:
        """Finish a trial; the arguments are those of `optuna.Study.tell`."""
        self.study.tell(number, values, state=state)

    def promote(self, number: int, user_attrs: Mapping[str, Any]) -> int:
        """Create a running trial that continues a finished one; return its number.

        It has the parameters and the reported values of trial ``number``.
        """
        before = self.trial(number)
        promoted = create_trial(
            state=TrialState.RUNNING,
            params=before.params,
            distributions=before.distributions,
            intermediate_values=before.intermediate_values,
            user_attrs=dict(user_attrs),
            # GridSampler must not choose another point of its grid for this trial.
            system_attrs={"fixed_params": before.params},
        )
        return self.get_trial_number_from_id(self.create_new_trial(self._id, promoted))

    def discard(self, number: int) -> None:
        """Delete the newest trial, which must not be committed yet."""
        trials = self._studies[self._id].trials
        trial_id = self._created.pop()
        assert trials[-1].number == number == len(trials) - 1
        assert trials[-1]._trial_id == trial_id
        self._uncommitted.pop(trial_id, None)
        trials.pop()
        del self._trial_id_to_study_id_and_number[trial_id]
        self._max_trial_id -= 1
        if number in self._finished:
            self._finished.remove(number)
        waiting = self._prev_waiting_trial_number
        waiting[self._id] = min(waiting[self._id], len(trials))

    def trial(self, number: int) -> FrozenTrial:
        """Return a trial without copying it; do not modify it."""
        return self._itself(self._trial_id(number))

    def trials(self) -> list[FrozenTrial]:
        """Return all trials by number without copying them; do not modify them."""
        return [self._behind.get(t._trial_id, t) for t in self._studies[self._id].trials]

    def open_trial(self, number: int) -> optuna.Trial:
        """Return a trial to report to and to call ``should_prune`` on."""
        return optuna.Trial(self.study, self._trial_id(number))

    def set_user_attr(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        self.set_trial_user_attr(self._trial_id(number), key, value)

    def is_foreign(self, number: int) -> bool:
        """Return whether other processes may change a trial."""
        return self._trial_id(number) in self._foreign

    def is_stored(self, number: int) -> bool:
        """Return whether the study's storage has a trial."""
        return self._trial_id(number) in self._storage_ids

    def own(self, number: int) -> None:
        """Declare that no other process will change a trial."""
        self._foreign.discard(self._trial_id(number))

    def storage_trial_id(self, number: int) -> int:
        """Return the id that a committed trial has in the study's storage."""
        return self._storage_ids[self._trial_id(number)]

    def _trial_id(self, number: int) -> int:
        return self.get_trial_id_from_study_id_trial_number(self._id, number)

    def _itself(self, trial_id: int) -> FrozenTrial:
        return self._behind.get(trial_id) or self.get_trial(trial_id)

    def _settle(self, trial_id: int) -> None:
        """Let samplers see a finished trial, or its stand-in."""
        trial = self.get_trial(trial_id)
        self._view.note(trial)
        stand_in = self._view.stand_in(trial)
        if stand_in is not None:
            self._behind[trial_id] = trial
            self._studies[self._id].trials[trial.number] = stand_in

    # -- commit and sync ----------------------------------------------------------------------

    def commit(self, extra_writes: ExtraWrites) -> None:
        """Write the changes since the last commit, and extra writes in the same transaction.

        Raises:
            Renumbered: If other processes added trials meanwhile. The extra writes did not happen;
                as they may depend on trial numbers, build them again and retry.
        """
        changes = self._changes()
        try:
            created = self._writer.write(changes, extra_writes)
        except TrialNumberConflict as conflict:
            numbers = self._renumber(conflict.trial_ids)
            self._finished = [numbers.get(number, number) for number in self._finished]
            raise Renumbered(numbers) from None
        for trial_id, storage_id in zip(self._created, created, strict=True):
            self._set_storage_id(trial_id, storage_id)
        self._created.clear()
        self._uncommitted.clear()

    def take_finished(self) -> list[int]:
        """Return, once, the numbers of the trials finished here since the last call, in order."""
        finished, self._finished = self._finished, []
        return finished

    def copy_trial(self, number: int) -> FrozenTrial:
        """Return a copy of a committed trial, with the id it has in the study's storage."""
        trial = copy.deepcopy(self.trial(number))
        trial._trial_id = self.storage_trial_id(number)
        return trial

    def sync(self) -> int:
        """Take over what other processes did to the stored study; return how many trials changed.

        To be called only after a commit.
        """
        changed = sum(self._refresh(trial_id) for trial_id in sorted(self._foreign))
        added = self._writer.list_trials_after(self._last_storage_id)
        for storage_id in added:
            self._take_over(self._writer.read_trial(storage_id), storage_id)
        return changed + len(added)

    # -- trials of the stored study -----------------------------------------------------------

    def _take_over(self, trial: FrozenTrial, storage_id: int) -> int:
        if trial.state.is_finished():
            trial_id = self._append(copy.copy(trial))
            self._settle(trial_id)
        else:
            trial_id = super().create_new_trial(self._id, trial)
        self._set_storage_id(trial_id, storage_id)
        if not trial.state.is_finished():
            self._foreign.add(trial_id)
        return trial_id

    def _set_storage_id(self, trial_id: int, storage_id: int) -> None:
        self._storage_ids[trial_id] = storage_id
        self._last_storage_id = max(self._last_storage_id, storage_id)

    def _append(self, trial: FrozenTrial) -> int:
        """Add a finished trial as `create_new_trial` does, but without a deep copy."""
        with self._lock:
            trials = self._studies[self._id].trials
            self._max_trial_id += 1
            trial._trial_id, trial.number = self._max_trial_id, len(trials)
            self._trial_id_to_study_id_and_number[trial._trial_id] = (self._id, trial.number)
            trials.append(trial)
            self._update_cache(trial._trial_id, self._id)
            return trial._trial_id

    def _refresh(self, trial_id: int) -> bool:
        """Update a trial of another process; return whether its state changed."""
        now = self._writer.read_trial(self._storage_ids[trial_id])
        before = self.get_trial(trial_id)
        if before.state == TrialState.WAITING and now.state != TrialState.WAITING:
            super().set_trial_state_values(trial_id, TrialState.RUNNING)
        for name, distribution in now.distributions.items():
            if name not in before.params:
                value = distribution.to_internal_repr(now.params[name])
                super().set_trial_param(trial_id, name, value, distribution)
        for step, value in now.intermediate_values.items():
            super().set_trial_intermediate_value(trial_id, step, value)
        for key, attr in now.user_attrs.items():
            super().set_trial_user_attr(trial_id, key, attr)
        for key, attr in now.system_attrs.items():
            super().set_trial_system_attr(trial_id, key, attr)
        if now.state.is_finished():
            super().set_trial_state_values(trial_id, now.state, now.values)
            self._foreign.discard(trial_id)
            self._settle(trial_id)
        return now.state != before.state

    def _renumber(self, created: Sequence[int]) -> dict[int, int]:
        """Rebuild with the uncommitted new trials after those that other processes added.

        Args:
            created: Storage ids of the new trials if the storage has them nevertheless.

        Returns:
            Old number to new number of the new trials.
        """
        pending = [self._itself(trial_id) for trial_id in self._created]
        changed = {self._storage_ids[t]: self._itself(t) for t in self._uncommitted}
        uncommitted = {self._storage_ids[t]: u for t, u in self._uncommitted.items()}
        if created:
            uncommitted.clear()  # the storage has the changes, too
        owned = {*created, *(s for t, s in self._storage_ids.items() if t not in self._foreign)}
        self._reset()
        trial_ids = {}
        for trial in self._stored.get_trials(deepcopy=False):
            storage_id = trial._trial_id
            trial_id = self._take_over(changed.get(storage_id, trial), storage_id)
            trial_ids[storage_id] = trial_id
            if storage_id in owned:
                self._foreign.discard(trial_id)
            if storage_id in uncommitted:
                self._uncommitted[trial_id] = uncommitted[storage_id]
        self.study = self._open_study()
        if created:
            new_ids = [trial_ids[storage_id] for storage_id in created]
        else:
            new_ids = [super(StudyMirror, self).create_new_trial(self._id, t) for t in pending]
            self._created = list(new_ids)
            for trial_id, trial in zip(new_ids, pending, strict=True):
                if trial.state.is_finished():
                    self._settle(trial_id)
        new_numbers = map(self.get_trial_number_from_id, new_ids)
        return {trial.number: new for trial, new in zip(pending, new_numbers, strict=True)}

    # -- changes, as samplers, trials and the tuner make them ----------------------------------

    def _changes(self) -> Changes:
        return Changes(
            created=[self._itself(trial_id) for trial_id in self._created],
            changed=[
                TrialChange(
                    self._storage_ids[trial_id],
                    self._itself(trial_id),
                    params=frozenset(uncommitted.params),
                    user_attrs=frozenset(uncommitted.user_attrs),
                    system_attrs=frozenset(uncommitted.system_attrs),
                    steps=frozenset(uncommitted.steps),
                    finished=uncommitted.finished,
                )
                for trial_id, uncommitted in self._uncommitted.items()
            ],
        )

    def _touch(self, trial_id: int) -> _Uncommitted:
        if trial_id not in self._storage_ids:
            return _Uncommitted()  # of no use: a new trial is written whole
        return self._uncommitted.setdefault(trial_id, _Uncommitted())

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        self._created.append(trial_id)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._touch(trial_id).params.add(param_name)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        self._touch(trial_id).user_attrs.add(key)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        self._touch(trial_id).system_attrs.add(key)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        with self._lock:
            trial = self._get_trial(trial_id)
            self.check_trial_is_updatable(trial_id, trial.state)
            # In place: a copy of all values for each one would cost quadratic time.
            trial.intermediate_values[step] = intermediate_value
        self._touch(trial_id).steps.add(step)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        if state == TrialState.RUNNING:  # an enqueued trial, which other processes may claim
            return self._claim(trial_id)
        was_set = super().set_trial_state_values(trial_id, state, values)
        self._touch(trial_id).finished = True
        self._finished.append(self.get_trial(trial_id).number)
        self._settle(trial_id)
        return was_set

    def _claim(self, trial_id: int) -> bool:
        attempt = trial_attempt_name(self.get_trial(trial_id).number, 1)
        claimed = self._writer.claim(self._storage_ids[trial_id], attempt)
        if claimed:
            super().set_trial_state_values(trial_id, TrialState.RUNNING)
            super().set_trial_user_attr(trial_id, RUN_ATTRIBUTE, attempt)
            self._foreign.discard(trial_id)
        else:
            self._refresh(trial_id)
        return claimed

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, value)
        self._stored.set_user_attr(key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, key, value)
        self._stored._storage.set_study_system_attr(self._stored._study_id, key, value)
