"""Figures of a study, as Plotly's JSON.

Each figure has two functions: ``..._info`` returns what it shows as plain data, which tests
examine; ``..._figure`` returns ``{"data": [...], "layout": {...}}``. They do not need the Python
package of Plotly. What would be too much for a browser is thinned, the same way every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import Standing, find_best
from tune_jobs.dashboard.drawing import (
    COLORS,
    MANY_CURVES,
    MANY_POINTS,
    MANY_RUNS,
    SERIES,
    Figure,
    layout,
    scatter_type,
    short,
    thin,
)
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameters import importance_figure, parallel_figure, slice_figure

# -- optimization history -----------------------------------------------------------------------


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


def history_figure(study: Study) -> Figure:
    """Return a figure of the values of complete trials, with the best value so far as a line."""
    data = []
    for objective in range(len(study.maximize)):
        info = history_info(study, objective)
        kept = thin(list(zip(info.numbers, info.values, strict=True)), 5 * MANY_POINTS)
        color = COLORS["COMPLETE"] if study.single else SERIES[objective % len(SERIES)]
        data.append(
            {
                "type": scatter_type(kept),
                "mode": "markers",
                "name": short(info.metric),
                "x": [n for n, _ in kept],
                "y": [v for _, v in kept],
                "marker": {"color": color, "size": 6, "opacity": 0.6},
                "hovertemplate": "trial %{x}: %{y:.6g}<extra></extra>",
            }
        )
        data += [_excluded_trace(info, name) for name in info.excluded]
        if study.single:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "best value",
                    "x": list(info.best_numbers),
                    "y": list(info.best),
                    "line": {"shape": "hv", "color": COLORS["best"], "width": 2},
                }
            )
    return {"data": data, "layout": layout("trial", ", ".join(study.metrics))}


def _excluded_trace(info: History, name: str) -> Figure:
    """Return a trace of the trials that cannot be the best because they are ``name``."""
    kept = thin(info.excluded[name], MANY_POINTS)
    return {
        "type": scatter_type(kept),
        "mode": "markers",
        "name": f"{short(info.metric)}, {name}",
        "x": [n for n, _ in kept],
        "y": [v for _, v in kept],
        "marker": {"color": COLORS["excluded"], "symbol": "circle-open", "size": 6},
        "hovertemplate": f"trial %{{x}}, {name}: %{{y:.6g}}<extra></extra>",
    }


# -- learning curves ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Curves:
    """Intermediate values of all trials in one state, with a gap (None) after each trial."""

    state: str
    steps: Sequence[int | None]
    values: Sequence[float | None]
    texts: Sequence[str]
    ends: Sequence[tuple[int, float]]


def curves_info(study: Study) -> list[Curves]:
    """Return learning curves by state; of many, a sample that includes the best trial."""
    trials = [t for t in study.trials if t.steps]
    best = study.best()
    kept = thin(trials, MANY_CURVES)
    if best is not None and best.steps and best not in kept:
        kept.append(best)
    by_state = []
    for state in ("PRUNED", "COMPLETE", "FAIL", "RUNNING"):
        steps: list[int | None] = []
        values: list[float | None] = []
        texts: list[str] = []
        ends = []
        for trial in kept:
            if trial.state != state:
                continue
            for step, value in trial.steps.items():
                steps.append(step)
                values.append(value if math.isfinite(value) else None)
                texts.append(f"trial {trial.number}")
            steps.append(None)
            values.append(None)
            texts.append("")
            ends.append((max(trial.steps), trial.steps[max(trial.steps)]))
        if ends:
            by_state.append(Curves(state, steps, values, texts, ends))
    return by_state


def curves_figure(study: Study) -> Figure:
    """Return a figure of the learning curves; a cross marks where a trial was pruned."""
    data: list[Figure] = []
    for curves in curves_info(study):
        color = COLORS[curves.state]
        data.append(
            {
                "type": "scattergl" if len(curves.steps) > MANY_POINTS else "scatter",
                "mode": "lines",
                "name": curves.state.lower(),
                "x": list(curves.steps),
                "y": list(curves.values),
                "text": list(curves.texts),
                "line": {"color": color, "width": 1},
                "opacity": 0.55,
                "hovertemplate": "%{text}, step %{x}: %{y:.6g}<extra></extra>",
            }
        )
        if curves.state == "PRUNED":
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": "pruning step",
                    "x": [step for step, _ in curves.ends],
                    "y": [value if math.isfinite(value) else None for _, value in curves.ends],
                    "marker": {"color": color, "symbol": "x", "size": 7},
                    "hoverinfo": "skip",
                }
            )
    return {"data": data, "layout": layout("step", study.metrics[0])}


# -- timeline of slots --------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """The time that a run occupied a slot, in seconds since the epoch."""

    slot: int
    name: str
    state: str
    requested: float
    started: float
    ended: float


@dataclass(frozen=True)
class Timeline:
    """Which run occupied which slot.

    Args:
        bars: By time.
        slots: Number of slots.
        utilization: Share of the slots' time in which a script ran.
        provisioning: Share of the slots' time in which a run waited for its script to start.
    """

    bars: Sequence[Bar]
    slots: int
    utilization: float
    provisioning: float


def timeline_info(runs: Sequence[Attempt], now: float) -> Timeline:
    """Assign each run the lowest slot that is free when the run is requested."""
    free_at: list[float] = []
    bars = []
    for run in sorted((r for r in runs if not r.is_final), key=lambda r: r.intended):
        end = run.finished or run.told or now
        start = run.started if run.started is not None else end
        requested = min(run.intended, start)
        slot = next((i for i, t in enumerate(free_at) if t <= requested + 1e-6), len(free_at))
        if slot == len(free_at):
            free_at.append(0.0)
        free_at[slot] = max(end, start)
        bars.append(Bar(slot, run.name, run.state, requested, start, max(end, start)))
    if not bars:
        return Timeline([], 0, 0.0, 0.0)
    span = max(b.ended for b in bars) - min(b.requested for b in bars)
    whole = span * len(free_at) or 1.0
    return Timeline(
        bars,
        len(free_at),
        sum(b.ended - b.started for b in bars) / whole,
        sum(b.started - b.requested for b in bars) / whole,
    )


def timeline_figure(study: Study, now: float) -> Figure:
    """Return a figure of the slots over time: provisioning and running; gaps are idle time."""
    info = timeline_info(study.runs, study.known_until(now))
    bars = list(info.bars)[-MANY_RUNS:]
    base = min((b.requested for b in bars), default=0.0)

    def trace(
        name: str, color: str, start: Callable[[Bar], float], end: Callable[[Bar], float]
    ) -> Figure:
        return {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "base": [(start(b) - base) / 60.0 for b in bars],
            "x": [(end(b) - start(b)) / 60.0 for b in bars],
            "y": [b.slot + 1 for b in bars],
            "text": [f"{b.name} {b.state.lower()}" for b in bars],
            "textposition": "none",
            "marker": {"color": color, "line": {"width": 0}},
            "hovertemplate": "%{text}<extra></extra>",
        }

    return {
        "data": [
            trace(
                "provisioning", COLORS["provisioning"], lambda b: b.requested, lambda b: b.started
            ),
            trace("running", COLORS["running"], lambda b: b.started, lambda b: b.ended),
        ],
        "layout": layout(
            "minutes since the first run shown",
            "slot",
            barmode="overlay",
            bargap=0.15,
            yaxis={"dtick": max(1, info.slots // 8), "autorange": "reversed"},
        ),
    }


# -- several objectives -------------------------------------------------------------------------


def front_figure(study: Study) -> Figure:
    """Return a figure of the first two objectives; Pareto-optimal trials are marked."""
    by_standing = study.complete_by_standing()
    front = {t.number for t in study.front()}
    dominated = [t for t in by_standing[Standing.CANDIDATE] if t.number not in front]
    infeasible = [t for t in by_standing[Standing.INFEASIBLE] if all(map(math.isfinite, t.values))]
    data = []
    for name, chosen, color in (
        ("infeasible", infeasible, COLORS["excluded"]),
        ("dominated", dominated, COLORS["provisioning"]),
        ("Pareto-optimal", study.front(), COLORS["best"]),
    ):
        if name == "infeasible" and not chosen:
            continue
        kept = thin(chosen, MANY_POINTS)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [t.values[0] for t in kept],
                "y": [t.values[1] for t in kept],
                "text": [f"trial {t.number}" for t in kept],
                "marker": {"color": color, "size": 8},
                "hovertemplate": "%{text}: %{x:.6g}, %{y:.6g}<extra></extra>",
            }
        )
    return {"data": data, "layout": layout(study.metrics[0], study.metrics[1])}


def pareto(trials: Sequence[Trial], maximize: Sequence[bool]) -> list[int]:
    """Return the numbers of the Pareto-optimal ones among those that can be the best."""
    return [result.number for result in find_best((t.result for t in trials), maximize)]


FIGURES: Mapping[str, tuple[str, Callable[[Study, float], Figure]]] = {
    "history": ("Optimization history", lambda s, now: history_figure(s)),
    "front": ("Pareto front", lambda s, now: front_figure(s)),
    "timeline": ("Timeline of slots", timeline_figure),
    "curves": ("Learning curves", lambda s, now: curves_figure(s)),
    "parallel": ("Parallel coordinates", lambda s, now: parallel_figure(s)),
    "importance": ("Parameter importance", lambda s, now: importance_figure(s)),
    "slice": ("Value by parameter", lambda s, now: slice_figure(s)),
}


def figure_names(study: Study) -> list[str]:
    """Return the names of the figures that have something to show for a study."""
    names = [name for name in FIGURES if name != "front" or len(study.maximize) == 2]
    if not any(t.steps for t in study.trials):
        names.remove("curves")
    if not study.runs:
        names.remove("timeline")
    if not study.complete():
        return [name for name in names if name in ("timeline", "curves")]
    if not study.candidates():
        names.remove("parallel")
    if not study.single or not study.candidates():
        names.remove("importance")
    return names
