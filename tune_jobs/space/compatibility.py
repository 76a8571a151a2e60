"""Checks that a search space can be sampled and fits its study."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
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
    """Sample some configurations and compare them with the study, which is not changed.

    Returns:
        The distributions that occurred, by parameter; see `check_fixed`.

    Raises:
        SpaceError: If the space cannot be sampled, if nothing in it is tuned, if a constraint uses
            a parameter that never occurs, or if a parameter is incompatible with the study's
            trials.
    """
    met = _draw(space, study)
    if not met:
        raise SpaceError(f"{space.label} has nothing to tune: call trial.suggest_...()")
    for constraint in space.constraints:
        for name in sorted(constraint.names - space.names):
            raise SpaceError(
                f"constraint {constraint.source!r}: none of {_MAX_DRAWS} configurations has a "
                f"parameter {name!r} {did_you_mean(name, space.names)}"
            )
    existing: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        for name, distribution in trial.distributions.items():
            existing.setdefault(name, distribution)  # Optuna keeps them compatible in a study
    for name in met.keys() & existing.keys():
        _check_compatible(name, existing[name], met[name], study.study_name)
    return met


def _draw(space: Space, study: optuna.Study) -> dict[str, BaseDistribution]:
    """Sample until every name in the constraints has occurred; return the distributions."""
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


def find_missing(space: Space, study: optuna.Study, names: Collection[str]) -> set[str]:
    """Return those of the names that no configuration has.

    A name counts as one of a function's if it occurred in the study, or in a sample, or if the
    function mentions it: a rare branch may suggest it.

    Raises:
        SpaceError: If the space cannot be sampled.
    """
    missing = {name for name in names if name not in space.names and not space.mentions(name)}
    if missing and space.function is not None:
        for trial in study.get_trials(deepcopy=False):
            missing -= trial.params.keys()
        scratch = scratch_study(study)
        for _ in range(_MAX_DRAWS):
            if not missing:
                break
            missing -= space.sample(scratch.ask()).keys()
    return missing


def _check_compatible(name: str, old: BaseDistribution, new: BaseDistribution, study: str) -> None:
    try:
        optuna.distributions.check_distribution_compatibility(old, new)
    except ValueError as error:
        raise SpaceError(
            f"parameter {name!r} is {old} in study {study!r} but {new} in this search space: "
            "use a new study name, or the same kind, log and choices as before (ranges may change)"
        ) from error


def check_fixed(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Check the parameters of a trial to enqueue, about which Optuna would only warn.

    Returns:
        The parameters as Optuna stores them: choices that are lists as JSON strings.

    Raises:
        SpaceError: If a parameter is unknown, or its value is not in its distribution.
    """
    return {name: _fixed(name, value, distributions) for name, value in params.items()}


def _fixed(name: str, value: Any, distributions: Mapping[str, BaseDistribution]) -> Any:
    if name not in distributions:
        raise SpaceError(f"parameter {name!r} is not tuned {did_you_mean(name, distributions)}")
    distribution = distributions[name]
    if isinstance(value, list | tuple | dict):
        value = to_json(value)
    if not _fits(value, distribution):
        raise SpaceError(f"parameter {name}={value!r} is outside of {distribution}: change it")
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
    """Return why an enqueued configuration does not fit the space; None if it does.

    Optuna warns about such a configuration, but uses it.
    """
    if "fixed_params" not in trial.system_attrs:
        return None
    try:
        check_fixed(trial.params, trial.distributions)
    except SpaceError as error:
        return str(error)
    return None
