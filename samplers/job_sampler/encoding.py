"""Configurations as rows of numbers: what the models of this folder work on."""

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
    """Rows with one column a parameter.

    A number is in [0, 1], on a logarithmic scale where its distribution is; a choice is its index.

    Args:
        space: Distributions of one value or more.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.names = tuple(space)
        self._distributions = tuple(space.values())
        self.choices = np.array([_choices(d) for d in self._distributions])
        """How many choices a column has; 0 for a number."""
        self._bounds = [
            (0.0, 1.0) if isinstance(d, CategoricalDistribution) else _bounds(d)
            for d in self._distributions
        ]
        self.grid = np.array([_levels(d) for d in self._distributions])
        """How many values a column can have; infinite for a float without a step."""

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, params: Sequence[Mapping[str, Any]]) -> Array:
        """Rows of configurations that have all parameters; values may lie outside of a range."""
        rows = np.empty((len(params), len(self.names)))
        for column, (name, d) in enumerate(zip(self.names, self._distributions, strict=True)):
            inner = np.array([d.to_internal_repr(p[name]) for p in params], dtype=float)
            if isinstance(d, CategoricalDistribution):
                rows[:, column] = inner
                continue
            low, high = self._bounds[column]
            scaled = np.log(inner) if _is_log(d) else inner
            rows[:, column] = (scaled - low) / (high - low) if high > low else 0.0
        return rows

    def decode(self, row: Array) -> dict[str, Any]:
        """The configuration of a row, on the grids of its distributions."""
        return {
            name: self._value(d, column, float(row[column]))
            for column, (name, d) in enumerate(zip(self.names, self._distributions, strict=True))
        }

    def snap(self, rows: Array) -> Array:
        """The same rows with every number on its grid and in its range."""
        snapped = np.clip(rows, 0.0, np.where(self.choices > 0, self.choices - 1.0, 1.0))
        for column in np.flatnonzero(np.isfinite(self.grid) & (self.choices == 0)):
            d = self._distributions[column]
            low, high = self._bounds[column]
            raw = low + snapped[:, column] * (high - low)
            inner = np.exp(raw) if _is_log(d) else raw
            step = d.step or 1  # type: ignore[attr-defined]
            inner = d.low + np.round((inner - d.low) / step) * step  # type: ignore[attr-defined]
            inner = np.clip(inner, d.low, d.high)  # type: ignore[attr-defined]
            scaled = np.log(inner) if _is_log(d) else inner
            snapped[:, column] = (scaled - low) / (high - low) if high > low else 0.0
        return snapped

    def random(self, count: int, rng: np.random.RandomState) -> Array:
        """Rows drawn as a random search draws them."""
        rows = rng.rand(count, len(self.names))
        chosen = self.choices > 0
        rows[:, chosen] = np.floor(rows[:, chosen] * self.choices[chosen])
        return self.snap(rows)

    def _value(self, d: BaseDistribution, column: int, value: float) -> Any:
        if isinstance(d, CategoricalDistribution):
            return d.to_external_repr(round(value))
        low, high = self._bounds[column]
        raw = low + value * (high - low)
        inner = math.exp(raw) if _is_log(d) else raw
        assert isinstance(d, FloatDistribution | IntDistribution)
        if d.step is not None:
            inner = d.low + round((inner - d.low) / d.step) * d.step
        return d.to_external_repr(min(max(inner, d.low), d.high))


def _choices(d: BaseDistribution) -> int:
    return len(d.choices) if isinstance(d, CategoricalDistribution) else 0


def _is_log(d: BaseDistribution) -> bool:
    return isinstance(d, FloatDistribution | IntDistribution) and d.log


def _bounds(d: BaseDistribution) -> tuple[float, float]:
    assert isinstance(d, FloatDistribution | IntDistribution)
    return (math.log(d.low), math.log(d.high)) if d.log else (float(d.low), float(d.high))


def _levels(d: BaseDistribution) -> float:
    if isinstance(d, CategoricalDistribution):
        return float(len(d.choices))
    assert isinstance(d, FloatDistribution | IntDistribution)
    return math.inf if d.step is None else math.floor((d.high - d.low) / d.step + 1e-9) + 1.0
