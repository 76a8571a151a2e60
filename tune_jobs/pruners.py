"""Early stopping policies of managed tuning services, as Optuna pruners.

They complement Optuna's own pruners. Each compares trials at the same step, at step ``delay`` and
every ``interval`` steps after it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from statistics import fmean, median

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.arguments.calls import strict_types
from tune_jobs.errors import ConfigError


class _Policy(BasePruner):
    """Base class of pruners that compare a trial with the others at some of its steps."""

    def __init__(self, delay: int, interval: int) -> None:
        if delay < 0 or interval < 1:
            raise ConfigError(
                f"delay={delay} must be at least 0 and interval={interval} at least 1 (steps)"
            )
        self._delay = delay
        self._interval = interval

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether to stop the trial at its last step."""
        step = trial.last_step
        if step is None or step < self._delay or (step - self._delay) % self._interval:
            return False
        if not math.isfinite(trial.intermediate_values[step]):
            return True  # it has diverged
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
        """Return whether the trial is too poor to continue.

        Args:
            trial: The trial; it has a finite value at ``step``.
            step: Its last step.
            others: All other trials that have not failed.
            sign: 1 to maximize, -1 to minimize: a value times ``sign`` is larger if it is better.
        """


class BanditPruner(_Policy):
    """Pruner that stops trials worse than the best one by more than a slack.

    Args:
        slack_factor: Allowed distance relative to the best value: with 0.2 and a best value of 0.9
            to maximize, trials below 0.9 / 1.2 = 0.75 are stopped.
        slack_amount: Allowed distance as an absolute value. Exactly one of the two is given.
        delay: First step at which trials are compared.
        interval: Steps between two comparisons.

    Raises:
        ConfigError: If not exactly one slack is given, or an argument is out of range.
    """

    @strict_types
    def __init__(
        self,
        slack_factor: float | None = None,
        slack_amount: float | None = None,
        delay: int = 0,
        interval: int = 1,
    ) -> None:
        super().__init__(delay, interval)
        if (slack_factor is None) == (slack_amount is None):
            raise ConfigError("bandit: give exactly one of slack_factor and slack_amount")
        for name, slack in (("slack_factor", slack_factor), ("slack_amount", slack_amount)):
            if slack is not None and slack < 0:
                raise ConfigError(f"bandit: {name}={slack} must not be negative")
        self._factor = slack_factor
        self._amount = slack_amount

    def _is_poor(
        self, trial: FrozenTrial, step: int, others: Sequence[FrozenTrial], sign: float
    ) -> bool:
        values = _values_at(step, others, sign)
        if not values:
            return False
        best = max(values)
        if self._factor is not None:
            slack = abs(best) * (1.0 - 1.0 / (1.0 + self._factor) if sign > 0 else self._factor)
        else:
            slack = self._amount or 0.0
        return sign * trial.intermediate_values[step] < best - slack


class TruncationPruner(_Policy):
    """Pruner that stops the worst trials at a step.

    Args:
        percentage: Share of the trials at the step that is stopped, in percent (1 to 99).
        delay: First step at which trials are compared.
        interval: Steps between two comparisons.
        min_trials: Minimum number of trials that reported the step.

    Raises:
        ConfigError: If an argument is out of range.
    """

    @strict_types
    def __init__(
        self, percentage: float, delay: int = 0, interval: int = 1, min_trials: int = 5
    ) -> None:
        super().__init__(delay, interval)
        if not 1 <= percentage <= 99:
            raise ConfigError(f"truncation: percentage={percentage} must be between 1 and 99")
        self._percentage = percentage
        self._min_trials = min_trials

    def _is_poor(
        self, trial: FrozenTrial, step: int, others: Sequence[FrozenTrial], sign: float
    ) -> bool:
        values = _values_at(step, others, sign)
        if len(values) + 1 < self._min_trials:
            return False
        worst = int((len(values) + 1) * self._percentage / 100)
        worse = sum(value < sign * trial.intermediate_values[step] for value in values)
        return worse < worst


class MedianStoppingPruner(_Policy):
    """Pruner that compares a trial's best value with the median of running averages.

    The median stopping rule of Google Vizier (Golovin et al. 2017, "Google Vizier: A Service for
    Black-Box Optimization", section 3.2.2): a trial is stopped if its best value is worse than the
    median, over the complete trials, of the average of their values up to the step. Optuna's
    `MedianPruner` uses the values at the step instead.

    Args:
        delay: First step at which trials are compared.
        interval: Steps between two comparisons.
        min_trials: Minimum number of complete trials.

    Raises:
        ConfigError: If an argument is out of range.
    """

    @strict_types
    def __init__(self, delay: int = 0, interval: int = 1, min_trials: int = 5) -> None:
        super().__init__(delay, interval)
        self._min_trials = min_trials

    def _is_poor(
        self, trial: FrozenTrial, step: int, others: Sequence[FrozenTrial], sign: float
    ) -> bool:
        averages = []
        for other in others:
            if other.state == TrialState.COMPLETE:
                values = _values_up_to(step, other, sign)
                averages += [fmean(values)] if values else []
        if len(averages) < self._min_trials:
            return False
        return max(_values_up_to(step, trial, sign)) < median(averages)


def _values_at(step: int, trials: Sequence[FrozenTrial], sign: float) -> list[float]:
    """Return the finite values of trials at a step, times ``sign``."""
    values = [t.intermediate_values.get(step, math.nan) for t in trials]
    return [sign * value for value in values if math.isfinite(value)]


def _values_up_to(step: int, trial: FrozenTrial, sign: float) -> list[float]:
    """Return the finite values of a trial up to a step, times ``sign``."""
    values = [value for at, value in trial.intermediate_values.items() if at <= step]
    return [sign * value for value in values if math.isfinite(value)]
