"""Checks that a search space can be sampled and fits its study."""

from __future__ import annotations

from collections.abc import Collection

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from tune_jobs.core.scratch import scratch_study
from tune_jobs.core.trial_attributes import REFUSED_ATTRIBUTE
from tune_jobs.errors import SpaceError, did_you_mean
from tune_jobs.space.search_space import Space

_DRAWS = 32
_MAX_DRAWS = 1000


def check_space(space: Space, study: optuna.Study) -> dict[str, BaseDistribution]:
    """Sample some configurations and compare them with the study, which is not changed.

    Returns:
        The distributions that occurred, by parameter.

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
        if trial.state == TrialState.WAITING or REFUSED_ATTRIBUTE in trial.user_attrs:
            continue  # it may be of another space: it fails, or has failed, for that
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
