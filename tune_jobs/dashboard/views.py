"""What the API answers, as plain dictionaries for JSON (their types: ``static/api.js``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import Standing
from tune_jobs.core.no_best import describe_standing
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, CONSOLE_ATTRIBUTE
from tune_jobs.dashboard.comparing import Comparison, Winner, compare, comparison_figures
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.figures import FIGURES, figure_names, timeline_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.reading import Head

PAGE = 50
"""Trials per page of the table."""

MAX_TEXT = 300
"""Characters that a page shows of a string from a study."""

MAX_COLUMNS = 20
"""Parameters that the table has columns for."""

MAX_FRONT = 5
"""Trials of a Pareto front that the head of a page lists."""

_FINISHED = ("COMPLETE", "PRUNED", "FAIL")


def bounded(value: object) -> str:
    """Return a value of a study as a string of bounded length; a float with six digits."""
    return clean(f"{value:.6g}" if isinstance(value, float) else value, MAX_TEXT)


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
        "run_hours": sum(r.seconds or 0.0 for r in study.runs) / 3600.0,
        "cost": sum(t.cost for t in study.trials),
        "slots": timeline.slots,
        "utilization": timeline.utilization,
        "provisioning": timeline.provisioning,
        "n_trials": study.definition.get("limits", {}).get("n_trials"),
        "eta": _eta(study, now),
        "figures": [{"name": n, "title": FIGURES[n][0]} for n in figure_names(study)],
        "final_runs": [
            {"name": run.name, "trial": run.trial, "state": run.state, "seconds": run.seconds}
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
        "params": {bounded(k): bounded(v) for k, v in best.params.items()},
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


def trials_view(
    study: Study,
    *,
    offset: int = 0,
    sort: str = "number",
    descending: bool = True,
    state: str = "",
    text: str = "",
) -> dict[str, Any]:
    """Return a page of the table of trials.

    Args:
        study: The study.
        offset: Number of trials before the page.
        sort: ``number``, ``value``, ``state``, ``seconds``, ``cost`` or ``param:NAME``.
        descending: Whether the largest comes first.
        state: Only trials in this state, or ``INFEASIBLE`` ones; empty for all.
        text: Only trials with this string in a parameter or in their cause; empty for all.
    """
    last_runs = {r.trial: r for r in study.runs if r.trial is not None and not r.is_final}
    trials = [
        t
        for t in study.trials
        if not t.without_run and _is_in_state(t, state) and _matches(t, text.lower())
    ]
    trials.sort(key=_sort_key(sort, last_runs), reverse=descending)
    names = _column_names(study)
    return {
        "total": len(trials),
        "offset": offset,
        "page": PAGE,
        "params": [bounded(name) for name in names],
        "rows": [_row(t, last_runs.get(t.number), names) for t in trials[offset : offset + PAGE]],
    }


def _column_names(study: Study) -> list[str]:
    """Return the parameters of the first trials."""
    names = dict.fromkeys(name for trial in study.trials[:200] for name in trial.params)
    return list(names)[:MAX_COLUMNS]


def _is_in_state(trial: Trial, state: str) -> bool:
    if state == "INFEASIBLE":
        return trial.standing is Standing.INFEASIBLE
    return not state or trial.state == state


def _matches(trial: Trial, text: str) -> bool:
    if not text:
        return True
    cause = str(trial.attributes.get(CAUSE_ATTRIBUTE, ""))
    params = " ".join(f"{k}={v}" for k, v in trial.params.items())
    return text in f"{trial.number} {params} {cause}".lower()


def _sort_key(sort: str, last_runs: Mapping[int, Attempt]) -> Callable[[Trial], tuple[Any, ...]]:
    """Return a key by which missing values are smallest and numbers greater than strings."""

    def key(trial: Trial) -> tuple[Any, ...]:
        match sort:
            case "value":
                value: Any = json_number(trial.values[0]) if trial.values else None
            case "state":
                value = trial.state
            case "seconds":
                run = last_runs.get(trial.number)
                value = run.seconds if run else None
            case "cost":
                value = trial.cost or None
            case _ if sort.startswith("param:"):
                value = trial.params.get(sort.removeprefix("param:"))
            case _:
                value = trial.number
        is_number = isinstance(value, int | float)
        return (value is not None, is_number, value if is_number else str(value), trial.number)

    return key


def _row(trial: Trial, run: Attempt | None, names: Sequence[str]) -> dict[str, Any]:
    console = trial.attributes.get(CONSOLE_ATTRIBUTE)
    last_step = max(trial.steps, default=None)
    return {
        "number": trial.number,
        "state": trial.state,
        "values": [json_number(v) for v in trial.values],
        "note": bounded(describe_standing(trial.result)),
        "step": last_step,
        "latest": None if last_step is None else json_number(trial.steps[last_step]),
        "run": run.name if run else None,
        "run_state": run.state if run else None,
        "attempt": run.attempt if run else None,
        "seconds": run.seconds if run else None,
        "cost": trial.cost or None,
        "cause": bounded((run.cause if run else None) or trial.attributes.get(CAUSE_ATTRIBUTE, "")),
        "continued_from": trial.continued_from,
        # The page makes a link of it, so any other scheme (javascript:) must not get through.
        "console": console if str(console).startswith("https://") else None,
        "params": [_param(trial.params[n]) if n in trial.params else None for n in names],
    }


def _param(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return bounded(value)
    return json_number(float(value)) if isinstance(value, float) else value


def comparison_view(studies: Sequence[Study]) -> dict[str, Any]:
    """Return a comparison: best trials, figures, statement and warnings."""
    result = compare(studies)
    return {
        "winners": [_winner(w, result) for w in result.winners],
        "differing": [bounded(n) for n in result.differing],
        "statement": bounded(result.statement),
        "without_best": [bounded(line) for line in result.without_best],
        "warnings": [bounded(w) for w in result.warnings],
        "figures": [
            {"name": name, "title": title, "figure": figure}
            for name, (title, figure) in comparison_figures(studies).items()
        ],
    }


def _winner(winner: Winner, result: Comparison) -> dict[str, Any]:
    return {
        "study": bounded(winner.study),
        "trial": winner.trial,
        "value": json_number(winner.value),
        "replicates": [json_number(v) for v in winner.replicates],
        "trials": winner.trials,
        "run_hours": winner.run_hours,
        "money": winner.money,
        "hours": winner.hours,
        "params": [bounded(winner.params.get(n, "(none)")) for n in result.differing],
    }
