"""Figures that compare studies; what would be too much for a browser is thinned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, layout, name_positions, short, thin
from tune_jobs.dashboard.importance import importance_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameters import draw_parallel
from tune_jobs.dashboard.races import X_AXES, list_axes, quantile, race_figure
from tune_jobs.dashboard.study_groups import Entry, list_entries, place_legend

FEW = 8
"""Studies up to which importance is drawn as bars, and beyond which as colors."""

IMPORTANCE_TRIALS = 4000
"""Trials of all studies together from which importance is computed."""

FEWEST_TRIALS = 80
"""Trials of a study from which its importance is computed, however many studies there are."""

MAX_IMPORTANT = 12
"""Parameters whose importance is drawn."""

ROW = 26
"""Height in pixels of what a figure shows of one study or parameter."""

Importances = Sequence[tuple[str, float]]


def comparison_figures(studies: Sequence[Study]) -> dict[str, tuple[str, Figure]]:
    """Return title and figure of all figures of a comparison, by name."""
    entries = list_entries(studies)
    figures = {
        f"race-{axis}": (f"Best value by {X_AXES[axis][0]}", race_figure(entries, axis))
        for axis in list_axes(studies)
    }
    for name, (title, draw) in FIGURES.items():
        figures[name] = (title, draw(entries))
    return figures


def distribution_figure(entries: Sequence[Entry]) -> Figure:
    """Return box plots of the values of the trials that can be the best, one for each study."""
    data: list[Figure] = []
    for position, entry in enumerate(entries):
        values = sorted(t.values[0] for t in entry.study.candidates())
        if values:
            data += _draw_box(entry, position, values)
    names = [entry.name for entry in entries]
    metric = entries[0].study.metrics[0] if entries else ""
    axis = {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "range": [len(names) - 0.4, -0.6],
    }
    height = max(320, 110 + ROW * len(names))
    return {"data": data, "layout": layout(metric, "", showlegend=False, yaxis=axis, height=height)}


def _draw_box(entry: Entry, position: int, values: Sequence[float]) -> list[Figure]:
    """Return a box without the values beyond its whiskers, and a mark at the best value."""
    first, median, third = (quantile(values, share) for share in (0.25, 0.5, 0.75))
    reach = 1.5 * (third - first)
    inside = [v for v in values if first - reach <= v <= third + reach]
    best = values[-1] if entry.study.maximize[0] else values[0]
    box: Figure = {
        "type": "box",
        "orientation": "h",
        "name": entry.name,
        "y": [position],
        "q1": [first],
        "median": [median],
        "q3": [third],
        "lowerfence": [inside[0]],
        "upperfence": [inside[-1]],
        "marker": {"color": entry.color},
        "line": {"width": 1.5, "color": entry.color},
        "hoverinfo": "x+name",
    }
    mark: Figure = {
        "type": "scatter",
        "mode": "markers",
        "name": f"best of {entry.name}",
        "x": [best],
        "y": [position],
        "marker": {"color": entry.color, "symbol": "diamond", "size": 9},
        "hovertemplate": "best: %{x:.6g}<extra>%{fullData.name}</extra>",
    }
    return [box, mark]


def together_figure(entries: Sequence[Entry]) -> Figure:
    """Return parallel coordinates of the trials that can be the best, colored by study."""
    share = max(1, MANY_POINTS // max(1, len(entries)))
    trials: list[Trial] = []
    positions: list[float] = []
    colors = list(dict.fromkeys(entry.color for entry in entries))
    for entry in entries:
        kept = thin(entry.study.candidates(), share)
        trials += kept
        positions += [float(colors.index(entry.color))] * len(kept)
    study = entries[0].study
    figure = draw_parallel(
        trials, positions, study.metrics[0], study.maximize[0], scale=_color_scale(colors)
    )
    # Without them, the range of those that are there would be spread over all colors.
    figure["data"][0]["line"].update(cmin=0.0, cmax=float(max(1, len(colors) - 1)))
    return figure


def _color_scale(colors: Sequence[str]) -> list[list[Any]]:
    if len(colors) == 1:
        return [[0, colors[0]], [1, colors[0]]]
    return [[i / (len(colors) - 1), color] for i, color in enumerate(colors)]


def compute_importance(study: Study, studies: int) -> Importances:
    """Return the importance of a study's parameters, from a share of a budget of trials.

    Args:
        study: The study.
        studies: Number of studies that are compared.
    """
    most = importance_trials(studies)
    return importance_info(dataclasses.replace(study, trials=thin(study.candidates(), most)))


def importance_trials(studies: int) -> int:
    """Return from how many trials of each study its importance is computed."""
    return min(MANY_POINTS, max(FEWEST_TRIALS, IMPORTANCE_TRIALS // max(1, studies)))


def importances_figure(
    entries: Sequence[Entry], importances: Mapping[str, Importances] | None = None
) -> Figure:
    """Return a figure of the parameter importances of all studies, side by side.

    Args:
        entries: The studies.
        importances: By the key of a study, if they are known already.
    """
    found = [
        dict(
            importances[entry.study.key]
            if importances is not None
            else compute_importance(entry.study, len(entries))
        )
        for entry in entries
    ]
    totals: dict[str, float] = {}
    for each in found:
        for name, value in each.items():
            totals[name] = totals.get(name, 0.0) + value
    names = sorted(totals, key=lambda name: -totals[name])[:MAX_IMPORTANT]
    draw = _draw_bars if len(entries) <= FEW else _draw_colors
    return draw(entries, found, names)


def _draw_bars(
    entries: Sequence[Entry], found: Sequence[Mapping[str, float]], names: Sequence[str]
) -> Figure:
    data = [
        {
            "type": "bar",
            "name": entry.name,
            "x": list(range(len(names))),
            "y": [each.get(name) for name in names],
            "text": [short(name) for name in names],
            "textposition": "none",
            "marker": {"color": entry.color},
            "hovertemplate": "%{text}: %{y:.3f}<extra>%{fullData.name}</extra>",
        }
        for entry, each in zip(entries, found, strict=True)
        if each
    ]
    return {
        "data": data,
        "layout": layout(
            "",
            "importance",
            xaxis=name_positions(names),
            barmode="group",
            **place_legend(len(entries)),
        ),
    }


def _draw_colors(
    entries: Sequence[Entry], found: Sequence[Mapping[str, float]], names: Sequence[str]
) -> Figure:
    """Return a figure with a row for each study, in the order of the comparison."""
    heat: Figure = {
        "type": "heatmap",
        "x": list(range(len(names))),
        "y": list(range(len(entries))),
        "z": [[each.get(name) for name in names] for each in found],
        "colorscale": "Viridis",
        "zmin": 0.0,
        "zmax": 1.0,
        "colorbar": {"thickness": 12},
        "text": [[f"{entry.name}, {short(name)}" for name in names] for entry in entries],
        "hovertemplate": "%{text}: %{z:.3f}<extra></extra>",
    }
    height = max(320, 110 + ROW * len(entries))
    rows = {**name_positions([entry.name for entry in entries]), "autorange": "reversed"}
    columns = name_positions(names)
    return {"data": [heat], "layout": layout("", "", xaxis=columns, yaxis=rows, height=height)}


FIGURES: Mapping[str, tuple[str, Callable[[Sequence[Entry]], Figure]]] = {
    "distribution": ("Distribution of values", distribution_figure),
    "together": ("Parallel coordinates by study", together_figure),
    "importances": ("Parameter importance", importances_figure),
}
