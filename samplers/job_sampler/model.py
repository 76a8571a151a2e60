"""The next configuration of a flat space by a Gaussian process, with many runs pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from .encoding import Array, Encoding
from .gaussian_process import Kernel, Posterior, fit
from .improvement import highest, log_expected_improvement


class Model:
    """Suggests configurations of one space; keeps its kernel from one suggestion to the next.

    Args:
        space: Distributions of two values or more.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.encoding = Encoding(space)
        self._kernel = Kernel.usual(len(space))
        self._fitted = 0

    def suggest(
        self,
        params: Sequence[Mapping[str, Any]],
        values: Array,
        pending: Sequence[Mapping[str, Any]],
        rng: np.random.RandomState,
    ) -> dict[str, Any] | None:
        """Where the improvement to be expected is largest, after all of these.

        Args:
            params: Of finished trials.
            values: Their values, less is better, (n,).
            pending: Parameters of trials that are not finished.
            rng: For the candidates.

        Returns:
            Parameters; None if nothing new is found.
        """
        rows, waiting = self.encoding.encode(params), self.encoding.encode(pending)
        shown = tamed(values)
        self._fit(rows, shown)
        posterior = Posterior(self._kernel, rows, shown, waiting, self._chosen)
        known = np.concatenate([rows, waiting])
        mean, _ = posterior.at(known)
        # With noise the best value that was seen is better than the function is there.
        best = float(mean.min())

        def score(candidates: Array) -> Array:
            return log_expected_improvement(best, *posterior.at(candidates))

        promising = known[np.argsort(mean, kind="stable")[:8]]
        found = highest(self.encoding, score, promising, known, rng)
        return None if found is None else self.encoding.decode(found)

    @property
    def _chosen(self) -> Any:
        return self.encoding.choices > 0

    def _fit(self, rows: Array, values: Array) -> None:
        """Again whenever there are 5 % more observations."""
        if len(rows) < max(self._fitted + 1, 1.05 * self._fitted):
            return
        fresh = self._fitted == 0
        self._kernel = fit(rows, values, self._chosen, self._kernel, steps=50 if fresh else 15)
        self._fitted = len(rows)


def tamed(values: Array) -> Array:
    """Values of mean 0 and variance 1; the worse half of them is compressed.

    A learning rate that is far too large makes a loss of any size. Only that it is bad matters.
    """
    middle = float(np.median(values))
    unit = middle - float(np.quantile(values, 0.1)) or 1.0
    above = np.maximum(values - middle, 0.0) / unit
    shown = np.where(values > middle, middle + unit * np.log1p(above), values)
    spread = float(shown.std())
    return np.asarray((shown - shown.mean()) / (spread if spread > 0.0 else 1.0))
