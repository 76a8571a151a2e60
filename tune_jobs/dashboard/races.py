"""Races: the best value so far of several studies against trials, time, run hours or cost."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, layout
from tune_jobs.dashboard.figures import best_so_far
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.study_groups import Entry, place_legend

HOUR = 3600.0
FEWEST_POINTS = 40
"""Points that a curve may have, however many studies there are."""

MARGIN = 0.05
"""Share of the range of values that is free above and below the curves."""

Points = list[tuple[float, float]]


def _against_trials(study: Study) -> Points:
    return _select_candidates([(float(i + 1), t) for i, t in enumerate(_sort_by_end(study))])


def _against_time(study: Study) -> Points:
    """Use the times of the runs if there are any: a simulation has a clock of its own."""
    ends = {r.trial: r.finished for r in study.runs if not r.is_final}
    begin = min((r.intended for r in study.runs), default=None)
    if begin is None:
        ends = {t.number: t.finished for t in study.trials}
        begin = min((t.started for t in study.trials if t.started is not None), default=0.0)
    done = [(ends.get(t.number), t) for t in _sort_by_end(study)]
    return _select_candidates([((end - begin) / HOUR, t) for end, t in done if end is not None])


def _against_hours(study: Study) -> Points:
    return _against(study, lambda t: t.run_hours)


def _against_money(study: Study) -> Points:
    return _against(study, lambda t: t.cost)


def _against(study: Study, cost: Callable[[Trial], float]) -> Points:
    """Return values against the cost of all trials that had finished by then."""
    used, points = 0.0, []
    for trial in sorted((t for t in study.trials if t.finished is not None), key=_end_key):
        used += cost(trial)
        points.append((used, trial))
    return _select_candidates(points)


def _select_candidates(points: Sequence[tuple[float, Trial]]) -> Points:
    """Return position and value of the trials that can be the best."""
    return [(x, trial.values[0]) for x, trial in points if trial.result.is_candidate]


def _sort_by_end(study: Study) -> list[Trial]:
    return sorted(study.complete(), key=_end_key)


def _end_key(trial: Trial) -> tuple[float, int]:
    return (trial.finished or 0.0, trial.number)


X_AXES: dict[str, tuple[str, Callable[[Study], Points]]] = {
    "trials": ("complete trials", _against_trials),
    "time": ("hours since the first trial", _against_time),
    "hours": ("run hours", _against_hours),
    "money": ("cost", _against_money),
}


def list_axes(studies: Sequence[Study]) -> list[str]:
    """Return the names of the axes on which these studies have something to show."""
    shown = {
        "hours": any(s.has_runs for s in studies),
        "money": any(t.cost for s in studies for t in s.trials),
    }
    return [axis for axis in X_AXES if shown.get(axis, True)]


@dataclass(frozen=True)
class Curve:
    """A step curve: each value holds from its position to the next one's."""

    xs: Sequence[float]
    ys: Sequence[float]

    def value_at(self, x: float) -> float:
        """Return the value at a position that is not before the first one."""
        return self.ys[bisect.bisect_right(self.xs, x) - 1]

    def thin(self, most: int) -> Curve:
        """Return a curve of at most ``most`` points; the first and the last are kept."""
        count = len(self.xs)
        if count <= most:
            return self
        kept = [i * (count - 1) // (most - 1) for i in range(most)]
        return Curve([self.xs[i] for i in kept], [self.ys[i] for i in kept])


@dataclass(frozen=True)
class Band:
    """Median and quartiles of the curves of a group, from where all of them have a value."""

    xs: Sequence[float]
    lower: Sequence[float]
    median: Sequence[float]
    upper: Sequence[float]


def band_info(curves: Sequence[Curve], most: int) -> Band:
    """Return median and quartiles of step curves; a curve that has ended keeps its last value."""
    begin = max(curve.xs[0] for curve in curves)
    positions = {x for curve in curves for x in curve.xs if x > begin} | {begin}
    xs = Curve(sorted(positions), sorted(positions)).thin(most).xs
    columns = [sorted(curve.value_at(x) for curve in curves) for x in xs]
    lower, median, upper = (
        [quantile(column, share) for column in columns] for share in (0.25, 0.5, 0.75)
    )
    return Band(xs, lower, median, upper)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of ordered values, with linear interpolation."""
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def race_figure(entries: Sequence[Entry], axis: str) -> Figure:
    """Return a figure of each study's best value so far against one of `X_AXES`.

    Of a group with several studies, it shows the median and the quartiles, and each study thin.
    """
    label, read_points = X_AXES[axis]
    most = max(FEWEST_POINTS, 2 * MANY_POINTS // max(1, len(entries)))
    curves = []
    groups: dict[str, list[tuple[Entry, Curve]]] = {}
    for position, entry in enumerate(entries):
        points = best_so_far(read_points(entry.study), entry.study.maximize[0])
        curves.append(Curve(*points).thin(most))
        groups.setdefault(entry.group or f"\0{position}", []).append((entry, curves[-1]))
    data = [trace for members in groups.values() for trace in _draw_group(members, most)]
    metric = entries[0].study.metrics[0] if entries else ""
    values = [y for curve in curves for y in curve.ys]
    return {
        "data": data,
        "layout": layout(
            label,
            metric,
            **place_legend(len(groups)),
            yaxis=_value_range(values),
            xaxis={"rangemode": "tozero"},
        ),
    }


def _value_range(values: Sequence[float]) -> Figure:
    """Return a range with a margin, as Plotly draws half a line at the edge without one."""
    if not values:
        return {}
    low, high = min(values), max(values)
    margin = MARGIN * (high - low) or MARGIN * abs(high) or 1.0
    return {"range": [low - margin, high + margin]}


def _draw_group(members: Sequence[tuple[Entry, Curve]], most: int) -> list[Figure]:
    entry = members[0][0]
    if len(members) == 1:
        return [_draw_curve(entry, members[0][1], entry.group or entry.name)]
    thin = [_draw_curve(e, curve, e.name, thin=True) for e, curve in members]
    begun = [curve for _, curve in members if curve.xs]
    return [*thin, *(_draw_band(entry, band_info(begun, most)) if len(begun) > 1 else [])]


def _draw_curve(entry: Entry, curve: Curve, name: str, *, thin: bool = False) -> Figure:
    line = {"shape": "hv", "width": 1 if thin else 2, "color": entry.color, "dash": entry.dash}
    trace: Figure = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": curve.xs,
        "y": curve.ys,
        "line": line,
        "hovertemplate": "%{y:.6g} at %{x:.6g}<extra>%{fullData.name}</extra>",
    }
    if len(curve.xs) == 1:
        trace["mode"] = "markers"  # a line needs two points
        trace["marker"] = {"color": entry.color}
    if thin:
        trace.update(opacity=0.45, showlegend=False, legendgroup=entry.group)
    return trace


def _draw_band(entry: Entry, band: Band) -> list[Figure]:
    common: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": band.xs,
        "legendgroup": entry.group,
    }
    edge = {"shape": "hv", "width": 0, "color": entry.color}
    name = entry.group
    quartile = {**common, "line": edge, "showlegend": False, "hoverinfo": "skip"}
    return [
        {**quartile, "name": f"{name}, lower quartile", "y": band.lower},
        {
            **quartile,
            "name": f"{name}, upper quartile",
            "y": band.upper,
            "fill": "tonexty",
            "fillcolor": f"{entry.color}33",
        },
        {
            **common,
            "name": f"{name} (median)",
            "y": band.median,
            "line": {"shape": "hv", "width": 3, "color": entry.color, "dash": entry.dash},
            "hovertemplate": "%{y:.6g} at %{x:.6g}<extra>%{fullData.name}</extra>",
        },
    ]
