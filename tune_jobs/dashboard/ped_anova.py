"""Importance of parameters by PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023).

It extends to parameters that only some trials have (conditional PED-ANOVA, KDD 2026). The same
numbers as `optuna.importance.get_param_importances`, which tests compare. To import that costs a
second and 125 MB where scikit-learn is installed, more than all else that a dashboard does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Column = Sequence[tuple[Any, BaseDistribution] | None]
"""Value and distribution of a parameter in each trial; None where the trial does not have it."""

TOP = 0.1
"""Share of the trials, the best ones, in which a parameter that is important takes other values."""

STEPS = 50
"""Places of the grid on which the values of a number are counted, at most."""

_SMALLEST = 1e-12
_FEWEST_IN_REGIME = 2
_MIN_WIDTH = 0.5 / 1.64
"""Width of a kernel of which 90 % are within one step of the grid."""


def measure_importance(
    columns: Sequence[Column], values: Sequence[float], maximize: bool
) -> list[float]:
    """Return the importance of each parameter; the sum is 1.

    Args:
        columns: The parameters.
        values: The finite value of the objective of each trial.
        maximize: Whether it is maximized.
    """
    import numpy as np

    losses = np.array(values) * (-1.0 if maximize else 1.0)
    last = math.ceil(TOP * len(losses)) - 1
    is_top = losses <= np.partition(losses, last)[last]
    found = [_measure_column(column, is_top) for column in columns]
    total = sum(found)
    return [each / total if total > 0.0 else 1.0 / len(found) for each in found]


def _measure_column(column: Column, is_top: Any) -> float:
    """Return the sum over the regimes of a parameter: trials with the same distribution."""
    import numpy as np

    regimes: dict[BaseDistribution, list[int]] = {}
    for i, known in enumerate(column):
        if known is not None:
            regimes.setdefault(known[1], []).append(i)
    total = 0.0
    for distribution, members in regimes.items():
        top = is_top[np.array(members)]
        if len(members) < _FEWEST_IN_REGIME or distribution.single() or not top.any():
            continue
        present = [known[0] for i in members if (known := column[i]) is not None]
        share = float(top.sum() / is_top.sum()) ** 2 / (len(members) / len(column))
        total += share * _measure_divergence(present, distribution, top)
    return total


def _measure_divergence(
    column: Sequence[Any], distribution: BaseDistribution, is_top: Any
) -> float:
    """Return Pearson's divergence of the density of the best trials from that of all."""
    import numpy as np

    if isinstance(distribution, CategoricalDistribution):
        places = np.array([int(distribution.to_internal_repr(value)) for value in column])
        count, density = len(distribution.choices), _categorical_density
    else:
        places, count = _find_steps(column, distribution)
        density = _numerical_density
    top, whole = (
        density(np.bincount(chosen, minlength=count)) + _SMALLEST
        for chosen in (places[is_top], places)
    )
    return float(whole @ (top / whole - 1.0) ** 2)


def _find_steps(column: Sequence[float], distribution: BaseDistribution) -> tuple[Any, int]:
    """Return the place of each value on a grid over its range, and the number of places."""
    import numpy as np

    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    count = STEPS
    if isinstance(distribution, IntDistribution) and distribution.log:
        count = min(math.ceil(math.log2(high - low + 1.0)) + 1, STEPS)
    elif distribution.step is not None:
        count = min(round((high - low) / distribution.step) + 1, STEPS)
    positions = np.array(column, dtype=float)
    if distribution.log:
        low, high, positions = math.log(low), math.log(high), np.log(positions)
    low, high, positions = low / 2.0, high / 2.0, positions / 2.0  # the span may be no float
    places = np.ceil((positions - low) / ((high - low) / (count - 1)) - 0.5).astype(int)
    return places.clip(0, count - 1), count


def _categorical_density(counts: Any) -> Array:
    """Return the density of each category: a kernel for each that occurs, and a uniform prior."""
    import numpy as np

    present = np.flatnonzero(counts)
    kernels = np.full((len(present) + 1, len(counts)), 1.0 / (len(present) + 1))
    kernels[np.arange(len(present)), present] += 1.0
    kernels /= kernels.sum(axis=1, keepdims=True)
    density: Array = _weigh(counts[present]) @ kernels
    return density


def _numerical_density(counts: Any) -> Array:
    """Return the density at each place: a normal kernel at each that has values, and a prior."""
    import numpy as np

    present = np.flatnonzero(counts)
    high = len(counts) - 1
    centers = np.append(present, high / 2.0)
    widths = np.append(np.full(len(present), _choose_width(present, counts[present])), high + 1.0)
    edges = np.arange(len(counts) + 1) - 0.5
    reached = _normal_cdf((edges - centers[:, np.newaxis]) / widths[:, np.newaxis])
    kernels = np.diff(reached, axis=1) / (reached[:, -1:] - reached[:, :1])
    density: Array = _weigh(counts[present]) @ kernels
    return density


def _choose_width(places: Any, counts: Any) -> float:
    """Return the width of the kernels by Scott's rule."""
    import numpy as np

    cumulated = np.cumsum(counts)
    total = int(cumulated[-1])
    mean = places @ counts / total
    deviation = math.sqrt(((places - mean) ** 2 @ counts) / max(1, total - 1))
    first = np.searchsorted(cumulated, total // 4, side="left")
    third = np.searchsorted(cumulated, total * 3 // 4, side="right")
    quartiles = float(places[min(len(places) - 1, third)] - places[first])
    return float(max(1.059 * min(quartiles / 1.34, deviation) * total**-0.2, _MIN_WIDTH))


def _weigh(counts: Any) -> Array:
    """Return the weights of kernels, and of the prior, which counts as one value."""
    import numpy as np

    weights: Array = np.append(counts, 1.0)
    weights /= weights.sum()
    return weights


def _normal_cdf(positions: Any) -> Array:
    import numpy as np

    half = 0.5 * np.array([math.erfc(-z / math.sqrt(2.0)) for z in positions.flat])
    return half.reshape(positions.shape)
