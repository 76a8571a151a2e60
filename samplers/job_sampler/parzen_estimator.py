"""Parzen estimator of TPE with thousands of kernels, evaluated at a few candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.special import log_ndtr, ndtr

from .encoding import Array

Integers = NDArray[np.int_]
_LOG_SQRT_2PI = 0.5 * float(np.log(2 * np.pi))


class ParzenEstimator:
    """Mixture of product kernels: one around each observation, and a wide one as the prior.

    Kernels, bandwidths and weights are those of `optuna.samplers.TPESampler` (Bergstra et al.
    2011, *Algorithms for Hyper-Parameter Optimization*, Sec. 4; Watanabe 2023, *Tree-Structured
    Parzen Estimator*). Two things make it faster: the quadratic forms of all normal kernels at all
    candidates are one matrix product, and the normalization of a kernel is computed again only if
    its bandwidth has changed since the last call.

    Shapes: n observations, m candidates, d parameters. All values are in Optuna's internal
    representation.

    Args:
        space: Distributions by parameter name.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._columns = [_build_column(distribution) for distribution in space.values()]

    def log_density(
        self, candidates: Array, observations: Array, numbers: Integers, weights: Array
    ) -> Array:
        """Return the log density at the candidates, (m,).

        Args:
            candidates: Shape (d, m).
            observations: Shape (n, d).
            numbers: Trial numbers of the observations, ascending: the keys under which
                normalizations are kept, (n,).
            weights: Weights of the kernels and, last, of the prior, (n + 1,).
        """
        with np.errstate(divide="ignore"):
            constant = np.log(weights)
        left: list[Array] = []
        right: list[Array] = []
        total: Any = 0.0
        for index, column in enumerate(self._columns):
            if isinstance(column, _TruncatedNormals):
                # -(x - mean)^2 precision / 2, expanded into products of candidate and kernel
                x = column.center(candidates[index])
                precision, mean, log_scale = column.kernels(observations[:, index], numbers)
                left += [-0.5 * x * x, x]
                right += [precision, precision * mean]
                constant = constant - (0.5 * precision * mean * mean + log_scale)
            else:
                total = total + column.log_density(candidates[index], observations[:, index])
        if left:
            total = total + np.stack(left, axis=1) @ np.stack(right)
        return _log_sum_exp(total + constant)


class _TruncatedNormals:
    """Normal kernels of a continuous parameter, truncated to its range."""

    def __init__(self, low: float, high: float, log: bool) -> None:
        self._log = log
        bounds = np.array([low, high])
        self._low, self._high = np.log(bounds) if log else bounds
        self._middle, self._range = 0.5 * (self._low + self._high), self._high - self._low
        # Kernels of the last call by trial number.
        self._widths = np.empty(0)
        self._means = np.empty(0)
        self._log_scales = np.empty(0)

    def center(self, values: Array) -> Array:
        """Scale values (m,) to units of the range, 0 in its middle."""
        scaled = np.log(values) if self._log else values
        return np.asarray((scaled - self._middle) / self._range)

    def kernels(self, values: Array, numbers: Integers) -> tuple[Array, Array, Array]:
        """Return precisions, means and log normalizations, each (n + 1,), the prior's last."""
        scaled = np.log(values) if self._log else values
        widths = compute_bandwidths(scaled, self._low, self._high) / self._range
        means = (scaled - self._middle) / self._range
        self._update(means, widths, numbers)
        prior = _log_normalization(np.zeros(1), np.ones(1))
        log_scales = np.append(self._log_scales[numbers], prior)
        return np.append(1.0 / widths**2, 1.0), np.append(means, 0.0), log_scales

    def _update(self, means: Array, widths: Array, numbers: Integers) -> None:
        size = int(numbers[-1]) + 1 if len(numbers) else 0
        if size > len(self._widths):
            more = np.full(max(64, size - len(self._widths), len(self._widths)), np.nan)
            self._widths = np.concatenate([self._widths, more])
            self._means = np.concatenate([self._means, more])
            self._log_scales = np.concatenate([self._log_scales, more])
        changed = np.flatnonzero(
            (self._widths[numbers] != widths) | (self._means[numbers] != means)
        )
        at = numbers[changed]
        self._widths[at], self._means[at] = widths[changed], means[changed]
        self._log_scales[at] = _log_normalization(means[changed], widths[changed])


