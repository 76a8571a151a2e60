"""Results on standard output: lines for people, or JSON."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tune_jobs.core.strict_json import encode_json
from tune_jobs.core.trial_attributes import displayed_state
from tune_jobs.tuner import Tuner


def print_result(options: argparse.Namespace, facts: object, text: str) -> None:
    """Print the text, or with ``--json`` the facts."""
    print(encode_json(facts, indent=2, default=str) if options.json else text)


def print_status(options: argparse.Namespace, tuner: Tuner) -> int:
    """Print the state of a study: its trials, owner, best trials, costs and final runs."""
    study = tuner.study
    states = Counter(displayed_state(trial) for trial in study.get_trials(deepcopy=False))
    best = study.best_trials if "COMPLETE" in states else []
    final_runs = [a for a in tuner.attempts() if a.is_final]
    owner, costs = tuner.owner(), tuner.costs()
    facts = {
        "study": study.study_name,
        "directions": [d.name.lower() for d in study.directions],
        "trials": states,
        "best": [{"trial": t.number, "values": t.values, "params": t.params} for t in best],
        "final_runs": [{"name": a.name, "trial": a.trial, "state": a.state} for a in final_runs],
        "owner": owner,
        "costs": dataclasses.asdict(costs),
    }
    lines = [f"{study.study_name}: {_format_counts(states) or 'no trials yet'}"]
    if owner:
        lines.append(f"tuned by {owner}")
    for trial in best[:5]:
        values, params = format_values(trial.values), _format_params(trial.params)
        lines.append(f"best: trial {trial.number}, {values}  {params}")
    lines += [f"{label}: {text}" for label, text in costs.rows()]
    lines += [f"{a.name}: trial {a.trial}, {a.state.lower()}" for a in final_runs]
    print_result(options, facts, "\n".join(lines))
    return 0


def format_values(values: Sequence[float]) -> str:
    """Return objective values with six significant digits."""
    return ", ".join(format(value, ".6g") for value in values)


def _format_counts(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in sorted(states.items()))


def _format_params(params: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name}={format(value, '.4g') if isinstance(value, float) else value}"
        for name, value in params.items()
    )
