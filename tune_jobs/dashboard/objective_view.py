"""What the head of a page says about objectives, constraints and promotion; the Pareto front."""

from __future__ import annotations

from typing import Any

from tune_jobs.core.formatting import format_parameter
from tune_jobs.core.trial_attributes import REACHED_ATTRIBUTE
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.figures.rungs import has_rungs, ladder_info
from tune_jobs.dashboard.model import FINISHED, Study, Trial
from tune_jobs.dashboard.parameter_axes import is_number

MAX_TEXT = 300
"""Characters that the page shows of a string from a study."""

MAX_ROWS = 500
"""Trials of the front that the page shows."""

MAX_PARAMETERS = 20


def objective_view(study: Study) -> dict[str, Any]:
    """Return what the head of a page says about objectives, constraints and promotion."""
    return {
        "front_size": len(study.front()),
        "best_by_objective": _find_best_by_objective(study),
        "feasibility": _count_feasible(study),
        "promotion": _count_configurations(study) if has_rungs(study) else None,
    }


def _find_best_by_objective(study: Study) -> list[dict[str, Any]]:
    """Return the best value of each objective on the Pareto front."""
    front = study.front()
    if study.single or not front:
        return []
    found = []
    for i, (metric, up) in enumerate(zip(study.metrics, study.maximize, strict=True)):
        best = (max if up else min)(front, key=lambda t: t.values[i])
        text = clean(metric, MAX_TEXT)
        found.append({"metric": text, "value": best.values[i], "trial": best.number})
    return found


def _count_feasible(study: Study) -> dict[str, int] | None:
    """Return how many complete trials satisfy their constraints; None without constraints."""
    constrained = [t for t in study.complete() if t.constraints]
    if not constrained:
        return None
    infeasible = sum(bool(t.result.violations) for t in constrained)
    return {"feasible": len(constrained) - infeasible, "infeasible": infeasible}


def _count_configurations(study: Study) -> dict[str, Any]:
    """Return the number of configurations, and of those on each rung."""
    info = ladder_info(study)
    finished = [t for t in study.trials if t.state in FINISHED and not t.without_run]
    waiting = sum(t.state == "PRUNED" and REACHED_ATTRIBUTE in t.attributes for t in finished)
    counts = study.counts()
    return {
        "configurations": len(info.paths),
        "finished": info.finished,
        "rungs": [{"budget": budget, "reached": n} for budget, n in info.reached.items()],
        "pruned": counts["PRUNED"] - waiting,
        "failed": counts["FAIL"],
    }


def front_view(study: Study) -> dict[str, Any]:
    """Return the table of the Pareto front: columns, and a row for each trial."""
    front = study.front()
    shown = front[:MAX_ROWS]
    names = list(dict.fromkeys(name for t in shown for name in t.params))[:MAX_PARAMETERS]
    return {
        "total": len(front),
        "metrics": [clean(metric, MAX_TEXT) for metric in study.metrics],
        "params": [clean(name, MAX_TEXT) for name in names],
        "rows": [_front_row(trial, names) for trial in shown],
    }


def _front_row(trial: Trial, names: list[str]) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "values": list(trial.values),
        "params": [_param(trial.params[n]) if n in trial.params else None for n in names],
    }


def _param(value: Any) -> Any:
    return value if is_number(value) else clean(format_parameter(value), MAX_TEXT)
