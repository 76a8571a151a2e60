"""Learning curves: the intermediate values of trials by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.core.best_trials import Standing
from tune_jobs.core.trial_attributes import REACHED_ATTRIBUTE
from tune_jobs.dashboard.drawing import COLORS, MANY_CURVES, MANY_POINTS, Figure, layout, thin
from tune_jobs.dashboard.model import Study, Trial

INFEASIBLE = "INFEASIBLE"
ON_RUNG = "RUNG"
"""States of complete trials that violate a constraint, and of those that reached their rung: Optuna
calls the latter pruned, although their runs succeeded."""

LONE_SIZE = 5
"""Size of the marker of a point that no line leads to."""

_NAMES = {ON_RUNG: "up to a rung"}


@dataclass(frozen=True)
class Curves:
    """Intermediate values of all trials in one state, with a gap (None) after each trial.

    Args:
        state: The state.
        numbers, steps, values: Trial, step and value of each point.
        ends: Step and value of each trial's last point.
        ended: The trials of ``ends``.
    """

    state: str
    numbers: Sequence[int | None]
    steps: Sequence[int | None]
    values: Sequence[float | None]
    ends: Sequence[tuple[int, float]]
    ended: Sequence[int]


def curves_info(study: Study) -> list[Curves]:
    """Return learning curves by state; of many, a sample that includes the best trial."""
    trials = [t for t in study.trials if t.steps]
    best = study.best()
    kept = thin(trials, MANY_CURVES)
    if best is not None and best.steps and best not in kept:
        kept.append(best)
    by_state = []
    for state in ("PRUNED", ON_RUNG, INFEASIBLE, "COMPLETE", "FAIL", "RUNNING"):
        numbers: list[int | None] = []
        steps: list[int | None] = []
        values: list[float | None] = []
        ends = []
        ended = []
        for trial in kept:
            if _curve_state(trial) != state:
                continue
            for step, value in trial.steps.items():
                steps.append(step)
                values.append(value if math.isfinite(value) else None)
                numbers.append(trial.number)
            steps.append(None)
            values.append(None)
            numbers.append(None)
            ends.append((max(trial.steps), trial.steps[max(trial.steps)]))
            ended.append(trial.number)
        if ends:
            by_state.append(Curves(state, numbers, steps, values, ends, ended))
    return by_state


def _curve_state(trial: Trial) -> str:
    if trial.standing is Standing.INFEASIBLE:
        return INFEASIBLE
    is_on_rung = trial.state == "PRUNED" and REACHED_ATTRIBUTE in trial.attributes
    return ON_RUNG if is_on_rung else trial.state


def _find_lone(values: Sequence[float | None]) -> list[bool]:
    """Return which values are between gaps, so that no line shows them."""
    around = [None, *values, None]
    return [
        value is not None and before is None and after is None
        for before, value, after in zip(around, values, around[2:], strict=False)
    ]


def curves_figure(study: Study) -> Figure:
    """Return a figure of the learning curves; a cross marks where a trial was pruned."""
    data: list[Figure] = []
    for curves in curves_info(study):
        color = COLORS.get(curves.state, COLORS["excluded"])
        sizes = [LONE_SIZE if is_lone else 0 for is_lone in _find_lone(curves.values)]
        markers: Figure = {"mode": "lines+markers", "marker": {"size": sizes, "color": color}}
        data.append(
            {
                "type": "scattergl" if len(curves.steps) > MANY_POINTS else "scatter",
                "mode": "lines",
                "name": _NAMES.get(curves.state, curves.state.lower()),
                "x": list(curves.steps),
                "y": list(curves.values),
                "customdata": list(curves.numbers),
                "line": {"color": color, "width": 1},
                **(markers if any(sizes) else {}),
                "opacity": 0.55,
                "hovertemplate": "trial %{customdata}, step %{x}: %{y:.6g}<extra></extra>",
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
                    "customdata": list(curves.ended),
                    "marker": {"color": color, "symbol": "x", "size": 7},
                    "hoverinfo": "skip",
                }
            )
    return {"data": data, "layout": layout("step", study.metrics[0])}
