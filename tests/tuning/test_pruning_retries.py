"""The pruner is asked about the steps that a retried run repeats."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from tests.simulation import simulated
from tune_jobs.backends.simulated.courses import Course, SimulatedReport, SimulatedRun


def report_once(run: SimulatedRun) -> Course:
    """Report one step, and then train for long."""
    return Course([SimulatedReport(1.0, 1, {"acc": run.number("x")})], seconds=100.0)


class _SecondLookPruner(BasePruner):
    """Prunes a trial when it is asked about it for the second time."""

    def __init__(self) -> None:
        self._asked: set[int] = set()

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if trial.number in self._asked:
            return True
        self._asked.add(trial.number)
        return False


def optimize(tuner: Any) -> None:
    tuner.optimize(n_trials=4)


def run_objective(tuner: Any) -> None:
    tuner.study.optimize(tuner.objective, n_trials=4)


@pytest.mark.parametrize("run", [optimize, run_objective])
def test_a_retried_run_is_pruned_at_a_step_that_is_known(run: Any) -> None:
    tuner, _ = simulated(report_once, pruner=_SecondLookPruner(), backend={"preempted": 0.5})
    run(tuner)
    retried = {a.trial for a in tuner.attempts() if a.attempt > 1}
    assert retried
    states = {t.number: t.state for t in tuner.study.trials}
    assert {n for n, state in states.items() if state == TrialState.PRUNED} == retried
