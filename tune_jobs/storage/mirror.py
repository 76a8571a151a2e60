"""The study in memory, written to its storage in one transaction a turn.

`StudyMirror` is an Optuna storage that holds one study. Samplers, pruners and `optuna.Trial` work
on it as on any storage and never wait for a database; what they write is collected, and `commit()`
hands it to a `StudyWriter` as one `Changes`. Until then nothing of it exists outside, so the tuner
starts no job run for a trial before its commit.

Trials that others add to the stored study (a queue filled from a notebook, a plain Optuna worker)
are taken over by `sync()`; a trial of ours is never created twice under two numbers: if somebody
was faster, `commit()` takes their trials over first and renumbers ours.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune_jobs.core.attempts import trial_attempt_name
from tune_jobs.core.scratch import unannounced
from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
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
from tune_jobs.storage.writers import writer_for


@dataclass
class _Dirty:
    """Names of what was set since the last commit on a trial that the storage has."""

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
    """Takes a sampler's word that nothing is left to try; Optuna allows that only in its loop."""

    exhausted = False

    def stop(self) -> None:
        self.exhausted = True


class StudyMirror(InMemoryStorage):
    """One study, in memory; `study` is the Optuna study to ask and tell.

    Args:
        stored: The user's study; its sampler, pruner and storage are used.
        lease, retry: See `writer_for`.
    """

    def __init__(
        self, stored: optuna.Study, lease: Lease | None = None, retry: DatabaseRetry | None = None
    ) -> None:
        self._stored = stored
        self._writer: StudyWriter = writer_for(stored, lease, retry)
        self._finished: list[int] = []
        self._reset()
        read_ahead(stored)
        for trial in stored.get_trials(deepcopy=False):
            self._take_over(trial, trial._trial_id)
        self.study = self._open_study()

    @property
    def exhausted(self) -> bool:
        """Whether the sampler said that nothing is left to try (a grid is done)."""
        return self.study.exhausted

    @property
    def has_changes(self) -> bool:
        """Whether anything waits for a commit."""
        return bool(self._created or self._dirty)

    @property
    def writer(self) -> StudyWriter:
        """The way to the stored study."""
        return self._writer

    def _reset(self) -> None:
        # From nothing, so that the study has the same id again: samplers insist on that.
        super().__init__()
        self._row_of: dict[int, int] = {}  # our trial id -> the stored trial's id
        self._created: list[int] = []
        self._dirty: dict[int, _Dirty] = {}
        self._foreign: set[int] = set()  # unfinished trials that others may change
        self._last_row = -1
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
        """Return a new trial, or an enqueued one."""
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
        self._dirty.pop(trial_id, None)
        trials.pop()
        del self._trial_id_to_study_id_and_number[trial_id]
        self._max_trial_id -= 1
        waiting = self._prev_waiting_trial_number
        waiting[self._id] = min(waiting[self._id], len(trials))

    def trial(self, number: int) -> FrozenTrial:
        """Return a trial without copying it; do not modify it."""
        return self.get_trial(self._trial_id(number))

    def open_trial(self, number: int) -> optuna.Trial:
        """Return a trial to report to and to call ``should_prune`` on."""
        return optuna.Trial(self.study, self._trial_id(number))

    def set_user_attr(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        self.set_trial_user_attr(self._trial_id(number), key, value)

    def is_foreign(self, number: int) -> bool:
        """Return whether other processes may change a trial."""
        return self._trial_id(number) in self._foreign

    def own(self, number: int) -> None:
        """Declare that no other process will change a trial."""
        self._foreign.discard(self._trial_id(number))

    def storage_trial_id(self, number: int) -> int:
        """Return the id that a committed trial has in the study's storage."""
        return self._row_of[self._trial_id(number)]

    def _trial_id(self, number: int) -> int:
        return self.get_trial_id_from_study_id_trial_number(self._id, number)

    # -- commit and sync ----------------------------------------------------------------------

    def commit(self, also: ExtraWrites) -> None:
        """Write what was collected, with the tuner's own rows of this turn, then forget it.

        Raises:
            Renumbered: If other processes added trials meanwhile. None of the tuner's own rows
                was written; as they may depend on trial numbers, build them again and retry.
        """
        changes = self._changes()
        try:
            rows = self._writer.write(changes, also)
        except TrialNumberConflict as taken:
            numbers = self._make_room(taken.rows)
            self._finished = [numbers.get(number, number) for number in self._finished]
            raise Renumbered(numbers) from None
        for trial_id, row in zip(self._created, rows, strict=True):
            self._row_of[trial_id] = row
            self._last_row = max(self._last_row, row)
        self._created.clear()
        self._dirty.clear()

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
        """Take over what others did to the stored study; returns how many trials changed.

        Only while nothing is uncommitted.
        """
        changed = sum(self._refresh(trial_id) for trial_id in sorted(self._foreign))
        rows = self._writer.rows_after(self._last_row)
        for row in rows:
            self._take_over(self._writer.read(row), row)
        return changed + len(rows)

    # -- taking over what others wrote --------------------------------------------------------

    def _take_over(self, trial: FrozenTrial, row: int) -> int:
        if trial.state.is_finished():
            trial_id = self._append(copy.copy(trial))
        else:
            trial_id = super().create_new_trial(self._id, trial)
        self._row_of[trial_id] = row
        self._last_row = max(self._last_row, row)
        if not trial.state.is_finished():
            self._foreign.add(trial_id)
        return trial_id

    def _append(self, trial: FrozenTrial) -> int:
        """As `create_new_trial` does, for a trial that nobody changes: without a deep copy."""
        with self._lock:
            trials = self._studies[self._id].trials
            self._max_trial_id += 1
            trial._trial_id, trial.number = self._max_trial_id, len(trials)
            self._trial_id_to_study_id_and_number[trial._trial_id] = (self._id, trial.number)
            trials.append(trial)
            self._update_cache(trial._trial_id, self._id)
            return trial._trial_id

    def _refresh(self, trial_id: int) -> bool:
        now = self._writer.read(self._row_of[trial_id])
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
        return now.state != before.state

    def _make_room(self, created: Sequence[int]) -> dict[int, int]:
        """Rebuild: others' trials first, our new ones after them. Map old numbers to new ones.

        ``created``: the stored ids of our new ones, if the storage has them already.
        """
        pending = [self.get_trial(trial_id) for trial_id in self._created]
        dirty = {self._row_of[t]: d for t, d in self._dirty.items()} if not created else {}
        changed = {row: self.get_trial(t) for t, row in self._row_of.items() if t in self._dirty}
        ours = {self._row_of[t] for t in self._row_of if t not in self._foreign} | {*created}
        self._reset()
        id_of = {}
        for trial in self._stored.get_trials(deepcopy=False):
            row = trial._trial_id
            trial_id = id_of[row] = self._take_over(changed.get(row, trial), row)
            if row in ours:
                self._foreign.discard(trial_id)
            if row in dirty:
                self._dirty[trial_id] = dirty[row]
        self.study = self._open_study()
        if created:
            new_ids = [id_of[row] for row in created]
        else:
            new_ids = [super(StudyMirror, self).create_new_trial(self._id, t) for t in pending]
            self._created = list(new_ids)
        new_numbers = map(self.get_trial_number_from_id, new_ids)
        return {trial.number: new for trial, new in zip(pending, new_numbers, strict=True)}

    # -- collecting what samplers, trials and the tuner write ---------------------------------

    def _changes(self) -> Changes:
        return Changes(
            created=[self.get_trial(trial_id) for trial_id in self._created],
            changed=[
                TrialChange(
                    self._row_of[trial_id],
                    self.get_trial(trial_id),
                    params=frozenset(dirty.params),
                    user_attrs=frozenset(dirty.user_attrs),
                    system_attrs=frozenset(dirty.system_attrs),
                    steps=frozenset(dirty.steps),
                    finished=dirty.finished,
                )
                for trial_id, dirty in self._dirty.items()
            ],
        )

    def _touch(self, trial_id: int) -> _Dirty:
        if trial_id not in self._row_of:
            return _Dirty()  # created since the last commit: it is written whole
        return self._dirty.setdefault(trial_id, _Dirty())

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
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        self._touch(trial_id).steps.add(step)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        if state == TrialState.RUNNING:  # an enqueued trial: others may be after it too
            return self._claim(trial_id)
        done = super().set_trial_state_values(trial_id, state, values)
        self._touch(trial_id).finished = True
        self._finished.append(self.get_trial(trial_id).number)
        return done

    def _claim(self, trial_id: int) -> bool:
        attempt = trial_attempt_name(self.get_trial(trial_id).number, 1)
        taken = self._writer.claim(self._row_of[trial_id], attempt)
        if taken:
            super().set_trial_state_values(trial_id, TrialState.RUNNING)
            super().set_trial_user_attr(trial_id, RUN_ATTRIBUTE, attempt)
            self._foreign.discard(trial_id)
        else:
            self._refresh(trial_id)
        return taken

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, value)
        self._stored.set_user_attr(key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, key, value)
        self._stored._storage.set_study_system_attr(self._stored._study_id, key, value)
