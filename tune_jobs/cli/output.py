"""Results on standard output: lines for people, or JSON."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import Standing, read_result
from tune_jobs.core.failures import explain_outcome, group_failures
from tune_jobs.core.formatting import format_parameter
from tune_jobs.core.strict_json import encode_json
from tune_jobs.core.trial_attributes import displayed_state
from tune_jobs.runtime.lines import remove_terminal_codes
from tune_jobs.storage.deletion import explain_deletion
from tune_jobs.tuner import Tuner

_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def print_result(options: argparse.Namespace, facts: object, text: str) -> None:
    """Print the text, or with ``--json`` the facts."""
    print(encode_json(facts, indent=2, default=str) if options.json else make_printable(text))


def make_printable(text: str) -> str:
    """Return a text without what a terminal would act on, or could not print.

    Logs, names and notes are in it, and whatever wrote them must not move the cursor of a person
    who reads about them.
    """
    harmless = remove_terminal_codes(text).translate(_CONTROLS)
    return harmless.encode("utf-8", "replace").decode("utf-8")


def print_status(
    options: argparse.Namespace, tuner: Tuner, more: Mapping[str, object] | None = None
) -> int:
    """Print the state of a study: its trials, owner, best trials, failures and costs.

    Args:
        options: Those of the command.
        tuner: The study.
        more: Further facts for JSON.
    """
    study = tuner.study
    with explain_deletion(study):
        trials = study.get_trials(deepcopy=False)
    left_behind = tuner.left_behind()
    states = Counter(displayed_state(t, is_tuned=not left_behind) for t in trials)
    excluded = _count_excluded(trials)
    best, no_best = tuner.best_trials, tuner.definition.explain_no_best(trials)
    final_runs = [a for a in tuner.attempts() if a.is_final]
    owner, costs = tuner.owner(), tuner.costs()
    facts = {
        "study": study.study_name,
        "directions": [d.name.lower() for d in study.directions],
        "trials": states,
        "not_best": excluded,
        "best": [{"trial": t.number, "values": t.values, "params": t.params} for t in best],
        "no_best": str(no_best) if no_best else None,
        "final_runs": [{"name": a.name, "trial": a.trial, "state": a.state} for a in final_runs],
        "owner": owner,
        "left_behind": [a.name for a in left_behind],
        "failures": [dataclasses.asdict(group) for group in group_failures(trials)],
        "costs": dataclasses.asdict(costs),
        **(more or {}),
    }
    lines = [f"{study.study_name}: {_format_counts(states) or 'no trials yet'}"]
    if excluded:
        lines.append(f"complete, but cannot be the best: {_format_counts(excluded)}")
    if owner:
        lines.append(f"tuned by {owner}")
    if left_behind:
        lines.append(_describe_left_behind(left_behind, options.file))
    for trial in best[:5]:
        values, params = format_values(trial.values), _format_params(trial.params)
        lines.append(f"best: trial {trial.number}, {values}  {params}")
    if no_best and trials:
        lines.append(f"best: none: {explain_outcome(no_best, trials)}")
    lines += [f"{label}: {text}" for label, text in costs.rows()]
    for run in final_runs:
        state = "left behind" if run in left_behind else run.state.lower()
        lines.append(f"{run.name}: trial {run.trial}, {state}")
    print_result(options, facts, "\n".join(lines))
    return 0


def _describe_left_behind(attempts: Sequence[Attempt], file: Path) -> str:
    names = ", ".join(a.name for a in attempts[:5]) + (", ..." if len(attempts) > 5 else "")
    train = any(a.is_final for a in attempts)
    command = f"`tune-jobs {'train-best' if train else 'run'} {file}`"
    return (
        f"left behind: {names}: no process tunes the study. The next {command} adopts the runs "
        "that continue, collects those that have ended, and runs the others again"
    )


def _count_excluded(trials: Sequence[FrozenTrial]) -> Counter[str]:
    """Return how many complete trials cannot be the best, by reason."""
    standings = (read_result(trial).standing for trial in trials)
    others = (Standing.CANDIDATE, Standing.NO_VALUE, Standing.REUSED)
    return Counter(standing.value for standing in standings if standing not in others)


def format_values(values: Sequence[float]) -> str:
    """Return objective values with six significant digits."""
    return ", ".join(format(value, ".6g") for value in values)


def _format_counts(states: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count} {state.lower().replace('_', ' ')}" for state, count in sorted(states.items())
    )


def _format_params(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={format_parameter(value, 4)}" for name, value in params.items())
