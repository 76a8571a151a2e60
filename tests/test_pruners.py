"""Pruners with job runs: Optuna's own, and the policies of managed tuning services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import optuna
import pytest
from optuna import pruners
from optuna.trial import TrialState

from tests.simulation import EPOCHS, MINUTE, curve, simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.errors import ConfigError
from tune_jobs.pruners import BanditPruner, MedianStoppingPruner, TruncationPruner


def degrade(run: SimulatedRun) -> list[SimulatedReport]:
    """Curve of a run; a poor run gets worse after its third epoch."""
    reports = curve(run)
    if run.number("x") > 0.5:
        return reports
    third = reports[2].values["acc"]
    worse = [
        SimulatedReport(r.seconds, r.step, {"acc": third - 0.02 * (r.step or 0)})
        for r in reports[3:]
    ]
    return [*reports[:3], *worse]


@pytest.mark.parametrize(
    "pruner",
    [
        pruners.MedianPruner(n_startup_trials=2),
        pruners.PercentilePruner(40.0, n_startup_trials=2),
        pruners.SuccessiveHalvingPruner(),
        pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS),
        pruners.ThresholdPruner(lower=-0.4),
        "patient",
        "wilcoxon",
        BanditPruner(slack_amount=0.3),
        TruncationPruner(40),
        MedianStoppingPruner(),
    ],
    ids=lambda pruner: pruner if isinstance(pruner, str) else type(pruner).__name__,
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_pruner_stops_runs(pruner: pruners.BasePruner | str) -> None:
    if pruner == "patient":
        pruner = pruners.PatientPruner(
            pruners.MedianPruner(n_startup_trials=2), patience=1, min_delta=0.01
        )
    if isinstance(pruner, str):
        pruner = pruners.WilcoxonPruner(p_threshold=0.2)
    tuner, _ = simulated(degrade, pruner=pruner, backend={"stopping": 5.0})
    tuner.optimize(n_trials=40)
    trials = tuner.study.trials
    stopped = [t for t in trials if t.state == TrialState.PRUNED]
    assert stopped
    assert all(len(t.intermediate_values) < EPOCHS for t in stopped)
    assert tuner.study.best_trial.params["x"] > 0.9
    mean = sum(t.params["x"] for t in trials) / len(trials)
    assert sum(t.params["x"] for t in stopped) / len(stopped) < mean, "poor trials are stopped"
    assert tuner.costs().saved.hours > 0


Direction = Literal["minimize", "maximize"]


def make_study(values: Sequence[Sequence[float]], direction: Direction) -> optuna.Study:
    """Return a study whose trials reported these values at steps 0, 1...; only the last is live."""
    study = optuna.create_study(directions=[direction])
    for series in values:
        trial = study.ask()
        for step, value in enumerate(series):
            trial.report(value, step)
        if series is not values[-1]:
            study.tell(trial, series[-1])
    return study


def is_pruned(
    pruner: pruners.BasePruner, values: Sequence[Sequence[float]], direction: Direction
) -> bool:
    study = make_study(values, direction)
    return pruner.prune(study, study.trials[-1])


@pytest.mark.parametrize(
    ("pruner", "best", "last", "direction", "expected"),
    [
        (BanditPruner(slack_factor=0.2), 0.9, 0.74, "maximize", True),
        (BanditPruner(slack_factor=0.2), 0.9, 0.76, "maximize", False),
        (BanditPruner(slack_factor=0.2), 0.5, 0.61, "minimize", True),
        (BanditPruner(slack_factor=0.2), 0.5, 0.59, "minimize", False),
        (BanditPruner(slack_factor=0.2), -1.0, -1.1, "maximize", False),
        (BanditPruner(slack_amount=0.1), 0.9, 0.79, "maximize", True),
        (BanditPruner(slack_amount=0.1), 0.9, 0.81, "maximize", False),
        (BanditPruner(slack_amount=0.1, delay=1), 0.9, 0.1, "maximize", False),
        (BanditPruner(slack_amount=0.1), 0.9, float("nan"), "maximize", True),
        (BanditPruner(slack_amount=0.1), 0.9, float("inf"), "maximize", True),
        (BanditPruner(slack_amount=0.1), 0.9, float("-inf"), "minimize", True),
        (BanditPruner(slack_amount=0.1), float("inf"), 0.9, "maximize", False),
        (BanditPruner(slack_amount=0.1), float("-inf"), 0.9, "minimize", False),
    ],
)
def test_bandit(
    pruner: BanditPruner, best: float, last: float, direction: Direction, expected: bool
) -> None:
    assert is_pruned(pruner, [[best], [last]], direction) is expected


def test_delay_and_interval() -> None:
    pruner = BanditPruner(slack_amount=0.1, delay=2, interval=3)
    compared = [
        step for step in range(9) if is_pruned(pruner, [[1.0] * 9, [0.0] * (step + 1)], "maximize")
    ]
    assert compared == [2, 5, 8]


@pytest.mark.parametrize(("last", "expected"), [(0.05, True), (0.15, True), (0.25, False)])
def test_truncation(last: float, expected: bool) -> None:
    others = [[i / 10] for i in range(1, 10)]
    assert is_pruned(TruncationPruner(20), [*others, [last]], "maximize") is expected
    assert is_pruned(TruncationPruner(20), [*others[:3], [last]], "maximize") is False, (
        "fewer than min_trials"
    )


def test_median_stopping_compares_running_averages() -> None:
    # The averages up to step 1 are 0.5 each; MedianPruner would compare with 1.0, the value there.
    others = [[0.0, 1.0]] * 5
    assert is_pruned(MedianStoppingPruner(), [*others, [0.4, 0.45]], "maximize")
    assert not is_pruned(MedianStoppingPruner(), [*others, [0.55, 0.4]], "maximize")
    assert not is_pruned(MedianStoppingPruner(), [*others[:4], [0.1, 0.1]], "maximize")
    diverged = [[float("inf"), 1.0]] * 5
    assert not is_pruned(MedianStoppingPruner(), [*diverged, [1.0, 1.0]], "maximize")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: BanditPruner(),
        lambda: BanditPruner(slack_factor=0.1, slack_amount=0.1),
        lambda: BanditPruner(slack_amount=-1.0),
        lambda: TruncationPruner(0),
        lambda: TruncationPruner(10, interval=0),
    ],
)
def test_invalid_arguments(wrong: object) -> None:
    with pytest.raises(ConfigError):
        wrong()  # type: ignore[operator]


# -- startup time ----------------------------------------------------------------------------


def dip(run: SimulatedRun) -> list[SimulatedReport]:
    """Curve of a run; from trial 6 on, its value is very poor one step before the end."""
    reports = curve(run)
    if run.trial is not None and run.trial > 5:
        reports[-2] = SimulatedReport(reports[-2].seconds, EPOCHS - 1, {"acc": -5.0})
    return reports


def test_a_run_that_ends_sooner_than_a_replacement_starts_is_not_stopped() -> None:
    def states(provisioning: float) -> list[str]:
        tuner, _ = simulated(
            dip,
            pruner=pruners.ThresholdPruner(lower=-3.0),
            backend={"provisioning": provisioning},
            max_parallel=1,
        )
        tuner.optimize(n_trials=10)
        return [t.state.name for t in tuner.study.trials]

    assert states(0.1 * MINUTE) == ["COMPLETE"] * 6 + ["PRUNED"] * 4
    assert states(3 * MINUTE) == ["COMPLETE"] * 10


def test_a_spared_run_that_does_not_end_is_stopped() -> None:
    def hang(run: SimulatedRun) -> list[SimulatedReport]:
        reports = dip(run)
        if run.trial is not None and run.trial > 5:
            reports[-1] = SimulatedReport(1e6, EPOCHS, {"acc": 0.0})
        return reports

    tuner, backend = simulated(
        hang,
        pruner=pruners.ThresholdPruner(lower=-3.0),
        backend={"provisioning": 3 * MINUTE},
        max_parallel=2,
    )
    tuner.optimize(n_trials=8)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"] * 6 + ["PRUNED"] * 2
    assert backend.now < 1e5