class _DiscretizedNormals:
    """Truncated normal kernels of a parameter with a step: a value has the mass of its cell."""

    def __init__(self, low: float, high: float, step: float, log: bool) -> None:
        self._step, self._log = step, log
        bounds = np.array([low - step / 2, high + step / 2])
        self._low, self._high = np.log(bounds) if log else bounds

    def log_density(self, candidates: Array, values: Array) -> Array:
        """Return the log mass of each kernel, the prior's last, at candidates: (m, n + 1)."""
        scaled = np.log(values) if self._log else values
        means = np.append(scaled, 0.5 * (self._low + self._high))
        bandwidths = compute_bandwidths(scaled, self._low, self._high)
        widths = np.append(bandwidths, self._high - self._low)
        # Trials often share values: each distinct kernel and candidate is evaluated once.
        kernels, kernel = np.unique(means + 1j * widths, return_inverse=True)
        mean, width = kernels.real, kernels.imag
        points, point = np.unique(candidates, return_inverse=True)
        edges = [points - self._step / 2, points + self._step / 2]
        if self._log:
            edges = [np.log(edge) for edge in edges]
        a, b = ((edge[:, None] - mean) / width for edge in edges)
        total = log_normal_mass((self._low - mean) / width, (self._high - mean) / width)
        return np.asarray((log_normal_mass(a, b) - total)[np.ix_(point, kernel)])


class _CategoricalKernels:
    """Kernels of a categorical parameter: most of the mass is on the observed category."""

    def __init__(self, n_choices: int) -> None:
        self._n_choices = n_choices

    def log_density(self, candidates: Array, values: Array) -> Array:
        """Return the log mass of each kernel, the prior's last, at candidates: (m, n + 1)."""
        share = 1.0 / (len(values) + 1)
        total = 1.0 + self._n_choices * share
        same, other = np.log((1.0 + share) / total), np.log(share / total)
        table = np.where(candidates[:, None] == values, same, other)
        prior = np.full((len(candidates), 1), -np.log(self._n_choices))
        return np.concatenate([table, prior], axis=1)


def _build_column(
    d: BaseDistribution,
) -> _TruncatedNormals | _DiscretizedNormals | _CategoricalKernels:
    if isinstance(d, CategoricalDistribution):
        return _CategoricalKernels(len(d.choices))
    assert isinstance(d, FloatDistribution | IntDistribution)
    if d.step is None:
        return _TruncatedNormals(d.low, d.high, d.log)
    return _DiscretizedNormals(d.low, d.high, d.step, d.log)


def compute_bandwidths(means: Array, low: float, high: float) -> Array:
    """Return the bandwidths (n,) of kernels with these means.

    A bandwidth is the larger distance to the neighbouring means, where the outermost kernels
    ignore the ends of the range; it is at least ``range / min(100, n + 2)`` ("magic clip").
    """
    if not len(means):
        return np.empty(0)
    order = np.argsort(means)
    gaps = np.diff(np.concatenate([[low], means[order], [high]]))
    widest = np.maximum(gaps[:-1], gaps[1:])
    if len(means) >= 2:
        widest[0], widest[-1] = gaps[1], gaps[-2]
    widths = np.empty_like(widest)
    widths[order] = widest
    least = (high - low) / min(100.0, 2.0 + len(means))
    return np.clip(widths, least, high - low)


def log_normal_mass(a: Array, b: Array) -> Array:
    """Return ``log(Phi(b) - Phi(a))`` for the standard normal distribution, elementwise."""
    # In the upper tail the difference would cancel: mirror it into the lower one.
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    tail = b <= 0
    mass = np.empty_like(a)
    lower, upper = log_ndtr(a[tail]), log_ndtr(b[tail])
    with np.errstate(divide="ignore"):
        mass[tail] = upper + np.log1p(-np.exp(lower - upper))
    middle = ~tail
    mass[middle] = np.log1p(-ndtr(a[middle]) - ndtr(-b[middle]))
    return mass


def _log_normalization(means: Array, widths: Array) -> Array:
    """Return the log integrals (n,) over [-1/2, 1/2] of exp(-((x - mean) / width)^2 / 2)."""
    inside = log_normal_mass((-0.5 - means) / widths, (0.5 - means) / widths)
    return np.asarray(inside + np.log(widths) + _LOG_SQRT_2PI)


def _log_sum_exp(terms: Array) -> Array:
    """Return ``log(sum(exp(terms), axis=1))`` of terms (m, n), which are overwritten."""
    largest = terms.max(axis=1, keepdims=True)
    np.exp(terms - largest, out=terms)
    return np.asarray(np.log(terms.sum(axis=1)) + largest[:, 0])
