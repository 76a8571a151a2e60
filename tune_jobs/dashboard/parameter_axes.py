"""Parameters on axes: numbers, logarithms, and categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from tune_jobs.core.formatting import format_parameter
from tune_jobs.dashboard.drawing import Figure, bound, short
from tune_jobs.dashboard.model import Trial

MAX_PARAMETERS = 12
MANY_TICKS = 6
MANY_CATEGORIES = 30
MANY_DECADES = 3
"""Decades from which numbers are on a log axis if the search space does not say their scale, and
from which only powers of ten have ticks."""

TICK = 14
"""Characters of a category at an axis."""


@dataclass(frozen=True)
class Axis:
    """A parameter on a numeric axis.

    Args:
        name: Name of the parameter.
        positions: One for each trial; None where the trial does not have the parameter.
        ticks: Positions and their labels; empty if the positions are their own labels.
        log: Whether the positions are logarithms to base 10.
        categories: Number of categories; 0 if the parameter is a number.
    """

    name: str
    positions: Sequence[float | None]
    ticks: Sequence[tuple[float, str]] = ()
    log: bool = False
    categories: int = 0


def axis_info(name: str, trials: Sequence[Trial]) -> Axis:
    """Return a parameter of these trials on an axis of the scale that it was suggested with."""
    present = [t.params[name] for t in trials if name in t.params]
    if not present:
        return Axis(name, [None] * len(trials))
    if all(is_number(v) for v in present):
        low, high = min(present), max(present)
        if low > 0 and _is_log(name, trials, low, high):
            logs = [math.log10(t.params[name]) if name in t.params else None for t in trials]
            return Axis(name, logs, log_ticks(low, high), log=True)
        return Axis(name, [bound(t.params[name]) if name in t.params else None for t in trials])
    known = [format_parameter(t.params[name]) if name in t.params else None for t in trials]
    labels = sorted({label for label in known if label is not None})
    position = {label: float(i) for i, label in enumerate(labels)}
    positions = [None if label is None else position[label] for label in known]
    every = math.ceil(len(labels) / MANY_CATEGORIES)
    ticks = [(p, short(label, TICK)) for label, p in position.items()][::every]
    return Axis(name, positions, ticks, categories=len(labels))


def _is_log(name: str, trials: Sequence[Trial], low: float, high: float) -> bool:
    """Return whether positive numbers are on a log axis: their distributions decide.

    Without distributions of numbers, or with some of either scale, the range decides.
    """
    found = [t.distributions.get(name) for t in trials if name in t.params]
    scales = {d.log if isinstance(d, FloatDistribution | IntDistribution) else None for d in found}
    if len(scales) == 1 and (log := scales.pop()) is not None:
        return log
    return spans_decades(low, high)


def spans_decades(low: float, high: float) -> bool:
    """Return whether a range is so wide that a log scale is likely."""
    return low > 0 and math.log10(high) - math.log10(low) >= MANY_DECADES


def is_number(value: Any) -> bool:
    """Return whether a parameter's value has a place among numbers, which a boolean has not."""
    is_numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return is_numeric and abs(value) < math.inf


def parameter_names(trials: Sequence[Trial], most: int = MAX_PARAMETERS) -> list[str]:
    """Return the parameters that vary, the most frequent first."""
    values: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for trial in trials:
        for name, value in trial.params.items():
            distinct = values.setdefault(name, set())
            if len(distinct) < 2:
                distinct.add(format_parameter(value))
            counts[name] = counts.get(name, 0) + 1
    names = [name for name, distinct in values.items() if len(distinct) > 1]
    return sorted(names, key=lambda name: -counts[name])[:most]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return ticks as logarithms and labels: at powers of ten, and between a few of them."""
    decades = math.log10(high) - math.log10(low)
    if decades < 1:
        return [(math.log10(float(label)), label) for _, label in linear_ticks(low, high)]
    if decades < MANY_DECADES:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        marks = [m * 10.0**power for power in powers for m in (1, 2, 5)]
        return [(math.log10(m), f"{m:g}") for m in marks if low <= m <= high]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = math.ceil((last - first) / MANY_TICKS)
    return [(float(d), _format_power(d)) for d in range(first, last + 1, every)]


def _format_power(exponent: int) -> str:
    return f"{10.0**exponent:g}" if -3 <= exponent <= 4 else f"1e{exponent}"


MIN_SPAN = 1e-300
"""Length of an axis below which only its ends have ticks."""


def linear_ticks(low: float, high: float, *, whole: bool = False) -> list[tuple[float, str]]:
    """Return about five round numbers from ``low`` to ``high`` with their labels.

    Args:
        low, high: Ends of the axis.
        whole: Whether its positions are integers, and so are the numbers.
    """
    span = high - low
    if not span > 0:
        return [(low, f"{low:.4g}")]
    if span == math.inf or span < MIN_SPAN:  # no float is a fifth of it
        return [(low, f"{low:.4g}"), (high, f"{high:.4g}")]
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= MANY_TICKS)
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step), math.floor(high / step)
    return [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)]


def fill_absent(axis: Axis) -> Axis:
    """Return an axis on which a trial without the parameter is below all that have it.

    Lines across parallel axes have no gaps.
    """
    present = [p for p in axis.positions if p is not None]
    if len(present) == len(axis.positions):
        return axis
    low, high = min(present, default=0.0), max(present, default=1.0)
    absent = min([low, *(p for p, _ in axis.ticks)]) - 0.15 * ((high - low) or 1.0)
    ticks = [(absent, "(none)"), *find_ticks(axis)]
    return replace(
        axis, positions=[absent if p is None else p for p in axis.positions], ticks=ticks
    )


def find_range(axis: Axis) -> tuple[float, float]:
    """Return the positions at the ends of a parallel axis."""
    present = [p for p in axis.positions if p is not None]
    low, high = min(present, default=0.0), max(present, default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def find_ticks(axis: Axis) -> Sequence[tuple[float, str]]:
    """Return the ticks of an axis; round numbers of one whose positions are their own labels."""
    present = [p for p in axis.positions if p is not None]
    whole = all(float(p).is_integer() for p in present)
    return axis.ticks or linear_ticks(*find_range(axis), whole=whole)


def tick_attributes(axis: Axis) -> Figure:
    """Return the attributes of Plotly's axis that place the ticks of a parameter."""
    if not axis.ticks:
        return {}
    return {"tickvals": [p for p, _ in axis.ticks], "ticktext": [label for _, label in axis.ticks]}
