"""Optuna's TPE with the same suggestions, for studies of thousands of trials."""

from __future__ import annotations

import bisect
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import (
    _ParzenEstimator,
    _ParzenEstimatorParameters,
)
from optuna.samplers._tpe.sampler import (
    _get_infeasible_trial_score,
    _get_pruned_trial_score,
    default_gamma,
    default_weights,
)
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .history import History
from .kernels import Kernels
from .threads import one_thread

Space = Mapping[str, BaseDistribution]

_FEW = 100
"""With fewer kernels Optuna's estimator is as fast, and breaks its ties as it breaks them."""


@dataclass(frozen=True)
class Facts:
    """What is known of a study.

    Args:
        ended: COMPLETE and PRUNED trials, as they ended.
        running: RUNNING trials.
        common: The parameters that all that ended have, those with one value only left out.
        flat: Whether they have no others.
        constrained: Whether any of them has violated a constraint.
    """

    ended: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]
    common: Mapping[str, BaseDistribution]
    flat: bool
    constrained: bool


class FastTPESampler(TPESampler):
    """`optuna.samplers.TPESampler` that keeps from one suggestion to the next what does not change.

    For the same seed and the same history it suggests the same. With several objectives, and for
    the brackets of Hyperband, it is Optuna's own.

    Args:
        seed: Makes the suggestions reproducible.
        n_startup_trials: So many trials must be finished before it takes over from random search.
        n_ei_candidates: Candidates for a suggestion.
        multivariate: Whether parameters are chosen together; None means so for one objective.
        group: Whether parameters that occur together are chosen together, where others do not
            occur in all trials.
        constant_liar: Whether pending trials count as bad ones, so that others are tried.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = 10,
        n_ei_candidates: int = 24,
        multivariate: bool | None = None,
        group: bool = False,
        constant_liar: bool = True,
    ) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*``group``", ExperimentalWarning)
            super().__init__(
                seed=seed,
                n_startup_trials=n_startup_trials,
                n_ei_candidates=n_ei_candidates,
                multivariate=multivariate,
                group=group,
                constant_liar=constant_liar,
            )
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._history = History()
        self._ranking = _Ranking()
        self._finished: list[FrozenTrial] = []
        self._running: Sequence[FrozenTrial] = ()
        self._common: dict[str, BaseDistribution] | None = None
        self._flat = True
        self._tables: dict[tuple[Any, ...], _Table] = {}

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        # What is kept is not part of it: it is found again in the study.
        kept = ("lock", "history", "ranking", "finished", "running", "common", "flat", "tables")
        for name in kept:
            state.pop(f"_{name}")
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that are chosen together."""
        if not _is_plain(study) or not self._is_multivariate(study):
            return super().infer_relative_search_space(study, trial)
        with self._lock:
            facts = self.facts(study)
            if self._group_decomposed_search_space is None:
                return dict(facts.common)
            self._search_space_group = self._group_decomposed_search_space._search_space
            return {
                name: distribution
                for space in self._search_space_group.search_spaces
                for name, distribution in sorted(space.items())
                if not distribution.single()
            }

    def _sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not _is_plain(study):
            return super()._sample_relative(study, trial, search_space)
        if not search_space or len(self.facts(study).ended) < self._n_startup_trials:
            return {}
        return self._sample(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Choose a parameter by itself."""
        if not _is_plain(study):
            return super().sample_independent(study, trial, param_name, param_distribution)
        if len(self.facts(study).ended) < self._n_startup_trials:
            return self._random_sampler.sample_independent(
                study, trial, param_name, param_distribution
            )
        return self._sample(study, trial, {param_name: param_distribution})[param_name]

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not _is_plain(study):
            return super()._sample(study, trial, search_space)
        with self._lock, one_thread():
            self._look(study)
            table = self._table(search_space)
            below = self._ranking.best(default_gamma(len(self._finished)))
            pending = []
            if self._constant_liar:
                pending = [
                    (other.number, params)
                    for other in self._running
                    if other.number != trial.number
                    and search_space.keys() <= (params := self._get_params(other, study)).keys()
                ]
            good = _ParzenEstimator(
                table.observations(below), search_space, self._parzen_estimator_parameters
            )
            candidates = good.sample(self._rng.rng, self._n_ei_candidates)
            bad = table.log_density(candidates, below, pending, self._parzen_estimator_parameters)
            chosen = self._compare(candidates, good.log_pdf(candidates) - bad)
        return {n: d.to_external_repr(chosen[n]) for n, d in search_space.items()}

    def seed(self, seed: int) -> None:
        """Go on as if it had been made with this seed, as to chance."""
        self._rng.rng.seed(seed)
        self._random_sampler._rng.rng.seed(seed)

    def facts(self, study: Study) -> Facts:
        """What is known of a study."""
        with self._lock:
            self._look(study)
            return Facts(
                self._finished,
                self._running,
                {n: d for n, d in sorted((self._common or {}).items()) if not d.single()},
                self._flat,
                self._ranking.constrained,
            )

    def _look(self, study: Study) -> None:
        if self._finished and not self._history.follows(study):
            if self._group_decomposed_search_space is not None:
                self._group_decomposed_search_space = _GroupDecomposedSearchSpace(True)
            self._forget()
        news = self._history.look(study)
        self._running = news.running
        for trial in news.ended:
            self._finished.append(trial)
            self._ranking.add(trial, study)
            common = _shared(self._common, trial)
            self._flat = self._flat and (self._common is None or common == trial.distributions)
            self._flat = self._flat and (self._common is None or len(common) == len(self._common))
            self._common = common
            if self._group_decomposed_search_space is not None:
                group = self._group_decomposed_search_space._search_space
                group.add_distributions(trial.distributions)

    def _table(self, space: Space) -> _Table:
        key = tuple(space.items())
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = _Table(space)
        table.extend(self._finished)
        return table


class _Ranking:
    """The finished trials from the best to the worst, as TPE sees them."""

    def __init__(self) -> None:
        self._complete: list[tuple[Any, int]] = []
        self._pruned: list[tuple[Any, int]] = []
        self._infeasible: list[tuple[Any, int]] = []

    def add(self, trial: FrozenTrial, study: Study) -> None:
        """A trial that has ended."""
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
    def constrained(self) -> bool:
        """Whether any trial has violated a constraint."""
        return bool(self._infeasible)

    def best(self, count: int) -> list[int]:
        """The numbers of the best so many, ascending."""
        found: list[int] = []
        for kind in (self._complete, self._pruned, self._infeasible):
            found += [number for _, number in kind[: count - len(found)]]
        return sorted(found)


class _Table:
    """The parameters of one space for all finished trials that have them."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._known = 0
        self._rows = np.empty((0, len(space)))
        self._present = np.empty(0, dtype=bool)
        self._kernels = Kernels(space)

    def extend(self, finished: Sequence[FrozenTrial]) -> None:
        """Take those that ended since the last time."""
        for trial in finished[self._known :]:
            if self._space.keys() <= trial.params.keys():
                self._put(trial.number, trial.params)
                self._present[trial.number] = True
        self._known = len(finished)

    def observations(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The columns of these trials, of those that are here."""
        return self._columns([n for n in numbers if n < len(self._present) and self._present[n]])

    def log_density(
        self,
        candidates: Mapping[str, Any],
        below: Sequence[int],
        pending: Sequence[tuple[int, Mapping[str, Any]]],
        parameters: _ParzenEstimatorParameters,
    ) -> Any:
        """Of all trials but those ``below``, the pending ones among them, at the candidates."""
        for number, params in pending:
            self._put(number, params)
        used = self._present.copy()
        used[[n for n in below if n < len(used)]] = False
        used[[number for number, _ in pending]] = True
        numbers = np.flatnonzero(used)
        if len(numbers) < _FEW:
            estimator = _ParzenEstimator(self._columns(numbers), dict(self._space), parameters)
            return estimator.log_pdf(dict(candidates))
        weights = np.append(default_weights(len(numbers)), 1.0)
        return self._kernels.log_density(
            np.array([candidates[name] for name in self._space]),
            self._rows[numbers],
            numbers,
            weights / weights.sum(),
        )

    def _columns(self, numbers: Any) -> dict[str, Any]:
        rows = self._rows[numbers]
        return {name: rows[:, column] for column, name in enumerate(self._space)}

    def _put(self, number: int, params: Mapping[str, Any]) -> None:
        if number >= len(self._rows):
            more = max(64, number + 1 - len(self._rows), len(self._rows))
            self._rows = np.concatenate([self._rows, np.empty((more, len(self._space)))])
            self._present = np.concatenate([self._present, np.zeros(more, dtype=bool)])
        self._rows[number] = [d.to_internal_repr(params[n]) for n, d in self._space.items()]


def _is_plain(study: Study) -> bool:
    """Whether all trials of a study count for each other, by one value."""
    return not (study._is_multi_objective() or hasattr(study, "_bracket_id"))


def _shared(common: dict[str, BaseDistribution] | None, trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a trial shares with those before it."""
    if common is None:
        return dict(trial.distributions)
    if common == trial.distributions:
        return common
    return {n: d for n, d in common.items() if trial.distributions.get(n) == d}
