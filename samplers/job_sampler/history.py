"""What is new in a study since one last looked, without looking at all of it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.storages import BaseStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class News:
    """What was seen at one look.

    Args:
        ended: COMPLETE and PRUNED trials that were not so before, by number.
        running: All RUNNING trials, by number.
    """

    ended: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]


class History:
    """Follows one study. A look costs as much as there are new and running trials."""

    def __init__(self) -> None:
        self._storage: BaseStorage | None = None
        self._study_id = -1
        self._open: list[int] = []
        self._seen = 0

    def follows(self, study: Study) -> bool:
        """Whether it is this study that it has followed so far."""
        return self._storage is study._storage and self._study_id == study._study_id

    def look(self, study: Study) -> News:
        """What is new; of another study than before everything is."""
        if not self.follows(study):
            self.__init__()  # type: ignore[misc]
            self._storage, self._study_id = study._storage, study._study_id
        trials = _trials(study._storage, study._study_id)
        count = len(trials)
        ended, running, still_open = [], [], []
        # A trial that was asked for may have been forgotten again.
        known = [number for number in self._open if number < count]
        for number in (*known, *range(self._seen, count)):
            trial = trials[number]
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                ended.append(trial)
            elif trial.state != TrialState.FAIL:
                still_open.append(number)
                if trial.state == TrialState.RUNNING:
                    running.append(trial)
        self._open, self._seen = still_open, count
        return News(ended, running)


def _trials(
    storage: BaseStorage, study_id: int
) -> Sequence[FrozenTrial] | Mapping[int, FrozenTrial]:
    """All trials by number."""
    if isinstance(storage, _CachedStorage):
        # Its public method sorts all trials again each time.
        storage._read_trials_from_remote_storage(study_id)
        return storage._studies[study_id].trials
    return storage.get_all_trials(study_id, deepcopy=False)
