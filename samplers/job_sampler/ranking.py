"""Order of finished trials from best to worst, as TPE splits them."""

from __future__ import annotations

import bisect

from optuna.samplers._tpe.sampler import _get_infeasible_trial_score, _get_pruned_trial_score
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState


class TrialRanking:
    """Finished trials in sorted order, extended one by one.

    Feasible complete trials come first, by value; then feasible pruned ones, by step and
    intermediate value; then infeasible ones, by total constraint violation. Ties go to the lower
    trial number.
    """

    def __init__(self) -> None:
        self._complete: list[tuple[float, int]] = []
        self._pruned: list[tuple[tuple[float, float], int]] = []
        self._infeasible: list[tuple[float, int]] = []

    def add(self, trial: FrozenTrial, study: Study) -> None:
        """Insert a COMPLETE or PRUNED trial."""
        violation = _get_infeasible_trial_score(trial)
        if violation > 0:
            bisect.insort(self._infeasible, (violation, trial.number))
        elif trial.state == TrialState.PRUNED:
            score = _get_pruned_trial_score(trial, study)
            bisect.insort(self._pruned, (score, trial.number))
        else:
            assert trial.value is not None
            sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
            bisect.insort(self._complete, (sign * trial.value, trial.number))

    @property
    def has_infeasible(self) -> bool:
        """Whether any trial violates a constraint."""
        return bool(self._infeasible)

    def best(self, count: int) -> list[int]:
        """Return the numbers of the ``count`` best trials in ascending order."""
        numbers: list[int] = []
        for group in (self._complete, self._pruned, self._infeasible):
            numbers += [number for _, number in group[: count - len(numbers)]]
        return sorted(numbers)
