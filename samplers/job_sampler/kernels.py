"""The density of TPE's Parzen estimator over thousands of trials, at a few candidates."""

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

_LOG_ROOT_TAU = 0.5 * float(np.log(2 * np.pi))


class Kernels:
    """A mixture of products: a kernel around each trial, and a wide one around the middle.

    The bandwidths are those of `optuna.samplers.TPESampler`. The quadratic forms of all kernels
    and all candidates are one product of matrices, and the normalization of a kernel is computed
    again only if its bandwidth has changed.

    Args:
        space: Its distributions.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._columns = [_column(distribution) for distribution in space.values()]

    def log_density(
        self, candidates: Array, rows: Array, numbers: NDArray[np.int_], weights: Array
    ) -> Array:
        """The logarithm of the density.

        Args:
            candidates: In Optuna's internal representation, (d, m).
            rows: Of the trials, likewise, (n, d).
            numbers: Of the trials: what is kept of a kernel is found by it, (n,).
            weights: Of their kernels and of the prior's, (n + 1,).

        Returns:
            Its values, (m,).
        """
        with np.errstate(divide="ignore"):
            constant = np.log(weights)
        left: list[Array] = []
        right: list[Array] = []
        total: Any = 0.0
        for index, column in enumerate(self._columns):
            if isinstance(column, _Continuous):
                x = column.centered(candidates[index])
                precision, mean, log_scale = column.kernels(rows[:, index], numbers)
                left += [-0.5 * x * x, x]
                right += [precision, precision * mean]
                constant = constant - (0.5 * precision * mean * mean + log_scale)
            else:
                total = total + column.log_density(candidates[index], rows[:, index])
        if left:
            total = total + np.stack(left, axis=1) @ np.stack(right)
        total = total + constant
        highest = total.max(axis=1, keepdims=True)
        np.exp(total - highest, out=total)
        return np.asarray(np.log(total.sum(axis=1)) + highest[:, 0])


class _Continuous:
    """Normal kernels that are cut off at the ends of a range."""

    def __init__(self, low: float, high: float, log: bool) -> None:
        self._log = log
        ends = np.array([low, high])
        self._low, self._high = np.log(ends) if log else ends
        self._middle, self._range = 0.5 * (self._low + self._high), self._high - self._low
        self._widths = np.empty(0)
        self._means = np.empty(0)
        self._log_scales = np.empty(0)

    def centered(self, values: Array) -> Array:
        """Shares of the range, from the middle."""
        inner = np.log(values) if self._log else values
        return np.asarray((inner - self._middle) / self._range)

    def kernels(self, values: Array, numbers: NDArray[np.int_]) -> tuple[Array, Array, Array]:
        """Precisions, means and logs of the normalizations of all kernels, the prior's last."""
        inner = np.log(values) if self._log else values
        widths = bandwidths(inner, self._low, self._high) / self._range
        means = (inner - self._middle) / self._range
        self._remember(means, widths, numbers)
        scales = np.append(self._log_scales[numbers], _log_scale(np.zeros(1), np.ones(1)))
        return np.append(1.0 / widths**2, 1.0), np.append(means, 0.0), scales

    def _remember(self, means: Array, widths: Array, numbers: NDArray[np.int_]) -> None:
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
        self._log_scales[at] = _log_scale(means[changed], widths[changed])


class _Discrete:
    """Normal kernels on a grid: a value has the mass around it."""

    def __init__(self, low: float, high: float, step: float, log: bool) -> None:
        self._step, self._log = step, log
        ends = np.array([low - step / 2, high + step / 2])
        self._low, self._high = np.log(ends) if log else ends

    def log_density(self, candidates: Array, values: Array) -> Array:
        """Of each kernel, the prior's last, at each candidate: (m, n + 1)."""
        inner = np.log(values) if self._log else values
        means = np.append(inner, 0.5 * (self._low + self._high))
        widths = np.append(bandwidths(inner, self._low, self._high), self._high - self._low)
        kinds, kind = np.unique(means + 1j * widths, return_inverse=True)
        mean, width = kinds.real, kinds.imag
        points, point = np.unique(candidates, return_inverse=True)
        edges = [points - self._step / 2, points + self._step / 2]
        if self._log:
            edges = [np.log(edge) for edge in edges]
        a, b = ((edge[:, None] - mean) / width for edge in edges)
        whole = log_mass((self._low - mean) / width, (self._high - mean) / width)
        return np.asarray((log_mass(a, b) - whole)[np.ix_(point, kind)])


class _Categorical:
    """A choice has most of the mass of a kernel around it."""

    def __init__(self, choices: int) -> None:
        self._choices = choices

    def log_density(self, candidates: Array, values: Array) -> Array:
        """Of each kernel, the prior's last, at each candidate: (m, n + 1)."""
        share = 1.0 / (len(values) + 1)
        whole = 1.0 + self._choices * share
        same, other = np.log((1.0 + share) / whole), np.log(share / whole)
        table = np.where(candidates[:, None] == values, same, other)
        prior = np.full((len(candidates), 1), -np.log(self._choices))
        return np.concatenate([table, prior], axis=1)


def _column(d: BaseDistribution) -> _Continuous | _Discrete | _Categorical:
    if isinstance(d, CategoricalDistribution):
        return _Categorical(len(d.choices))
    assert isinstance(d, FloatDistribution | IntDistribution)
    if d.step is None:
        return _Continuous(d.low, d.high, d.log)
    return _Discrete(d.low, d.high, d.step, d.log)


def bandwidths(means: Array, low: float, high: float) -> Array:
    """The distance to the farther neighbor, at least a hundredth of the range (n,)."""
    if not len(means):
        return np.empty(0)
    order = np.argsort(means)
    ends = np.concatenate([[low], means[order], [high]])
    gaps = np.diff(ends)
    widest = np.maximum(gaps[:-1], gaps[1:])
    if len(means) >= 2:
        widest[0], widest[-1] = gaps[1], gaps[-2]
    widths = np.empty_like(widest)
    widths[order] = widest
    least = (high - low) / min(100.0, 2.0 + len(means))
    return np.clip(widths, least, high - low)


def _log_scale(means: Array, widths: Array) -> Array:
    """Logs of what makes the integral of kernels over [-1/2, 1/2] 1, times the width."""
    inside = log_mass((-0.5 - means) / widths, (0.5 - means) / widths)
    return np.asarray(inside + np.log(widths) + _LOG_ROOT_TAU)


def log_mass(a: Array, b: Array) -> Array:
    """The logarithm of the standard normal's mass from ``a`` to ``b``."""
    # In the upper tail nothing is left of the difference: it is mirrored.
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
