"""What samplers see of trials that diverged.

A trial that diverged has no value, and Optuna's samplers ignore failed trials: they would return to
the region in which runs diverge. The mirror therefore shows samplers a stand-in that is as bad as
the worst trial. It exists only in memory: the study keeps the trial as it is.

    CMA-ES, Gaussian processes, NSGA-II    they learn from complete trials only: a complete one,
    and NSGA-III                           with the worst value of each objective so far, once any
                                           trial has a value
    TPE and all others                     a pruned one that has reported nothing, which TPE ranks
                                           last of the pruned ones

If the study has constraints, the stand-in violates them: samplers rank feasible trials first.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.samplers import BaseGASampler, BaseSampler, CmaEsSampler, GPSampler
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.trial_attributes import DIVERGED_ATTRIBUTE

_LEARN_FROM_COMPLETE = (BaseGASampler, CmaEsSampler, GPSampler)
_INNER = ("_base_sampler", "_sampler")
"""Attributes in which samplers that wrap another one have it."""

_DIVERGED_CONSTRAINT = f"{_CONSTRAINTS_KEY}:{DIVERGED_ATTRIBUTE}"


class SamplerView:
    """The stand-ins for diverged trials.

    Args:
        study: The study whose sampler is to learn from them.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._maximize = [d == optuna.study.StudyDirection.MAXIMIZE for d in study.directions]
        self._as_complete = isinstance(find_innermost_sampler(study.sampler), _LEARN_FROM_COMPLETE)
        self._shown: list[FrozenTrial] = []
        self._is_constrained = False
        self._is_outdated = False

    def note(self, trial: FrozenTrial) -> None:
        """Take note of a finished trial, whose values or constraints may be the worst so far."""
        self._is_outdated = self._is_outdated or trial.state == TrialState.COMPLETE
        if trial.constraints and not self._is_constrained:
            self._is_constrained = self._is_outdated = True

    def stand_in(self, trial: FrozenTrial) -> FrozenTrial | None:
        """Return the stand-in for a finished trial; None if samplers may see the trial itself."""
        if DIVERGED_ATTRIBUTE not in trial.user_attrs or trial.state == TrialState.COMPLETE:
            return None
        shown = copy.copy(trial)
        shown.values, shown.intermediate_values = None, {}
        if not self._as_complete:
            shown.state = TrialState.PRUNED
        self._shown.append(shown)
        self._is_outdated = True
        return shown

    def refresh(self, trials: Sequence[FrozenTrial]) -> None:
        """Make the stand-ins as bad as the worst of these trials, if that may have changed."""
        if not self._shown or not self._is_outdated:
            return
        self._is_outdated = False
        if self._as_complete:
            self._show_as_worst([t for t in trials if _is_finite(t)])
        elif self._is_constrained:
            for shown in self._shown:
                _replace_constraints(shown, {_DIVERGED_CONSTRAINT: math.inf})

    def _show_as_worst(self, complete: Sequence[FrozenTrial]) -> None:
        if not complete:
            return
        columns = zip(*(t.values for t in complete), strict=True)
        worst = [min(c) if up else max(c) for c, up in zip(columns, self._maximize, strict=True)]
        constraints = _worst_constraints(complete)
        for shown in self._shown:
            shown.state, shown.values = TrialState.COMPLETE, list(worst)
            _replace_constraints(shown, constraints)


def find_innermost_sampler(sampler: BaseSampler) -> BaseSampler:
    for name in _INNER:
        inner = getattr(sampler, name, None)
        if isinstance(inner, BaseSampler):
            return find_innermost_sampler(inner)
    return sampler


def _is_finite(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete with finite values, which a stand-in is not."""
    complete = trial.state == TrialState.COMPLETE and DIVERGED_ATTRIBUTE not in trial.user_attrs
    return complete and all(map(math.isfinite, trial.values))


def _worst_constraints(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Return the largest value of each constraint; GPSampler needs all of them, in their order."""
    worst: dict[str, float] = {}
    for trial in trials:
        for name, value in trial.constraints.items():
            key = f"{_CONSTRAINTS_KEY}:{name}"
            worst[key] = max(value, worst.get(key, -math.inf))
    return worst


def _replace_constraints(trial: FrozenTrial, constraints: dict[str, float]) -> None:
    prefix = f"{_CONSTRAINTS_KEY}:"
    others: dict[str, Any] = {
        key: value
        for key, value in trial.system_attrs.items()
        if key != _CONSTRAINTS_KEY and not key.startswith(prefix)
    }
    trial.system_attrs = {**others, **constraints}
