"""Sampler that starts a study near the best configurations of earlier studies."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

START_ATTRIBUTE = "warm_start:from"
"""System attribute of a warm-started trial: index of the earlier configuration it started from."""

_MIN_COMPARED = 4
"""Warm and cold trials are compared once there are this many complete ones of each."""

_PERTURBATION = 0.1
"""Standard deviation of the perturbation of a reused configuration, in units of a range."""


class WarmStartSampler(BaseSampler):
    """Sampler that takes half of a study's first trials from the best of earlier studies.

    Only the order of earlier values matters, not their size, which another data set or metric
    changes. Warm starts end early if their median value is no better than that of the other
    trials, so that an unrelated study costs no more than its share of the beginning.

    Search spaces may differ: a renamed parameter is found under its new name, a removed one is
    ignored, a new one is sampled by ``sampler``, and a value outside of a narrowed range is
    clipped to it.

    Args:
        sources: Earlier studies with one objective, in order of priority.
        sampler: Sampler of all other trials and parameters. None is Optuna's `TPESampler`.
        rename: New parameter names by old ones.
        trials: Every second one of this many first trials may be warm-started.
        seed: Seed of the random number generator.

    Raises:
        ValueError: If a source has several objectives.
    """

    def __init__(
        self,
        sources: Sequence[Study],
        sampler: BaseSampler | None = None,
        *,
        rename: Mapping[str, str] | None = None,
        trials: int = 16,
        seed: int | None = None,
    ) -> None:
        self._starts = starts(sources, rename or {})
        self._sampler = sampler or TPESampler(seed=seed)
        self._trials = trials
        self._seed = seed
        self._rng = np.random.RandomState(seed)
        self._assigned: dict[int, Mapping[str, Any]] = {}  # configurations by trial number

    def reseed_rng(self) -> None:
        """Take a new seed from the operating system, as Optuna requires for parallel workers."""
        self._seed = None
        self._rng = np.random.RandomState()
        self._sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Prepare for a new trial."""
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Decide whether the trial is warm-started, and return the inner sampler's space."""
        start = self._select_start(study, trial)
        if start is not None:
            self._assigned[trial.number] = start
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample by the inner sampler, unless the trial is warm-started."""
        if trial.number in self._assigned:
            return {}
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the earlier value if the trial is warm-started and has one that still fits."""
        start = self._assigned.get(trial.number, {})
        if param_name in start:
            if self._seed is not None:
                self._rng.seed(_derive_seed(self._seed, trial.number, param_name))
            value = self._adapt(start[param_name], param_distribution, trial.number)
            if value is not None:
                return value
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Process a trial's end."""
        self._sampler.after_trial(study, trial, state, values)

    def _select_start(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any] | None:
        """Return the configuration to start from, if the trial is to be warm-started."""
        if trial.number >= self._trials or trial.number % 2 or not self._starts:
            return None
        is_enqueued = "fixed_params" in trial.system_attrs
        if is_enqueued or not _is_worthwhile(study):
            return None
        index = trial.number // 2 % len(self._starts)
        study._storage.set_trial_system_attr(trial._trial_id, START_ATTRIBUTE, index)
        return self._starts[index]

    def _adapt(self, value: Any, distribution: BaseDistribution, number: int) -> Any | None:
        """Return the value within a distribution, perturbed if it was used before.

        Returns None if the value does not fit: an unknown category, or no number.
        """
        if isinstance(distribution, CategoricalDistribution):
            return value if value in distribution.choices else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        is_reused = number // 2 >= len(self._starts)
        shift = self._rng.normal() * _PERTURBATION if is_reused else 0.0
        return _shift(float(value), distribution, shift)


def starts(sources: Sequence[Study], rename: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return the distinct best configurations of the sources, taking turns.

    Each source contributes the best eighth of its trials that can be the best (`can_be_best`), but
    at least 4 and at most 16.

    Raises:
        ValueError: If a source has several objectives.
    """
    ranked = []
    for source in sources:
        if len(source.directions) != 1:
            raise ValueError(
                f"study {source.study_name!r} has several objectives, so it has no best trials: "
                "use sources with one objective"
            )
        maximize = source.direction == StudyDirection.MAXIMIZE
        candidates = [t for t in source.get_trials(deepcopy=False) if can_be_best(t)]
        candidates.sort(key=lambda t: t.values[0], reverse=maximize)
        count = min(16, max(4, len(candidates) // 8))
        best = [t.params for t in candidates[:count]]
        ranked.append([{rename.get(n, n): v for n, v in params.items()} for params in best])
    distinct: list[Mapping[str, Any]] = []
    for params in itertools.chain.from_iterable(itertools.zip_longest(*ranked)):
        if params is not None and params not in distinct:
            distinct.append(params)
    return distinct


def can_be_best(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete and feasible, with finite values, and no replicate.

    A tuner marks trials that repeat another one with another seed. The folder of ModelClassSampler
    has the same function, as each folder must work without the others.
    """
    return (
        trial.state == TrialState.COMPLETE
        and all(math.isfinite(value) for value in trial.values)
        and all(value <= 0.0 for value in trial.constraints.values())
        and "tune_jobs:replicate_of" not in trial.user_attrs
    )


def _is_worthwhile(study: Study) -> bool:
    """Return whether warm trials have a better median than the others, or it is too early.

    A trial that is infeasible or not finite is worse than all others.
    """
    values: dict[bool, list[float]] = {True: [], False: []}
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if "tune_jobs:replicate_of" not in trial.user_attrs:
            value = sign * trial.values[0] if can_be_best(trial) else math.inf
            values[START_ATTRIBUTE in trial.system_attrs].append(value)
    if min(map(len, values.values())) < _MIN_COMPARED:
        return True
    return median(values[True]) < median(values[False])


def _shift(value: float, d: FloatDistribution | IntDistribution, shift: float) -> Any:
    """Return a value moved by a share of the range, then to the nearest allowed value."""
    low, high, scaled = float(d.low), float(d.high), min(max(value, d.low), d.high)
    if d.log:
        low, high, scaled = math.log(low), math.log(high), math.log(scaled)
    shifted = min(max(scaled + shift * (high - low), low), high)
    internal = math.exp(shifted) if d.log else shifted
    if d.step is not None:
        internal = d.low + round((internal - d.low) / d.step) * d.step
    return d.to_external_repr(min(max(internal, d.low), d.high))


def _derive_seed(seed: int, number: int, name: str) -> int:
    """Return a seed for one suggestion, which does not depend on the suggestions before.

    The other sampler folders have the same function, as each folder must work without the others.
    """
    digest = hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # NumPy's RandomState takes 32 bits
