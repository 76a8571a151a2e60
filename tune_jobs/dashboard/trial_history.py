"""Why a trial is in its state, where it came from, and what came of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.best_trials import Standing
from tune_jobs.core.no_best import describe_standing
from tune_jobs.core.trial_attributes import (
    CAUSE_ATTRIBUTE,
    REACHED_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    RUNG_ATTRIBUTE,
    SAME_ATTRIBUTE,
    is_withdrawn,
)
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.model import Study, Trial

_PRUNED_AT = re.compile(r"pruned at step (?P<step>-?\d+)")

MAX_CAUSE = 600
MAX_LINKS = 50
"""Trials and final runs that came of a trial, of each kind."""


def explain(
    study: Study, trial: Trial, runs: Sequence[Attempt], *, is_final: bool
) -> dict[str, Any]:
    """Return the state of a trial or a final run in one sentence, with its cause.

    Args:
        study: The study.
        trial: The trial.
        runs: All attempts that are meant, the first one first.
        is_final: Whether they are those of a final run.

    Returns:
        ``text``; ``tone``, one of "good", "bad", "warning" and "plain"; ``since``, when what is
        going on began, in seconds since the epoch or None; and ``details``, further lines.
    """
    tone, text, since = (
        _explain_final(runs[-1], is_left=not study.owner)
        if is_final
        else _explain_trial(study, trial, runs)
    )
    cause = (runs[-1].cause if runs else None) or _attribute(trial, CAUSE_ATTRIBUTE)
    details = "" if is_final and runs[-1].told is None else cause.partition("\n")[2]
    lines = [clean(line, MAX_CAUSE) for line in details.splitlines()[:20]]
    return {"tone": tone, "text": text, "since": since, "details": lines}


_Explained = tuple[str, str, float | None]


def _explain_trial(study: Study, trial: Trial, runs: Sequence[Attempt]) -> _Explained:
    name = f"Trial {trial.number}"
    last = runs[-1] if runs else None
    if is_withdrawn(trial.attributes):
        return "plain", f"{name} was withdrawn before it started", None
    if refusal := _attribute(trial, REFUSED_ATTRIBUTE):
        return "bad", f"{name} was not run, because its parameters were refused: {refusal}", None
    if SAME_ATTRIBUTE in trial.attributes:
        same = trial.attributes[SAME_ATTRIBUTE]
        return "plain", f"{name} was not run: trial {same} had the same parameters", None
    match trial.state:
        case "COMPLETE":
            return _explain_complete(study, trial, name)
        case "PRUNED":
            return "warning", f"{name} {_explain_pruned(study, trial, last)}", None
        case "FAIL":
            tried = f" after {len(runs)} attempts" if len(runs) > 1 else ""
            cause = _cause(trial, last) or "its cause is not recorded"
            return "bad", f"{name} failed{tried}: {cause}", None
        case "WAITING":
            return "plain", f"{name} waits in the queue: no process has taken it yet", None
    return _explain_live(name, last, is_left=not study.owner)


def _explain_complete(study: Study, trial: Trial, name: str) -> _Explained:
    if trial.standing is not Standing.CANDIDATE:
        note = describe_standing(trial.result) or "it has no value"
        note = "it is a replicate" if trial.standing is Standing.REPLICATE else note
        return "warning", f"{name} is complete, but cannot be the best: {note}", None
    front = [t.number for t in study.front()]
    if not study.single:
        is_best = trial.number in front
        others = len(front) - is_best
        count = f"{others} {'other ' if is_best else ''}trial{'' if others == 1 else 's'}"
        place = f"on the Pareto front, with {count}" if is_best else f"behind the front of {count}"
        return "good", f"{name} is complete and {place}", None
    if trial.number == front[0]:
        return "good", f"{name} is the best trial of the study so far", None
    sign = -1.0 if study.maximize[0] else 1.0
    better = sum(sign * t.values[0] < sign * trial.values[0] for t in study.candidates())
    total = len(study.candidates())
    return "good", f"{name} is complete: number {better + 1} of {total} by value", None


def _explain_pruned(study: Study, trial: Trial, last: Attempt | None) -> str:
    rung = trial.attributes.get(RUNG_ATTRIBUTE)
    if isinstance(rung, dict) and REACHED_ATTRIBUTE in trial.attributes:
        promoted = next((t.number for t in study.trials if t.continued_from == trial.number), None)
        outcome = f"continues as trial {promoted}" if promoted is not None else "was not promoted"
        reached = f"rung {rung.get('index')} with budget {rung.get('budget')}"
        return f"reached {clean(reached, 200)} and {outcome}"
    cause = _cause(trial, last) or "pruned"
    if cause.startswith("pruned"):
        pruner = study.definition.get("pruner")
        return f"was {cause}{f' by {clean(pruner, 100)}' if pruner else ''}"
    return f"was stopped: {cause}"


def _explain_final(last: Attempt, *, is_left: bool) -> _Explained:
    name = f"Final run {last.name.rpartition('-')[0]}"
    if last.told is None:
        return _explain_live(name, last, is_left=is_left)
    if last.state is AttemptState.SUCCEEDED:
        return "good", f"{name} succeeded", None
    cause = clean((last.cause or "its cause is not recorded").partition("\n")[0], MAX_CAUSE)
    return "bad", f"{name} {last.state.value.lower()}: {cause}", None


def _explain_live(name: str, last: Attempt | None, *, is_left: bool) -> _Explained:
    if is_left:
        return "warning", f"{name} was left behind: no process is tuning the study", None
    if last is None:
        return "plain", f"{name} has no job run yet", None
    again = f"attempt {last.attempt} " if last.attempt > 1 else ""
    if last.told is not None:
        return "plain", f"{name} is between two attempts", None
    if last.state is AttemptState.PRUNING:
        cause = clean(last.cause or "pruned", MAX_CAUSE)
        return "warning", f"{name} is being stopped: {cause}", last.started
    if last.started is not None:
        return "plain", f"{name}: {again}is running", last.started
    waiting = "is to be submitted" if last.state is AttemptState.INTENDED else "waits for a machine"
    return "plain", f"{name}: {again}{waiting}", last.intended


def _cause(trial: Trial, last: Attempt | None) -> str:
    """Return the first line of why there is no value."""
    cause = (last.cause if last else None) or _attribute(trial, CAUSE_ATTRIBUTE)
    return clean(cause.partition("\n")[0], MAX_CAUSE)


def _attribute(trial: Trial, name: str) -> str:
    return str(trial.attributes.get(name, ""))


# -- origin ---------------------------------------------------------------------------------------


def find_origin(study: Study, trial: Trial, *, is_final: bool) -> list[dict[str, Any]]:
    """Return where a trial came from: sentences, with the trial that each is about, if any."""
    if is_final:
        return [_link("Trains the configuration of trial", trial=trial.number)]
    found = []
    if trial.continued_from is not None:
        found.append(_link("Continues, with a larger budget, trial", trial=trial.continued_from))
    for name, text in (
        (REPLICATE_ATTRIBUTE, "Repeats, with another seed, trial"),
        (SAME_ATTRIBUTE, "Has the same parameters, and was given the values, of trial"),
    ):
        if name in trial.attributes:
            found.append(_link(text, trial=trial.attributes[name]))
    if trial.retry_of is not None:
        found.append(_link("Retries trial", trial=trial.retry_of))
    if found:
        return found
    if trial.requested:
        return [_link("Enqueued: its parameters were given, not suggested")]
    sampler = study.definition.get("sampler")
    return [_link(f"Suggested by {clean(sampler, 100) if sampler else 'the sampler'}")]


def find_descendants(study: Study, trial: Trial) -> list[dict[str, Any]]:
    """Return what came of a trial: promotions, replicates, copies, retries and final runs."""
    number = trial.number
    by_kind = {
        "Promoted to trial": [t.number for t in study.trials if t.continued_from == number],
        "Repeated with another seed by trial": _with_attribute(study, REPLICATE_ATTRIBUTE, number),
        "Gave its values to trial": _with_attribute(study, SAME_ATTRIBUTE, number),
        "Retried by trial": [t.number for t in study.trials if t.retry_of == number],
    }
    found = [_link(text, trial=n) for text, all_ in by_kind.items() for n in all_[:MAX_LINKS]]
    finals = dict.fromkeys(
        run.name.rpartition("-")[0] for run in study.runs if run.is_final and run.trial == number
    )
    return [*found, *(_link("Trained by", final=name) for name in list(finals)[:MAX_LINKS])]


def _with_attribute(study: Study, name: str, value: int) -> list[int]:
    return [t.number for t in study.trials if t.attributes.get(name) == value]


def _link(text: str, *, trial: Any = None, final: str | None = None) -> dict[str, Any]:
    is_number = isinstance(trial, int) and not isinstance(trial, bool)
    return {"text": text, "trial": trial if is_number else None, "final": final}


def find_pruning_step(trial: Trial) -> tuple[int, float] | None:
    """Return the step at which a trial was pruned, and its value there; None if it was not.

    A run may report further steps until it has been stopped.
    """
    if trial.state != "PRUNED" or not trial.steps:
        return None
    decided = _PRUNED_AT.match(_attribute(trial, CAUSE_ATTRIBUTE))
    step = int(decided["step"]) if decided else max(trial.steps)
    value = trial.steps.get(step, math.nan)
    return (step, value) if math.isfinite(value) else None
