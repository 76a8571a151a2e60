"""The values of complete trials by trial number, and the best value so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.core.best_trials import Standing
from tune_jobs.dashboard.drawing import (
    COLORS,
    MANY_POINTS,
    Figure,
    layout,
    scatter_type,
    short,
    thin,
)
from tune_jobs.dashboard.model import Study


@dataclass(frozen=True)
class History:
    """Values of complete trials by trial number, and the best value so far.

    Args:
        numbers, values: Of the trials that can be the best.
        excluded: Number and value of the others, by what they are: "infeasible", "replicate".
    """

    metric: str
    numbers: Sequence[int]
    values: Sequence[float]
    best_numbers: Sequence[int]
    best: Sequence[float]
    excluded: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)


def history_info(study: Study, objective: int = 0) -> History:
    """Return the optimization history of one objective, by trial number."""
    points = {
        standing: [
            (t.number, t.values[objective]) for t in trials if math.isfinite(t.values[objective])
        ]
        for standing, trials in study.complete_by_standing().items()
    }
    done = points.pop(Standing.CANDIDATE)
    best_numbers, best = best_so_far(done, study.maximize[objective])
    return History(
        study.metrics[objective],
        [number for number, _ in done],
        [value for _, value in done],
        best_numbers,
        best,
        {standing.value: found for standing, found in points.items() if found},
    )


def best_so_far(
    points: Sequence[tuple[float, float]], maximize: bool
) -> tuple[list[Any], list[float]]:
    """Return the positions and values at which the best value improved, and the last position."""
    xs: list[Any] = []
    ys: list[float] = []
    for x, y in points:
        if not ys or (y > ys[-1] if maximize else y < ys[-1]):
            xs.append(x)
            ys.append(y)
    if points and xs[-1] != points[-1][0]:
        xs.append(points[-1][0])
        ys.append(ys[-1])
    return xs, ys


def history_figure(study: Study, objective: int = 0) -> Figure:
    """Return a figure of the values of complete trials, with the best value so far as a line."""
    info = history_info(study, objective)
    kept = thin(list(zip(info.numbers, info.values, strict=True)), 5 * MANY_POINTS)
    marker = {"color": COLORS["COMPLETE"], "size": 6, "opacity": 0.6}
    data = [_points(kept, info.metric, marker, "trial %{x}: %{y:.6g}<extra></extra>")]
    data += [_excluded_trace(info, name) for name in info.excluded]
    data.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best value",
            "x": list(info.best_numbers),
            "y": list(info.best),
            "customdata": list(info.best_numbers),
            "line": {"shape": "hv", "color": COLORS["best"], "width": 2},
        }
    )
    return {"data": data, "layout": layout("trial", info.metric)}


def _excluded_trace(info: History, name: str) -> Figure:
    """Return a trace of the trials that cannot be the best because they are ``name``."""
    kept = thin(info.excluded[name], MANY_POINTS)
    marker = {"color": COLORS["excluded"], "symbol": "circle-open", "size": 6}
    hover = f"trial %{{x}}, {name}: %{{y:.6g}}<extra></extra>"
    return _points(kept, f"{short(info.metric)}, {name}", marker, hover)


def _points(kept: Sequence[tuple[int, float]], name: str, marker: Figure, hover: str) -> Figure:
    """Return a trace of trials: their numbers and values."""
    return {
        "type": scatter_type(kept),
        "mode": "markers",
        "name": short(name),
        "x": [n for n, _ in kept],
        "y": [v for _, v in kept],
        "customdata": [n for n, _ in kept],
        "marker": marker,
        "hovertemplate": hover,
    }
