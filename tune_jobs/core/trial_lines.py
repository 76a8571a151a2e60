"""Finished trials as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.costs import HOUR
from tune_jobs.core.failures import summarize_cause
from tune_jobs.core.formatting import duration, format_parameter
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, COST_ATTRIBUTE, displayed_state

MAX_CAUSE = 300
"""Characters of a cause in a line."""


def describe_trial(trial: FrozenTrial, metrics: Sequence[str]) -> str:
    """Return a finished trial in a line: number, state, values or cause, parameters, duration."""
    parts = [f"trial {trial.number} {displayed_state(trial)}", _describe_result(trial, metrics)]
    parts += [format_params(trial.params), _describe_duration(trial)]
    return "  ".join(part for part in parts if part)


def describe_best(trial: FrozenTrial, metrics: Sequence[str], outputs: str) -> str:
    """Return one of the best trials in a line; ``outputs`` is where its outputs are, if any."""
    parts = [f"best: trial {trial.number}", _describe_result(trial, metrics)]
    parts += [format_params(trial.params), outputs and f"outputs: {outputs}"]
    return "  ".join(part for part in parts if part)


def format_params(params: Mapping[str, Any]) -> str:
    """Return parameters in a line."""
    return " ".join(f"{name}={format_parameter(value, 6)}" for name, value in params.items())


def _describe_result(trial: FrozenTrial, metrics: Sequence[str]) -> str:
    if trial.state == TrialState.COMPLETE and trial.values is not None:
        named = zip(metrics, trial.values, strict=False)
        return " ".join(f"{name}={_format(value)}" for name, value in named)
    cause = summarize_cause(str(trial.user_attrs.get(CAUSE_ATTRIBUTE, "")))
    return cause if len(cause) <= MAX_CAUSE else f"{cause[:MAX_CAUSE]}..."


def _describe_duration(trial: FrozenTrial) -> str:
    """Return how long the trial's runs took; empty if it had none."""
    cost = trial.user_attrs.get(COST_ATTRIBUTE)
    return f"({duration(cost['run_hours'] * HOUR)})" if cost else ""


def _format(value: object) -> str:
    return format(value, ".6g") if isinstance(value, float) else str(value)
