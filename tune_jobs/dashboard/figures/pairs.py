"""Figures of two parameters: contour and rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.best_trials import Standing
from tune_jobs.dashboard.drawing import COLORS, MANY_POINTS, Figure, layout, scatter_type, thin
from tune_jobs.dashboard.figures.choices import DEFAULTS, Chosen, read_pair
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameter_axes import Axis, axis_info, tick_attributes

GRID = 40
"""Points of the grid of a contour, in each direction of a number."""

MANY_PLACES = 1000
"""Places between which a contour is interpolated."""


@dataclass(frozen=True)
class Pair:
    """Two parameters of trials, and the value of an objective.

    Args:
        trials: Complete trials that have both parameters and a finite value.
        x, y: The parameters.
        values: Value of each trial.
        metric: Name of the objective.
        maximize: Whether it is maximized.
    """

    trials: Sequence[Trial]
    x: Axis
    y: Axis
    values: Sequence[float]
    metric: str
    maximize: bool

    @property
    def points(self) -> list[tuple[float, float]]:
        """Positions of the trials."""
        both = zip(self.x.positions, self.y.positions, strict=True)
        return [(x, y) for x, y in both if x is not None and y is not None]


def pair_info(study: Study, chosen: Chosen = DEFAULTS) -> Pair:
    """Return the chosen parameters and objective, of at most `MANY_POINTS` trials."""
    objective, x, y = read_pair(study, chosen)
    both = [t for t in study.with_value(objective) if x in t.params and y in t.params]
    trials = thin(both, MANY_POINTS)
    return Pair(
        trials,
        axis_info(x, trials),
        axis_info(y, trials),
        [t.values[objective] for t in trials],
        study.metrics[objective],
        study.maximize[objective],
    )


@dataclass(frozen=True)
class Surface:
    """Values on a grid; None where there are no trials around."""

    x: Sequence[float]
    y: Sequence[float]
    values: Sequence[Sequence[float | None]]


def surface_info(pair: Pair) -> Surface:
    """Interpolate the values between trials, linearly between numbers.

    Numbers are interpolated within the triangles that neighboring trials form (Delaunay), on
    axes scaled to equal lengths; beyond the outermost trials there is no value. Of trials at the
    same place the best one counts. Nothing is interpolated between categories.
    """
    best = dict(thin(list(_best_by_point(pair).items()), MANY_PLACES))
    xs, ys = _grid(pair.x), _grid(pair.y)
    if pair.x.categories and pair.y.categories:
        return Surface(xs, ys, [[best.get((x, y)) for x in xs] for y in ys])
    if pair.x.categories:
        lines = [{y: v for (at, y), v in best.items() if at == x} for x in xs]
        columns = [_interpolate_line(line, ys) for line in lines]
        return Surface(xs, ys, [[column[i] for column in columns] for i in range(len(ys))])
    if pair.y.categories:
        lines = [{x: v for (x, at), v in best.items() if at == y} for y in ys]
        return Surface(xs, ys, [_interpolate_line(line, xs) for line in lines])
    return Surface(xs, ys, _interpolate_plane(best, xs, ys))


def _best_by_point(pair: Pair) -> dict[tuple[float, float], float]:
    best: dict[tuple[float, float], float] = {}
    better = max if pair.maximize else min
    for point, value in zip(pair.points, pair.values, strict=True):
        best[point] = better(best.get(point, value), value)
    return best


def _grid(axis: Axis) -> list[float]:
    if axis.categories:
        return [float(i) for i in range(axis.categories)]
    present = [p for p in axis.positions if p is not None]
    low, high = min(present, default=0.0), max(present, default=1.0)
    return [low + (high - low) * i / (GRID - 1) for i in range(GRID)]


def _interpolate_line(known: dict[float, float], positions: Sequence[float]) -> list[float | None]:
    import numpy as np

    if not known:
        return [None] * len(positions)
    places, values = zip(*sorted(known.items()), strict=True)
    if len(places) == 1:
        nearest = min(positions, key=lambda p: abs(p - places[0]))
        return [values[0] if p == nearest else None for p in positions]
    found = np.interp(positions, places, values, left=math.nan, right=math.nan)
    return _to_list(found)


def _interpolate_plane(
    best: dict[tuple[float, float], float], xs: Sequence[float], ys: Sequence[float]
) -> list[list[float | None]]:
    import numpy as np
    from scipy.interpolate import LinearNDInterpolator
    from scipy.spatial import QhullError

    corner = np.array([xs[0], ys[0]])
    extent = np.array([xs[-1] - xs[0] or 1.0, ys[-1] - ys[0] or 1.0])
    if len(best) < 3:
        return [[None] * len(xs) for _ in ys]
    points = (np.array(list(best)) - corner) / extent
    unit = np.linspace(0.0, 1.0, GRID)
    try:
        interpolate = LinearNDInterpolator(points, np.array(list(best.values())))
    except QhullError:  # all on one line
        return [[None] * len(xs) for _ in ys]
    return [_to_list(row) for row in interpolate(*np.meshgrid(unit, unit))]


def _to_list(values: Any) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]


def contour_figure(study: Study, chosen: Chosen = DEFAULTS) -> Figure:
    """Return a figure of the value over two parameters, with the trials on it."""
    pair = pair_info(study, chosen)
    surface = surface_info(pair)
    has_categories = bool(pair.x.categories or pair.y.categories)
    background: Figure = {
        "type": "heatmap" if has_categories else "contour",
        "x": list(surface.x),
        "y": list(surface.y),
        "z": [list(row) for row in surface.values],
        "colorscale": "Viridis",
        "reversescale": not pair.maximize,
        "colorbar": {"thickness": 12, "tickformat": "~g"},
        "hoverinfo": "skip",
    }
    if not has_categories:
        background["contours"] = {"coloring": "heatmap"}
        background["line"] = {"width": 0.5, "color": "rgba(255,255,255,0.5)"}
    groups = (
        ("feasible", [t.standing is not Standing.INFEASIBLE for t in pair.trials], "#0f172a"),
        ("infeasible", [t.standing is Standing.INFEASIBLE for t in pair.trials], "#ef4444"),
    )
    data = [background]
    for name, members, color in groups:
        if any(members):
            marker = {"color": color, "size": 5, "line": {"width": 1, "color": "#e2e8f0"}}
            if name == "infeasible":
                marker = {"color": color, "size": 6, "symbol": "x-thin-open"}
            data.append(_points(pair, members, name, marker))
    return {"data": data, "layout": _pair_layout(pair)}


def _points(pair: Pair, members: Sequence[bool], name: str, marker: Figure) -> Figure:
    """Return a trace of some of the trials."""
    chosen = [i for i, is_member in enumerate(members) if is_member]
    points = pair.points
    return {
        "type": scatter_type(chosen),
        "mode": "markers",
        "name": name,
        "x": [points[i][0] for i in chosen],
        "y": [points[i][1] for i in chosen],
        "text": [f"{pair.values[i]:.6g}" for i in chosen],
        "customdata": [pair.trials[i].number for i in chosen],
        "marker": marker,
        "hovertemplate": "trial %{customdata}: %{text}<extra></extra>",
    }


def _pair_layout(pair: Pair) -> Figure:
    note = {"text": "no trial has both parameters", "showarrow": False}
    center = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    return layout(
        pair.x.name,
        pair.y.name,
        annotations=[] if pair.trials else [{**note, **center}],
        xaxis={"zeroline": False, **tick_attributes(pair.x)},
        yaxis={"zeroline": False, **tick_attributes(pair.y)},
    )


def rank_info(pair: Pair) -> list[float]:
    """Return the rank of each trial: 0 for the best value, 1 for the worst; equal ones share it."""
    import numpy as np
    from scipy.stats import rankdata

    losses = np.array(pair.values) * (-1.0 if pair.maximize else 1.0)
    ranks = rankdata(losses, method="average") - 1.0
    return [float(rank) for rank in ranks / max(1, len(ranks) - 1)]


def rank_figure(study: Study, chosen: Chosen = DEFAULTS) -> Figure:
    """Return a figure of trials by two parameters, colored by the rank of their values."""
    pair = pair_info(study, chosen)
    ranks = rank_info(pair)
    data: list[Figure] = []
    for name, is_infeasible in (("feasible", False), ("infeasible", True)):
        members = [(t.standing is Standing.INFEASIBLE) == is_infeasible for t in pair.trials]
        if not any(members):
            continue
        marker: Figure = {
            "color": [rank for rank, member in zip(ranks, members, strict=True) if member],
            "colorscale": "Viridis",
            "reversescale": True,
            "cmin": 0.0,
            "cmax": 1.0,
            "size": 7,
            "symbol": "x" if is_infeasible else "circle",
            "showscale": not data,
            "line": {"width": 0.5, "color": COLORS["excluded"]},
            "colorbar": {
                "thickness": 12,
                "tickvals": [0.0, 0.5, 1.0],
                "ticktext": ["best", "median", "worst"],
            },
        }
        data.append(_points(pair, members, name, marker))
    return {"data": data, "layout": _pair_layout(pair)}
