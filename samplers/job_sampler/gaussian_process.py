"""A Gaussian process with a Matern-5/2 kernel, fitted by its marginal likelihood.

Rasmussen and Williams, *Gaussian Processes for Machine Learning* (2006), chapters 2 and 5. The
prior of the length scales grows with the root of the number of parameters (Hvarfner et al. 2024,
*Vanilla Bayesian Optimization Performs Great in High Dimensions*).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from .encoding import Array

Mask = NDArray[np.bool_]
_NOISE_MEAN, _NOISE_SPREAD = math.log(1e-4), 2.0
_BOUNDS_SCALE, _BOUNDS_NOISE = (math.log(0.05), math.log(20.0)), (math.log(1e-6), 0.0)
_BOUNDS_LENGTH = (math.log(0.01), math.log(100.0))


@dataclass(frozen=True)
class Kernel:
    """The parameters of a kernel.

    Args:
        lengths: One a column; the distance of two different choices is 1.
        scale: The variance of the function.
        noise: The variance of what is added to each observation.
    """

    lengths: Array
    scale: float
    noise: float

    @classmethod
    def usual(cls, columns: int, noise: float) -> Kernel:
        """Where a fit begins: the mode of the prior, but for the noise."""
        return cls(np.full(columns, _usual_length(columns)), 1.0, noise)

    def between(self, a: Array, b: Array, chosen: Mask) -> Array:
        """The covariances of rows ``a`` (m, d) and rows ``b`` (n, d): (m, n)."""
        squared = np.zeros((len(a), len(b)))
        for column, length in enumerate(self.lengths):
            if chosen[column]:
                squared += (a[:, column, None] != b[None, :, column]) / length**2
            else:
                gap = (a[:, column, None] - b[None, :, column]) / length
                gap *= gap
                squared += gap
        return self.scale * _matern(squared)


class Posterior:
    """What is known of the function after observations and with pending ones.

    Where a run is pending the function is as uncertain as if it had ended, at the value that is
    expected there (Desautels et al. 2014 call it hallucinated).

    Args:
        kernel: Its kernel.
        rows: What was observed, (n, d).
        values: Its values, (n,), of mean 0.
        pending: What is being observed, (p, d).
        chosen: The columns that are choices.
    """

    def __init__(
        self, kernel: Kernel, rows: Array, values: Array, pending: Array, chosen: Mask
    ) -> None:
        self._kernel, self._chosen = kernel, chosen
        self._rows = np.concatenate([rows, pending])
        count = len(rows)
        covariance = kernel.between(self._rows, self._rows, chosen)
        covariance[np.diag_indices_from(covariance)] += kernel.noise + 1e-8
        # The upper left part of a Cholesky factor is the factor of the observations alone.
        self._factor = cholesky(covariance, lower=True)
        observed = self._factor[:count, :count]
        self._weights = np.zeros(len(self._rows))
        self._weights[:count] = cho_solve((observed, True), values)
        self._inverse = solve_triangular(self._factor, np.eye(len(self._rows)), lower=True)

    def at(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, without noise: (m,) and (m,)."""
        cross = self._kernel.between(rows, self._rows, self._chosen)
        half = cross @ self._inverse.T
        variance = self._kernel.scale - np.einsum("ij,ij->i", half, half)
        return cross @ self._weights, np.sqrt(np.maximum(variance, 1e-12))


def fit(rows: Array, values: Array, chosen: Mask, starts: Sequence[Kernel], steps: int) -> Kernel:
    """The kernel of the highest posterior density that is found.

    Args:
        rows: What was observed, (n, d).
        values: Of mean 0 and variance 1, (n,).
        chosen: The columns that are choices.
        starts: Where to begin; what is noise to one may be short lengths to another.
        steps: Of L-BFGS, at most, from each.
    """
    columns = rows.shape[1]
    squared = np.stack([_squared(rows[:, c], bool(chosen[c])) for c in range(columns)])
    bounds = [_BOUNDS_LENGTH] * columns + [_BOUNDS_SCALE, _BOUNDS_NOISE]
    found = [
        minimize(
            _loss,
            np.clip(np.log([*start.lengths, start.scale, start.noise]), *np.transpose(bounds)),
            args=(squared, values, _usual_length(columns)),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": steps},
        )
        for start in starts
    ]
    theta = np.exp(min(found, key=lambda each: float(each.fun)).x)
    return Kernel(theta[:-2], float(theta[-2]), float(theta[-1]))


def _loss(theta: Array, squared: Array, values: Array, usual_length: float) -> tuple[float, Array]:
    """The negative log of the posterior density at the logs of the parameters, and its gradient."""
    columns, count = len(squared), len(values)
    inverse_lengths = np.exp(-2.0 * theta[:-2])
    scale, noise = np.exp(theta[-2:])
    total = np.tensordot(inverse_lengths, squared, axes=1)
    root = np.sqrt(5.0 * total)
    decay = np.exp(-root)
    shape = (1.0 + root + 5.0 / 3.0 * total) * decay
    covariance = scale * shape
    covariance[np.diag_indices(count)] += noise + 1e-8
    try:
        factor = cho_factor(covariance, lower=True)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    inverse = cho_solve(factor, np.eye(count))
    alpha = inverse @ values
    loss = 0.5 * values @ alpha + np.log(np.diag(factor[0])).sum()

    outer = inverse - np.outer(alpha, alpha)
    gradient = np.empty_like(theta)
    # d k / d log l = 5/3 (1 + sqrt(5) r) exp(-sqrt(5) r) (gap / l)^2
    slope = outer * (scale * 5.0 / 3.0 * (1.0 + root) * decay)
    gradient[:-2] = 0.5 * np.tensordot(squared, slope, axes=2) * inverse_lengths
    gradient[-2] = 0.5 * scale * np.sum(outer * shape)
    gradient[-1] = 0.5 * noise * np.trace(outer)

    away = theta[:columns] - math.log(usual_length)
    noisy = (theta[-1] - _NOISE_MEAN) / _NOISE_SPREAD
    loss += 0.5 * (away @ away + theta[-2] ** 2 + noisy**2)
    gradient[:columns] += away
    gradient[-2] += theta[-2]
    gradient[-1] += noisy / _NOISE_SPREAD
    return float(loss), gradient


def _matern(squared: Array) -> Array:
    root = np.sqrt(5.0 * squared)
    return (1.0 + root + 5.0 / 3.0 * squared) * np.exp(-root)


def _squared(column: Array, chosen: bool) -> Array:
    gap = column[:, None] - column[None, :]
    return (gap != 0.0).astype(float) if chosen else gap**2


def _usual_length(columns: int) -> float:
    return 0.4 * math.sqrt(columns)
