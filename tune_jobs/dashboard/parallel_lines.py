"""Parallel coordinates as lines on ordinary axes: for paper, and where there is no WebGL."""

from __future__ import annotations

from collections.abc import Sequence

from tune_jobs.dashboard.drawing import COLORS, Figure, thin
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameter_axes import Axis, find_range, find_ticks
from tune_jobs.dashboard.parameters import parallel_axes, shorten_middle

VIRIDIS = (
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
)
"""Plotly's scale of this name; lines of one color are one trace."""

MANY_LINES = 500
"""Trials that are drawn: more lines would hide each other."""

FEW_LINES = 100
"""Lines up to which they are as wide as those of other figures."""

LABELS = 110
"""Characters of all names above the axes together."""

_INK, _PAPER, _RULE = "#16202e", "rgba(255,255,255,0.75)", "#94a3b8"


def parallel_lines_figure(study: Study, objective: int = 0) -> Figure:
    """Return parallel coordinates of the trials that can be the best, as lines.

    The axes are those of `parallel_figure`, and so are the colors. Better trials are drawn above
    worse ones, and the best one is thick.
    """
    metric, maximize = study.metrics[objective], study.maximize[objective]
    trials = _choose_trials(study.candidates(), objective, maximize)
    axes = parallel_axes(trials, metric, objective)
    columns = [_scale(axis) for axis in axes]
    lines = [list(line) for line in zip(*columns, strict=True)]
    values = [t.values[objective] for t in trials]
    colors = _choose_colors(values)
    worst_first = sorted(range(len(trials)), key=lambda i: values[i], reverse=not maximize)
    width = 1.0 if len(trials) <= FEW_LINES else 0.6
    data: list[Figure] = []
    for color in dict.fromkeys(colors[i] for i in worst_first):
        members = [i for i in worst_first if colors[i] == color]
        shade = VIRIDIS[color if maximize else -1 - color]
        trace = _draw_lines([lines[i] for i in members], shade, width)
        data.append({**trace, "opacity": 0.75})
    if worst_first:
        best = worst_first[-1]
        name = f"trial {trials[best].number}"
        data.append({**_draw_lines([lines[best]], COLORS["best"], 3.0), "name": name})
    data.append(_draw_scale(values, metric, maximize))
    return {"data": data, "layout": _layout(axes)}


def _choose_trials(candidates: Sequence[Trial], objective: int, maximize: bool) -> list[Trial]:
    """Return the best trial and a sample of the others, by number."""
    sign = -1.0 if maximize else 1.0
    best = min(candidates, key=lambda t: (sign * t.values[objective], t.number), default=None)
    others = thin([t for t in candidates if t is not best], MANY_LINES - 1)
    return sorted([*others, *([best] if best else [])], key=lambda t: t.number)


def _scale(axis: Axis) -> list[float]:
    """Return the positions as shares of the axis: 0 at its lower end, 1 at its upper one."""
    return [_place(p, axis) for p in axis.positions if p is not None]


def _place(position: float, axis: Axis) -> float:
    low, high = find_range(axis)
    return round(_share(position, low, high), 4)


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two others; halves, as a difference may overflow."""
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.0


def _choose_colors(values: Sequence[float]) -> list[int]:
    """Return positions in `VIRIDIS`, by the share of the range of values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        return [0] * len(values)
    return [min(len(VIRIDIS) - 1, int(_share(v, low, high) * len(VIRIDIS))) for v in values]


def _draw_lines(lines: Sequence[Sequence[float]], color: str, width: float) -> Figure:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for line in lines:
        xs += [*map(float, range(len(line))), None]
        ys += [*line, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs[:-1],
        "y": ys[:-1],
        "line": {"color": color, "width": width},
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _draw_scale(values: Sequence[float], metric: str, maximize: bool) -> Figure:
    """Return a trace without points that has the color scale."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "showlegend": False,
        "marker": {
            "color": [0.0],
            "cmin": min(values, default=0.0),
            "cmax": max(values, default=1.0),
            "colorscale": "Viridis",
            "reversescale": not maximize,
            "showscale": True,
            "colorbar": {"thickness": 10, "title": {"text": shorten_middle(metric, 14)}},
        },
    }


def _layout(axes: Sequence[Axis]) -> Figure:
    length = max(6, LABELS // max(1, len(axes)))
    names = [shorten_middle(axis.name, length) for axis in axes]
    rules = [
        {"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "line": {"color": _RULE, "width": 1}}
        for i in range(len(axes))
    ]
    return {
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": names,
            "side": "top",
            "showgrid": False,
            "zeroline": False,
            "range": [-0.4, len(axes) - 0.6],
        },
        "yaxis": {"visible": False, "range": [-0.06, 1.06]},
        "shapes": rules,
        "annotations": [
            _annotate(i, axis, *tick) for i, axis in enumerate(axes) for tick in _ticks(axis)
        ],
        "margin": {"l": 20, "r": 20, "t": 40, "b": 16},
        "hovermode": False,
    }


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    low, high = find_range(axis)
    return [(position, label) for position, label in find_ticks(axis) if low <= position <= high]


def _annotate(i: int, axis: Axis, position: float, label: str) -> Figure:
    return {
        "x": i,
        "y": _place(position, axis),
        "text": label,
        "showarrow": False,
        "xanchor": "right",
        "xshift": -3,
        "font": {"size": 10, "color": _INK},
        "bgcolor": _PAPER,
        "borderpad": 0,
    }
