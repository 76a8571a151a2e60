"""Runs that work and whose metric is NaN or infinite: outcomes, and what samplers learn of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.pruners import HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from tests.conftest import MakeTuner
from tests.simulation import MINUTE, simulated
from tune_jobs.backends.simulated.courses import Course, SimulatedReport, SimulatedRun
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, SAME_ATTRIBUTE
from tune_jobs.errors import FinalRunFailed, TuningStopped
from tune_jobs.samplers.job_sampler import JobSampler

EDGE = 0.3


def diverging(run: SimulatedRun) -> list[SimulatedReport]:
    """Report ten epochs, all but two of them NaN if ``x`` is above `EDGE`."""
    x = run.number("x")
    return [
        SimulatedReport(MINUTE * epoch, epoch, {"acc": math.nan if x > EDGE and epoch > 2 else x})
        for epoch in range(1, 11)
    ]


def optimize(sampler: BaseSampler, trials: int = 60, **options: Any) -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=NopPruner())
    tuner, _ = simulated(diverging, study=study, **options)
    tuner.optimize(n_trials=trials)
    return study


def states(trials: list[FrozenTrial]) -> dict[str, int]:
    names = [t.state.name for t in trials]
    return {name: names.count(name) for name in names}


@pytest.mark.parametrize("diverged", ["fail", "prune"])
@pytest.mark.parametrize("sampler", [TPESampler(seed=2), JobSampler(seed=2)])
def test_samplers_keep_away_from_where_runs_diverge(sampler: BaseSampler, diverged: str) -> None:
    """The value grows up to the edge, beyond which is most of the space."""
    study = optimize(sampler, diverged=diverged)
    bad = [t.params["x"] > EDGE for t in study.trials]
    assert np.mean(bad[40:]) < 0.5
    for trial in study.trials:
        state = {"fail": TrialState.FAIL, "prune": TrialState.PRUNED}[diverged]
        assert trial.state == (state if trial.params["x"] > EDGE else TrialState.COMPLETE)
        assert trial.state == TrialState.COMPLETE or trial.value is None
        assert trial.state == TrialState.COMPLETE or math.isnan(trial.intermediate_values[10])


def test_what_was_learned_is_known_to_the_next_call() -> None:
    study = optimize(TPESampler(seed=2), 40)
    study.sampler = TPESampler(seed=3)
    simulated(diverging, study=study)[0].optimize(n_trials=20)
    assert np.mean([t.params["x"] > EDGE for t in study.trials[40:]]) < 0.5


def test_the_cause_names_the_metric_the_value_and_the_step() -> None:
    study = optimize(TPESampler(seed=2), 12)
    (cause,) = {t.user_attrs.get(CAUSE_ATTRIBUTE) for t in study.trials if t.params["x"] > EDGE}
    assert cause == "diverged: metric 'acc' was nan at step 10 (not finite from step 3 on)"


def test_max_failures_decides() -> None:
    with pytest.raises(TuningStopped, match=r"trials failed, more than max_failures=3.*diverged"):
        optimize(TPESampler(seed=2), 60, max_failures=3)
    optimize(TPESampler(seed=2), 20, max_failures=3, diverged="prune")


def test_runs_that_stay_diverged_are_stopped_if_asked_for() -> None:
    tuner, _ = simulated(diverging, diverged_steps=3, max_parallel=1)
    for x in (0.1, 0.9):
        tuner.study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=2)
    good, bad = tuner.study.trials
    assert (good.state, good.value) == (TrialState.COMPLETE, 0.1)
    assert (bad.state, max(bad.intermediate_values)) == (TrialState.FAIL, 5)
    assert bad.user_attrs[CAUSE_ATTRIBUTE].startswith("diverged: metric 'acc' was nan at step 5")
    assert tuner.attempts(1)[0].state == "CANCELED"


def test_a_run_that_recovers_is_complete() -> None:
    def recovers(run: SimulatedRun) -> list[SimulatedReport]:
        values = [0.5, math.nan, math.inf, -math.inf, 0.7]
        return [SimulatedReport(MINUTE * i, i, {"acc": v}) for i, v in enumerate(values, start=1)]

    tuner, _ = simulated(recovers)
    tuner.optimize(n_trials=2)
    assert [t.value for t in tuner.study.trials] == [0.7, 0.7]


def test_a_pruner_that_stops_diverging_runs_prunes_them() -> None:
    study = optuna.create_study(
        direction="maximize",
        sampler=TPESampler(seed=2),
        pruner=HyperbandPruner(min_resource=1, max_resource=10),
    )
    simulated(diverging, study=study)[0].optimize(n_trials=12)
    assert {t.state for t in study.trials if t.params["x"] > EDGE} == {TrialState.PRUNED}


def test_promotion_ranks_only_what_has_a_value() -> None:
    promotion = Promotion("epochs", minimum=1, maximum=9, factor=3)

    def best_diverge(run: SimulatedRun) -> list[SimulatedReport]:
        x, epochs = run.number("x"), int(run.arguments["epochs"])
        value = math.inf if x > 0.8 else x
        return [SimulatedReport(MINUTE * epochs, epochs, {"acc": value})]

    tuner, _ = simulated(best_diverge, promotion=promotion)
    tuner.optimize(n_trials=27)
    complete = [t for t in tuner.study.trials if t.state == TrialState.COMPLETE]
    assert complete
    assert all(t.params["x"] <= 0.8 for t in complete)


def test_a_configuration_that_diverged_is_not_run_again() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.GridSampler({"x": [0.5]})
    )
    tuner, _ = simulated(diverging, study=study)
    tuner.optimize(n_trials=1)
    study.sampler = optuna.samplers.GridSampler({"x": [0.5, 0.1]})
    tuner.optimize(n_trials=1)
    again = [t for t in study.trials[1:] if t.params["x"] == 0.5]
    assert all(t.user_attrs[SAME_ATTRIBUTE] == 0 and t.state == TrialState.FAIL for t in again)
    assert len(tuner.attempts()) == 2


def test_a_constrained_metric_that_diverges(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('echo "value=$x"; echo memory=inf', bounds={"memory": "<= 5"})
    tuner.optimize(n_trials=6)
    assert states(tuner.study.trials) == {"FAIL": 6}
    assert "'memory' was inf" in tuner.study.trials[0].user_attrs[CAUSE_ATTRIBUTE]


def test_one_of_several_objectives_diverges() -> None:
    def two(run: SimulatedRun) -> Course:
        loss = math.inf if run.number("x") > EDGE else 1.0
        return Course([SimulatedReport(MINUTE, None, {"acc": 0.5, "loss": loss})])

    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=NSGAIISampler(seed=1, population_size=8)
    )
    tuner, _ = simulated(two, study=study, metric=["acc", "loss"])
    tuner.optimize(n_trials=40)
    assert {t.values is None for t in study.trials if t.params["x"] > EDGE} == {True}
    assert all(t.params["x"] <= EDGE for t in study.best_trials)


def test_a_final_run_that_diverges_fails() -> None:
    def later(run: SimulatedRun) -> list[SimulatedReport]:
        value = math.nan if run.name.startswith("final") else 0.5
        return [SimulatedReport(MINUTE, 1, {"acc": value})]

    tuner, _ = simulated(later)
    tuner.optimize(n_trials=1)
    with pytest.raises(FinalRunFailed, match="diverged: metric 'acc' was nan at step 1"):
        tuner.train_best()


def test_a_smoke_check_tells_divergence_from_a_missing_metric(make_tuner: MakeTuner) -> None:
    report = make_tuner("echo value=nan").check()
    assert report
    assert "metric 'value' was nan: this configuration diverged, the script works" in str(report)
    assert not make_tuner("echo other=1").check()


def test_in_optunas_own_loop(make_tuner: MakeTuner) -> None:
    body = '[ "$n" -gt 4 ] && echo value=nan || echo "value=$x"'
    tuner = make_tuner(body)
    for n in (9, 1, 8):
        tuner.study.enqueue_trial({"n": n, "x": 0.5})
    tuner.study.optimize(tuner.objective, n_trials=3)  # without catch=: it is no error
    assert [t.state.name for t in tuner.study.trials] == ["FAIL", "COMPLETE", "FAIL"]
    assert tuner.study.trials[0].user_attrs[CAUSE_ATTRIBUTE] == "diverged: metric 'value' was nan"
    assert all(a.told is not None for a in tuner.attempts())
    pruning = make_tuner(body, study=tuner.study, diverged="prune")
    tuner.study.enqueue_trial({"n": 7, "x": 0.5})
    tuner._close_objective()
    tuner.study.optimize(pruning.objective, n_trials=1)
    assert tuner.study.trials[3].state.name == "PRUNED"
