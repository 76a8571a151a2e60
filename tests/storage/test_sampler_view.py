"""What samplers see of trials that diverged, and what is stored of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.trial_attributes import DIVERGED_ATTRIBUTE
from tune_jobs.samplers.job_sampler import FastTPESampler, JobSampler
from tune_jobs.samplers.model_classes import ModelClassSampler
from tune_jobs.samplers.warm_start.sampler import WarmStartSampler
from tune_jobs.storage.mirror import Renumbered, StudyMirror

FAIL, PRUNED, COMPLETE = TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE


def nothing(connection: object) -> None:
    """The tuner's own rows of a turn, where there are none."""


def new_mirror(sampler: BaseSampler, path: Path | None = None, directions: int = 1) -> StudyMirror:
    study = optuna.create_study(
        study_name="s",
        storage=f"sqlite:///{path}/s.db" if path else None,
        load_if_exists=True,
        directions=["minimize"] * directions,
        sampler=sampler,
    )
    return StudyMirror(study)


def finish(
    mirror: StudyMirror,
    values: float | list[float] | None,
    state: TrialState = COMPLETE,
    *,
    diverged: bool = False,
    size: float | None = None,
    steps: dict[int, float] | None = None,
) -> int:
    trial = mirror.ask()
    trial.suggest_float("x", 0.0, 1.0)
    for step, value in (steps or {}).items():
        trial.report(value, step)
    if size is not None:
        trial.set_constraint("size", size)
    if diverged:
        trial.set_user_attr(DIVERGED_ATTRIBUTE, True)
    mirror.tell(trial.number, values, state)
    return trial.number


def seen(mirror: StudyMirror, number: int) -> FrozenTrial:
    return mirror.study.get_trials(deepcopy=False)[number]


@pytest.mark.parametrize("state", [FAIL, PRUNED])
def test_the_study_keeps_the_trial_as_it_is(state: TrialState, tmp_path: Path) -> None:
    mirror = new_mirror(NSGAIISampler(seed=1), tmp_path)
    finish(mirror, 0.5)
    number = finish(mirror, None, state, diverged=True, steps={3: 0.5, 7: math.nan}, size=2.0)
    mirror.commit(nothing)
    mirror.ask()
    assert (seen(mirror, number).state, seen(mirror, number).values) == (COMPLETE, [0.5])
    stored = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/s.db").trials[number]
    for trial in (stored, mirror.trial(number), mirror.trials()[number], mirror.copy_trial(number)):
        assert (trial.state, trial.values) == (state, None)
        assert trial.intermediate_values.keys() == {3, 7}
        assert trial.constraints == {"size": 2.0}


def test_a_study_that_goes_on_shows_the_same(tmp_path: Path) -> None:
    mirror = new_mirror(NSGAIISampler(seed=1), tmp_path)
    finish(mirror, 0.5)
    finish(mirror, None, FAIL, diverged=True)
    finish(mirror, None, FAIL)
    mirror.commit(nothing)
    again = new_mirror(NSGAIISampler(seed=1), tmp_path)
    again.ask()
    assert [t.state for t in again.study.get_trials()[:3]] == [COMPLETE, COMPLETE, FAIL]
    assert [t.state for t in again.trials()[:3]] == [COMPLETE, FAIL, FAIL]
    assert again.trials()[1].values is None


def test_renumbered_trials_keep_their_stand_in(tmp_path: Path) -> None:
    mirror = new_mirror(TPESampler(seed=1), tmp_path)
    finish(mirror, None, FAIL, diverged=True)
    optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/s.db").ask()
    with pytest.raises(Renumbered):
        mirror.commit(nothing)
    assert (mirror.trial(1).state, seen(mirror, 1).state) == (FAIL, PRUNED)
    mirror.commit(nothing)
    stored = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/s.db").trials
    assert [t.state for t in stored] == [TrialState.RUNNING, FAIL]


