"""What the page asks for, as plain dictionaries that JSON can say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, CONSOLE_ATTRIBUTE
from tune_jobs.dashboard.comparing import Comparison, Winner, compare, comparison_figures
from tune_jobs.dashboard.drawing import tame
from tune_jobs.dashboard.figures import FIGURES, figure_names, timeline_info
from tune_jobs.dashboard.model import Run, Study, Trial
from tune_jobs.dashboard.reading import Head

PAGE = 50
"""Trials on a page of the table."""

MAX_TEXT = 300
"""Characters of a text from a study that a page shows."""


def bounded(text: object) -> str:
    """A text of a study, of bounded length; of a number its first digits."""
    return tame(f"{text:.6g}" if isinstance(text, float) else text, MAX_TEXT)


def number(value: float | None) -> float | None:
    """What JSON has a number for."""
    return value if value is not None and math.isfinite(value) else None


def head_view(head: Head, now: float) -> dict[str, Any]:
    """A line of the overview."""
    told = sum(head.counts.get(s, 0) for s in ("COMPLETE", "PRUNED", "FAIL"))
    active = head.owner is not None and head.first is not None and told > 0
    span = (now - head.first) / 3600.0 if head.first is not None else 0.0
    return {
        "key": head.key,
        "name": bounded(head.name),
        "direction": ", ".join("maximize" if up else "minimize" for up in head.maximize),
        "counts": dict(head.counts),
        "best": number(head.best),
        "run_hours": head.run_hours,
        "live": head.live,
        "owner": head.owner,
        "rate": told / span if active and span > 0 else None,
        "last": head.last,
    }


def study_view(study: Study, now: float) -> dict[str, Any]:
    """The top of a study's page."""
    best = study.best()
    timeline = timeline_info(study.runs, now)
    limits = study.definition.get("limits", {})
    told = sum(1 for t in study.trials if t.state in ("COMPLETE", "PRUNED", "FAIL"))
    begin = min((r.intended for r in study.runs), default=None)
    wanted = limits.get("n_trials")
    eta = None
    if study.owner and wanted and told and begin is not None and wanted > told:
        eta = (now - begin) / told * (wanted - told)
    return {
        "key": study.key,
        "name": bounded(study.name),
        "version": study.version(),
        "metrics": [bounded(m) for m in study.metrics],
        "directions": ["maximize" if up else "minimize" for up in study.maximize],
        "counts": study.counts(),
        "best": None
        if best is None
        else {
            "trial": best.number,
            "value": number(best.values[0]),
            "params": {bounded(k): bounded(v) for k, v in best.params.items()},
        },
        "owner": study.owner,
        "run_hours": sum(r.seconds or 0.0 for r in study.runs) / 3600.0,
        "money": sum(t.money for t in study.trials),
        "slots": timeline.slots,
        "utilisation": timeline.utilisation,
        "provisioning": timeline.provisioning,
        "n_trials": wanted,
        "eta": eta,
        "figures": [{"name": n, "title": FIGURES[n][0]} for n in figure_names(study)],
        "runs": [_final(r) for r in study.runs if r.is_final],
    }


def _final(run: Run) -> dict[str, Any]:
    return {"name": run.name, "trial": run.trial, "state": run.state, "seconds": run.seconds}


def trials_view(
    study: Study,
    *,
    offset: int = 0,
    sort: str = "number",
    descending: bool = True,
    state: str = "",
    text: str = "",
) -> dict[str, Any]:
    """A page of the table of trials.

    Args:
        study: The study.
        offset: Trials before the page.
        sort: ``number``, ``value``, ``state``, ``seconds``, ``money`` or ``param:NAME``.
        descending: The largest first.
        state: Only trials in it.
        text: Only trials with it in a parameter or a cause.
    """
    last: dict[int, Run] = {}
    for run in study.runs:
        if run.trial is not None and not run.is_final:
            last[run.trial] = run
    chosen = [
        t
        for t in study.trials
        if not t.unneeded and (not state or t.state == state) and _has(t, text.lower())
    ]
    chosen.sort(key=_sort_key(sort, last), reverse=descending)
    page = chosen[offset : offset + PAGE]
    return {
        "total": len(chosen),
        "offset": offset,
        "page": PAGE,
        "params": [bounded(name) for name in _names(study)],
        "rows": [_row(t, last.get(t.number), _names(study)) for t in page],
    }


def _names(study: Study) -> list[str]:
    names: dict[str, None] = {}
    for trial in study.trials[:200]:
        names.update(dict.fromkeys(trial.params))
    return list(names)[:20]


def _has(trial: Trial, text: str) -> bool:
    if not text:
        return True
    cause = str(trial.attributes.get(CAUSE_ATTRIBUTE, ""))
    told = " ".join(f"{k}={v}" for k, v in trial.params.items())
    return text in f"{trial.number} {told} {cause}".lower()


def _sort_key(sort: str, last: Mapping[int, Run]) -> Callable[[Trial], tuple[bool, Any]]:
    """What is missing comes last when the largest comes first."""

    def key(trial: Trial) -> tuple[Any, ...]:
        match sort:
            case "value":
                found: Any = number(trial.values[0]) if trial.values else None
            case "state":
                found = trial.state
            case "seconds":
                run = last.get(trial.number)
                found = run.seconds if run else None
            case "money":
                found = trial.money or None
            case _ if sort.startswith("param:"):
                found = trial.params.get(sort.removeprefix("param:"))
            case _:
                found = trial.number
        plain = isinstance(found, int | float)
        return (found is not None, plain, found if plain else str(found), trial.number)

    return key


def _row(trial: Trial, run: Run | None, names: Sequence[str]) -> dict[str, Any]:
    console = trial.attributes.get(CONSOLE_ATTRIBUTE)
    last_step = max(trial.steps, default=None)
    return {
        "number": trial.number,
        "state": trial.state,
        "values": [number(v) for v in trial.values],
        "step": last_step,
        "latest": None if last_step is None else number(trial.steps[last_step]),
        "run": run.name if run else None,
        "run_state": run.state if run else None,
        "attempt": run.attempt if run else None,
        "seconds": run.seconds if run else None,
        "money": trial.money or None,
        "cause": bounded((run.cause if run else None) or trial.attributes.get(CAUSE_ATTRIBUTE, "")),
        "goes_on_from": trial.goes_on_from,
        # A link only if it is one: anything else in an attribute is text.
        "console": console if str(console).startswith("https://") else None,
        "params": [_param(trial.params[n]) if n in trial.params else None for n in names],
    }


def _param(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return bounded(value)
    return number(float(value)) if isinstance(value, float) else value


def comparison_view(studies: Sequence[Study]) -> dict[str, Any]:
    """A comparison: winners, figures, statement and warnings."""
    result = compare(studies)
    return {
        "winners": [_winner(w, result) for w in result.winners],
        "differing": [bounded(n) for n in result.differing],
        "statement": bounded(result.statement),
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
        "value": number(winner.value),
        "replicates": [number(v) for v in winner.replicates],
        "trials": winner.trials,
        "run_hours": winner.run_hours,
        "money": winner.money,
        "hours": winner.hours,
        "params": [bounded(winner.params.get(n, "(none)")) for n in result.differing],
    }
