"""What an enqueued trial asks for: anybody may have written it, with any version of a space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from tune_jobs.core.formatting import abbreviate
from tune_jobs.core.trial_attributes import (
    ARGUMENTS_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    RESULT_ATTRIBUTES,
)
from tune_jobs.errors import ConfigError, SpaceError

FIXED_PARAMS = "fixed_params"
"""Optuna's system attribute of the parameters that a trial was enqueued with."""


def read_requested_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters that a trial was enqueued with; empty if it leaves all to the sampler.

    Raises:
        SpaceError: If they are not a dict, or the trial has attributes of a result.
    """
    fixed = trial.system_attrs.get(FIXED_PARAMS, {})
    if not isinstance(fixed, Mapping):
        raise SpaceError(
            f"{FIXED_PARAMS}={abbreviate(fixed)} is a {type(fixed).__name__}: enqueue a dict of "
            "parameters"
        )
    if foreign := sorted(RESULT_ATTRIBUTES & trial.user_attrs.keys()):
        raise SpaceError(
            f"the enqueued trial has the attribute {foreign[0]!r}, which describes the run of "
            "another trial: enqueue parameters and attributes of your own only"
        )
    return {**trial.params, **fixed}


def read_configuration(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters of a trial; before it has any, those that it was enqueued with."""
    fixed = trial.system_attrs.get(FIXED_PARAMS)
    return dict(trial.params or (fixed if isinstance(fixed, Mapping) else {}))


def read_arguments(trial: FrozenTrial) -> dict[str, Any]:
    """Return the arguments that a trial's runs get beside its parameters.

    Raises:
        ConfigError: If they are not a dict.
    """
    arguments = trial.user_attrs.get(ARGUMENTS_ATTRIBUTE, {})
    if not isinstance(arguments, Mapping):
        raise ConfigError(
            f"{ARGUMENTS_ATTRIBUTE}={abbreviate(arguments)} is a {type(arguments).__name__}: set a "
            "dict of arguments"
        )
    return dict(arguments)


Key = tuple[tuple[str, str], ...]
"""A configuration, to find the same one again."""


def configuration_key(params: Mapping[str, Any]) -> Key:
    """Return what two trials have in common if they have the same parameters."""
    return tuple(sorted((name, repr(value)) for name, value in params.items()))


def find_same(params: Mapping[str, Any], trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """Return the first trial that has these parameters, or was enqueued with them.

    A refused trial had no run, and a replicate has an argument of its own.
    """
    wanted = configuration_key(params)
    for trial in trials:
        if trial.user_attrs.keys() & {REFUSED_ATTRIBUTE, REPLICATE_ATTRIBUTE}:
            continue
        asked = read_configuration(trial)
        if asked and configuration_key(asked) == wanted:
            return trial
    return None
