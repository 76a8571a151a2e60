"""Replays of recorded studies."""

from __future__ import annotations

import json
import math
from pathlib import Path

import optuna
import pytest
from optuna.pruners import MedianPruner

from tests.conftest import MakeTuner
from tests.simulation import EPOCHS, MINUTE, simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.cli.main import main
from tune_jobs.core.promotion import Promotion
from tune_jobs.errors import StudyError
from tune_jobs.replaying import replay
from tune_jobs.tuner import Tuner


@pytest.fixture
def recorded() -> Tuner:
    """Study of 30 runs, 4 at a time, without pruning."""
    tuner, _ = simulated(backend={"provisioning": 120.0})
    tuner.optimize(n_trials=30)
    return tuner


def test_a_replay_without_changes_is_identical(recorded: Tuner) -> None:
    result = replay(recorded)
    assert result.replayed.run_hours == pytest.approx(result.recorded.run_hours)
    assert result.replayed.hours == pytest.approx(result.recorded.hours)
    assert result.replayed.best == result.recorded.best
    assert result.same_winner
    assert result.cut_short == 0


def test_more_parallel_runs(recorded: Tuner) -> None:
    result = replay(recorded, max_parallel=30)
    assert result.replayed.hours == pytest.approx((120 + EPOCHS * MINUTE) / 3600)
    assert result.replayed.run_hours == pytest.approx(result.recorded.run_hours)


def test_another_pruner(recorded: Tuner) -> None:
    result = replay(recorded, pruner=MedianPruner(n_startup_trials=3))
    assert result.replayed.pruned > 5
    assert result.replayed.run_hours < 0.8 * result.recorded.run_hours
    assert result.same_winner, "the curves do not cross"
    assert "saves" in str(result)
    assert "the same winner" in str(result)
    again = replay(recorded, pruner=MedianPruner(n_startup_trials=3))
    assert again == result, "deterministic"


def test_promotion(recorded: Tuner) -> None:
    result = replay(recorded, promotion=Promotion("epochs", 1, EPOCHS))
    assert result.same_winner
    assert result.replayed.run_hours < 0.6 * result.recorded.run_hours


def test_a_study_with_promotion_can_be_replayed() -> None:
    tuner, _ = simulated(promotion=Promotion("epochs", 1, EPOCHS), backend={"checkpoints": True})
    tuner.optimize(n_trials=27)
    result = replay(tuner, max_parallel=27)
    whole = result.recorded.complete
    assert result.replayed.complete == whole
    assert result.cut_short == 27 - whole
    assert result.replayed.run_hours == pytest.approx(result.recorded.run_hours)
    assert result.same_winner


def test_runs_that_were_pruned_are_reported() -> None:
    tuner, _ = simulated(pruner=MedianPruner(n_startup_trials=3))
    tuner.optimize(n_trials=20)
    result = replay(tuner)
    assert result.cut_short == result.recorded.pruned > 0
    assert "their curves end there" in str(result)


def test_nothing_to_replay(make_tuner: MakeTuner) -> None:
    with pytest.raises(StudyError, match="nothing to replay"):
        replay(make_tuner())
    both = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.raises(StudyError, match="several"):
        replay(make_tuner(study=both, metric=["value", "loss"]))


def test_replay_command(
    make_tuner: MakeTuner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tuner('for i in 1 2 3; do echo "step=$i value=$x"; done', step="step").optimize(12)
    (tmp_path / "study.yaml").write_text(
        "study: s\nscript: train.sh\nmetric: value\ndirection: maximize\n"
        "parameters: {x: {type: float, low: 0, high: 1}, n: {type: int, low: 0, high: 9}}\n"
    )
    code = main(["replay", "study.yaml", "--pruner", "median", "--max-parallel", "3", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert code == 0
    assert facts["recorded"]["complete"] == 12
    assert facts["replayed"]["complete"] + facts["replayed"]["pruned"] == 12
    assert main(["replay", "study.yaml", "--pruner", "medain"]) == 2
    assert "median" in capsys.readouterr().err, "the error suggests a name"
    wanted = "{argument: epochs, minimum: 1, maximum: 3}"
    assert main(["replay", "study.yaml", "--promotion", wanted]) == 0
    assert "run hours" in capsys.readouterr().out


def test_an_infeasible_trial_and_a_replicate_win_neither_before_nor_after() -> None:
    def grows(run: SimulatedRun) -> list[SimulatedReport]:
        x, seed = run.number("x"), int(run.arguments.get("seed", 0))
        values = {"acc": x + 0.01 * seed, "memory": 100 * x}
        return [SimulatedReport(MINUTE * i, i, values) for i in (1, 2)]

    tuner, _ = simulated(grows, bounds={"memory": "<= 50"}, max_parallel=1)
    for x in (0.9, 0.2, 0.4):
        tuner.study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=3)
    tuner.replicate(1, 2)
    tuner.replicate(2, 2)
    tuner.optimize(n_trials=4)
    result = replay(tuner, max_parallel=2)
    assert (result.recorded.best, result.recorded.winner) == (0.4, 2)
    assert (result.replayed.best, result.replayed.winner) == (0.4, 2)
    assert result.recorded.complete == result.replayed.complete == 7


def test_runs_that_diverged_diverge_again() -> None:
    def diverges(run: SimulatedRun) -> list[SimulatedReport]:
        x = run.number("x")
        values = [x, math.nan if x > 0.5 else x]
        return [SimulatedReport(MINUTE * i, i, {"acc": v}) for i, v in enumerate(values, start=1)]

    tuner, _ = simulated(diverges)
    tuner.optimize(n_trials=10)
    result = replay(tuner)
    assert result.replayed == result.recorded
    assert 0 < result.recorded.complete < 10
