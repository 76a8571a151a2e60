"""ModelClassSampler: allocation of trials to classes, and one study for each class."""

from __future__ import annotations

import logging
import math
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from tune_jobs.samplers import JobSampler, ModelClassSampler
from tune_jobs.samplers.model_classes.allocation import Arm, extrapolate, select_arm


def objective(trial: optuna.Trial, nested: bool = False) -> float:
    """Evaluate one of two classes: the net is worse on average, but has the better optimum."""
    model = trial.suggest_categorical("model", ["linear", "net"])
    seed = trial.suggest_float("shared", 0.0, 1.0)
    if model == "linear":
        return 0.1 + 0.01 * trial.suggest_float("c", 0.0, 1.0) + 0.001 * seed
    rate = trial.suggest_float("rate", 0.0, 1.0)
    if nested and rate > 0.7:
        trial.suggest_int("warmup", 1, 5)
    return min(1.0, 8.0 * abs(rate - 0.3)) + 0.001 * seed


def run(study: optuna.Study, trials: int, nested: bool = False) -> list[dict[str, Any]]:
    for _ in range(trials):
        trial = study.ask()
        study.tell(trial, objective(trial, nested))
    return [t.params for t in study.trials]


def create_sampler(seed: int | None = 1, **options: Any) -> ModelClassSampler:
    return ModelClassSampler("model", lambda s: JobSampler(s, 4), seed, trials_each=8, **options)


def test_classes_start_with_equal_shares_and_then_the_best_gets_most() -> None:
    study = optuna.create_study(sampler=create_sampler())
    models = [p["model"] for p in run(study, 60)]
    assert Counter(models[:16]) == {"linear": 8, "net": 8}
    assert models[16:].count("net") > 22
    winners = create_sampler().winners(study)
    assert list(winners) == ["net", "linear"]
    assert winners["net"].value == study.best_value
    assert winners["linear"].params["model"] == "linear"


@pytest.mark.parametrize("excluded", ["infeasible", "replicate", "infinite"])
def test_values_that_cannot_be_the_best_lead_no_class(excluded: str) -> None:
    study = optuna.create_study(sampler=create_sampler())
    for _ in range(60):
        trial = study.ask()
        value = objective(trial)
        if trial.params["model"] == "linear":
            if excluded == "infeasible":
                trial.set_constraint("size", 1.0)
            if excluded == "replicate":
                trial.set_user_attr("tune_jobs:replicate_of", 0)
            value = -math.inf if excluded == "infinite" else value - 10.0
        study.tell(trial, value)
    models = [t.params["model"] for t in study.trials]
    assert models[16:].count("net") > 22
    assert list(create_sampler().winners(study)) == ["net"]


def test_direction_is_respected() -> None:
    study = optuna.create_study(sampler=create_sampler(), direction="maximize")
    for _ in range(40):
        trial = study.ask()
        study.tell(trial, -objective(trial))
    assert study.best_trial.params["model"] == "net"
    assert next(iter(create_sampler().winners(study))) == "net"


def test_pending_trials_count_for_their_class() -> None:
    study = optuna.create_study(sampler=create_sampler())
    trials = [study.ask() for _ in range(10)]
    for trial in trials:
        objective(trial)
    assert Counter(t.params["model"] for t in trials) == {"linear": 5, "net": 5}


def test_suggestions_are_reproducible_after_a_restart() -> None:
    first, second = (optuna.create_study(sampler=create_sampler()) for _ in range(2))
    assert run(first, 30) == run(second, 30)
    restarted = [optuna.create_study(sampler=create_sampler()) for _ in range(2)]
    for study in restarted:
        study.add_trials(first.trials)
    assert run(restarted[0], 6) == run(restarted[1], 6)
    assert not [t for t in restarted[0].trials[30:] if t.params in [f.params for f in first.trials]]


def test_enqueued_pruned_failed_and_foreign_trials_are_accepted() -> None:
    study = optuna.create_study(sampler=create_sampler())
    run(study, 20, nested=True)
    study.enqueue_trial({"model": "net", "rate": 0.31, "shared": 0.0})
    assert run(study, 1)[-1] == {"model": "net", "rate": 0.31, "shared": 0.0}
    pending, failed, pruned = study.ask(), study.ask(), study.ask()
    for trial in (pending, failed, pruned):
        objective(trial, nested=True)
    pruned.report(0.5, 1)
    pruned.set_constraint("memory", -1.0)
    study.tell(pruned, state=TrialState.PRUNED)
    study.tell(failed, state=TrialState.FAIL)
    run(study, 4, nested=True)
    # A new sampler finds a pending trial that it did not suggest.
    study.sampler = create_sampler()
    run(study, 4, nested=True)
    study.tell(pending, 0.2)
    run(study, 2)
    assert {t.state for t in study.trials} == {
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.PRUNED,
    }


def test_invalid_arguments_and_studies_are_rejected() -> None:
    with pytest.raises(ValueError, match="invalid trials_each 0: use 1 or more"):
        ModelClassSampler("model", trials_each=0)
    two = optuna.create_study(directions=["minimize", "minimize"], sampler=create_sampler())
    with pytest.raises(ValueError, match="one objective, but the study has 2"):
        objective(two.ask())


def test_unknown_parameter_falls_back_to_random_search() -> None:
    study = optuna.create_study(sampler=ModelClassSampler("modle", RandomSampler))
    assert len(run(study, 5)) == 5


def test_select_arm_shares_trials_by_weight() -> None:
    assert select_arm([Arm([], 3), Arm([], 2)], 4) == 1
    assert select_arm([Arm([], 9), Arm([], 8)], 4) == 1, "equal shares without any result"
    good, rising = [0.3, 0.2, 0.2, 0.2], [0.9, 0.7, 0.5, 0.3]
    flat = [0.9, 0.8, 0.8, 0.8]
    assert select_arm([Arm(good, 4), Arm(flat, 4)], 4) == 0
    counts = [4, 4, 4]
    for _ in range(420):
        index = select_arm(
            [Arm(v, n) for v, n in zip((good, rising, flat), counts, strict=True)], 4
        )
        counts[index] += 1
    assert [n - 4 for n in counts] == pytest.approx([320, 80, 20], abs=3), "16 to 4 to 1"


def test_extrapolate_continues_the_second_half() -> None:
    assert extrapolate([0.5]) == 0.5
    assert extrapolate([0.5, 0.5, 0.5]) == 0.5
    assert extrapolate([1.0, 0.9, 0.8, 0.7]) == pytest.approx(0.7 - 4 * 0.1)


def test_sampler_works_with_threads_and_can_be_pickled(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    sampler = ModelClassSampler("model", JobSampler, 1, trials_each=8)
    study = optuna.create_study(study_name="s", storage=url, sampler=sampler)
    study.optimize(objective, n_trials=24, n_jobs=4)
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    study.optimize(objective, n_trials=4)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 28


def test_studies_of_the_classes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("optuna.storages._in_memory")
    logger.addHandler(caplog.handler)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        study = optuna.create_study(sampler=ModelClassSampler("model", seed=1))
        for _ in range(3):
            trial = study.ask()
            trial.suggest_categorical("model", ["a", "b"])
            study.tell(trial, 1.0)
    finally:
        optuna.logging.set_verbosity(before)
        logger.removeHandler(caplog.handler)
    assert len({record.getMessage() for record in caplog.records}) == 1, "only the study itself"
