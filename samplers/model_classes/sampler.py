"""Shares the trials of a study out among the classes of models that compete in it."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from .shares import Arm, next_arm

Factory = Callable[[int | None], BaseSampler]


class ModelClassSampler(BaseSampler):
    """A sampler for spaces like ``model: [svm, forest, boosting]`` with parameters of each class.

    Samplers that treat the class as one more parameter often stay with the class that is good on
    average. Here each class is a study of its own, with a sampler of its own that sees a flat
    space. All classes get the same number of trials first; then most go to the class that leads,
    and some to those that might still overtake it; see `shares.next_arm`.

    Args:
        parameter: The categorical parameter that chooses the class.
        sampler: Makes the sampler of a class from a seed; None is Optuna's TPE.
        seed: Makes the suggestions reproducible.
        trials_each: So many trials every class gets before any gets less.
    """

    def __init__(
        self,
        parameter: str,
        sampler: Factory | None = None,
        seed: int | None = None,
        trials_each: int = 20,
    ) -> None:
        if trials_each < 1:
            raise ValueError(f"trials_each must be 1 or more, not {trials_each}")
        self._parameter = parameter
        self._factory = sampler or _tpe
        self._seed = seed
        self._trials_each = trials_each
        self._random = RandomSampler(seed=seed)
        self._study: tuple[Any, int] | None = None
        self._distribution: CategoricalDistribution | None = None
        self._classes: list[_Class] = []
        self._chosen: dict[int, int] = {}
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()

    def reseed_rng(self) -> None:
        """Draw a new seed from the system."""
        self._seed = None
        self._random.reseed_rng()
        for each in self._classes:
            each.study.sampler.reseed_rng()

    def winners(self, study: Study) -> dict[Any, FrozenTrial]:
        """The best complete trial of each class that has one, the best class first."""
        maximize = study.direction == StudyDirection.MAXIMIZE
        found: dict[Any, FrozenTrial] = {}
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        for trial in sorted(complete, key=lambda t: t.values[0], reverse=maximize):
            if self._parameter in trial.params:
                found.setdefault(trial.params[self._parameter], trial)
        return found

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Called by Optuna when a trial begins."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The class, and its parameters as far as they are known."""
        if study._is_multi_objective():
            raise ValueError("ModelClassSampler: one objective, please: classes are compared by it")
        with self._lock:
            self._follow(study, trial.number)
            if self._distribution is None:
                return {}
            index = self._chosen[trial.number] = self._allocate(study)
            space = self._classes[index].space
            return {self._parameter: self._distribution, **(space or {})}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose them."""
        index = self._chosen.get(trial.number)
        if index is None or self._parameter not in search_space:
            return {}
        with self._lock:
            assert self._distribution is not None
            for each in self._classes:
                each.forget(trial.number)
            wanted = {n: d for n, d in search_space.items() if n != self._parameter}
            params = self._classes[index].ask(trial.number, wanted)
            return {self._parameter: self._distribution.choices[index], **params}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Choose any other parameter."""
        if param_name == self._parameter:
            assert isinstance(param_distribution, CategoricalDistribution)
            with self._lock:
                self._begin(param_distribution)
                self._follow(study, trial.number)
                index = self._chosen[trial.number] = self._allocate(study)
            return param_distribution.choices[index]
        with self._lock:
            begun = self._chosen.get(trial.number)
            if begun is not None and trial.number in self._classes[begun].open:
                return self._classes[begun].ask_one(trial.number, param_name, param_distribution)
        if self._seed is not None:
            self._random = RandomSampler(seed=_derived(self._seed, trial.number, param_name))
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _begin(self, distribution: CategoricalDistribution) -> None:
        if self._distribution is None:
            self._distribution = distribution
            self._classes = []

    def _follow(self, study: Study, number: int) -> None:
        """Take what has happened in the study into the studies of the classes."""
        if self._study != (study._storage, study._study_id):
            self._study = (study._storage, study._study_id)
            self._distribution, self._classes, self._chosen = None, [], {}
        for trial in study.get_trials(deepcopy=False):
            found = trial.distributions.get(self._parameter)
            if not isinstance(found, CategoricalDistribution) or trial.number == number:
                continue
            self._begin(found)
            self._make_classes(study)
            index = found.choices.index(trial.params[self._parameter])
            self._classes[index].follow(trial, self._parameter)
        self._make_classes(study)

    def _make_classes(self, study: Study) -> None:
        if self._distribution is None or self._classes:
            return
        for index in range(len(self._distribution.choices)):
            seed = None if self._seed is None else _derived(self._seed, index, "class")
            self._classes.append(_Class(_unannounced(self._factory(seed), study.direction)))

    def _allocate(self, study: Study) -> int:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        pending = [0] * len(self._classes)
        for number, index in self._chosen.items():
            pending[index] += number not in self._classes[index].seen
        arms = [
            Arm([sign * v for _, v in sorted(each.values.items())], len(each.seen) + waiting)
            for each, waiting in zip(self._classes, pending, strict=True)
        ]
        return next_arm(arms, self._trials_each)


