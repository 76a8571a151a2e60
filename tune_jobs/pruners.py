"""Early stopping policies that users of managed services know, as Optuna pruners.

Optuna's own pruners work as well. These compare trials at the same step; ``delay`` and ``interval``
say when they look: not before step ``delay``, and then every ``interval`` steps.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from statistics import fmean, median

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.errors import ConfigError


class _Policy(BasePruner):
    """Looks at a trial at some of its steps, together with all trials that reported that step."""

    def __init__(self, delay: int, interval: int) -> None:
        if delay < 0 or interval < 1:
            raise ConfigError(
                f"delay={delay} must be at least 0 and interval={interval} at least 1 (steps)"
            )
        self._delay = delay
        self._interval = interval

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to be stopped at its last step."""
        step = trial.last_step
        if step is None or step < self._delay or (step - self._delay) % self._interval:
            return False
        value = trial.intermediate_values[step]
        if math.isnan(value):
            return True
        others = [
            t
            for t in study.get_trials(deepcopy=False)
            if t.number != trial.number and t.state != TrialState.FAIL
        ]
        maximize = study.direction == StudyDirection.MAXIMIZE
        return self._is_poor(trial, step, others, 1.0 if maximize else -1.0)

    @abstractmethod
    def _is_poor(
        self, trial: FrozenTrial, step: int, others: Sequence[FrozenTrial], sign: float
    ) -> bool:
        """Whether the trial is too bad; multiplied with ``sign``, more is better."""


class BanditPruner(_Policy):
    """Stops trials that fall behind the best one by more than a slack.

    Args:
        slack_factor: Allowed distance as a share of the best value: at 0.2 and a best value of 0.9
            to be maximized, what is below 0.9 / 1.2 = 0.75 is stopped.
        slack_amount: Allowed distance, instead.
        delay, interval: Steps, see the module.

    Raises:
        ConfigError: not exactly one slack is given, or one is negative.
    """

    def __init__(
        self,
        slack_factor: float | None = None,
        slack_amount: float | None = None,
        delay: int = 0,
        interval: int = 1,
    ) -> None:
        super().__init__(delay, interval)
        if (slack_factor is None) == (slack_amount is None):
            raise ConfigError("bandit: give either slack_factor or slack_amount")
        if (slack_factor or slack_amount or 0.0) < 0:
            raise ConfigError("bandit: a slack cannot be negative")
        self._factor = slack_factor
        self._amount = slack_amount

    def _is_poor(
        self, trial: FrozenTrial, step: int, others: Sequence[FrozenTrial], sign: float
    ) -> bool:
        values = _at(step, others, sign)
        if not values:
            return False
        best = max(values)
        if self._factor is not None:
            slack = abs(best) * (1.0 - 1.0 / (1.0 + self._factor) if sign > 0 else self._factor)
        else:
            slack = self._amount or 0.0
        return sign * trial.intermediate_values[step] < best - slack


class TruncationPruner(_Policy):
    """Stops the worst trials at a step, so many percent of all that reported it.

    Args:
        percentage: Of the trials, between 1 and 99.
        delay, interval: Steps, see the module.
        min_trials: So many must have reported the step.

    Raises:
        ConfigError: it is no percentage.
    """

    def __init__(
        self, percentage: int, delay: int = 0, interval: int = 1, min_trials: int = 5
    ) -> None:
        super().__init__(delay, interval)
        if not 1 <= percentage <= 99:
            raise ConfigError(f"truncation: percentage={percentage} must be between 1 and 99")
        self._percentage = percentage
        self._min_trials = min_trials

    def _is_poor(
        self, trial: FrozenTrial, step: int, others: Sequence[FrozenTrial], sign: float
    ) -> bool:
        values = _at(step, others, sign)
        if len(values) + 1 < self._min_trials:
            return False
        worst = int((len(values) + 1) * self._percentage / 100)
        worse = sum(value < sign * trial.intermediate_values[step] for value in values)
        return worse < worst


class MedianStoppingPruner(_Policy):
    """Stops a trial whose best value so far is worse than the median of running averages.

    The median rule of Google Vizier (Golovin et al. 2017, section 3.2.2): the average of all values
    of a trial up to the step is taken over the complete trials. (Optuna's `MedianPruner` takes
    their values at the step.)

    Args:
        delay, interval: Steps, see the module.
        min_trials: So many trials must be complete.
    """

    def __init__(self, delay: int = 0, interval: int = 1, min_trials: int = 5) -> None:
        super().__init__(delay, interval)
        self._min_trials = min_trials

    def _is_poor(
        self, trial: FrozenTrial, step: int, others: Sequence[FrozenTrial], sign: float
    ) -> bool:
        averages = []
        for other in others:
            if other.state == TrialState.COMPLETE:
                until = _until(step, other, sign)
                averages += [fmean(until)] if until else []
        if len(averages) < self._min_trials:
            return False
        return max(_until(step, trial, sign)) < median(averages)


def _at(step: int, trials: Sequence[FrozenTrial], sign: float) -> list[float]:
    """What trials reported at a step, better is more."""
    found = [t.intermediate_values.get(step, math.nan) for t in trials]
    return [sign * value for value in found if not math.isnan(value)]


def _until(step: int, trial: FrozenTrial, sign: float) -> list[float]:
    """What a trial reported up to a step, better is more."""
    found = [value for at, value in trial.intermediate_values.items() if at <= step]
    return [sign * value for value in found if not math.isnan(value)]
