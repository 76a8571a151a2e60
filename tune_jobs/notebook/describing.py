"""Describe a study for a notebook.

The data and numbers are the dashboard's, so that both agree. Importing it takes a while, so objects
that can show a study import it when they do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.failures import summarize_cause
from tune_jobs.core.formatting import duration
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.views import bounded, bounded_parameter, study_view
from tune_jobs.notebook.state import CURVE_HEIGHT, CURVE_WIDTH, LiveRun, Shower, StudyState

SHOWN_RUNS = 8
SHOWN_FAILURES = 5
SHOWN_PARAMS = 20
SHOWN_FRONT = 3
SHOWN_LEFT = 5
CURVE_POINTS = 40

_FINISHED = ("COMPLETE", "PRUNED", "FAIL")


def describe_study(
    study: Study,
    shower: Shower,
    *,
    command: str | None = None,
    more: Sequence[tuple[str, str]] = (),
    now: float | None = None,
) -> StudyState:
    """Return what is shown of a study.

    Args:
        study: The study.
        shower: What shows it.
        command: The last command to the process that tunes it, see `Controls.read_last`.
        more: Further facts.
        now: Seconds since the epoch; by default the current time.
    """
    now = time.time() if now is None else now
    view = study_view(study, now)
    live = [run for run in study.runs if run.told is None] if study.owner else []
    return StudyState(
        name=view["name"],
        status=_describe_status(study, command),
        is_tuned=study.owner is not None,
        is_paused=study.owner is not None and command == "pause",
        done=sum(view["counts"][state] for state in _FINISHED),
        total=view["n_trials"],
        best=_describe_best(study),
        params=_list_params(study),
        facts=(*_list_facts(study, view, len(live)), *more),
        runs=_describe_runs(study, live[:SHOWN_RUNS]),
        n_live=len(live),
        failures=_list_failures(study),
        n_failed=view["counts"]["FAIL"],
        problems=_list_problems(study),
        advice=_advise(study, shower),
        at=now,
    )


def _describe_status(study: Study, command: str | None) -> str:
    if study.owner is None:
        return "no process is tuning it"
    ends = {"pause": ", paused", "stop": ", stopping"}
    return f"tuned by {bounded(study.owner)}{ends.get(command or '', '')}"


def _describe_best(study: Study) -> str:
    front = study.front()
    if not front:
        no_best = study.no_best()
        return bounded(no_best.summary) if no_best else ""
    shown = "; ".join(describe_values(trial) for trial in front[:SHOWN_FRONT])
    more = f"; {len(front) - SHOWN_FRONT} more" if len(front) > SHOWN_FRONT else ""
    return f"{bounded(', '.join(study.metrics))} {shown}{more}"


def describe_values(trial: Trial) -> str:
    """Return a trial's values and number."""
    return f"{', '.join(f'{v:.6g}' for v in trial.values)} (trial {trial.number})"


def _list_params(study: Study) -> tuple[tuple[str, str], ...]:
    front = study.front()
    params = list(front[0].params.items()) if front else []
    shown = params[:SHOWN_PARAMS]
    return tuple((clean(name, 80), clean(bounded_parameter(value), 80)) for name, value in shown)


def _list_facts(study: Study, view: Mapping[str, Any], live: int) -> list[tuple[str, str]]:
    counts, left = view["counts"], study.left_behind
    facts = [
        ("running", str(live) if live else ""),
        ("pruned", str(counts["PRUNED"] or "")),
        ("failed", str(counts["FAIL"] or "")),
        ("run time", duration(view["run_hours"] * 3600.0) if view["run_hours"] else ""),
        ("cost", f"{view['cost']:.4g}" if view["cost"] else ""),
        ("left", f"about {duration(view['eta'])}" if view["eta"] is not None else ""),
        ("left behind", ", ".join(run.name for run in left[:SHOWN_LEFT])),
    ]
    return [(label, value) for label, value in facts if value]


