"""Names of the filter that compare a trial with the best one: ``best`` and ``gap``.

They are no columns, since a new best trial changes them in all rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import Standing
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.trial_fields import Field

GROUP = "best"
"""The group of these fields."""


def list_best_fields(study: Study) -> list[Field]:
    """Return the fields; none without a best trial.

    ``gap`` is the distance from the best value as a share of it: 0.01 is 1 %. That of a running
    trial is measured between its latest value and the best trial's at the same step.
    """
    best = study.best()
    if best is None:
        return []
    value, sign = best.values[0], 1.0 if study.maximize[0] else -1.0
    steps = sorted(best.steps)

    def find_gap(trial: Trial) -> float | None:
        if trial.standing is Standing.CANDIDATE:
            return _measure(value, trial.values[0], sign)
        if trial.state != "RUNNING" or not trial.steps:
            return None
        step = max(trial.steps)
        reached = bisect_right(steps, step)
        if not reached:
            return None
        return _measure(best.steps[steps[reached - 1]], trial.steps[step], sign)

    return [
        _field("best", "Best", lambda trial, run: value),
        _field("gap", "Gap", lambda trial, run: find_gap(trial)),
    ]


def _field(name: str, label: str, read: Callable[[Trial, Attempt | None], Any]) -> Field:
    return Field(name, label, "number", GROUP, (name, f"trial.{name}"), read)


def _measure(best: float, value: float, sign: float) -> float | None:
    """Return how far a value is behind, as a share of the best one; None if that is 0."""
    if value == best:
        return 0.0
    return sign * (best - value) / abs(best) if best else None
