from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.samplers import JobSampler


class TestConformance(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    """Optuna's own suite, in start-up (random) and after it (TPE)."""

    @pytest.fixture(params=[10, 0], ids=["startup", "tpe"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: JobSampler(seed=1, n_startup_trials=request.param)


class InferringSampler(JobSampler):
    """Infers the space before it samples it, as `optuna.Trial` does and the suite does not."""

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self.infer_relative_search_space(study, trial)
        return super().sample_relative(study, trial, search_space)


class TestRelativeConformance(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: InferringSampler(seed=1, n_startup_trials=0)


def study_with(sampler: BaseSampler, trials: list[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(sampler=sampler)
    study.add_trials(trials)
    return study


def run(study: optuna.Study, count: int) -> list[dict[str, Any]]:
    """Ask and tell; returns what was suggested."""
    suggested = []
    for _ in range(count):
        trial = study.ask()
        x = trial.suggest_float("x", -1, 1)
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            trial.suggest_int("n", 1, 100)
        study.tell(trial, x**2)
        suggested.append(trial.params)
    return suggested


def test_a_seed_is_reproducible() -> None:
    first, second = (run(study_with(JobSampler(seed=7), []), 20) for _ in range(2))
    assert first == second
    assert first != run(study_with(JobSampler(seed=8), []), 20)


def test_a_new_sampler_does_not_repeat_the_start_up_points() -> None:
    study = study_with(JobSampler(seed=7), [])
    before = run(study, 5)
    restarted = [run(study_with(JobSampler(seed=7), study.trials), 5) for _ in range(2)]
    assert restarted[0] == restarted[1]
    assert not {p["x"] for p in before} & {p["x"] for p in restarted[0]}


def test_telling_a_predecessors_trial_first_does_not_repeat_its_points() -> None:
    study = study_with(JobSampler(seed=7), [])
    pending = study.ask()
    x = pending.suggest_float("x", -1, 1)
    study.sampler = JobSampler(seed=7)
    study.tell(pending, 1.0)
    assert study.ask().suggest_float("x", -1, 1) != x


def test_reseeding_gives_up_the_seed() -> None:
    fresh = JobSampler(seed=7)
    fresh.reseed_rng()
    used = JobSampler(seed=7)
    run(study_with(used, []), 3)
    used.reseed_rng()
    unseeded = [run(study_with(sampler, []), 3) for sampler in (fresh, used)]
    seeded = JobSampler(seed=7)
    run(study_with(seeded, []), 3)
    assert unseeded[0] != run(study_with(JobSampler(seed=7), []), 3)
    assert unseeded[1] != run(study_with(seeded, []), 3)


def test_it_can_be_pickled_before_and_after_use() -> None:
    sampler = pickle.loads(pickle.dumps(JobSampler(seed=7)))
    study = study_with(sampler, [])
    run(study, 3)
    study.sampler = pickle.loads(pickle.dumps(sampler))
    run(study, 1)
    assert len(study.trials) == 4


def test_infeasible_trials_and_failures_are_taken() -> None:
    study = study_with(JobSampler(seed=7, n_startup_trials=1), [])
    for number in range(6):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", x - 0.5)
        if number % 3:
            study.tell(trial, x)
        else:
            study.tell(trial, state=TrialState.FAIL)
    assert len(study.trials) == 6


def test_many_pending_trials_of_a_flat_space_are_chosen_by_the_model() -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7))
    live: list[optuna.Trial] = []
    for number in range(60):
        trial = study.ask()
        trial.suggest_float("x", -1, 1)
        trial.suggest_float("y", 1e-3, 1e3, log=True)
        live.append(trial)
        if number >= 8:
            done = live.pop(0)
            x, y = done.params["x"], done.params["y"]
            study.tell(done, (x - 0.3) ** 2 + (math.log10(y) + 1) ** 2)
    assert study.best_value < 1e-4
    random = [t for t in study.trials if not t.system_attrs][:18]
    assert min(t.value or 9.0 for t in random) > 1e-3


def test_a_grid_is_searched_without_repetition() -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7, n_startup_trials=3))
    for _ in range(24):
        trial = study.ask()
        value = trial.suggest_int("n", 1, 6) + trial.suggest_int("m", 1, 5)
        study.tell(trial, value)
    seen = [tuple(t.params.values()) for t in study.trials[3:]]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, 1e300])
def test_values_of_any_size_are_taken(bad: float) -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7, n_startup_trials=2))
    for number in range(14):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        if number % 3 == 1:
            trial.report(bad, 1)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, bad if number % 3 else x)


def test_cheap_configurations_are_tried_first_if_costs_count() -> None:
    def spent(sampler: BaseSampler) -> float:
        study = optuna.create_study(sampler=sampler)
        total = 0.0
        for _ in range(40):
            trial = study.ask()
            x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
            cost = math.exp(5 * y)
            trial.set_user_attr("tune_jobs:cost", {"run_hours": cost, "money": 2 * cost})
            total += cost
            study.tell(trial, (x - 0.5) ** 2)
        return total

    blind = spent(JobSampler(seed=7))
    assert spent(JobSampler(seed=7, cost="hours")) < 0.6 * blind
    assert spent(JobSampler(seed=7, cost="money")) < 0.6 * blind
    assert spent(JobSampler(seed=7, cost=lambda trial: None)) == blind
    with pytest.raises(ValueError, match="cost='dollars': it must be one of hours, money, seconds"):
        JobSampler(cost="dollars")


def test_with_several_objectives_constraints_or_conditions_it_is_tpe() -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7, n_startup_trials=2))
    run(study, 8)
    assert JobSampler(n_startup_trials=2).infer_relative_search_space(study, study.ask()) == {}  # type: ignore[arg-type]
    two = optuna.create_study(sampler=JobSampler(seed=7), directions=["minimize", "maximize"])
    two.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=14)


def test_another_study_gets_a_model_of_its_own() -> None:
    def tuned(sampler: JobSampler) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t: t.suggest_float("x", 0, 1) * t.suggest_float("y", 0, 1), 20)
        return [t.params for t in study.trials]

    used = JobSampler(seed=7)
    study = optuna.create_study(sampler=used)
    study.optimize(lambda t: -t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1) ** 9, 30)
    assert tuned(used) == tuned(JobSampler(seed=7))
