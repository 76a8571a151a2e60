"""Begins a study near the best configurations of earlier ones, as long as that pays off."""

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

ATTRIBUTE = "warm_start:from"
"""System attribute of a trial that began at an earlier configuration: which one."""

_REACH = 0.1
"""How far from an earlier configuration a number is tried, as a share of its range."""


class WarmStartSampler(BaseSampler):
    """Half of a study's first trials are, or are near, the best of earlier studies.

    Only the order of the earlier values counts, not the values: another data set or metric moves
    them. If what was taken from the earlier studies turns out to be no better than what the
    sampler itself tries, no more is taken: an unrelated study does no harm beyond its share of the
    beginning.

    The spaces may differ. A renamed parameter is found under its new name, a removed one is
    ignored, one that is new is chosen by the sampler, and a value out of a range that was
    narrowed is moved to its end.

    Args:
        sources: Earlier studies with one objective, best known first, if any is.
        sampler: Chooses everything else; None is Optuna's TPE.
        rename: New names by old ones.
        trials: Half of so many first trials may begin at earlier configurations.
        seed: Makes the suggestions reproducible.

    Raises:
        ValueError: a source has several objectives.
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
        self._begun: dict[int, Mapping[str, Any]] = {}

    def reseed_rng(self) -> None:
        """Draw a new seed from the system."""
        self._seed = None
        self._rng = np.random.RandomState()
        self._sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Called by Optuna when a trial begins."""
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that the sampler chooses together."""
        start = self._start(study, trial)
        if start is not None:
            self._begun[trial.number] = start
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose them, if the trial does not begin at an earlier configuration."""
        if trial.number in self._begun:
            return {}
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Choose any other parameter."""
        start = self._begun.get(trial.number, {})
        if param_name in start:
            if self._seed is not None:
                self._rng.seed(_derived(self._seed, trial.number, param_name))
            near = self._near(start[param_name], param_distribution, trial.number)
            if near is not None:
                return near
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Called by Optuna when a trial ends."""
        self._sampler.after_trial(study, trial, state, values)

    def _start(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any] | None:
        """The configuration that a trial is to begin at."""
        if trial.number >= self._trials or trial.number % 2 or not self._starts:
            return None
        if "fixed_params" in trial.system_attrs or not self._pays(study):
            return None
        index = trial.number // 2 % len(self._starts)
        study._storage.set_trial_system_attr(trial._trial_id, ATTRIBUTE, index)
        return self._starts[index]

    def _pays(self, study: Study) -> bool:
        """Whether what began at earlier configurations is better than the rest, if one can say."""
        taken: dict[bool, list[float]] = {True: [], False: []}
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            taken[ATTRIBUTE in trial.system_attrs].append(sign * trial.values[0])
        if min(map(len, taken.values())) < 4:
            return True
        return median(taken[True]) < median(taken[False])

    def _near(self, value: Any, distribution: BaseDistribution, number: int) -> Any | None:
        """The value itself the first time; near it when its configuration is used again."""
        again = number // 2 >= len(self._starts)
        if isinstance(distribution, CategoricalDistribution):
            return value if value in distribution.choices else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        away = self._rng.normal() * _REACH if again else 0.0
        return _moved(float(value), distribution, away)


def starts(sources: Sequence[Study], rename: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The best eighth of each source, at least 4 and at most 16, taking turns."""
    ranked = []
    for source in sources:
        if len(source.directions) != 1:
            raise ValueError(f"{source.study_name!r} has several objectives: it has no best trials")
        maximize = source.direction == StudyDirection.MAXIMIZE
        complete = source.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        complete.sort(key=lambda t: t.values[0], reverse=maximize)
        count = min(16, max(4, len(complete) // 8))
        best = [t.params for t in complete[:count]]
        ranked.append([{rename.get(n, n): v for n, v in params.items()} for params in best])
    found: list[Mapping[str, Any]] = []
    for params in itertools.chain.from_iterable(itertools.zip_longest(*ranked)):
        if params is not None and params not in found:
            found.append(params)
    return found


def _moved(value: float, d: FloatDistribution | IntDistribution, away: float) -> Any:
    """A value moved by a share of the range, and then to the nearest that is allowed."""
    low, high, inner = float(d.low), float(d.high), min(max(value, d.low), d.high)
    if d.log:
        low, high, inner = math.log(low), math.log(high), math.log(inner)
    moved = min(max(inner + away * (high - low), low), high)
    raw = math.exp(moved) if d.log else moved
    if d.step is not None:
        raw = d.low + round((raw - d.low) / d.step) * d.step
    return d.to_external_repr(min(max(raw, d.low), d.high))


def _derived(seed: int, number: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # numpy's RandomState takes 32 bits
