"""A Gaussian process with a Matern-5/2 kernel and one length scale per parameter.

The model is textbook Gaussian process regression with zero mean and Gaussian noise (Rasmussen and
Williams 2006, *Gaussian Processes for Machine Learning*, Chap. 2). Hyperparameters are the
maximum a posteriori (MAP) estimate under independent log-normal priors:

    length scales       median 0.4 sqrt(d), sigma 1
    signal variance     median 1, sigma 1
    noise variance      median 1e-4, sigma 2

That length scales grow with the square root of the number of parameters d follows Hvarfner et al.
2024, *Vanilla Bayesian Optimization Performs Great in High Dimensions*, Sec. 4.

Shapes: n observations, p pending points, m points to predict, d parameters.
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

_LOG_NOISE_MEAN, _LOG_NOISE_STD = math.log(1e-4), 2.0
_LENGTH_SCALE_BOUNDS = (math.log(0.01), math.log(100.0))
_SIGNAL_BOUNDS = (math.log(0.05), math.log(20.0))
_NOISE_BOUNDS = (math.log(1e-6), 0.0)
_JITTER = 1e-8
"""Added to the diagonal of a covariance matrix, which may be singular in floating point."""


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters of a Matern-5/2 kernel and of the observation noise.

        k(x, x') = s (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)
        r^2 = sum_i (delta_i / l_i)^2

    (Rasmussen and Williams 2006, Eq. 4.17, with one length scale per column). ``delta_i`` is the
    difference of two numbers; between categories it is 0 if they are equal and 1 if not.

    Args:
        length_scales: l, (d,).
        signal_variance: s, the prior variance of the function.
        noise_variance: Variance of the noise of one observation.
    """

    length_scales: Array
    signal_variance: float
    noise_variance: float

    @classmethod
    def prior(cls, n_columns: int, noise_variance: float) -> Kernel:
        """Return the prior medians, with another noise variance: a starting point of a fit."""
        return cls(np.full(n_columns, _prior_length_scale(n_columns)), 1.0, noise_variance)

    def covariance(self, a: Array, b: Array, is_categorical: Mask) -> Array:
        """Return the covariance matrix (m, n) of rows ``a`` (m, d) and ``b`` (n, d)."""
        squared = np.zeros((len(a), len(b)))
        for column, length_scale in enumerate(self.length_scales):
            if is_categorical[column]:
                squared += (a[:, column, None] != b[None, :, column]) / length_scale**2
            else:
                difference = (a[:, column, None] - b[None, :, column]) / length_scale
                difference *= difference
                squared += difference
        root = np.sqrt(5.0 * squared)
        return self.signal_variance * ((1.0 + root + 5.0 / 3.0 * squared) * np.exp(-root))


