"""Promotion: the configurations on each rung, and which of them went on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tune_jobs.core.best_trials import Standing
from tune_jobs.core.promotion import read_rung
from tune_jobs.core.trial_attributes import REACHED_ATTRIBUTE, is_extra
from tune_jobs.dashboard.drawing import COLORS, MANY_CURVES, Figure, layout, thin
from tune_jobs.dashboard.model import FINISHED, Study, Trial


@dataclass(frozen=True)
class Step:
    """A configuration's run on a rung.

    Args:
        trial: The run's trial.
        budget: The budget of the rung.
        value: The value reached; None if there is none.
        state: State of the trial.
        is_feasible: Whether it satisfies all constraints.
    """

    trial: int
    budget: int
    value: float | None
    state: str
    is_feasible: bool


@dataclass(frozen=True)
class Ladder:
    """The configurations of a study with promotion.

    Args:
        paths: The steps of each configuration, by budget.
        reached: Number of configurations with a value on each rung, by budget.
        finished: Configurations that count as finished.
    """

    paths: Sequence[Sequence[Step]]
    reached: Mapping[int, int]
    finished: int


def ladder_info(study: Study) -> Ladder:
    """Return the configurations, and how far each of them was promoted."""
    paths: dict[int, list[Step]] = {}
    first: dict[int, int] = {}
    reached: dict[int, int] = defaultdict(int)
    for trial in study.trials:
        rung = read_rung(trial.attributes)
        if rung is None or trial.without_run or trial.result.is_replicate:
            continue
        origin = trial.number if rung.after is None else first.get(rung.after, rung.after)
        first[trial.number] = origin
        step = _read_step(trial, rung.budget)
        paths.setdefault(origin, []).append(step)
        if step.value is not None:
            reached[step.budget] += 1
    finished = sum(t.state in FINISHED and not is_extra(t.attributes) for t in study.trials)
    ordered = [sorted(path, key=lambda step: step.budget) for path in paths.values()]
    return Ladder(ordered, dict(sorted(reached.items())), finished)


def _read_step(trial: Trial, budget: int) -> Step:
    value = trial.attributes.get(REACHED_ATTRIBUTE)
    is_known = isinstance(value, int | float) and math.isfinite(value)
    # A trial that was pruned has no standing, but its constraints are known.
    is_feasible = trial.standing is not Standing.INFEASIBLE and not trial.result.violations
    return Step(trial.number, budget, value if is_known else None, trial.state, is_feasible)


def has_rungs(study: Study) -> bool:
    """Return whether the study has configurations with a value on a rung."""
    return any(REACHED_ATTRIBUTE in t.attributes and read_rung(t.attributes) for t in study.trials)


def rungs_figure(study: Study) -> Figure:
    """Return a figure of the values by rung; a line joins the rungs of what was promoted."""
    info = ladder_info(study)
    valued = [[s for s in path if s.value is not None] for path in info.paths]
    promoted = thin([path for path in valued if len(path) > 1], MANY_CURVES)
    stayed = thin([path for path in valued if len(path) == 1], 3 * MANY_CURVES)
    data = [_lines(promoted)] if promoted else []
    for name, color, symbol, steps in (
        ("stayed on its rung", COLORS["provisioning"], "circle", [p[0] for p in stayed]),
        ("promoted", COLORS["COMPLETE"], "circle", [s for p in promoted for s in p]),
    ):
        feasible = [s for s in steps if s.is_feasible]
        infeasible = [s for s in steps if not s.is_feasible]
        if feasible:
            data.append(_markers(name, color, symbol, feasible))
        if infeasible:
            data.append(_markers(f"{name}, infeasible", COLORS["excluded"], "x", infeasible))
    total = len(info.paths)
    labels = [f"{budget} ({count} of {total})" for budget, count in info.reached.items()]
    axis = {"type": "log", "tickvals": list(info.reached), "ticktext": labels}
    title = "budget (configurations that reached it)"
    return {"data": data, "layout": layout(title, study.metrics[0], xaxis=axis)}


def _lines(paths: Sequence[Sequence[Step]]) -> Figure:
    x: list[int | None] = []
    y: list[float | None] = []
    trials: list[int | None] = []
    for path in paths:
        x += [*(step.budget for step in path), None]
        y += [*(step.value for step in path), None]
        trials += [*(step.trial for step in path), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "customdata": trials,
        "line": {"color": COLORS["COMPLETE"], "width": 1},
        "opacity": 0.5,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _markers(name: str, color: str, symbol: str, steps: Sequence[Step]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [step.budget for step in steps],
        "y": [step.value for step in steps],
        "customdata": [step.trial for step in steps],
        "marker": {"color": color, "symbol": symbol, "size": 6},
        "hovertemplate": "trial %{customdata}, budget %{x}: %{y:.6g}<extra></extra>",
    }
