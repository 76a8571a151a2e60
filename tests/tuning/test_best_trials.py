"""Which trial is the best one, wherever the tuner names or uses it."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.simulation import MINUTE, simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.core.snapshot import Snapshot
from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.tuner import Tuner

BOUNDS = {"memory": "<= 50"}


class Recorder:
    """Display that keeps the last snapshot."""

    last: Snapshot

    def update(self, snapshot: Any, *, last: bool = False) -> None:
        self.last = snapshot()

    def say(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass


def grows(run: SimulatedRun) -> list[SimulatedReport]:
    """Report an accuracy that grows with the memory it takes; a seed makes it luckier."""
    x, seed = run.number("x"), int(run.arguments.get("seed", 0))
    values = {"acc": x + 0.01 * seed, "memory": 100 * x, "seconds": 1 - x}
    return [SimulatedReport(MINUTE, 1, values)]


def run(values: list[float], study: optuna.Study | None = None, **options: Any) -> Tuner:
    limits = {name: options.pop(name) for name in ("target", "patience") if name in options}
    tuner, _ = simulated(grows, study=study, max_parallel=1, **options)
    for x in values:
        tuner.study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=len(values), **limits)
    return tuner


def best_of(tuner: Tuner) -> list[int]:
    return [t.number for t in tuner.best_trials]


def test_an_infeasible_trial_is_not_the_best() -> None:
    shown = Recorder()
    tuner, _ = simulated(grows, max_parallel=1, bounds=BOUNDS)
    tuner.progress = shown
    for x in (0.9, 0.2, 0.4):
        tuner.study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=3)
    assert best_of(tuner) == [2]
    assert shown.last.best == ((2, (0.4,)),)
    assert shown.last.best_params == {"x": 0.4}
    assert tuner.train_best().trial == 2


@pytest.mark.parametrize("limit", [{"target": 0.8}, {"patience": 2}])
def test_infeasible_trials_and_limits(limit: dict[str, Any]) -> None:
    values = [0.9, 0.95, 0.2, 0.85, 0.99, 0.3, 0.4]
    tuner = run(values, bounds=BOUNDS, **limit)
    assert [t.params["x"] for t in tuner.study.trials] == values


def test_patience_counts_candidates() -> None:
    tuner = run([0.4, 0.9, 0.3, 0.95, 0.2, 0.45], bounds=BOUNDS, patience=2)
    done = [t for t in tuner.study.trials if t.state == TrialState.COMPLETE]
    assert [t.params["x"] for t in done] == [0.4, 0.9, 0.3, 0.95, 0.2]


def test_constraints_that_the_space_or_the_sampler_sets_count_as_well() -> None:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.set_constraint("small", x - 0.5)
        return {"x": x}

    tuner, _ = simulated(grows, max_parallel=1)
    tuner = Tuner(
        tuner.study, space, tuner.definition.backend, metric="acc", max_parallel=1, progress=False
    )
    for x in (0.9, 0.4):
        tuner.study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=2, target=0.8)
    assert best_of(tuner) == [1]

    with pytest.warns(FutureWarning, match="constraints_func"):
        sampler = optuna.samplers.TPESampler(constraints_func=lambda t: [t.params["x"] - 0.5])
    study = optuna.create_study(direction="maximize", sampler=sampler)
    assert best_of(run([0.9, 0.4], study, target=0.8)) == [1]


def test_replicates_are_neither_the_best_nor_trained() -> None:
    tuner = run([0.5, 0.52])
    tuner.replicate(0, 5)
    tuner.optimize(n_trials=5, target=0.53)
    copies = tuner.study.trials[2:]
    assert [t.value for t in copies] == [0.51, 0.52, 0.53, 0.54, 0.55]
    assert {t.user_attrs[REPLICATE_ATTRIBUTE] for t in copies} == {0}
    assert tuner.study.best_trial.number == 6  # for Optuna
    assert best_of(tuner) == [1]
    assert tuner.train_best().trial == 1
    with pytest.raises(StudyError, match="trial 6 is a replicate: use trial 0"):
        tuner.train_best(trial=6)
    with pytest.raises(StudyError, match="trial 6 is a replicate: use trial 0"):
        tuner.replicate(6)


def test_copies_do_not_use_up_the_patience() -> None:
    tuner = run([0.5, 0.52])
    tuner.replicate(0, 5)
    tuner.optimize(n_trials=5)
    for x in (0.6, 0.7, 0.8):
        tuner.study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=3, patience=2)
    assert [t.value for t in tuner.study.trials[7:]] == [0.6, 0.7, 0.8]


def test_the_front_has_feasible_trials_only() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    tuner = run([0.9, 0.2, 0.4], study, metric=["acc", "seconds"], bounds=BOUNDS)
    assert best_of(tuner) == [2]
    assert tuner.train_best(pick="acc").trial == 2


def test_nothing_feasible_is_a_state_of_its_own() -> None:
    shown = Recorder()
    tuner, _ = simulated(grows, max_parallel=1, bounds={"memory": "<= 50", "seconds": "<= 2"})
    tuner.progress = shown
    for x in (0.9, 0.6, 0.7):
        tuner.study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=3, target=0.5, patience=1)
    assert len(tuner.study.trials) == 3
    assert best_of(tuner) == []
    assert shown.last.best == ()
    assert "best acc no trial is feasible yet (3 complete)" in shown.last.line()
    with pytest.raises(StudyError, match=r"memory <= 50 is violated by at least 10 in 3 of 3"):
        tuner.train_best()
    with pytest.raises(StudyError, match=r"Trial 1 is nearest: memory by 10"):
        tuner.train_best()
    assert tuner.train_best(trial=1).trial == 1  # on purpose


def test_nothing_complete_is_a_state_of_its_own() -> None:
    def fails(run: SimulatedRun) -> Any:
        from tune_jobs.backends.simulated.courses import Course

        return Course(grows(run), exit_code=3)

    tuner, _ = simulated(fails)
    with pytest.raises(StudyError, match=r"no trial is complete yet: run optimize\(\) first"):
        tuner.train_best()
    tuner.optimize(n_trials=2)
    with pytest.raises(StudyError, match=r"complete yet \(2 failed\):\n.* trial 1: exit code 3"):
        tuner.train_best()
    with pytest.raises(StudyError, match=r"trial 0 of study .* failed: exit code 3"):
        tuner.train_best(trial=0)


def test_pick_needs_something_to_pick_from(make_tuner: MakeTuner) -> None:
    tuner = run([0.5])
    with pytest.raises(ConfigError, match=r"pick='knee' chooses from .* one \(acc\): remove it"):
        tuner.train_best(pick="knee")
    study = optuna.create_study(directions=["maximize", "minimize"])
    two = run([0.5, 0.6], study, metric=["acc", "seconds"])
    with pytest.raises(ConfigError, match=r"trial=0 and pick='knee': trial= has chosen already"):
        two.train_best(trial=0, pick="knee")
    with pytest.raises(ConfigError, match=r"did you mean 'seconds'"):
        two.train_best(pick="second")
    assert two.train_best(pick="seconds").trial == 1
