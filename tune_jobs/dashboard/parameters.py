"""Figures of parameters: parallel coordinates and slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tune_jobs.core.no_best import describe_standing
from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, layout, short, thin
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameter_axes import (
    Axis,
    axis_info,
    fill_absent,
    find_range,
    parameter_names,
    tick_attributes,
)

__all__ = [
    "axis_info",
    "draw_parallel",
    "parallel_axes",
    "parallel_figure",
    "parameter_names",
    "slice_figure",
]

LABEL = 18
"""Characters of a name above an axis of parallel coordinates."""

MANY_AXES = 5
"""Axes above which their names are turned, so that they do not overlap."""


def parallel_figure(study: Study, objective: int = 0) -> Figure:
    """Return parallel coordinates of the trials that can be the best, colored by value."""
    trials = thin(study.candidates(), MANY_POINTS)
    values = [t.values[objective] for t in trials]
    return draw_parallel(
        trials, values, study.metrics[objective], study.maximize[objective], objective=objective
    )


def draw_parallel(
    trials: Sequence[Trial],
    colors: Sequence[float],
    label: str,
    maximize: bool,
    *,
    scale: Any = None,
    objective: int = 0,
) -> Figure:
    """Return parallel coordinates of trials.

    Args:
        trials: Trials with values.
        colors: A number for each trial, which its color depends on.
        label: Name of the objective.
        maximize: Whether it is maximized.
        scale: Plotly's color scale; None for the default, with a legend.
        objective: Position of the objective.
    """
    axes = parallel_axes(trials, label, objective)
    line: Figure = {"color": list(colors), "colorscale": scale or "Viridis", "showscale": True}
    if scale is None:
        line["reversescale"] = not maximize
    else:
        line["showscale"] = False
    is_turned = len(axes) > MANY_AXES
    return {
        "data": [
            {
                "type": "parcoords",
                "line": line,
                "dimensions": [_dimension(axis) for axis in axes],
                "labelangle": -25 if is_turned else 0,
                "customdata": [t.number for t in trials],
            }
        ],
        "layout": {"margin": {"l": 90, "r": 90, "t": 100 if is_turned else 60, "b": 30}},
    }


def parallel_axes(trials: Sequence[Trial], label: str, objective: int) -> list[Axis]:
    """Return the axes of parallel coordinates: an objective, and the parameters that vary."""
    return [
        Axis(label, [t.values[objective] for t in trials]),
        *(fill_absent(axis_info(name, trials)) for name in parameter_names(trials)),
    ]


def _dimension(axis: Axis) -> Figure:
    return {
        "label": shorten_middle(axis.name, LABEL),
        "values": list(axis.positions),
        "range": list(find_range(axis)),
        "tickformat": "~g",
        **tick_attributes(axis),
    }


def shorten_middle(name: str, max_length: int) -> str:
    """Return a name of at most ``max_length`` characters that keeps its begin and its end."""
    whole = short(name)
    if len(whole) <= max_length:
        return whole
    end = max_length // 2
    return f"{whole[: max_length - end - 1]}\u2026{whole[-end:]}"


def slice_figure(study: Study, objective: int = 0) -> Figure:
    """Return a figure of the value against each parameter, side by side.

    Symbols of trials that cannot be the best are open.
    """
    trials = thin(study.complete(), MANY_POINTS)
    names = parameter_names(trials)
    symbols = ["circle" if t.result.is_candidate else "circle-open" for t in trials]
    notes = [describe_standing(t.result) for t in trials]
    data: list[Figure] = []
    boxes = {}
    for i, name in enumerate(names):
        axis = axis_info(name, trials)
        n = "" if i == 0 else str(i + 1)
        data.append(
            {
                "type": "scattergl" if len(trials) * len(names) > MANY_POINTS else "scatter",
                "mode": "markers",
                "x": list(axis.positions),
                "y": [t.values[objective] for t in trials],
                "xaxis": f"x{n}",
                "marker": {
                    "color": [t.number for t in trials],
                    "colorscale": "Viridis",
                    "size": 6,
                    "symbol": symbols,
                    "line": {"width": 0.5, "color": "#64748b"},
                },
                "text": [short(note) for note in notes],
                "customdata": [t.number for t in trials],
                "showlegend": False,
                "hovertemplate": "trial %{customdata}: %{y:.6g} %{text}<extra></extra>",
            }
        )
        boxes[f"xaxis{n}"] = {**_slice_domain(i, len(names)), **_slice_axis(name, axis, len(names))}
    return {"data": data, "layout": {**layout("", study.metrics[objective]), **boxes}}


def _slice_domain(i: int, count: int) -> Figure:
    gap = 0.03 if count < 7 else 0.015
    width = (1.0 - gap * (count - 1)) / count
    return {"domain": [i * (width + gap), i * (width + gap) + width]}


def _slice_axis(name: str, axis: Axis, count: int) -> Figure:
    title = shorten_middle(name, max(8, 90 // count))
    if axis.log and count > 3:
        axis = replace(axis, ticks=axis.ticks[:: math.ceil(len(axis.ticks) / 4)])
    return {
        "title": {"text": title},
        "automargin": True,
        "nticks": 5,
        **tick_attributes(axis),
    }
