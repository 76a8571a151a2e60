"""Incremental reading of a study's trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.storages import BaseStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class Changes:
    """Trials read by one update.

    Args:
        finished: Trials that have become COMPLETE or PRUNED since the last update, by number.
        running: All RUNNING trials, by number.
    """

    finished: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]


class StudyHistory:
    """Follows one study; an update costs as much as there are new and unfinished trials."""

    def __init__(self) -> None:
        self._storage: BaseStorage | None = None
        self._study_id = -1
        self._unfinished: list[int] = []
        self._n_seen = 0

    def tracks(self, study: Study) -> bool:
        """Return whether the updates so far were of this study."""
        return self._storage is study._storage and self._study_id == study._study_id

    def update(self, study: Study) -> Changes:
        """Return what has changed; all trials, if the last update was of another study."""
        if not self.tracks(study):
            self._storage, self._study_id = study._storage, study._study_id
            self._unfinished, self._n_seen = [], 0
        trials = _read_trials(study._storage, study._study_id)
        count = len(trials)
        finished, running, unfinished = [], [], []
        # A storage that buffers writes may drop a trial which it has created but not stored.
        known = [number for number in self._unfinished if number < count]
        for number in (*known, *range(self._n_seen, count)):
            trial = trials[number]
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                finished.append(trial)
            elif trial.state != TrialState.FAIL:
                unfinished.append(number)
                if trial.state == TrialState.RUNNING:
                    running.append(trial)
        self._unfinished, self._n_seen = unfinished, count
        return Changes(finished, running)


def _read_trials(
    storage: BaseStorage, study_id: int
) -> Sequence[FrozenTrial] | Mapping[int, FrozenTrial]:
    """Return all trials by number, without copying them."""
    if isinstance(storage, _CachedStorage):
        # The public method sorts all trials on every call.
        storage._read_trials_from_remote_storage(study_id)
        return storage._studies[study_id].trials
    return storage.get_all_trials(study_id, deepcopy=False)