@dataclass
class _Class:
    """One class as a study of its own, in memory; numbers are those of the whole study."""

    study: Study
    space: dict[str, BaseDistribution] | None = None
    """The parameters that all its trials have."""
    open: dict[int, Trial] = field(default_factory=dict)
    """Trials of its study that are running."""
    ended: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    """Numbers of its trials: of those that have ended, and of all."""
    values: dict[int, float] = field(default_factory=dict)
    """What its complete trials came to."""

    def ask(self, number: int, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        """The parameters for a trial."""
        trial = self.open[number] = self.study.ask(dict(space))
        return dict(trial.params)

    def forget(self, number: int) -> None:
        """The whole study has asked for the same number again: the first one came to nothing."""
        pending = self.open.pop(number, None)
        if pending is not None:
            self.study.tell(pending, state=TrialState.FAIL)

    def ask_one(self, number: int, name: str, distribution: BaseDistribution) -> Any:
        """A further parameter for a trial that was asked for."""
        return self.open[number]._suggest(name, distribution)

    def follow(self, trial: FrozenTrial, parameter: str) -> None:
        """Take a trial in the state that it is in."""
        self.seen.add(trial.number)
        if trial.number in self.ended:
            return
        own = {n: d for n, d in trial.distributions.items() if n != parameter}
        if not trial.state.is_finished():
            if trial.number not in self.open and own:
                # Of a tuner before this one: it is pending here, too.
                params = {n: trial.params[n] for n in own}
                self.study.enqueue_trial(params)
                self.open[trial.number] = self.study.ask(own)
            return
        self.ended.add(trial.number)
        if trial.state != TrialState.FAIL:
            common = own if self.space is None else self.space
            self.space = {n: d for n, d in common.items() if own.get(n) == d}
        if trial.state == TrialState.COMPLETE:
            self.values[trial.number] = trial.values[0]
        self._tell(trial, own)

    def _tell(self, trial: FrozenTrial, own: Mapping[str, BaseDistribution]) -> None:
        pending = self.open.pop(trial.number, None)
        params = {n: trial.params[n] for n in own}
        if pending is not None and pending.params == params and trial.state != TrialState.PRUNED:
            for name, value in trial.constraints.items():
                pending.set_constraint(name, value)
            values = trial.values if trial.state == TrialState.COMPLETE else None
            self.study.tell(pending, values, state=trial.state)
            return
        if pending is not None:
            self.study.tell(pending, state=TrialState.FAIL)
        if trial.state != TrialState.FAIL:
            self.study.add_trial(
                create_trial(
                    state=trial.state,
                    values=trial.values,
                    params=params,
                    distributions=dict(own),
                    intermediate_values=trial.intermediate_values,
                    system_attrs=dict(trial.system_attrs),
                )
            )


def _unannounced(sampler: BaseSampler, direction: StudyDirection) -> Study:
    """A study in memory; nobody need read in the log that it was created."""
    logger = logging.getLogger("optuna.storages._in_memory")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        return optuna.create_study(sampler=sampler, direction=direction)
    finally:
        logger.setLevel(level)


def _tpe(seed: int | None) -> BaseSampler:
    return TPESampler(seed=seed)


def _derived(seed: int, number: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # numpy's RandomState takes 32 bits
