"""Identical configurations are not paid for twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from tests.simulation import MINUTE
from tune_jobs import SimulatedBackend, Tuner
from tune_jobs.backends.simulated.courses import Course, SimulatedReport, SimulatedRun
from tune_jobs.core.trial_attributes import (
    ARGUMENTS_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    SAME_ATTRIBUTE,
    counts_as_finished,
)
from tune_jobs.errors import ConfigError

CHOICES = ("a", "b", "c")


def course(run: SimulatedRun) -> Course:
    kind = str(run.arguments["kind"])
    if kind == "c" and run.number("crash"):
        return Course([], exit_code=1)
    return Course(
        [SimulatedReport(MINUTE, None, {"acc": "abc".index(kind) / 10 + run.number("crash")})]
    )


def tuned(
    n_trials: int, how: Callable[[SimulatedRun], Course] = course, **options: Any
) -> tuple[Tuner, list[FrozenTrial]]:
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=1))
    space = {
        "kind": CategoricalDistribution(CHOICES),
        "crash": CategoricalDistribution(options.pop("crash", (0,))),
    }
    options.setdefault("max_parallel", 1)
    backend = SimulatedBackend(how, provisioning=0.0)
    tuner = Tuner(study, space, backend, metric="acc", progress=False, **options)
    tuner.optimize(n_trials=n_trials)
    return tuner, study.trials


def test_a_configuration_is_run_once_and_its_value_is_used_again() -> None:
    tuner, trials = tuned(30)
    assert len(tuner.attempts()) == 3, "three configurations, and then nothing is left to try"
    for trial in trials:
        first = trial.user_attrs.get(SAME_ATTRIBUTE, trial.number)
        assert trial.values == trials[first].values
        assert trial.params == trials[first].params
        assert counts_as_finished(trial) == (first == trial.number)
    assert tuner.study.best_trial.number in {a.trial for a in tuner.attempts()}


@pytest.mark.parametrize("valid", [None, lambda params: params["kind"] != "b"])
def test_an_exhausted_space_ends_with_the_reason_and_adds_nothing(
    valid: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tune_jobs")
    tuner, trials = tuned(12, valid=valid)
    ended = "ended: nothing is left to try: the last 50 suggestions were all tried before"
    assert ended in caplog.messages
    assert trials[-1].number in {a.trial for a in tuner.attempts()}, "the last one is new"
    for _ in range(2):
        tuner.optimize(n_trials=5)
    assert tuner.study.trials == trials
    assert caplog.messages.count(ended) == 3
    tuner.study.enqueue_trial({"kind": "a", "crash": 0})
    tuner.optimize(n_trials=5)
    assert len(tuner.study.trials) == len(trials) + 1


def test_no_slot_waits_for_the_value_of_a_running_duplicate() -> None:
    tuner, trials = tuned(3, max_parallel=3)
    assert len(tuner.attempts()) == 3
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert len({t.params["kind"] for t in trials if counts_as_finished(t)}) == 3


def test_one_that_failed_is_tried_again() -> None:
    _, trials = tuned(12, crash=(1,))
    failed = [t for t in trials if t.params["kind"] == "c"]
    assert len(failed) > 1
    assert not any(SAME_ATTRIBUTE in t.user_attrs for t in failed)


def test_noisy_metrics_get_replicates() -> None:
    seeds = []

    def noisy(run: SimulatedRun) -> Course:
        seeds.append(run.arguments.get("seed"))
        return course(run)

    tuner, trials = tuned(12, noisy, duplicates="replicate")
    again = [t for t in trials if REPLICATE_ATTRIBUTE in t.user_attrs]
    assert len(tuner.attempts()) == len(trials) == 12
    assert len(again) == 9
    for trial in again:
        assert trials[trial.user_attrs[REPLICATE_ATTRIBUTE]].params == trial.params
        assert trial.user_attrs[ARGUMENTS_ATTRIBUTE] == {"seed": trial.number}
    assert sorted(s for s in seeds if s) == sorted(str(t.number) for t in again)


def test_they_are_run_if_one_insists_and_if_they_were_enqueued() -> None:
    tuner, _ = tuned(12, duplicates="run")
    assert len(tuner.attempts()) == 12
    tuner, _ = tuned(30)
    for _ in range(2):
        tuner.study.enqueue_trial({"kind": "a", "crash": 0})
    before = len(tuner.attempts())
    tuner.optimize(n_trials=2)
    assert len(tuner.attempts()) == before + 2


def test_mistakes_are_said() -> None:
    with pytest.raises(ConfigError, match="duplicates='often': must be one of reuse, replicate"):
        tuned(1, duplicates="often")
    study = optuna.create_study()
    space = {"seed": CategoricalDistribution([1, 2])}
    tuner = Tuner(
        study, space, SimulatedBackend(course), metric="acc", progress=False, duplicates="replicate"
    )
    with pytest.raises(ConfigError, match="sets 'seed', which the search space tunes"):
        tuner.optimize(n_trials=1)
