"""What is written on Optuna's trials, where its own dashboard shows it. A told trial is frozen."""

from __future__ import annotations

from optuna import Trial
from optuna.trial import FrozenTrial

RUN_ATTRIBUTE = "tune_jobs:run"
"""The trial's last attempt."""

RUN_ID_ATTRIBUTE = "tune_jobs:run_id"
CONSOLE_ATTRIBUTE = "tune_jobs:console"
"""The backend's own name of its run, and where to look at it."""

CAUSE_ATTRIBUTE = "tune_jobs:cause"
"""Why it has no value."""

REFUSED_ATTRIBUTE = "tune_jobs:refused"
"""The constraint that refused its configuration: it had no run."""

SAME_ATTRIBUTE = "tune_jobs:same_as"
"""The trial that had its configuration before: it had no run, and has its values."""

METRICS_ATTRIBUTE = "tune_jobs:metrics"
"""Further metrics."""

RUNG_ATTRIBUTE = "tune_jobs:rung"
REACHED_ATTRIBUTE = "tune_jobs:reached"
"""Under promotion: the trial's rung (`promotion.Rung`), and its value there."""

COST_ATTRIBUTE = "tune_jobs:cost"
"""Run hours of the trial's attempts, and what they cost."""

ARGUMENTS_ATTRIBUTE = "tune_jobs:arguments"
"""Arguments that its runs get beside its parameters."""

REPLICATE_ATTRIBUTE = "tune_jobs:replicate_of"
"""The trial whose configuration it runs again, with another seed."""


def is_told(trial: FrozenTrial) -> bool:
    """Whether a trial is finished and counts: had a run, is no replicate, and does not go on."""
    others = (REFUSED_ATTRIBUTE, SAME_ATTRIBUTE, REPLICATE_ATTRIBUTE)
    extra = any(name in trial.user_attrs for name in others)
    return trial.state.is_finished() and not extra and not goes_on(trial)


def shown_state(trial: FrozenTrial) -> str:
    """A trial's state, or why it had no run: it was REFUSED, or its values were REUSED."""
    if REFUSED_ATTRIBUTE in trial.user_attrs:
        return "REFUSED"
    return "REUSED" if SAME_ATTRIBUTE in trial.user_attrs else trial.state.name


def goes_on(trial: FrozenTrial) -> bool:
    """Whether a trial goes on with the configuration of an earlier one."""
    return trial.user_attrs.get(RUNG_ATTRIBUTE, {}).get("after") is not None


def note_run(trial: Trial, run_id: str | None, console: str | None) -> None:
    """Note which run a trial had."""
    if run_id is not None:
        trial.set_user_attr(RUN_ID_ATTRIBUTE, run_id)
    if console is not None:
        trial.set_user_attr(CONSOLE_ATTRIBUTE, console)
