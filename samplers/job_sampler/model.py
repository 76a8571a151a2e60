"""The next configuration of a flat space by a Gaussian process, with many runs pending."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from .encoding import Array, Encoding
from .gaussian_process import Kernel, Posterior, fit
from .improvement import highest, log_expected_improvement


class Model:
    """Suggests configurations of one space; keeps its kernels from one suggestion to the next.

    Args:
        space: Distributions of two values or more.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.encoding = Encoding(space)
        self._values = _Fitted(self.encoding)
        self._costs = _Fitted(self.encoding)

    def suggest(
        self,
        params: Sequence[Mapping[str, Any]],
        values: Array,
        pending: Sequence[Mapping[str, Any]],
        rng: np.random.RandomState,
        costs: Array | None = None,
    ) -> dict[str, Any] | None:
        """Where the improvement to be expected is largest, after all of these.

        With costs it is the improvement for what a run is expected to cost that counts (Snoek et
        al. 2012, *Practical Bayesian Optimization of Machine Learning Algorithms*).

        Args:
            params: Of finished trials.
            values: Their values, less is better, (n,).
            pending: Parameters of trials that are not finished.
            rng: For the candidates.
            costs: What the finished trials have cost, more than 0, or nan, (n,).

        Returns:
            Parameters; None if nothing new is found.
        """
        rows, waiting = self.encoding.encode(params), self.encoding.encode(pending)
        posterior = self._values.posterior(rows, tamed(values), waiting)
        known = np.concatenate([rows, waiting])
        mean, _ = posterior.at(known)
        # With noise the best value that was seen is better than the function is there.
        best = float(mean.min())
        price = self._price(rows, costs)

        def score(candidates: Array) -> Array:
            return log_expected_improvement(best, *posterior.at(candidates)) - price(candidates)

        promising = known[np.argsort(mean, kind="stable")[:8]]
        found = highest(self.encoding, score, promising, known, rng)
        return None if found is None else self.encoding.decode(found)

    def _price(self, rows: Array, costs: Array | None) -> Callable[[Array], Array]:
        """The logarithm of the cost to be expected, up to a constant."""
        measured = np.isfinite(costs) if costs is not None else np.zeros(len(rows), dtype=bool)
        if costs is None or measured.sum() < 4:
            return lambda candidates: np.zeros(len(candidates))
        logs = np.log(costs[measured])
        spread = float(logs.std()) or 1.0
        shown = (logs - logs.mean()) / spread
        posterior = self._costs.posterior(rows[measured], shown, rows[:0])
        return lambda candidates: spread * posterior.at(candidates)[0]


class _Fitted:
    """A kernel, fitted again whenever there are 5 % more observations."""

    def __init__(self, encoding: Encoding) -> None:
        self._chosen = encoding.choices > 0
        self._usual = [Kernel.usual(len(encoding), noise) for noise in (1e-3, 0.2)]
        self._kernel = self._usual[0]
        self._count = self._anew = 0

    def posterior(self, rows: Array, values: Array, pending: Array) -> Posterior:
        """What is known after these observations and with these pending."""
        count = len(rows)
        if count >= max(self._anew + 1, 1.5 * self._anew):
            self._kernel = fit(rows, values, self._chosen, self._usual, steps=50)
            self._count = self._anew = count
        elif count >= max(self._count + 1, 1.05 * self._count):
            self._kernel = fit(rows, values, self._chosen, [self._kernel], steps=15)
            self._count = count
        return Posterior(self._kernel, rows, values, pending, self._chosen)


def tamed(values: Array) -> Array:
    """Values of mean 0 and variance 1; the worse half of them is compressed.

    A learning rate that is far too large makes a loss of any size. Only that it is bad matters.
    """
    middle = float(np.median(values))
    unit = middle - float(np.quantile(values, 0.1)) or 1.0
    away = np.clip((values - middle) / unit, -1e6, 1e6)
    shown = np.where(away > 0.0, np.log1p(np.maximum(away, 0.0)), away)
    spread = float(shown.std())
    return np.asarray((shown - shown.mean()) / (spread if spread > 0.0 else 1.0))
