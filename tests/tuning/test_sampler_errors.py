"""Errors of the sampler end the tuning; those of the search space refuse a configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.samplers import GPSampler, GridSampler, PartialFixedSampler, RandomSampler
from optuna.trial import FrozenTrial

from tests.simulation import simulated
from tune_jobs.errors import MissingPackage, SamplerError, TuneJobsError
from tune_jobs.tuner import Tuner

Error = Callable[[], Exception]


class Failing(RandomSampler):
    """A sampler that raises an error in the third trial, in one of its methods."""

    def __init__(self, method: str, error: Error) -> None:
        super().__init__(seed=0)
        self._method, self._error = method, error

    def _fail(self, method: str, trial: FrozenTrial) -> None:
        if method == self._method and trial.number == 2:
            raise self._error()

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> Any:
        self._fail("infer_relative_search_space", trial)
        return super().infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: FrozenTrial, space: Any) -> Any:
        self._fail("sample_relative", trial)
        return super().sample_relative(study, trial, space)

    def sample_independent(self, study: Any, trial: FrozenTrial, *more: Any) -> Any:
        self._fail("sample_independent", trial)
        return super().sample_independent(study, trial, *more)


def tuner_with(sampler: optuna.samplers.BaseSampler) -> Tuner:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    return simulated(study=study, max_parallel=1)[0]


def missing() -> Exception:
    return ModuleNotFoundError("No module named 'zz'", name="zz.a")


@pytest.mark.parametrize(
    "method", ["infer_relative_search_space", "sample_relative", "sample_independent"]
)
@pytest.mark.parametrize(
    ("error", "kind", "problem"),
    [
        (missing, MissingPackage, "Failing needs 'zz': pip install zz"),
        (
            lambda: ValueError("not in the grid"),
            SamplerError,
            "Failing cannot suggest a configuration: ValueError: not in the grid",
        ),
        (lambda: RuntimeError("singular"), SamplerError, "RuntimeError: singular"),
    ],
)
def test_an_error_of_the_sampler_ends_the_tuning(
    method: str, error: Error, kind: type[TuneJobsError], problem: str
) -> None:
    tuner = tuner_with(Failing(method, error))
    with pytest.raises(kind, match=problem):
        tuner.optimize(9)
    assert len(tuner.study.trials) <= 3


def test_an_error_of_the_sampler_in_optuna_s_loop() -> None:
    tuner = tuner_with(Failing("sample_independent", missing))
    with pytest.raises(MissingPackage, match="Failing needs 'zz': pip install zz"):
        tuner.study.optimize(tuner.objective, n_trials=9)
    assert len(tuner.study.trials) == 3


def test_a_grid_without_one_of_the_parameters() -> None:
    tuner = tuner_with(GridSampler({"y": [0.1, 0.2]}))
    with pytest.raises(SamplerError, match=r"cannot suggest .*not found in the given"):
        tuner.optimize(3)
    assert len(tuner.study.trials) <= 1


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("wrapped", [False, True])
def test_packages_are_checked_before_the_first_trial(
    wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    sampler = GPSampler()
    tuner = tuner_with(PartialFixedSampler({"n": 3}, sampler) if wrapped else sampler)
    for call in (lambda: tuner.optimize(3), lambda: tuner.study.optimize(tuner.objective, 1)):
        with pytest.raises(MissingPackage, match="GPSampler needs 'torch': pip install torch"):
            call()
