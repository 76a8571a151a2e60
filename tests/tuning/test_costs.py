"""Costs of runs, and limits on them, in virtual time."""

from __future__ import annotations

import optuna
import pytest
from optuna.pruners import MedianPruner
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.simulation import EPOCHS, MINUTE, curve, fails, simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.core.controllers import ControllerRecord
from tune_jobs.core.costs import Amount, Prices
from tune_jobs.core.limits import Limits, Tally, affordable_runs, stopping_reason
from tune_jobs.core.snapshot import Snapshot
from tune_jobs.errors import ConfigError, TuningStopped
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.tuning.session import Session

HOURS = EPOCHS * MINUTE / 3600
PRICES = {"simulated": 2.0}


class Said:
    """A display that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.snapshots: list[Snapshot] = []

    def update(self, snapshot: object, *, last: bool = False) -> None:
        self.snapshots.append(snapshot())  # type: ignore[operator]

    def say(self, line: str) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


def test_every_trial_and_the_study_have_their_costs() -> None:
    tuner, _ = simulated(prices=PRICES)
    tuner.optimize(n_trials=10)
    costs = tuner.costs()
    assert costs.spent.hours == pytest.approx(10 * HOURS)
    assert costs.spent.money == pytest.approx(20 * HOURS)
    assert costs.committed == Amount()
    for trial in tuner.study.trials:
        cost = trial.user_attrs["tune_jobs:cost"]
        assert cost == {"run_hours": pytest.approx(HOURS), "money": pytest.approx(2 * HOURS)}
    assert str(costs) == "spent            1h30m of run time, cost 3"


def test_prices() -> None:
    prices = Prices({"VM.A": 1.0, "VM.B": 3.0})
    assert prices.amount(3600, "VM.A", "data_science").money == 1.0
    assert prices.amount(3600, None, "data_science").money == 3.0, "unknown: the highest"
    assert Prices({}).amount(3600, "VM.A", "local") == Amount(1.0, 0.0)
    with pytest.raises(ConfigError, match=r"invalid price -1 of 'VM.A'"):
        Prices({"VM.A": -1})


def test_pruning_saves_and_the_forecast_knows() -> None:
    said = Said()
    tuner, _ = simulated(pruner=MedianPruner(n_startup_trials=3), prices=PRICES)
    tuner.progress = said
    tuner.optimize(n_trials=60)
    saved = tuner.costs().saved
    pruned = [t for t in tuner.study.trials if t.state == TrialState.PRUNED]
    shorter = sum(HOURS - t.user_attrs["tune_jobs:cost"]["run_hours"] for t in pruned)
    assert saved.hours == pytest.approx(shorter)
    halfway = next(s for s in said.snapshots if s.done >= 30)
    assert halfway.costs.forecast is not None
    spent = tuner.costs().spent.money
    assert halfway.costs.forecast.money == pytest.approx(spent, rel=0.35)
    assert dict(halfway.counts())["cost"].endswith("with the live runs")


@pytest.mark.parametrize("max_parallel", [1, 4, 16])
def test_max_cost_is_not_overshot(max_parallel: int) -> None:
    said = Said()
    tuner, _ = simulated(prices=PRICES, max_parallel=max_parallel)
    tuner.progress = said
    tuner.optimize(max_cost=20 * 2 * HOURS + 0.01)
    spent = tuner.costs().spent.money
    assert spent <= 40 * HOURS + 0.01
    assert spent > 40 * HOURS * 0.95, "and it is used"
    assert all(t.state == TrialState.COMPLETE for t in tuner.study.trials)
    assert said.lines[-1].startswith("ended: max_cost=")


def test_max_run_hours_stops_runs_that_take_longer_than_any_before() -> None:
    def longer(run: SimulatedRun) -> list[SimulatedReport]:
        reports = curve(run)
        if run.trial is not None and run.trial >= 4:
            return [SimulatedReport(r.seconds * 20, r.step, r.values) for r in reports]
        return reports

    tuner, _ = simulated(longer)
    tuner.optimize(max_run_hours=8 * HOURS)
    states = [t.state for t in tuner.study.trials]
    assert states[:4] == [TrialState.COMPLETE] * 4
    assert states[4:] == [TrialState.PRUNED] * 4
    assert "max_run_hours" in tuner.study.trials[5].user_attrs["tune_jobs:cause"]
    # Limits are checked on every event: here every 20 minutes on each of four slots.
    assert tuner.costs().spent.hours < 8 * HOURS + 4 * 20 / 60


def test_a_second_call_counts_what_the_first_one_spent() -> None:
    tuner, _ = simulated(prices=PRICES)
    tuner.optimize(n_trials=8)
    tuner.optimize(max_cost=10 * 2 * HOURS + 0.01)
    assert len(tuner.study.trials) == 10


def test_limits_and_the_forecast_count_controllers() -> None:
    said = Said()
    tuner, _ = simulated(prices={**PRICES, "small": 2.0}, max_parallel=1)
    tuner.progress = said
    tuner.optimize(n_trials=2)
    with Session(tuner.definition) as session:
        rows = ControllerRows(session.ledger.engine, session.ledger.uid)
    past, killed = HOURS * 3600, tuner.definition.backend.clock() - HOURS * 3600
    for started, finished in ((0.0, past), (killed, None)):
        record = ControllerRecord(
            "", "data_science", "me", started, "ocid1", "small", "", started, finished
        )
        rows.add(record)
    assert tuner.costs().controllers.money == pytest.approx(4 * HOURS)
    tuner.optimize(n_trials=3)
    (forecast,) = {s.costs.forecast for s in said.snapshots[-1:]}
    assert forecast is not None
    assert forecast.hours == pytest.approx(7 * HOURS)
    tuner.optimize(max_run_hours=9 * HOURS + 0.01)
    assert len(tuner.study.trials) == 7, "and 2 hours of controllers"
    assert said.lines[-1].startswith("ended: max_run_hours=")


def test_target() -> None:
    tuner, _ = simulated()
    tuner.study.enqueue_trial({"x": 0.2})
    tuner.study.enqueue_trial({"x": 1.0})
    tuner.optimize(n_trials=100, target=0.85)
    assert len(tuner.study.trials) <= 8
    assert tuner.study.best_value == pytest.approx(1 - 1 / EPOCHS)
    assert TrialState.RUNNING not in {t.state for t in tuner.study.trials}


def test_patience() -> None:
    tuner, _ = simulated(max_parallel=1)
    tuner.study.enqueue_trial({"x": 1.0})
    tuner.optimize(n_trials=100, patience=7)
    assert len(tuner.study.trials) == 8


def test_a_rate_of_failures() -> None:
    tuner, _ = simulated(fails, max_failure_rate=0.2)
    with pytest.raises(TuningStopped, match=r"max_failure_rate=0.2"):
        tuner.optimize(n_trials=100)
    assert len(tuner.study.trials) < 30


def test_limits_that_make_no_sense(make_tuner: MakeTuner) -> None:
    tuner, _ = simulated()
    with pytest.raises(ConfigError, match="max_cost needs prices"):
        tuner.optimize(max_cost=3.0)
    with pytest.raises(ConfigError, match="say how much to spend"):
        tuner.optimize(target=0.5)
    both = optuna.create_study(directions=["minimize", "minimize"])
    two = make_tuner(study=both, metric=["value", "loss"])
    with pytest.raises(ConfigError, match="target and patience need a single metric"):
        two.optimize(n_trials=1, target=0.5)


def test_real_runs_have_costs(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(prices={"local": 36.0})
    tuner.optimize(n_trials=3)
    costs = tuner.costs()
    assert 0 < costs.spent.hours < 0.01
    assert costs.spent.money == pytest.approx(36.0 * costs.spent.hours)


# -- pure functions ----------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "used", "run", "expected"),
    [
        ({}, Amount(5, 5), Amount(1, 1), None),
        ({"max_cost": 10}, Amount(0, 5), Amount(1, 2), 2),
        ({"max_cost": 10}, Amount(0, 5), None, None),
        ({"max_cost": 10}, Amount(0, 10), None, 0),
        ({"max_cost": 10, "max_run_hours": 6}, Amount(5, 5), Amount(1, 1), 1),
        ({"max_cost": 10}, Amount(0, 9.5), Amount(1, 1), 0),
    ],
)
def test_affordable(
    limits: dict[str, float], used: Amount, run: Amount | None, expected: int | None
) -> None:
    all_limits = Limits(None, None, 4, **limits)  # type: ignore[arg-type]
    assert affordable_runs(all_limits, used, run) == expected


def test_a_target_in_both_directions() -> None:
    limits = Limits(10, None, 4, target=0.5)
    assert not stopping_reason(limits, Tally())
    assert stopping_reason(limits, Tally(best=0.4)).startswith("target=0.5 is reached")
    assert not stopping_reason(limits, Tally(best=0.6))
    up = Limits(10, None, 4, target=0.5, maximize=True)
    assert stopping_reason(up, Tally(best=0.6))
    assert not stopping_reason(up, Tally(best=0.4))
