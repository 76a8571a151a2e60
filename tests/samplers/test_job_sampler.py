from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
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


def test_the_folder_stands_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As optunahub loads it: one folder, outside of any package of ours."""
    folder = Path(sys.modules[JobSampler.__module__].__file__ or "").resolve().parent
    monkeypatch.syspath_prepend(str(folder.parent))
    module = __import__("job_sampler")
    monkeypatch.delitem(sys.modules, "job_sampler")
    monkeypatch.delitem(sys.modules, "job_sampler.sampler")
    assert module.JobSampler(seed=1) is not None
