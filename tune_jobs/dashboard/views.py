"""What the API answers, as plain dictionaries for JSON (their types: ``static/api.js``)."""

from __future__ import annotations

import math
from typing import Any

from tune_jobs.core.best_trials import Standing
from tune_jobs.core.formatting import format_parameter
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.figure_view import figures_view
from tune_jobs.dashboard.figures import timeline_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.objective_view import objective_view
from tune_jobs.dashboard.source import Head
from tune_jobs.dashboard.trial_fields import MAX_TEXT

MAX_FRONT = 5
"""Trials of a Pareto front that the head of a page lists."""

_FINISHED = ("COMPLETE", "PRUNED", "FAIL")


def bounded(value: object) -> str:
    """Return a value of a study as a string of bounded length; a float with six digits."""
    return clean(f"{value:.6g}" if isinstance(value, float) else value, MAX_TEXT)


def bounded_parameter(value: object) -> str:
    """Return the value of a parameter as a string of bounded length; a float with six digits."""
    return clean(format_parameter(value, 6), MAX_TEXT)


def json_number(value: float | None) -> float | None:
    """Return the number, or None if it is not finite, as JSON has no other numbers."""
    return value if value is not None and math.isfinite(value) else None


def head_view(head: Head, now: float) -> dict[str, Any]:
    """Return a row of the list of studies.

    Args:
        head: The study.
        now: Seconds since the epoch.
    """
    finished = sum(head.counts.get(state, 0) for state in _FINISHED)
    active = head.owner is not None and head.first is not None and finished > 0
    hours = (now - head.first) / 3600.0 if head.first is not None else 0.0
    return {
        "key": head.key,
        "name": bounded(head.name),
        "direction": ", ".join("maximize" if up else "minimize" for up in head.maximize),
        "counts": dict(head.counts),
        "best": json_number(head.best),
        "no_best": head.no_best,
        "run_hours": head.run_hours,
        "live": head.live if head.owner else 0,
        "owner": head.owner,
        "activity": head.activity,
        "rate": finished / hours if active and hours > 0 else None,
        "last": head.last,
    }


def study_view(study: Study, now: float) -> dict[str, Any]:
    """Return the head of a study's page.

    Args:
        study: The study.
        now: Seconds since the epoch.
    """
    timeline = timeline_info(study.runs, study.known_until(now))
    return {
        "key": study.key,
        "name": bounded(study.name),
        "version": study.version(),
        "metrics": [bounded(m) for m in study.metrics],
        "directions": ["maximize" if up else "minimize" for up in study.maximize],
        "counts": study.counts(),
        "best": _best(study),
        "front": [_front_trial(trial) for trial in study.front()[:MAX_FRONT]],
        "no_best": bounded(study.no_best() or ""),
        "not_best": count_excluded(study),
        "owner": study.owner,
        "left_behind": len(study.left_behind),
        "run_hours": study.run_hours,
        "has_runs": study.has_runs,
        "cost": sum(t.cost for t in study.trials),
        "controller_hours": study.controller_hours(now),
        "slots": timeline.slots,
        "utilization": timeline.utilization,
        "provisioning": timeline.provisioning,
        "n_trials": study.definition.get("limits", {}).get("n_trials"),
        "max_parallel": study.definition.get("limits", {}).get("max_parallel"),
        "user_note": {"text": study.note.text, "version": study.note.version},
        "eta": _eta(study, now),
        "figures": figures_view(study),
        **objective_view(study),
        "final_runs": [
            {"name": run.name, "trial": run.trial, "state": run.stage, "seconds": run.seconds}
            for run in study.runs
            if run.is_final
        ],
    }


def _best(study: Study) -> dict[str, Any] | None:
    best = study.best()
    if best is None:
        return None
    return {
        "trial": best.number,
        "value": json_number(best.values[0]),
        "params": {bounded(k): bounded_parameter(v) for k, v in best.params.items()},
    }


def _front_trial(trial: Trial) -> dict[str, Any]:
    return {"trial": trial.number, "values": [json_number(v) for v in trial.values]}


def count_excluded(study: Study) -> dict[str, int]:
    """Return how many complete trials cannot be the best, by reason."""
    found = study.complete_by_standing()
    shown = (Standing.INFEASIBLE, Standing.REPLICATE, Standing.NOT_FINITE)
    return {standing.value: len(found[standing]) for standing in shown if found[standing]}


def _eta(study: Study, now: float) -> float | None:
    """Return the expected seconds until ``n_trials`` at the mean rate so far; None if unknown."""
    wanted = study.definition.get("limits", {}).get("n_trials")
    finished = sum(1 for t in study.trials if t.state in _FINISHED)
    begin = min((r.intended for r in study.runs), default=None)
    if not (study.owner and wanted and finished and begin is not None and wanted > finished):
        return None
    return (now - begin) / finished * float(wanted - finished)
