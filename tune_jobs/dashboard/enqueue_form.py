"""The form for a configuration: what the page shows of a search space, and what it sends back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_jobs.core.formatting import abbreviate
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.views import bounded
from tune_jobs.errors import SpaceError
from tune_jobs.space.described import is_complete, read_space
from tune_jobs.space.search_space import Parameter, Space
from tune_jobs.space.validity import are_same, describe_allowed

MAX_CHOICES = 500
"""Choices of a parameter that a form offers."""

_PARTIAL = (
    "The space is a Python function, or has one that checks configurations. The process that tunes "
    "the study checks the rest, and fails a trial that it refuses; ranges are those of earlier "
    "trials."
)


def open_space(study: Study, opened: optuna.Study) -> Space:
    """Return the search space of a study, as far as it is known.

    Raises:
        SpaceError: If nothing is known of it.
    """
    described = study.definition.get("space", {})
    known: dict[str, BaseDistribution] = {}
    if "parameters" not in described:
        for trial in opened.get_trials(deepcopy=False):
            known.update(trial.distributions)
    space = read_space(described, known)
    if not space.parameters:
        raise SpaceError(
            "the search space of this study is unknown: no trial of it has parameters yet"
        )
    return space


def form_view(study: Study, space: Space, wanted: str) -> dict[str, Any]:
    """Return the fields of the form.

    Args:
        study: The study.
        space: Its search space.
        wanted: What the fields have at first: the number of a trial, ``best``, or nothing.
    """
    best = study.best()
    number = best.number if wanted == "best" and best else wanted
    trial = next((t for t in study.trials if str(t.number) == str(number)), None)
    params = trial.params if trial else {}
    described = study.definition.get("space", {})
    return {
        "name": bounded(study.name),
        "owner": study.owner,
        "best": best.number if best else None,
        "from": trial.number if trial else None,
        "unknown": bounded(wanted) if wanted not in ("", "best") and trial is None else "",
        "limits": "" if is_complete(described) else _PARTIAL,
        "constraints": [bounded(constraint.source) for constraint in space.constraints],
        "parameters": [_field(parameter, params) for parameter in space.parameters],
    }


def _field(parameter: Parameter, params: Mapping[str, Any]) -> dict[str, Any]:
    name, distribution = parameter.name, parameter.distribution
    field: dict[str, Any] = {
        # Sent back to name it, so it must not be cut; `find_name_problem` bounds it.
        "name": name,
        "when": parameter.when.source if parameter.when else "",
        "allowed": bounded(describe_allowed(distribution)) if distribution else "",
        "value": None,
    }
    match distribution:
        case CategoricalDistribution(choices=choices):
            labels = [bounded(abbreviate(choice)) for choice in choices[:MAX_CHOICES]]
            place = _find_choice(params[name], choices) if name in params else None
            return {**field, "type": "choice", "choices": labels, "value": place}
        case FloatDistribution(low=low, high=high, log=log, step=step):
            kind = "float"
        case IntDistribution(low=low, high=high, log=log, step=step):
            kind = "int"
        case _:
            return {**field, "type": "constant", "value": bounded(abbreviate(parameter.constant))}
    value = repr(params[name]) if name in params else None
    limits = {"low": low, "high": high, "log": log, "step": step}
    return {**field, "type": kind, **limits, "value": value}


def _find_choice(value: Any, choices: tuple[Any, ...]) -> int | None:
    return next((i for i, choice in enumerate(choices) if are_same(value, choice)), None)


def decode_params(space: Space, sent: object) -> dict[str, Any]:
    """Return the parameters that a request names.

    A choice may be sent as ``{"choice": 2}``, its place among the choices, as JSON has not all
    values that choices may have, and the page shows long ones in short.

    Raises:
        ValueError: If these are not parameters, or there is no such choice.
    """
    if not isinstance(sent, dict) or not sent:
        raise ValueError('params must be an object such as {"lr": 0.01}, with one or more values')
    declared = {parameter.name: parameter.distribution for parameter in space.parameters}
    return {name: _decode(name, value, declared.get(name)) for name, value in sent.items()}


def _decode(name: str, value: Any, distribution: BaseDistribution | None) -> Any:
    if not isinstance(value, dict):
        return value
    place = value.get("choice")
    is_choice = isinstance(distribution, CategoricalDistribution)
    choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
    if not is_choice or type(place) is not int or not 0 <= place < len(choices):
        raise ValueError(f"parameter {name[:100]!r} has no such choice: send one of its values")
    return choices[place]
