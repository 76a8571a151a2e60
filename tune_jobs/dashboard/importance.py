"""Importance of parameters by PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023).

The same numbers as `optuna.importance.get_param_importances`, which tests compare. To import that
costs a second and 125 MB where scikit-learn is installed, more than all else that a dashboard does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

TOP = 0.1
"""Share of the trials, the best ones, in which a parameter that is important takes other values."""

STEPS = 50
"""Places of the grid on which the values of a number are counted."""

WIDE_RANGE = 1000.0
"""Ratio of the largest to the smallest value from which a number is counted by its logarithm."""

_SMALLEST = 1e-12
_MIN_WIDTH = 0.5 / 1.64
"""Width of a kernel of which 90 % are within one step of the grid."""


def measure_importance(
    columns: Sequence[Sequence[float] | Sequence[str]], values: Sequence[float], maximize: bool
) -> list[float]:
    """Return the importance of each parameter; the sum is 1.

    Args:
        columns: The values of each parameter: numbers, or categories.
        values: The finite value of the objective of each trial.
        maximize: Whether it is maximized.
    """
    import numpy as np

    losses = np.array(values) * (-1.0 if maximize else 1.0)
    last = math.ceil(TOP * len(losses)) - 1
    is_top = losses <= np.partition(losses, last)[last]
    share = float(np.mean(is_top))
    found = [share**2 * _measure_divergence(column, is_top) for column in columns]
    total = sum(found)
    return [each / total if total > 0.0 else 1.0 / len(found) for each in found]


def _measure_divergence(column: Sequence[Any], is_top: Any) -> float:
    """Return Pearson's divergence of the density of the best trials from that of all."""
    import numpy as np

    is_category = any(isinstance(value, str) for value in column)
    places, count = _find_categories(column) if is_category else _find_steps(column)
    if count == 1:
        return 0.0
    density = _categorical_density if is_category else _numerical_density
    top, whole = (
        density(np.bincount(chosen, minlength=count)) + _SMALLEST
        for chosen in (places[is_top], places)
    )
    return float(whole @ (top / whole - 1.0) ** 2)


def _find_categories(column: Sequence[str]) -> tuple[Any, int]:
    import numpy as np

    order = {choice: i for i, choice in enumerate(sorted(set(column)))}
    return np.array([order[value] for value in column]), len(order)


def _find_steps(column: Sequence[float]) -> tuple[Any, int]:
    """Return the place of each value on a grid between the smallest and the largest one."""
    import numpy as np

    positions = np.array(column, dtype=float)
    if positions.min() > 0.0 and positions.max() / positions.min() >= WIDE_RANGE:
        positions = np.log(positions)
    low, high = positions.min(), positions.max()
    if low == high:
        return np.zeros(len(positions), dtype=int), 1
    places = np.ceil((positions - low) / ((high - low) / (STEPS - 1)) - 0.5).astype(int)
    return places.clip(0, STEPS - 1), STEPS


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
