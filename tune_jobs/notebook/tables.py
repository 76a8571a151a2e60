"""Optuna's table of trials with columns about their job runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from tune_jobs.core.attempts import Attempt, run_columns
from tune_jobs.core.best_trials import read_result
from tune_jobs.core.trial_attributes import COST_ATTRIBUTE
from tune_jobs.errors import require_package


def trials_dataframe(study: optuna.Study, attempts: Sequence[Attempt]) -> Any:
    """Return the table of `Tuner.trials_dataframe`.

    Raises:
        MissingPackage: If pandas is not installed.
    """
    require_package("trials_dataframe()", "pandas")
    table = study.trials_dataframe()
    last_attempts = {a.trial: a for a in attempts if not a.is_final}
    rows = [run_columns(last_attempts.get(number)) for number in table["number"]]
    for name in run_columns(None):
        table[name] = [row[name] for row in rows]
    trials = study.get_trials(deepcopy=False)
    table["standing"] = [read_result(t).standing.value for t in trials[: len(table)]]
    costs = [t.user_attrs.get(COST_ATTRIBUTE, {}) for t in trials[: len(table)]]
    table["run_hours"] = [cost.get("run_hours") for cost in costs]
    table["money"] = [cost.get("money") for cost in costs]
    return table
