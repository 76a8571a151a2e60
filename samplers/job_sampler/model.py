"""Bayesian optimization of one search space by a Gaussian process, with pending evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from .acquisition import log_expected_improvement, maximize_acquisition
from .encoding import Array, Encoding
from .gaussian_process import Kernel, Posterior, fit_kernel

_N_INCUMBENTS = 8
"""How many of the best known configurations the search for the next one begins at."""

_MIN_COSTS = 4
"""With fewer known costs, costs are not modelled."""


class Model:
    """Suggests configurations of one space; keeps fitted kernels between suggestions.

    Args:
        space: Distributions by parameter name; each has at least two values.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._encoding = Encoding(space)
        self._objective = _Regressor(self._encoding)
        self._log_cost = _Regressor(self._encoding)

    def suggest(
        self,
        params: Sequence[Mapping[str, Any]],
        values: Array,
        pending: Sequence[Mapping[str, Any]],
        rng: np.random.RandomState,
        costs: Array | None = None,
    ) -> dict[str, Any] | None:
        """Return the configuration with the largest expected improvement.

        The value to improve on is the smallest posterior mean at a known configuration rather than
        the smallest observed value, which noise makes too small ("plug-in" expected improvement,
        Picheny et al. 2013, *A Benchmark of Kriging-Based Infill Criteria for Noisy
        Optimization*). With costs, expected improvement is divided by the predicted cost (Snoek et
        al. 2012, *Practical Bayesian Optimization of Machine Learning Algorithms*, Sec. 3.2).

        Args:
            params: Configurations of n finished trials.
            values: Their values, to be minimized, (n,).
            pending: Configurations of running trials; see `Posterior`.
            rng: Source of randomness of the search for the maximum.
            costs: Costs of the finished trials, positive, nan where unknown, (n,).

        Returns:
            The configuration; None if no new one was found.
        """
        rows, waiting = self._encoding.encode(params), self._encoding.encode(pending)
        posterior = self._objective.condition(rows, standardize(values), waiting)
        known = np.concatenate([rows, waiting])
        mean, _ = posterior.predict(known)
        best = float(mean.min())
        log_cost = self._predict_log_cost(rows, costs)

        def acquisition(candidates: Array) -> Array:
            improvement = log_expected_improvement(best, *posterior.predict(candidates))
            return improvement - log_cost(candidates)

        incumbents = known[np.argsort(mean, kind="stable")[:_N_INCUMBENTS]]
        found = maximize_acquisition(self._encoding, acquisition, incumbents, known, rng)
        return None if found is None else self._encoding.decode(found)

    def _predict_log_cost(self, rows: Array, costs: Array | None) -> Callable[[Array], Array]:
        """Return a predictor of the mean log cost, up to a constant: (m, d) to (m,)."""
        measured = np.isfinite(costs) if costs is not None else np.zeros(len(rows), dtype=bool)
        if costs is None or measured.sum() < _MIN_COSTS:
            return lambda candidates: np.zeros(len(candidates))
        logs = np.log(costs[measured])
        scale = float(logs.std()) or 1.0
        targets = (logs - logs.mean()) / scale
        posterior = self._log_cost.condition(rows[measured], targets, rows[:0])
        return lambda candidates: scale * posterior.predict(candidates)[0]


class _Regressor:
    """Gaussian process regression whose kernel is refitted as observations accumulate.

    The kernel is refitted from the previous one when there are 5 % more observations, and from
    the prior when there are 50 % more, since the best mode of its posterior may have changed.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._is_categorical = encoding.is_categorical
        self._priors = [Kernel.prior(len(encoding), noise) for noise in (1e-3, 0.2)]
        self._kernel = self._priors[0]
        self._n_fitted = self._n_fitted_from_prior = 0

    def condition(self, rows: Array, targets: Array, pending: Array) -> Posterior:
        """Return the posterior given rows (n, d), targets (n,) and pending rows (p, d)."""
        n = len(rows)
        if n >= max(self._n_fitted_from_prior + 1, 1.5 * self._n_fitted_from_prior):
            self._fit(rows, targets, self._priors, max_iterations=50)
            self._n_fitted = self._n_fitted_from_prior = n
        elif n >= max(self._n_fitted + 1, 1.05 * self._n_fitted):
            self._fit(rows, targets, [self._kernel], max_iterations=15)
            self._n_fitted = n
        return Posterior(self._kernel, rows, targets, pending, self._is_categorical)

    def _fit(
        self, rows: Array, targets: Array, initial: Sequence[Kernel], max_iterations: int
    ) -> None:
        self._kernel = fit_kernel(rows, targets, self._is_categorical, initial, max_iterations)


def standardize(values: Array) -> Array:
    """Return values (n,) with mean 0 and variance 1, those above the median compressed.

    Excesses over the median, in units of its distance to the first decile, are replaced by
    ``log(1 + excess)``: a diverged loss may be arbitrarily large, and would otherwise dominate the
    scale. The order of the values is preserved.
    """
    middle = float(np.median(values))
    unit = middle - float(np.quantile(values, 0.1)) or 1.0
    excess = np.clip((values - middle) / unit, -1e6, 1e6)
    compressed = np.where(excess > 0.0, np.log1p(np.maximum(excess, 0.0)), excess)
    std = float(compressed.std())
    return np.asarray((compressed - compressed.mean()) / (std if std > 0.0 else 1.0))
