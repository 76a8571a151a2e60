"""Parameters of finished trials as arrays, and the density that TPE estimates from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights
from optuna.trial import FrozenTrial

from .encoding import Array
from .parzen_estimator import Integers, ParzenEstimator

_MIN_KERNELS = 100
"""With fewer kernels Optuna's estimator is as fast, and breaks ties exactly as in TPESampler."""


class ObservationTable:
    """Internal representations of one search space, with one row per trial number.

    Args:
        space: Distributions by parameter name. Trials that lack one of them have no row.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._space = space
        self._n_read = 0
        self._rows = np.empty((0, len(space)))
        self._is_present = np.empty(0, dtype=bool)
        self._estimator = ParzenEstimator(space)

    def extend(self, finished: Sequence[FrozenTrial]) -> None:
        """Add those of the finished trials that were not in the last call's sequence."""
        for trial in finished[self._n_read :]:
            if self._space.keys() <= trial.params.keys():
                self._write(trial.number, trial.params)
                self._is_present[trial.number] = True
        self._n_read = len(finished)

    def select(self, numbers: Sequence[int]) -> dict[str, Array]:
        """Return the columns by parameter name, of those of the trials that have a row."""
        size = len(self._is_present)
        return self._columns([n for n in numbers if n < size and self._is_present[n]])

    def log_density_above(
        self,
        candidates: Mapping[str, Any],
        below: Sequence[int],
        pending: Sequence[tuple[int, Mapping[str, Any]]],
        parameters: _ParzenEstimatorParameters,
    ) -> Any:
        """Return the log density g of the worse trials at m candidates, (m,).

        Args:
            candidates: Internal representations (m,) by parameter name.
            below: Numbers of the better trials, which are left out.
            pending: Numbers and parameters of running trials. They count as worse ones, whatever
                they will return (a constant liar), which keeps other trials away from them.
            parameters: Options of Optuna's estimator.
        """
        for number, params in pending:
            self._write(number, params)
        is_used = self._is_present.copy()
        is_used[[n for n in below if n < len(is_used)]] = False
        is_used[[number for number, _ in pending]] = True
        numbers = np.flatnonzero(is_used)
        if len(numbers) < _MIN_KERNELS:
            estimator = _ParzenEstimator(self._columns(numbers), dict(self._space), parameters)
            return estimator.log_pdf(dict(candidates))
        weights = np.append(default_weights(len(numbers)), 1.0)
        return self._estimator.log_density(
            np.array([candidates[name] for name in self._space]),
            self._rows[numbers],
            numbers,
            weights / weights.sum(),
        )

    def _columns(self, numbers: Sequence[int] | Integers) -> dict[str, Array]:
        rows = self._rows[numbers]
        return {name: rows[:, column] for column, name in enumerate(self._space)}

    def _write(self, number: int, params: Mapping[str, Any]) -> None:
        if number >= len(self._rows):
            more = max(64, number + 1 - len(self._rows), len(self._rows))
            self._rows = np.concatenate([self._rows, np.empty((more, len(self._space)))])
            self._is_present = np.concatenate([self._is_present, np.zeros(more, dtype=bool)])
        self._rows[number] = [d.to_internal_repr(params[n]) for n, d in self._space.items()]
