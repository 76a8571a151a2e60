"""Encodes configurations as rows of numbers, the inputs of the Gaussian process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Array = NDArray[np.float64]


class Encoding:
    """Bijection between configurations and rows with one column per parameter.

    A number is scaled to [0, 1], after a logarithm if its distribution is logarithmic; a category
    is encoded as its index.

    Args:
        space: Distributions by parameter name; each has at least one value.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self._names = tuple(space)
        self._distributions = tuple(space.values())
        self.n_choices = np.array([_count_choices(d) for d in self._distributions])
        """Number of categories of each column, (d,); 0 for a number."""
        self.is_categorical = self.n_choices > 0
        """Mask of the categorical columns, (d,)."""
        self.n_levels = np.array([_count_levels(d) for d in self._distributions])
        """Number of values of each column, (d,); infinite for a float without a step."""
        self._bounds = [
            (0.0, 1.0) if isinstance(d, CategoricalDistribution) else _scaled_bounds(d)
            for d in self._distributions
        ]

    def __len__(self) -> int:
        return len(self._names)

    def encode(self, params: Sequence[Mapping[str, Any]]) -> Array:
        """Encode n configurations as an array of shape (n, d).

        Every configuration must have all parameters. Numbers outside of their range are encoded
        as numbers outside of [0, 1].
        """
        rows = np.empty((len(params), len(self._names)))
        for column, (name, d) in enumerate(zip(self._names, self._distributions, strict=True)):
            internal = np.array([d.to_internal_repr(p[name]) for p in params], dtype=float)
            if isinstance(d, CategoricalDistribution):
                rows[:, column] = internal
            else:
                rows[:, column] = self._normalize(internal, column)
        return rows

    def decode(self, row: Array) -> dict[str, Any]:
        """Return the configuration closest to a row of shape (d,)."""
        return {
            name: self._decode_value(d, column, float(row[column]))
            for column, (name, d) in enumerate(zip(self._names, self._distributions, strict=True))
        }

    def snap(self, rows: Array) -> Array:
        """Move every number of rows (n, d) into its range and to the nearest step."""
        snapped = np.clip(rows, 0.0, np.where(self.is_categorical, self.n_choices - 1.0, 1.0))
        for column in np.flatnonzero(np.isfinite(self.n_levels) & ~self.is_categorical):
            d = self._distributions[column]
            low, high = self._bounds[column]
            scaled = low + snapped[:, column] * (high - low)
            internal = np.exp(scaled) if _is_log(d) else scaled
            step = d.step or 1  # type: ignore[attr-defined]
            internal = d.low + np.round((internal - d.low) / step) * step  # type: ignore[attr-defined]
            internal = np.clip(internal, d.low, d.high)  # type: ignore[attr-defined]
            snapped[:, column] = self._normalize(internal, int(column))
        return snapped

    def sample(self, count: int, rng: np.random.RandomState) -> Array:
        """Draw rows (count, d) uniformly, as random search does."""
        rows = rng.rand(count, len(self._names))
        rows[:, self.is_categorical] = np.floor(
            rows[:, self.is_categorical] * self.n_choices[self.is_categorical]
        )
        return self.snap(rows)

    def _normalize(self, internal: Array, column: int) -> Array | float:
        low, high = self._bounds[column]
        scaled = np.log(internal) if _is_log(self._distributions[column]) else internal
        return (scaled - low) / (high - low) if high > low else 0.0

    def _decode_value(self, d: BaseDistribution, column: int, value: float) -> Any:
        if isinstance(d, CategoricalDistribution):
            return d.to_external_repr(round(value))
        low, high = self._bounds[column]
        scaled = low + value * (high - low)
        internal = math.exp(scaled) if _is_log(d) else scaled
        assert isinstance(d, FloatDistribution | IntDistribution)
        if d.step is not None:
            internal = d.low + round((internal - d.low) / d.step) * d.step
        return d.to_external_repr(min(max(internal, d.low), d.high))


def _count_choices(d: BaseDistribution) -> int:
    return len(d.choices) if isinstance(d, CategoricalDistribution) else 0


def _count_levels(d: BaseDistribution) -> float:
    if isinstance(d, CategoricalDistribution):
        return float(len(d.choices))
    assert isinstance(d, FloatDistribution | IntDistribution)
    return math.inf if d.step is None else math.floor((d.high - d.low) / d.step + 1e-9) + 1.0


def _is_log(d: BaseDistribution) -> bool:
    return isinstance(d, FloatDistribution | IntDistribution) and d.log


def _scaled_bounds(d: BaseDistribution) -> tuple[float, float]:
    assert isinstance(d, FloatDistribution | IntDistribution)
    return (math.log(d.low), math.log(d.high)) if d.log else (float(d.low), float(d.high))