def _describe_runs(study: Study, live: Sequence[Attempt]) -> tuple[LiveRun, ...]:
    trials = {trial.number: trial for trial in study.trials[-2000:]}
    found = {run.name: trials.get(-1 if run.trial is None else run.trial) for run in live}
    values = [
        value
        for run in live
        if not run.is_final and (trial := found[run.name]) is not None
        for value in trial.steps.values()
        if math.isfinite(value)
    ]
    low, high = min(values, default=0.0), max(values, default=0.0)
    return tuple(_describe_run(run, found[run.name], low, high) for run in live)


def _describe_run(run: Attempt, trial: Trial | None, low: float, high: float) -> LiveRun:
    state = "starting" if run.started is None else "running"
    if run.is_final or trial is None:
        return LiveRun(run.name, "final run" if run.is_final else f"{run.trial}", state, "")
    if trial.steps:
        step, value = max(trial.steps.items())
        state = f"{value:.6g} at step {step}"
    if run.is_pruning:
        state += ", stopping"
    return LiveRun(run.name, f"trial {trial.number}", state, draw_curve(trial.steps, low, high))


def draw_curve(steps: Mapping[int, float], low: float, high: float) -> str:
    """Return the points of an SVG polyline of at most `CURVE_POINTS` points.

    Args:
        steps: Values by step.
        low, high: Values at the lower and the upper edge.
    """
    points = sorted((step, value) for step, value in steps.items() if math.isfinite(value))
    if len(points) < 2:
        return ""
    if len(points) > CURVE_POINTS:
        last = len(points) - 1
        points = [points[round(i * last / (CURVE_POINTS - 1))] for i in range(CURVE_POINTS)]
    first, width = points[0][0], points[-1][0] - points[0][0]
    height = (high - low) or 1.0
    return " ".join(
        f"{CURVE_WIDTH * (step - first) / width:.0f},"
        f"{1 + (CURVE_HEIGHT - 2) * (high - value) / height:.1f}"
        for step, value in points
    )


def _list_failures(study: Study) -> tuple[tuple[str, str], ...]:
    failed = [t for t in study.trials if t.state == "FAIL" and not t.without_run]
    return tuple((f"trial {t.number}", _find_cause(t)) for t in failed[: -SHOWN_FAILURES - 1 : -1])


def _find_cause(trial: Trial) -> str:
    cause = trial.attributes.get(CAUSE_ATTRIBUTE)
    return bounded(summarize_cause(str(cause)) if cause else "no cause is recorded")


def _list_problems(study: Study) -> tuple[str, ...]:
    no_best = study.no_best()
    problems = [no_best.details if no_best else ""]
    if left := len(study.left_behind):
        runs = "1 job run was" if left == 1 else f"{left} job runs were"
        problems.append(f"{runs} left behind by a process that has ended")
    return tuple(bounded(problem) for problem in problems if problem)


def _advise(study: Study, shower: Shower) -> str:
    """Return what to call next."""
    if study.owner is not None:
        pause = "pause()" if shower == "monitor" else 'control("pause")'
        return f"{shower}.wait() waits for the end, {shower}.{pause} and {shower}.stop() end it"
    if shower == "monitor":
        return 'monitor.figure("history") draws the study; Tuner(...).optimize() continues it'
    if study.left_behind:
        return "tuner.optimize() adopts the runs that still live, and repeats the others"
    if study.front() and any(run.is_final for run in study.runs):
        return "tuner.trials_dataframe() is the table of the trials"
    if study.front():
        return "tuner.train_best() trains the best configuration"
    if failed := [t.number for t in study.trials if t.state == "FAIL" and not t.without_run]:
        return f"tuner.logs({failed[-1]}) shows why trial {failed[-1]} failed"
    return "tuner.check() tries one cheap run, tuner.optimize(n_trials=...) tunes"
