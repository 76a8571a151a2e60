"""User attributes that tune_jobs sets on Optuna's trials; Optuna's own dashboard shows them.

A finished trial cannot be changed, so all of them are set before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna import Trial
from optuna.trial import FrozenTrial, TrialState

OWN_PREFIX = "tune_jobs:"
"""What the names of all attributes of tune_jobs begin with."""

RUN_ATTRIBUTE = "tune_jobs:run"
"""Name of the trial's last attempt."""

RUN_ID_ATTRIBUTE = "tune_jobs:run_id"
CONSOLE_ATTRIBUTE = "tune_jobs:console"
"""The backend's own id of that run, and the address of its page in the cloud console."""

CAUSE_ATTRIBUTE = "tune_jobs:cause"
"""Why the trial has no value."""

DIVERGED_ATTRIBUTE = "tune_jobs:diverged"
"""Set if its run worked, or was stopped, and its metric was not finite."""

REFUSED_ATTRIBUTE = "tune_jobs:refused"
"""Why its parameters were refused: it had no run.

The state is PRUNED for a configuration that the sampler suggested and a constraint forbids, so that
samplers learn, and FAIL for everything else. Refused trials count neither towards ``n_trials`` nor
towards the limits on failures.
"""

WITHDRAWN = "withdrawn before it started"
"""The value of `REFUSED_ATTRIBUTE` of a trial that a person took out of the queue."""

SAME_ATTRIBUTE = "tune_jobs:same_as"
"""The earlier trial with the same parameters whose values it was given: it had no run."""

METRICS_ATTRIBUTE = "tune_jobs:metrics"
"""Last values of all metrics, if there are more than the objectives."""

RUNG_ATTRIBUTE = "tune_jobs:rung"
REACHED_ATTRIBUTE = "tune_jobs:reached"
"""Under promotion: the trial's rung (`promotion.Rung`), and its value there."""

COST_ATTRIBUTE = "tune_jobs:cost"
"""Run hours and money of all attempts of the trial."""

ARGUMENTS_ATTRIBUTE = "tune_jobs:arguments"
"""Arguments that its runs get beside its parameters."""

REPLICATE_ATTRIBUTE = "tune_jobs:replicate_of"
"""The trial whose parameters it repeats with another seed."""

REQUEST_ATTRIBUTE = "tune_jobs:request"
"""Identifies the request that enqueued the trial, so that a repeated one enqueues nothing."""

RESULT_ATTRIBUTES = frozenset(
    {
        RUN_ID_ATTRIBUTE,
        CONSOLE_ATTRIBUTE,
        CAUSE_ATTRIBUTE,
        DIVERGED_ATTRIBUTE,
        REFUSED_ATTRIBUTE,
        SAME_ATTRIBUTE,
        METRICS_ATTRIBUTE,
        RUNG_ATTRIBUTE,
        REACHED_ATTRIBUTE,
        COST_ATTRIBUTE,
    }
)
"""Attributes that only a trial's own runs set."""


def counts_as_finished(trial: FrozenTrial) -> bool:
    """Return whether a trial counts towards ``n_trials``.

    It is finished, had a run, and is neither a replicate nor promoted from another trial.
    """
    return trial.state.is_finished() and not is_extra(trial.user_attrs)


def is_extra(attributes: Mapping[str, Any]) -> bool:
    """Return whether a trial with these user attributes does not count towards ``n_trials``."""
    others = (REFUSED_ATTRIBUTE, SAME_ATTRIBUTE, REPLICATE_ATTRIBUTE)
    return _is_continued(attributes) or any(name in attributes for name in others)


def is_withdrawn(attributes: Mapping[str, Any]) -> bool:
    """Return whether a trial with these user attributes was withdrawn before it started."""
    return attributes.get(REFUSED_ATTRIBUTE) == WITHDRAWN


def displayed_state(trial: FrozenTrial, *, is_tuned: bool = True) -> str:
    """Return a trial's state as people see it.

    It is WITHDRAWN, REFUSED or REUSED if the trial had no run, and LEFT_BEHIND if no process tunes
    the study any more and the next one has to finish the trial.
    """
    if trial.state == TrialState.RUNNING and RUN_ATTRIBUTE in trial.user_attrs and not is_tuned:
        return "LEFT_BEHIND"
    if REFUSED_ATTRIBUTE in trial.user_attrs:
        return "WITHDRAWN" if is_withdrawn(trial.user_attrs) else "REFUSED"
    return "REUSED" if SAME_ATTRIBUTE in trial.user_attrs else trial.state.name


def is_promoted(trial: FrozenTrial) -> bool:
    """Return whether a trial resumes the configuration of an earlier one."""
    return _is_continued(trial.user_attrs)


def _is_continued(attributes: Mapping[str, Any]) -> bool:
    rung = attributes.get(RUNG_ATTRIBUTE)
    return isinstance(rung, Mapping) and rung.get("after") is not None


def set_run(trial: Trial, run_id: str | None, console: str | None) -> None:
    """Set the attributes that identify a trial's run at the backend."""
    if run_id is not None:
        trial.set_user_attr(RUN_ID_ATTRIBUTE, run_id)
    if console is not None:
        trial.set_user_attr(CONSOLE_ATTRIBUTE, console)
