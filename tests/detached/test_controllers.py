"""The records of controllers: their costs, and who waits for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTuner
from tune_jobs.core.controllers import (
    LOCAL,
    PENDING_SECONDS,
    ControllerRecord,
    close_abandoned,
    measure_controllers,
)
from tune_jobs.core.costs import Amount, Prices
from tune_jobs.errors import StudyError
from tune_jobs.notebook.monitor import StudyMonitor
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.lease import StudyOwned
from tune_jobs.storage.owner_identity import identify_process
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.session import Session


def launched(**more: object) -> ControllerRecord:
    given = {"launched": time.time(), "place": "data_science", "shape": "small", **more}
    return ControllerRecord(name="", user="me@laptop", **given)  # type: ignore[arg-type]


def open_rows(tuner: Tuner) -> ControllerRows:
    with Session(tuner.definition) as session:
        return ControllerRows(session.ledger.engine, session.ledger.uid)


def test_hours_and_prices() -> None:
    records = [
        launched(started=0.0, finished=7200.0),
        launched(started=7200.0),  # killed, or at work
        launched(started=0.0, finished=9000.0, place="local"),
        launched(),  # not begun
        launched(started=0.0, finished=3600.0, shape="unpriced"),
    ]
    amount = measure_controllers(records, Prices({"small": 0.5}), known_until=10800.0)
    assert amount == Amount(hours=4.0, money=1.5)


def test_controllers_that_were_killed_end_with_what_is_known() -> None:
    records = [
        launched(started=10.0, finished=20.0, run_id="a"),
        launched(started=30.0, run_id="b"),
        launched(started=90.0, run_id="c"),
        launched(run_id="d"),
        launched(started=80.0, run_id="me"),
    ]
    closed = close_abandoned(records, "me", last_event=50.0)
    assert [each.finished for each in closed] == [20.0, 50.0, 90.0, None, None]


def test_costs_have_the_controllers(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(prices={"small": 2.0})
    assert [label for label, _ in tuner.costs().rows()] == ["spent"]
    rows = open_rows(tuner)
    record = rows.add(launched(started=0.0, finished=1800.0), lambda name: f"logs/{name}")
    assert (record.name, rows.read()[0].log) == ("controller-1", "logs/controller-1")
    assert tuner.costs().rows()[-1] == ("controllers", "30m00s of run time, cost 1")
    assert StudyMonitor("s", tuner.study._storage).snapshot().controller_hours(0.0) == 0.5


def test_a_controller_that_is_about_to_begin(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    rows = open_rows(tuner)
    monitor = StudyMonitor("s", tuner.study._storage)
    assert monitor.wait(0.0)
    name = rows.add(launched(run_id="ocid1.run")).name
    assert not monitor.wait(0.0)
    with pytest.raises(StudyOwned, match="controller-1 of study 's' was launched by me@laptop"):
        tuner.detach(n_trials=1)
    with pytest.raises(StudyError, match="'s' yet: controller-1 is about to begin"):
        tuner.control("pause")
    rows.change(name, launched=time.time() - PENDING_SECONDS)
    assert monitor.wait(0.0)


def test_of_two_that_are_launched_at_once_the_second_is_refused(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = make_tuner()
    rows = open_rows(tuner)
    add = ControllerRows.add

    def add_after_another_machine(self: ControllerRows, *given: Any) -> ControllerRecord:
        add(rows, launched())
        return add(self, *given)

    monkeypatch.setattr(ControllerRows, "add", add_after_another_machine)
    with pytest.raises(StudyOwned, match="controller-1 of study 's' was launched by me@laptop"):
        tuner.detach(n_trials=1)
    assert [record.is_open for record in rows.read()] == [True, False]
    assert not list(Path("runs").rglob("recipe*"))


def test_a_local_controller_does_not_end_its_own_record(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    rows = open_rows(tuner)
    for run_id in (identify_process(), "gone|0badcafe|7|123|00000000"):
        rows.add(launched(place=LOCAL, run_id=run_id, started=1.0))
    with Session(tuner.definition) as session:
        assert [record.is_open for record in session.read_controllers()] == [True, False]
    assert [record.is_open for record in rows.read()] == [True, False]
