"""Optuna's TPE with identical suggestions, for studies with thousands of trials."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import default_gamma
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial

from .study_cache import StudyCache, StudySummary
from .threads import limit_blas_threads


class FastTPESampler(TPESampler):
    """Tree-structured Parzen estimator that reuses work between suggestions.

    Given the same seed and history it suggests exactly what `optuna.samplers.TPESampler` suggests.
    It keeps the internal representations of finished trials, their ranking and the normalizations
    of their kernels, where Optuna computes them anew for each suggestion. Studies with several
    objectives and the brackets of Hyperband are left to Optuna's implementation.

    Args:
        seed: Seed of the random number generator.
        n_startup_trials: Trials are sampled at random until this many have finished.
        n_ei_candidates: Number of candidates from which a suggestion is chosen.
        multivariate: Whether to sample parameters jointly. None means True for one objective.
        group: Whether to sample jointly within groups of parameters that occur together, when not
            all parameters occur in all trials. Requires ``multivariate``.
        constant_liar: Whether running trials count as bad ones, to avoid their neighbourhood.
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
        self._lock = threading.RLock()
        self._cache = StudyCache()

    def __getstate__(self) -> dict[str, Any]:
        # The cache is rebuilt from the study.
        return {k: v for k, v in vars(self).items() if k not in ("_lock", "_cache")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()
        self._cache = StudyCache()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters to sample jointly."""
        if not _is_supported(study) or not self._is_multivariate(study):
            return super().infer_relative_search_space(study, trial)
        with self._lock:
            summary = self.summarize(study)
            if self._group_decomposed_search_space is None:
                return dict(summary.intersection)
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
        if not _is_supported(study):
            return super()._sample_relative(study, trial, search_space)
        if not search_space or self._is_startup(study):
            return {}
        return self._sample(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample one parameter by itself."""
        if not _is_supported(study):
            return super().sample_independent(study, trial, param_name, param_distribution)
        if self._is_startup(study):
            return self._random_sampler.sample_independent(
                study, trial, param_name, param_distribution
            )
        return self._sample(study, trial, {param_name: param_distribution})[param_name]

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the candidate that maximizes ``l(x) / g(x)``.

        l is the density of the better trials, from which candidates are drawn, and g that of the
        others (Bergstra et al. 2011, *Algorithms for Hyper-Parameter Optimization*, Sec. 4.1).
        """
        if not _is_supported(study):
            return super()._sample(study, trial, search_space)
        with self._lock, limit_blas_threads():
            self._update(study)
            cache, parameters = self._cache, self._parzen_estimator_parameters
            table = cache.table(search_space)
            below = cache.ranking.best(default_gamma(len(cache.finished)))
            good = _ParzenEstimator(table.select(below), search_space, parameters)
            candidates = good.sample(self._rng.rng, self._n_ei_candidates)
            pending = self._find_pending(study, trial, search_space)
            log_g = table.log_density_above(candidates, below, pending, parameters)
            best = self._compare(candidates, good.log_pdf(candidates) - log_g)
        return {name: d.to_external_repr(best[name]) for name, d in search_space.items()}

    def seed(self, seed: int) -> None:
        """Restart the random number generators from a seed."""
        self._rng.rng.seed(seed)
        self._random_sampler._rng.rng.seed(seed)

    def summarize(self, study: Study) -> StudySummary:
        """Read the study's new trials and return its state."""
        with self._lock:
            self._update(study)
            return self._cache.summarize()

    def _is_startup(self, study: Study) -> bool:
        return len(self.summarize(study).finished) < self._n_startup_trials

    def _find_pending(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return numbers and parameters of the other running trials that have all parameters."""
        if not self._constant_liar:
            return []
        return [
            (other.number, params)
            for other in self._cache.running
            if other.number != trial.number
            and space.keys() <= (params := self._get_params(other, study)).keys()
        ]

    def _update(self, study: Study) -> None:
        group = self._group_decomposed_search_space
        if not self._cache.tracks(study):
            if group is not None and self._cache.finished:
                group = self._group_decomposed_search_space = _GroupDecomposedSearchSpace(True)
            self._cache = StudyCache()
        for trial in self._cache.update(study):
            if group is not None:
                group._search_space.add_distributions(trial.distributions)


def _is_supported(study: Study) -> bool:
    """Return whether all trials count for each other, by one value."""
    return not (study._is_multi_objective() or hasattr(study, "_bracket_id"))
