"""Sampler that distributes the trials of a study among competing model classes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from .allocation import Arm, select_arm
from .class_study import ClassStudy, can_be_best, create_class_study

SamplerFactory = Callable[[int | None], BaseSampler]


class ModelClassSampler(BaseSampler):
    """Sampler for spaces like ``model: [svm, forest, boosting]`` with parameters of each class.

    Samplers that treat the class as one more parameter tend to stay with the class that is good on
    average. Here each class is a study of its own, whose sampler sees the parameters of that class
    only. All classes get the same number of trials first; then most trials go to the leading class
    and some to those that may still overtake it (`allocation.select_arm`).

    Args:
        parameter: Name of the categorical parameter that selects the class.
        sampler: Function that creates the sampler of a class from a seed. None creates Optuna's
            `TPESampler`.
        seed: Seed of the random number generators.
        trials_each: Number of trials that each class gets before they are compared.

    Raises:
        ValueError: If ``trials_each`` is less than 1.
    """

    def __init__(
        self,
        parameter: str,
        sampler: SamplerFactory | None = None,
        seed: int | None = None,
        trials_each: int = 20,
    ) -> None:
        if trials_each < 1:
            raise ValueError(f"invalid trials_each {trials_each}: use 1 or more")
        self._parameter = parameter
        self._factory = sampler or _create_tpe
        self._seed = seed
        self._trials_each = trials_each
        self._random = RandomSampler(seed=seed)
        self._study_key: tuple[Any, int] | None = None
        self._distribution: CategoricalDistribution | None = None
        self._classes: list[ClassStudy] = []
        self._assigned: dict[int, int] = {}  # trial number to class index
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()

    def reseed_rng(self) -> None:
        """Take a new seed from the operating system, as Optuna requires for parallel workers."""
        self._seed = None
        self._random.reseed_rng()
        for model_class in self._classes:
            model_class.study.sampler.reseed_rng()

    def winners(self, study: Study) -> dict[Any, FrozenTrial]:
        """Return the best trial of each class that has one, the best class first.

        Infeasible trials, replicates and trials with infinite values are left out.
        """
        maximize = study.direction == StudyDirection.MAXIMIZE
        best: dict[Any, FrozenTrial] = {}
        candidates = [t for t in study.get_trials(deepcopy=False) if can_be_best(t)]
        for trial in sorted(candidates, key=lambda t: t.values[0], reverse=maximize):
            if self._parameter in trial.params:
                best.setdefault(trial.params[self._parameter], trial)
        return best

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Assign the trial to a class, and return the class's known parameters.

        Raises:
            ValueError: If the study has several objectives.
        """
        if study._is_multi_objective():
            raise ValueError(
                "ModelClassSampler compares classes by one objective, but the study has "
                f"{len(study.directions)}: use another sampler"
            )
        with self._lock:
            self._sync(study, trial.number)
            if self._distribution is None:
                return {}
            index = self._assign(study, trial.number)
            return {self._parameter: self._distribution, **(self._classes[index].space or {})}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the class of the trial, with parameters from the sampler of that class."""
        index = self._assigned.get(trial.number)
        if index is None or self._parameter not in search_space:
            return {}
        with self._lock:
            assert self._distribution is not None
            for model_class in self._classes:
                model_class.discard(trial.number)
            space = {n: d for n, d in search_space.items() if n != self._parameter}
            params = self._classes[index].ask(trial.number, space)
            return {self._parameter: self._distribution.choices[index], **params}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample a parameter that is not known of the class yet, or the class itself."""
        if param_name == self._parameter:
            assert isinstance(param_distribution, CategoricalDistribution)
            with self._lock:
                self._sync(study, trial.number)
                self._create_classes(study, param_distribution)
                return param_distribution.choices[self._assign(study, trial.number)]
        with self._lock:
            index = self._assigned.get(trial.number)
            if index is not None and trial.number in self._classes[index].open:
                return self._classes[index].suggest(trial.number, param_name, param_distribution)
        if self._seed is not None:
            self._random = RandomSampler(seed=_derive_seed(self._seed, trial.number, param_name))
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _sync(self, study: Study, current: int) -> None:
        """Take over the trials of the study, except the current one."""
        key = (study._storage, study._study_id)
        if self._study_key != key:
            self._study_key = key
            self._distribution, self._classes, self._assigned = None, [], {}
        for trial in study.get_trials(deepcopy=False):
            distribution = trial.distributions.get(self._parameter)
            if not isinstance(distribution, CategoricalDistribution) or trial.number == current:
                continue
            self._create_classes(study, distribution)
            index = distribution.choices.index(trial.params[self._parameter])
            self._classes[index].sync(trial, self._parameter)

    def _create_classes(self, study: Study, distribution: CategoricalDistribution) -> None:
        """Create one study for each choice, unless they exist."""
        if self._distribution is not None:
            return
        self._distribution = distribution
        for index in range(len(distribution.choices)):
            seed = None if self._seed is None else _derive_seed(self._seed, index, "class")
            self._classes.append(create_class_study(self._factory(seed), study.direction))

    def _assign(self, study: Study, number: int) -> int:
        """Choose the class of a trial and return its index."""
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        pending = [0] * len(self._classes)
        for assigned, index in self._assigned.items():
            pending[index] += assigned not in self._classes[index].seen
        arms = [
            Arm([sign * v for _, v in sorted(each.values.items())], len(each.seen) + waiting)
            for each, waiting in zip(self._classes, pending, strict=True)
        ]
        chosen = self._assigned[number] = select_arm(arms, self._trials_each)
        return chosen


def _create_tpe(seed: int | None) -> BaseSampler:
    return TPESampler(seed=seed)


def _derive_seed(seed: int, number: int, name: str) -> int:
    """Return a seed for one suggestion, which does not depend on the suggestions before.

    The other sampler folders have the same function, as each folder must work without the others.
    """
    digest = hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # NumPy's RandomState takes 32 bits
