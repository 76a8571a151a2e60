"""JobSampler: Optuna's conformance suite, reproducibility, and the choice of its model."""

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
    """Optuna's suite during start-up (random search) and after it (TPE)."""

    @pytest.fixture(params=[10, 0], ids=["startup", "tpe"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: JobSampler(seed=1, n_startup_trials=request.param)


class InferringSampler(JobSampler):
    """JobSampler that infers the space first: `optuna.Trial` does so, the suite does not."""

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self.infer_relative_search_space(study, trial)
        return super().sample_relative(study, trial, search_space)


class TestRelativeConformance(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: InferringSampler(seed=1, n_startup_trials=0)


def create_study(sampler: BaseSampler, trials: list[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(sampler=sampler)
    study.add_trials(trials)
    return study


def run(study: optuna.Study, count: int) -> list[dict[str, Any]]:
    """Run trials of a conditional space one after the other, and return their parameters."""
    suggested = []
    for _ in range(count):
        trial = study.ask()
        x = trial.suggest_float("x", -1, 1)
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            trial.suggest_int("n", 1, 100)
        study.tell(trial, x**2)
        suggested.append(trial.params)
    return suggested


def test_suggestions_are_reproducible_given_a_seed() -> None:
    first, second = (run(create_study(JobSampler(seed=7), []), 20) for _ in range(2))
    assert first == second
    assert first != run(create_study(JobSampler(seed=8), []), 20)


def test_restarted_sampler_does_not_repeat_start_up_points() -> None:
    study = create_study(JobSampler(seed=7), [])
    before = run(study, 5)
    restarted = [run(create_study(JobSampler(seed=7), study.trials), 5) for _ in range(2)]
    assert restarted[0] == restarted[1]
    assert not {p["x"] for p in before} & {p["x"] for p in restarted[0]}


def test_restarted_sampler_does_not_repeat_a_pending_point() -> None:
    study = create_study(JobSampler(seed=7), [])
    pending = study.ask()
    x = pending.suggest_float("x", -1, 1)
    study.sampler = JobSampler(seed=7)
    study.tell(pending, 1.0)
    assert study.ask().suggest_float("x", -1, 1) != x


def test_reseed_rng_discards_the_seed() -> None:
    fresh = JobSampler(seed=7)
    fresh.reseed_rng()
    used = JobSampler(seed=7)
    run(create_study(used, []), 3)
    used.reseed_rng()
    unseeded = [run(create_study(sampler, []), 3) for sampler in (fresh, used)]
    seeded = JobSampler(seed=7)
    run(create_study(seeded, []), 3)
    assert unseeded[0] != run(create_study(JobSampler(seed=7), []), 3)
    assert unseeded[1] != run(create_study(seeded, []), 3)


def test_sampler_can_be_pickled_before_and_after_use() -> None:
    sampler = pickle.loads(pickle.dumps(JobSampler(seed=7)))
    study = create_study(sampler, [])
    run(study, 3)
    study.sampler = pickle.loads(pickle.dumps(sampler))
    run(study, 1)
    assert len(study.trials) == 4


def test_infeasible_and_failed_trials_are_accepted() -> None:
    study = create_study(JobSampler(seed=7, n_startup_trials=1), [])
    for number in range(6):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", x - 0.5)
        if number % 3:
            study.tell(trial, x)
        else:
            study.tell(trial, state=TrialState.FAIL)
    assert len(study.trials) == 6


def test_gaussian_process_optimizes_with_pending_trials_in_a_flat_space() -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7))
    running: list[optuna.Trial] = []
    for number in range(60):
        trial = study.ask()
        trial.suggest_float("x", -1, 1)
        trial.suggest_float("y", 1e-3, 1e3, log=True)
        running.append(trial)
        if number >= 8:
            finished = running.pop(0)
            x, y = finished.params["x"], finished.params["y"]
            study.tell(finished, (x - 0.3) ** 2 + (math.log10(y) + 1) ** 2)
    assert study.best_value < 1e-4
    random = [t for t in study.trials if not t.system_attrs][:18]
    assert min(t.value or 9.0 for t in random) > 1e-3


def test_grid_is_searched_without_repetition() -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7, n_startup_trials=3))
    for _ in range(24):
        trial = study.ask()
        value = trial.suggest_int("n", 1, 6) + trial.suggest_int("m", 1, 5)
        study.tell(trial, value)
    seen = [tuple(t.params.values()) for t in study.trials[3:]]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, 1e300])
def test_values_of_any_size_are_accepted(bad: float) -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7, n_startup_trials=2))
    for number in range(14):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        if number % 3 == 1:
            trial.report(bad, 1)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, bad if number % 3 else x)


def test_cost_aware_sampler_spends_less() -> None:
    def total_cost(sampler: BaseSampler) -> float:
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

    unaware = total_cost(JobSampler(seed=7))
    assert total_cost(JobSampler(seed=7, cost="hours")) < 0.6 * unaware
    assert total_cost(JobSampler(seed=7, cost="money")) < 0.6 * unaware
    assert total_cost(JobSampler(seed=7, cost=lambda trial: None)) == unaware
    with pytest.raises(ValueError, match="invalid cost 'dollars': use 'hours', 'money', 'seconds'"):
        JobSampler(cost="dollars")


def test_tpe_is_used_for_conditional_spaces_and_several_objectives() -> None:
    study = optuna.create_study(sampler=JobSampler(seed=7, n_startup_trials=2))
    run(study, 8)
    assert JobSampler(n_startup_trials=2).infer_relative_search_space(study, study.ask()) == {}  # type: ignore[arg-type]
    two = optuna.create_study(sampler=JobSampler(seed=7), directions=["minimize", "maximize"])
    two.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=14)


def test_another_study_gets_its_own_model() -> None:
    def optimize(sampler: JobSampler) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t: t.suggest_float("x", 0, 1) * t.suggest_float("y", 0, 1), 20)
        return [t.params for t in study.trials]

    used = JobSampler(seed=7)
    study = optuna.create_study(sampler=used)
    study.optimize(lambda t: -t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1) ** 9, 30)
    assert optimize(used) == optimize(JobSampler(seed=7))
