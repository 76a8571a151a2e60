"""Axes of SVG images: where values are, and their ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tune_jobs.dashboard.drawing import Figure

TICKS = 5
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TIME_STEPS = (
    *(1.0, 2.0, 5.0, 10.0, 30.0, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY),
)
"""Steps between the ticks of a clock, in seconds."""


@dataclass(frozen=True)
class Axis:
    """An axis with numbers from ``low`` at ``begin`` to ``high`` at ``end``, in pixels.

    Args:
        low, high: Logarithms to base 10 on a logarithmic axis.
        begin, end: Pixels.
        layout: Plotly's attributes of the axis.
        categories: Strings, at 0, 1, 2 and so on; empty if it has numbers.
    """

    low: float
    high: float
    begin: float
    end: float
    layout: Mapping[str, Any]
    categories: Sequence[str] = ()

    @property
    def is_log(self) -> bool:
        """Whether it is logarithmic."""
        return self.layout.get("type") == "log"

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.layout.get("title", {}).get("text", ""))

    def read(self, value: object) -> float | None:
        """Return where a value is on the axis; None if it is not on it."""
        if self.categories:
            text = str(value)
            return float(self.categories.index(text)) if text in self.categories else None
        return read_number(value, is_log=self.is_log)

    def place(self, position: float) -> float:
        """Return the pixel of a position."""
        share = (position - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def list_ticks(self) -> list[tuple[float, str]]:
        """Return positions and labels."""
        if self.categories:
            return [(float(i), name) for i, name in enumerate(self.categories)]
        if "tickvals" in self.layout:
            labels = self.layout.get("ticktext", self.layout["tickvals"])
            given = [
                (self.read(v), str(t))
                for v, t in zip(self.layout["tickvals"], labels, strict=False)
            ]
            return [(p, t) for p, t in given if p is not None and self.low <= p <= self.high]
        if self.layout.get("type") == "date":
            return _list_times(self.low, self.high)
        if self.is_log:
            powers = range(math.ceil(self.low), math.floor(self.high) + 1)
            return [(float(power), f"{10.0**power:g}") for power in powers]
        step = max(self._find_step(), float(self.layout.get("dtick", 0.0)))
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)]

    def _find_step(self) -> float:
        rough = (self.high - self.low) / TICKS
        unit = 10.0 ** math.floor(math.log10(rough))
        return next(unit * n for n in (1, 2, 5, 10) if unit * n >= rough)


def read_number(value: object, *, is_log: bool = False) -> float | None:
    """Return a number as an axis has it; None if it is not finite, or has no logarithm."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if not is_log:
        return float(value)
    return math.log10(value) if value > 0 else None


def make_axis(layout: Figure, values: Iterable[object], begin: float, end: float) -> Axis | None:
    """Return an axis with all values on it; None if there are none."""
    found = list(values)
    if layout.get("autorange") == "reversed":
        begin, end = end, begin
    if strings := list(dict.fromkeys(v for v in found if isinstance(v, str))):
        return Axis(-0.6, len(strings) - 0.4, begin, end, layout, strings)
    is_log = layout.get("type") == "log"
    numbers = [n for v in found if (n := read_number(v, is_log=is_log)) is not None]
    if not numbers:
        return None
    low, high = layout.get("range") or _widen(numbers)
    return Axis(float(low), float(high), begin, end, layout)


def _widen(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis with these values on it."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _list_times(low: float, high: float) -> list[tuple[float, str]]:
    """Return ticks of a clock, in milliseconds since the epoch; their labels are in UTC."""
    rough = (high - low) / 1000.0 / TICKS
    step = next(
        (s for s in _TIME_STEPS if s >= rough), _TIME_STEPS[-1] * math.ceil(rough / _TIME_STEPS[-1])
    )
    pattern = "%Y-%m-%d" if step >= _DAY else "%H:%M" if step >= _MINUTE else "%H:%M:%S"
    first, last = math.ceil(low / 1000.0 / step), math.floor(high / 1000.0 / step)
    return [
        (n * step * 1000.0, datetime.fromtimestamp(n * step, UTC).strftime(pattern))
        for n in range(first, last + 1)
    ]