class Posterior:
    """Posterior of the function given observations and pending evaluations.

    Pending evaluations are treated as by the kriging believer (Ginsbourger et al. 2010, *Kriging
    Is Well-Suited to Parallelize Optimization*, Sec. 4.2): each is assumed to return the posterior
    mean at its point. With fixed hyperparameters this leaves the mean as it is and only reduces
    the variance, so no values have to be imputed. The hallucinated observations of GP-BUCB
    (Desautels et al. 2014) are the same.

    Args:
        kernel: Covariance of the prior.
        inputs: Evaluated points, (n, d).
        targets: Their values, with mean 0, (n,).
        pending: Points under evaluation, (p, d).
        is_categorical: Mask of the categorical columns, (d,).
    """

    def __init__(
        self, kernel: Kernel, inputs: Array, targets: Array, pending: Array, is_categorical: Mask
    ) -> None:
        self._kernel, self._is_categorical = kernel, is_categorical
        self._inputs = np.concatenate([inputs, pending])
        n, size = len(inputs), len(self._inputs)
        covariance = kernel.covariance(self._inputs, self._inputs, is_categorical)
        covariance[np.diag_indices_from(covariance)] += kernel.noise_variance + _JITTER
        factor = cholesky(covariance, lower=True)
        # The leading block of a Cholesky factor is the factor of the observations alone.
        self._weights = np.zeros(size)
        self._weights[:n] = cho_solve((factor[:n, :n], True), targets)
        self._inverse_factor = solve_triangular(factor, np.eye(size), lower=True)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean (m,) and standard deviation (m,) of the noiseless function at points (m, d).

        Rasmussen and Williams 2006, Eqs. 2.25 and 2.26.
        """
        cross = self._kernel.covariance(points, self._inputs, self._is_categorical)
        projected = cross @ self._inverse_factor.T
        variance = self._kernel.signal_variance - np.einsum("ij,ij->i", projected, projected)
        return cross @ self._weights, np.sqrt(np.maximum(variance, 1e-12))


def fit_kernel(
    inputs: Array,
    targets: Array,
    is_categorical: Mask,
    initial: Sequence[Kernel],
    max_iterations: int,
) -> Kernel:
    """Return the MAP estimate of the kernel, found by L-BFGS-B in log space.

    Args:
        inputs: Evaluated points, (n, d).
        targets: Their values, with mean 0 and variance 1, (n,).
        is_categorical: Mask of the categorical columns, (d,).
        initial: Starting points. Several are worthwhile, since the posterior often has one mode
            with much noise and another with short length scales.
        max_iterations: Limit for each starting point.
    """
    columns = inputs.shape[1]
    squared = np.stack(
        [_squared_differences(inputs[:, c], bool(is_categorical[c])) for c in range(columns)]
    )
    bounds = [_LENGTH_SCALE_BOUNDS] * columns + [_SIGNAL_BOUNDS, _NOISE_BOUNDS]
    results = [
        minimize(
            _negative_log_posterior,
            np.clip(
                np.log([*kernel.length_scales, kernel.signal_variance, kernel.noise_variance]),
                *np.transpose(bounds),
            ),
            args=(squared, targets, _prior_length_scale(columns)),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": max_iterations},
        )
        for kernel in initial
    ]
    theta = np.exp(min(results, key=lambda result: float(result.fun)).x)
    return Kernel(theta[:-2], float(theta[-2]), float(theta[-1]))


def _negative_log_posterior(
    theta: Array, squared: Array, targets: Array, prior_length_scale: float
) -> tuple[float, Array]:
    """Return the negative log posterior density of log hyperparameters, up to a constant.

    Args:
        theta: Logarithms of length scales, signal variance and noise variance, (d + 2,).
        squared: Squared differences of the inputs by column, (d, n, n).
        targets: Values, (n,).
        prior_length_scale: Median of the prior of the length scales.

    Returns:
        The value and its gradient (d + 2,).
    """
    try:
        likelihood, gradient = _negative_log_likelihood(theta, squared, targets)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    scales = theta[:-2] - math.log(prior_length_scale)
    noise = (theta[-1] - _LOG_NOISE_MEAN) / _LOG_NOISE_STD
    prior = 0.5 * (scales @ scales + theta[-2] ** 2 + noise**2)
    prior_gradient = np.array([*scales, theta[-2], noise / _LOG_NOISE_STD])
    return float(likelihood + prior), gradient + prior_gradient


def _negative_log_likelihood(theta: Array, squared: Array, targets: Array) -> tuple[float, Array]:
    """Return the negative log marginal likelihood, up to a constant, and its gradient (d + 2,).

    Rasmussen and Williams 2006, Eqs. 5.8 and 5.9. With r as in `Kernel`,

        dk / d log l_i = 5/3 s (1 + sqrt(5) r) exp(-sqrt(5) r) (delta_i / l_i)^2
    """
    inverse_squares = np.exp(-2.0 * theta[:-2])
    signal, noise = np.exp(theta[-2:])
    total = np.tensordot(inverse_squares, squared, axes=1)
    root = np.sqrt(5.0 * total)
    decay = np.exp(-root)
    correlation = (1.0 + root + 5.0 / 3.0 * total) * decay
    covariance = signal * correlation
    covariance[np.diag_indices(len(targets))] += noise + _JITTER
    factor = cho_factor(covariance, lower=True)
    inverse = cho_solve(factor, np.eye(len(targets)))
    alpha = inverse @ targets
    value = 0.5 * targets @ alpha + np.log(np.diag(factor[0])).sum()

    outer = inverse - np.outer(alpha, alpha)
    slope = outer * (signal * 5.0 / 3.0 * (1.0 + root) * decay)
    gradient = np.empty_like(theta)
    gradient[:-2] = 0.5 * np.tensordot(squared, slope, axes=2) * inverse_squares
    gradient[-2] = 0.5 * signal * np.sum(outer * correlation)
    gradient[-1] = 0.5 * noise * np.trace(outer)
    return value, gradient


def _squared_differences(column: Array, is_categorical: bool) -> Array:
    difference = column[:, None] - column[None, :]
    return (difference != 0.0).astype(float) if is_categorical else difference**2


def _prior_length_scale(n_columns: int) -> float:
    return 0.4 * math.sqrt(n_columns)
