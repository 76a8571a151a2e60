"""FastTPESampler must suggest exactly what Optuna's TPESampler suggests."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase
from optuna.trial import TrialState

from tune_jobs.samplers import FastTPESampler
from tune_jobs.samplers.job_sampler.parzen_estimator import log_normal_mass


class TestConformance(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=[{}, {"multivariate": False}, {"group": True}], ids=str)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        if request.param.get("group"):
            warnings.filterwarnings("ignore", category=UserWarning, message=".*multivariate")
        return lambda: FastTPESampler(seed=1, n_startup_trials=0, **request.param)


def objective(trial: optuna.Trial) -> float:
    """Suggest every kind of parameter, some of them conditional on a category."""
    x = trial.suggest_float("x", -5, 10)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    few, many = trial.suggest_int("few", 1, 8), trial.suggest_int("many", 4, 1024, log=True)
    rate = trial.suggest_float("rate", 1e-5, 1, log=True)
    stepped = trial.suggest_float("stepped", 0, 1, step=0.1)
    trial.suggest_float("only", 3.0, 3.0)
    value = x * x + few + np.log10(rate) ** 2 + stepped + abs(many - 100) / 100
    if kind == "a":
        value += trial.suggest_float("of_a", 0, 1)
    if kind == "b":
        value += trial.suggest_int("of_b", 0, 3) * trial.suggest_float("year", 2000, 2020) / 2000
    return float(value)


def run(study: optuna.Study, trials: int, pending: int, seed: int = 0) -> list[dict[str, Any]]:
    """Run trials that finish in random order: complete, pruned, failed, or infeasible.

    Returns:
        The parameters of all trials.
    """
    rng = np.random.RandomState(seed)
    running: list[tuple[optuna.Trial, float]] = []
    params = []
    for _ in range(trials):
        if len(running) >= pending:
            trial, value = running.pop(rng.randint(len(running)))
            draw = rng.rand()
            if draw < 0.2:
                trial.report(value, int(draw * 50))
                study.tell(trial, state=TrialState.PRUNED)
            elif draw > 0.95:
                study.tell(trial, state=TrialState.FAIL)
            else:
                if draw < 0.5:
                    trial.set_constraint("memory", draw - 0.4)
                study.tell(trial, value)
        trial = study.ask()
        running.append((trial, objective(trial)))
        params.append(trial.params)
    return params


def create_tpe(**options: Any) -> TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=3, **options)


@pytest.mark.slow
@pytest.mark.no_cover  # tracing doubles the CPU that it takes
@pytest.mark.parametrize(("pending", "direction"), [(1, "maximize"), (8, "minimize")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"group": True},
        {"multivariate": False},
        {"constant_liar": False},
        {"n_startup_trials": 0, "n_ei_candidates": 7},
    ],
    ids=str,
)
def test_suggestions_equal_those_of_optuna(
    options: dict[str, Any], pending: int, direction: Literal["minimize", "maximize"]
) -> None:
    check_equality(options, 160, pending, direction)


@pytest.mark.parametrize("options", [{}, {"group": True}, {"multivariate": False}], ids=str)
def test_first_suggestions_equal_those_of_optuna(options: dict[str, Any]) -> None:
    check_equality(options, 40, 8, "minimize")


def check_equality(
    options: dict[str, Any], trials: int, pending: int, direction: Literal["minimize", "maximize"]
) -> None:
    studies = [
        optuna.create_study(sampler=sampler, direction=direction)
        for sampler in (create_tpe(**options), FastTPESampler(seed=3, **options))
    ]
    theirs, ours = (run(study, trials, pending) for study in studies)
    assert ours == theirs


def test_suggestions_are_equal_within_hyperband_brackets() -> None:
    params = []
    for sampler in (create_tpe(), FastTPESampler(seed=3)):
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
        study = optuna.create_study(study_name="s", sampler=sampler, pruner=pruner)
        params.append(run(study, 80, 4))
    assert params[0] == params[1]


@pytest.mark.slow
def test_suggestions_are_equal_with_a_database_and_after_a_restart(tmp_path: Any) -> None:
    params = []
    for name, create in (("theirs", create_tpe), ("ours", lambda: FastTPESampler(seed=3))):
        storage = f"sqlite:///{tmp_path}/{name}.db"
        study = optuna.create_study(study_name="s", storage=storage, sampler=create())
        first = run(study, 20, 4)
        restarted = optuna.load_study(study_name="s", storage=storage, sampler=create())
        params.append([first, run(restarted, 15, 4, seed=1)])
    assert params[0] == params[1]


def test_another_study_does_not_inherit_cached_trials() -> None:
    sampler = FastTPESampler(seed=3)
    run(optuna.create_study(sampler=sampler), 30, 1)
    sampler.seed(5)
    fresh = FastTPESampler(seed=5)
    fresh.seed(5)
    ours, theirs = (run(optuna.create_study(sampler=s), 30, 1) for s in (sampler, fresh))
    assert ours == theirs


def test_pickled_sampler_continues_with_the_same_suggestions() -> None:
    study = optuna.create_study(sampler=FastTPESampler(seed=3))
    run(study, 30, 1)
    copy = pickle.loads(pickle.dumps(study.sampler))
    trials = study.get_trials()
    expected = run(study, 1, 5)
    other = optuna.create_study(sampler=copy)
    other.add_trials(trials)
    assert run(other, 1, 5) == expected


def test_log_normal_mass_is_accurate_in_both_tails() -> None:
    a = np.array([-40.0, -2.0, -0.5, 1.0, 38.0, -np.inf])
    b = np.array([-39.0, -1.0, 0.7, 2.0, 39.0, np.inf])
    expected = [-765.0832, np.log(0.1359051), np.log(0.4494988), np.log(0.1359051), -726.55, 0.0]
    np.testing.assert_allclose(log_normal_mass(a, b), expected, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(log_normal_mass(-b, -a), log_normal_mass(a, b), rtol=1e-12)
