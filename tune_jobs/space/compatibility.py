"""Whether a search space can be sampled and fits its study, before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from tune_jobs.core.scratch import scratch_study
from tune_jobs.errors import SpaceError, did_you_mean
from tune_jobs.space.search_space import Space, to_json

_DRAWS = 32
_MAX_DRAWS = 1000


def check_space(space: Space, study: optuna.Study) -> dict[str, BaseDistribution]:
    """Draw a few configurations and compare them with the study, before anything is spent.

    Nothing is written to the study.

    Returns:
        The distributions that were met, by parameter; see `check_fixed`.

    Raises:
        SpaceError: the space cannot be sampled, nothing in it is tuned, a constraint is about a
            parameter that never occurs, or a parameter does not fit the trials of the study.
    """
    met = _draw(space, study)
    if not met:
        raise SpaceError(f"{space.label} lets Optuna choose nothing: call trial.suggest_...()")
    for constraint in space.constraints:
        for name in sorted(constraint.names - space.names):
            raise SpaceError(
                f"constraint {constraint.text!r}: no configuration of {_MAX_DRAWS} has a parameter "
                f"{name!r} {did_you_mean(name, space.names)}"
            )
    existing: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        for name, distribution in trial.distributions.items():
            existing.setdefault(name, distribution)  # Optuna keeps them compatible in a study
    for name in met.keys() & existing.keys():
        _check_compatible(name, existing[name], met[name], study.study_name)
    return met


def _draw(space: Space, study: optuna.Study) -> dict[str, BaseDistribution]:
    """Sample until every name in the constraints was met; returns the distributions."""
    scratch = scratch_study(study)
    wanted = {name for constraint in space.constraints for name in constraint.names}
    met = {p.name: p.distribution for p in space.parameters if p.distribution}
    for count in range(_MAX_DRAWS):
        if count >= _DRAWS and wanted <= space.names:
            break
        trial = scratch.ask()
        space.refusal(space.sample(trial))
        met.update(trial.distributions)
    return met


def _check_compatible(name: str, old: BaseDistribution, new: BaseDistribution, study: str) -> None:
    try:
        optuna.distributions.check_distribution_compatibility(old, new)
    except ValueError as error:
        raise SpaceError(
            f"parameter {name!r} is {old} in study {study!r} and {new} in this search space: "
            "use a new study name, or the same kind, log and choices as before (ranges may change)"
        ) from error


def check_fixed(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Check parameters that are to be enqueued; Optuna would only warn, and use them.

    Returns:
        The parameters as Optuna stores them: a list among the choices as its JSON text.

    Raises:
        SpaceError: a parameter is unknown, or its value is not in its distribution.
    """
    return {name: _fixed(name, value, distributions) for name, value in params.items()}


def _fixed(name: str, value: Any, distributions: Mapping[str, BaseDistribution]) -> Any:
    if name not in distributions:
        raise SpaceError(f"parameter {name!r} is not tuned {did_you_mean(name, distributions)}")
    distribution = distributions[name]
    if isinstance(value, list | tuple | dict):
        value = to_json(value)
    if not _fits(value, distribution):
        raise SpaceError(f"parameter {name}={value!r} is outside {distribution}: choose one inside")
    return value


def _fits(value: Any, distribution: BaseDistribution) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and _is_in_range(value, distribution)


def _is_in_range(value: float, distribution: BaseDistribution) -> bool:
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return False
    if not distribution.low <= value <= distribution.high:
        return False
    if distribution.step is None:
        return True
    steps = (value - distribution.low) / distribution.step
    return abs(steps - round(steps)) < 1e-8  # the tolerance of Optuna's own check


def out_of_range(trial: FrozenTrial) -> str | None:
    """Why an enqueued configuration does not fit the space; Optuna warns and uses it."""
    if "fixed_params" not in trial.system_attrs:
        return None
    try:
        check_fixed(trial.params, trial.distributions)
    except SpaceError as error:
        return str(error)
    return None
