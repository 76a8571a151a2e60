"""All metrics that a run reported, by step, as figures.

A run's metrics are read as they grow, and thinned so that memory and answers are bounded.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.dashboard.drawing import COLORS, Figure, bound, clean, layout, short, thin
from tune_jobs.dashboard.model import Trial
from tune_jobs.dashboard.trial_history import find_pruning_step
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.records import Record, decode

MAX_FIGURES = 40
"""Metrics of a run that are drawn."""

MAX_POINTS = 20_000
"""Points of all figures of a run together."""

MANY = 2000
"""Points of one curve, at most."""

KEPT = 400_000
"""Points of all metrics of a run that are kept in memory; beyond that every second one is."""

_PIECE = 4 << 20
_FEW = 60


@dataclass
class Curve:
    """Values of a metric, by step."""

    steps: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


class RunCurves:
    """The metrics of one run, read incrementally.

    Args:
        name: Name of the run.
    """

    def __init__(self, name: str) -> None:
        self._path = f"metrics/{name}.jsonl"
        self._restart()

    def _restart(self) -> None:
        self.curves: dict[str, Curve] = {}
        self.last: dict[str, float] = {}
        self.has_steps = False
        self.total = 0
        self._offset = self._kept = self._records = 0

    def read(self, store: MetricStore) -> None:
        """Read what is new.

        Raises:
            StoreError: If the store cannot be read.
        """
        while True:
            part = store.read_part(self._path, self._offset, _PIECE)
            if part is not None and part.size < self._offset:
                self._restart()  # it was written anew
                continue
            if part is None or not part.data:
                return
            decoded = decode(part.data)
            for record in decoded.records:
                self._add(record)
            self._offset += decoded.consumed
            if not decoded.consumed or self._offset >= part.size:
                return

    def _add(self, record: Record) -> None:
        self._records += 1
        self.has_steps = self.has_steps or record.step is not None
        step = self._records if record.step is None else record.step
        for name, value in record.values.items():
            if name not in self.curves and len(self.curves) >= 10 * MAX_FIGURES:
                continue
            curve = self.curves.setdefault(name, Curve())
            curve.steps.append(step)
            curve.values.append(value)
            self.last[name] = value
            self.total += 1
            self._kept += 1
        if self._kept > KEPT:
            self._halve()

    def _halve(self) -> None:
        for curve in self.curves.values():
            curve.steps, curve.values = curve.steps[::2], curve.values[::2]
        self._kept = sum(len(curve.steps) for curve in self.curves.values())


def metrics_view(
    curves: RunCurves, trial: Trial, other: Trial | None, objectives: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of a run's metrics: objectives first.

    Args:
        curves: What the run reported.
        trial: Its trial: its intermediate values are drawn if the run's own are not known.
        other: The trial to compare with, if any.
        objectives: Names of the objectives.

    Returns:
        ``figures``; ``total``, the number of values; ``metrics``, that of metrics; and ``last``,
        the last value of each metric that is drawn.
    """
    known: dict[str, Curve] = dict(curves.curves)
    objective = objectives[0]
    if objective not in known and trial.steps:
        known[objective] = _curve(trial.steps)
    first = [name for name in objectives if name in known]
    names = [*first, *(name for name in known if name not in first)]
    shown = names[:MAX_FIGURES]
    points = min(MANY, max(100, MAX_POINTS // max(1, len(shown))))
    label = "step" if curves.has_steps or not curves.curves else "report"
    figures = []
    for place, name in enumerate(shown):
        is_objective = name == objective
        figure = _figure(
            name,
            known[name],
            points,
            label,
            pruned=find_pruning_step(trial) if is_objective else None,
            other=other if is_objective else None,
        )
        figures.append({"name": f"metric-{place}", "title": clean(name, 300), "figure": figure})
    last = {clean(name, 300): number(curves.last[name]) for name in shown if name in curves.last}
    return {"figures": figures, "metrics": len(names), "total": curves.total, "last": last}


def number(value: float) -> float | str:
    """Return a number as JSON has it: one that is not finite as a string."""
    return value if math.isfinite(value) else str(value)


def _curve(steps: Mapping[int, float]) -> Curve:
    return Curve(array("d", map(float, steps)), array("d", steps.values()))


def _figure(
    name: str,
    curve: Curve,
    points: int,
    label: str,
    *,
    pruned: tuple[int, float] | None,
    other: Trial | None,
) -> Figure:
    data: list[Figure] = []
    if other is not None and other.steps:
        trace = _trace(f"trial {other.number}", _curve(other.steps), points)
        trace["line"] = {"color": COLORS["excluded"], "width": 1.5, "dash": "dot"}
        data.append({**trace, "mode": "lines"})
    data.append({**_trace("this run", curve, points), "marker": {"size": 5}})
    data[-1]["line"] = {"color": COLORS["COMPLETE"], "width": 1.8}
    if pruned is not None:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "pruned here",
                "x": [pruned[0]],
                "y": [bound(pruned[1])],
                "marker": {"color": COLORS["PRUNED"], "symbol": "x", "size": 10},
                "hovertemplate": "pruned at step %{x}: %{y:.6g}<extra></extra>",
            }
        )
    single = len(data) == 1
    return {"data": data, "layout": layout(label, short(name), showlegend=not single)}


def _trace(name: str, curve: Curve, points: int) -> Figure:
    """Return a trace with a sample of the values; its first and last ones always."""
    order = range(len(curve.steps))
    kept = thin(order[1:-1], points - 2)
    kept = sorted({*order[:1], *kept, *order[-1:]})
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(kept) <= _FEW else "lines",
        "name": name,
        "x": [_whole(curve.steps[i]) for i in kept],
        "y": [bound(curve.values[i]) if math.isfinite(curve.values[i]) else None for i in kept],
        "hovertemplate": "%{x}: %{y:.6g}<extra></extra>",
    }


def _whole(step: float) -> float | int:
    return int(step) if step.is_integer() else step
