"""Figures of parameters: parallel coordinates, slices and importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.no_best import describe_standing
from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, bars, layout, short, thin
from tune_jobs.dashboard.model import Study, Trial

MAX_PARAMETERS = 12


@dataclass(frozen=True)
class Axis:
    """A parameter on a numeric axis.

    Args:
        name: Name of the parameter.
        positions: One for each trial; None where the trial does not have the parameter.
        ticks: Positions and their labels; empty if the positions are their own labels.
        log: Whether the positions are logarithms to base 10.
    """

    name: str
    positions: Sequence[float | None]
    ticks: Sequence[tuple[float, str]] = ()
    log: bool = False


def axis_info(name: str, trials: Sequence[Trial]) -> Axis:
    """Return a parameter of these trials; on a log axis if it spans three decades."""
    present = [t.params[name] for t in trials if name in t.params]
    if present and all(is_number(v) for v in present):
        values = [float(t.params[name]) if name in t.params else None for t in trials]
        low, high = float(min(present)), float(max(present))
        if low > 0 and high / low >= 1000:
            logs = [None if v is None else math.log10(v) for v in values]
            decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            return Axis(name, logs, [(float(d), f"1e{d}") for d in decades], log=True)
        return Axis(name, values)
    labels = sorted({str(t.params[name]) for t in trials if name in t.params})
    position = {label: float(i) for i, label in enumerate(labels)}
    positions = [position[str(t.params[name])] if name in t.params else None for t in trials]
    return Axis(name, positions, [(p, short(label)) for label, p in position.items()])


def is_number(value: Any) -> bool:
    """Return whether a parameter's value is a number, which a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def parameter_names(trials: Sequence[Trial]) -> list[str]:
    """Return the parameters that vary, the most frequent first."""
    values: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for trial in trials:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(str(value))
            counts[name] = counts.get(name, 0) + 1
    names = [name for name, distinct in values.items() if len(distinct) > 1]
    return sorted(names, key=lambda name: -counts[name])[:MAX_PARAMETERS]


def parallel_figure(study: Study) -> Figure:
    """Return parallel coordinates of the trials that can be the best, colored by value."""
    trials = thin(study.candidates(), MANY_POINTS)
    return draw_parallel(trials, [t.values[0] for t in trials], study.metrics[0], study.maximize[0])


def draw_parallel(
    trials: Sequence[Trial],
    colors: Sequence[float],
    label: str,
    maximize: bool,
    *,
    scale: Any = None,
) -> Figure:
    """Return parallel coordinates of trials.

    Args:
        trials: Trials with values.
        colors: A number for each trial, which its color depends on.
        label: Name of the first objective.
        maximize: Whether it is maximized.
        scale: Plotly's color scale; None for the default, with a legend.
    """
    dimensions = [
        {"label": short(label), "values": [t.values[0] for t in trials]},
        *(_dimension(axis_info(name, trials)) for name in parameter_names(trials)),
    ]
    line: Figure = {"color": list(colors), "colorscale": scale or "Viridis", "showscale": True}
    if scale is None:
        line["reversescale"] = not maximize
    else:
        line["showscale"] = False
    return {
        "data": [{"type": "parcoords", "line": line, "dimensions": dimensions}],
        "layout": {"margin": {"l": 80, "r": 60, "t": 60, "b": 30}},
    }


def _dimension(axis: Axis) -> Figure:
    present = [p for p in axis.positions if p is not None]
    low = min(present, default=0.0)
    # Plotly has no gaps here: a trial without the parameter is drawn below all that have it.
    absent = low - 0.1 * ((max(present, default=1.0) - low) or 1.0)
    some_absent = any(p is None for p in axis.positions)
    dimension: Figure = {
        "label": short(axis.name),
        "values": [absent if p is None else p for p in axis.positions],
    }
    if axis.ticks:
        ticks = [*axis.ticks, *([(absent, "(none)")] if some_absent else [])]
        dimension["tickvals"] = [p for p, _ in ticks]
        dimension["ticktext"] = [label for _, label in ticks]
    return dimension


def slice_figure(study: Study) -> Figure:
    """Return a figure of the value against each parameter, side by side.

    Symbols of trials that cannot be the best are open.
    """
    trials = thin(study.complete(), MANY_POINTS)
    names = parameter_names(trials)
    symbols = ["circle" if t.result.is_candidate else "circle-open" for t in trials]
    notes = [describe_standing(t.result) for t in trials]
    data, boxes = [], {}
    for i, name in enumerate(names):
        axis = axis_info(name, trials)
        n = "" if i == 0 else str(i + 1)
        data.append(
            {
                "type": "scattergl" if len(trials) * len(names) > MANY_POINTS else "scatter",
                "mode": "markers",
                "x": list(axis.positions),
                "y": [t.values[0] for t in trials],
                "xaxis": f"x{n}",
                "marker": {
                    "color": [t.number for t in trials],
                    "colorscale": "Viridis",
                    "size": 6,
                    "symbol": symbols,
                    "line": {"width": 0.5, "color": "#64748b"},
                },
                "text": [short(note) for note in notes],
                "showlegend": False,
                "hovertemplate": "trial %{marker.color}: %{y:.6g} %{text}<extra></extra>",
            }
        )
        gap = 0.03 if len(names) < 7 else 0.015
        width = (1.0 - gap * (len(names) - 1)) / len(names)
        box: Figure = {
            "domain": [i * (width + gap), i * (width + gap) + width],
            "title": {"text": short(name)},
            "automargin": True,
        }
        if axis.ticks:
            box["tickvals"] = [p for p, _ in axis.ticks]
            box["ticktext"] = [label for _, label in axis.ticks]
        boxes[f"xaxis{n}"] = box
    return {"data": data, "layout": {**layout("", study.metrics[0]), **boxes}}


# -- importance ---------------------------------------------------------------------------------


def importance_info(study: Study) -> list[tuple[str, float]]:
    """Return the importance of each parameter, the most important first.

    By PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) in Optuna's implementation, of the
    trials that can be the best. Empty with fewer than four of them, or without a parameter that
    all of them have.
    """
    import optuna

    from tune_jobs.core.scratch import unannounced

    trials = thin(study.candidates(), MANY_POINTS)
    names = [n for n in parameter_names(trials) if all(n in t.params for t in trials)]
    if len(trials) < 4 or not names:
        return []
    with unannounced():
        copy = optuna.create_study(direction="maximize" if study.maximize[0] else "minimize")
    space = {n: _distribution([t.params[n] for t in trials]) for n in names}
    copy.add_trials(
        [
            optuna.trial.create_trial(
                value=t.values[0],
                params={n: _convert(t.params[n], space[n]) for n in names},
                distributions=space,
            )
            for t in trials
        ]
    )
    importances = optuna.importance.get_param_importances(copy)
    return sorted(importances.items(), key=lambda pair: -pair[1])


def _distribution(values: Sequence[Any]) -> Any:
    """Return a distribution that contains these values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(is_number(v) for v in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0 and high / low >= 1000)
    return CategoricalDistribution(sorted({str(v) for v in values}))


def _convert(value: Any, distribution: Any) -> Any:
    """Return a value as `_distribution` has it."""
    return str(value) if hasattr(distribution, "choices") else float(value)


def importance_figure(study: Study) -> Figure:
    """Return a figure of the importances."""
    return bars(importance_info(study), "importance")