def test_a_stand_in_is_as_bad_as_the_worst_trial_so_far() -> None:
    mirror = new_mirror(NSGAIISampler(seed=1), directions=2)
    number = finish(mirror, None, FAIL, diverged=True)
    mirror.ask()
    assert (seen(mirror, number).state, seen(mirror, number).values) == (FAIL, None)
    for values in ([0.5, 9.0], [2.0, -1.0], [math.inf, 99.0]):
        finish(mirror, values)
    mirror.ask()
    assert seen(mirror, number).values == [2.0, 9.0]
    finish(mirror, [4.0, 0.0], size=-1.0)
    finish(mirror, [1.0, 0.0], size=3.0)
    mirror.ask()
    assert seen(mirror, number).values == [4.0, 9.0]
    assert seen(mirror, number).constraints == {"size": 3.0}


def test_tpe_ranks_it_after_all_others() -> None:
    mirror = new_mirror(TPESampler(seed=1))
    late = finish(mirror, None, FAIL, diverged=True, steps={100: math.nan})
    for _ in range(2):
        finish(mirror, 1.0)
        finish(mirror, None, PRUNED, steps={1: 5.0})
        finish(mirror, 0.5, size=1e6)
    mirror.ask()
    trials = mirror.study.get_trials(states=(COMPLETE, PRUNED))
    for n_below in range(7):
        _, above = _split_trials(mirror.study, trials, n_below)
        assert late in {t.number for t in above}, n_below


def fixed(**params: str) -> BaseSampler:
    return PartialFixedSampler(params, NSGAIISampler(seed=1, population_size=10))


CHOICES: list[Callable[[], BaseSampler]] = [
    lambda: TPESampler(seed=1),
    lambda: TPESampler(seed=1, multivariate=False, constant_liar=False),
    lambda: NSGAIISampler(seed=1, population_size=10),
    lambda: NSGAIIISampler(seed=1, population_size=10),
    lambda: fixed(c="b"),
    lambda: FastTPESampler(seed=1),
    lambda: JobSampler(seed=1),
    lambda: WarmStartSampler([], TPESampler(seed=1)),
    lambda: ModelClassSampler("c", seed=1),
]


def share_of_diverging(sampler: BaseSampler, *, known: bool) -> float:
    """Return how many of the later trials are where runs diverge: two thirds of the space.

    The value falls towards that region, so that only the divergence keeps samplers out of it.
    """
    mirror = new_mirror(sampler)
    where = []
    for _ in range(80):
        trial = mirror.ask()
        trial.suggest_categorical("c", ["a", "b"])
        x = trial.suggest_float("x", 0.0, 1.0)
        y = trial.suggest_float("y", 0.0, 1.0)
        where.append(x > 1 / 3)
        if where[-1]:
            if known:
                trial.set_user_attr(DIVERGED_ATTRIBUTE, True)
            mirror.tell(trial.number, state=FAIL)
        else:
            mirror.tell(trial.number, (x - 1 / 3) ** 2 + 0.1 * y)
    return float(np.mean(where[40:]))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("index", range(len(CHOICES)))
def test_samplers_learn_where_runs_diverge(index: int) -> None:
    random = share_of_diverging(RandomSampler(seed=1), known=True)
    learned = share_of_diverging(CHOICES[index](), known=True)
    assert learned < 0.75 * random


def test_without_it_tpe_returns_to_where_runs_diverge() -> None:
    assert share_of_diverging(TPESampler(seed=1), known=False) > 0.9


def test_constraints_are_complete_for_samplers_that_model_them() -> None:
    from optuna.samplers._gp.sampler import _get_constraint_vals_and_feasibility

    mirror = new_mirror(GPSampler(seed=1))
    finish(mirror, 1.0, size=-2.0)
    finish(mirror, None, FAIL, diverged=True)
    finish(mirror, 3.0, size=4.0)
    finish(mirror, None, FAIL, diverged=True, size=-1.0)
    mirror.ask()
    complete = mirror.study.get_trials(states=(COMPLETE,))
    values, feasible = _get_constraint_vals_and_feasibility(mirror.study, complete)
    assert values.tolist() == [[-2.0], [4.0], [4.0], [4.0]]
    assert feasible.tolist() == [True, False, False, False]
    assert [t.value for t in complete] == [1.0, 3.0, 3.0, 3.0]
