"""What `Tuner.detach` is called with, checked before anything is launched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from tune_jobs.arguments.type_checks import invalid
from tune_jobs.detached.recipe import Call
from tune_jobs.errors import ConfigError
from tune_jobs.tuning.options import CallLimits, Then
from tune_jobs.tuning.spec import TuningSpec

if TYPE_CHECKING:
    from tune_jobs.backends.data_science.controller_job import ControllerJob
    from tune_jobs.backends.data_science.definition import Infrastructure


def build_call(
    spec: TuningSpec,
    limits: CallLimits,
    finished: int,
    *,
    then: Then | None,
    arguments: Mapping[str, Any],
    resources: Mapping[str, Any],
    take_over: bool,
) -> Call:
    """Return what a controller is to do.

    Args:
        spec: What is tuned.
        limits: Limits as those of ``optimize``; ``n_trials`` counts from now on.
        finished: Number of trials that have finished. A controller counts all trials, so that it
            can be replaced.
        then, arguments, resources, take_over: See `Call`.

    Raises:
        ConfigError: If a limit does not apply to the study, or ``then`` is not possible.
    """
    single = len(spec.objectives.metrics) == 1
    limits.check_use(single_objective=single, has_prices=bool(spec.options.prices))
    if then not in (None, *get_args(Then)):
        raise invalid("then", then, "'train_best' or None")
    if then is not None and not single:
        raise ConfigError(
            "then='train_best': the best of several metrics is a choice: leave it out, and call "
            "train_best(pick=...) afterwards"
        )
    if limits.n_trials is not None:
        limits = replace(limits, n_trials=limits.n_trials + finished)
    return Call(limits, then, dict(arguments), dict(resources), take_over)


def as_controller(
    given: ControllerJob | Infrastructure | Literal["local"] | None,
) -> ControllerJob | Literal["local"] | None:
    """Return what a controller runs on, from what a user gives.

    Raises:
        ConfigError: If it is something else.
    """
    if given is None or given == "local":
        return given
    from tune_jobs.backends.data_science.controller_job import ControllerJob
    from tune_jobs.backends.data_science.definition import Infrastructure

    if isinstance(given, Infrastructure):
        return ControllerJob(given)
    if isinstance(given, ControllerJob):
        return given
    valid = "an Infrastructure, a ControllerJob or 'local'; name the rest: detach(n_trials=20)"
    raise invalid("controller", given, valid)
