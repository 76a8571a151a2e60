"""What others ask of a tuner in another process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.test_recovery import WAITING, Controller, runs_alive
from tune_jobs.controls import Control
from tune_jobs.decide import End, Limits, Orders, changed, obey
from tune_jobs.errors import ConfigError, StudyError


def control(command: str, **argument: object) -> Control:
    return Control(1, command, argument)


def test_orders() -> None:
    paused = obey(Orders(), control("pause"))
    assert paused == Orders(paused=True)
    assert obey(paused, control("resume")) == Orders()
    assert obey(paused, control("stop", runs="finish")) == Orders(end=End.FINISH)
    assert obey(Orders(), control("stop", runs="cancel")) == Orders(end=End.CANCEL)
    assert obey(Orders(), control("hand_over")) == Orders(end=End.LEAVE)
    assert obey(Orders(), control("cancel", trial=3)) == Orders()


def test_limits() -> None:
    limits = Limits(n_trials=10, deadline=None, max_parallel=2, max_failures=None)
    wider = changed(limits, control("set", max_parallel=8, n_trials=50), told_before=20)
    assert (wider.max_parallel, wider.n_trials) == (8, 30)
    assert changed(limits, control("set", n_trials=5), told_before=20).n_trials == 0


def wait_until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)  # another process


@pytest.fixture
def live(make_tuner: MakeTuner, tmp_path: Path) -> Controller:
    """A tuner in another process with three runs that wait."""
    make_tuner(WAITING)
    controller = Controller(tmp_path)
    controller.wait_for_runs(3)
    return controller


def ended(live: Controller) -> int:
    code = live.process.wait(30)
    live.process.communicate()
    return code


def test_pause_and_resume(live: Controller, make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(WAITING)
    assert tuner.owner() == f"process {live.process.pid} on {os.uname().nodename[:64]}"
    assert tuner.control("pause")
    (tmp_path / "go").touch()
    wait_until(lambda: not tuner.definition.study._storage.get_n_trials(1, TrialState.RUNNING))
    assert len(tuner.study.trials) == 3
    assert live.process.poll() is None
    assert tuner.control("resume")
    assert ended(live) == 0
    assert [t.state for t in tuner.study.trials] == [TrialState.COMPLETE] * 6
    assert tuner.owner() is None


def test_stop_lets_live_runs_finish(
    live: Controller, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(WAITING)
    assert tuner.control("stop", runs="finish")
    (tmp_path / "go").touch()
    assert ended(live) == 0
    assert [t.state for t in tuner.study.trials] == [TrialState.COMPLETE] * 3


def test_stop_may_cancel_them_and_the_next_call_runs_them_again(
    live: Controller, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(WAITING)
    assert tuner.control("stop", runs="cancel")
    assert ended(live) == 0
    assert runs_alive(tmp_path) == []
    before = [t.params for t in tuner.study.trials]
    (tmp_path / "go").touch()
    study = tuner.optimize(n_trials=3)
    assert [t.params for t in study.trials] == before
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3


def test_one_trial_is_canceled(live: Controller, make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(WAITING)
    assert tuner.control("cancel", trial=1)
    assert tuner.study.trials[1].state == TrialState.FAIL
    assert tuner.study.trials[1].user_attrs["tune_jobs:cause"].startswith("canceled on request")
    (tmp_path / "go").touch()
    assert ended(live) == 0
    states = [t.state for t in tuner.study.trials]
    assert states.count(TrialState.COMPLETE) == 5


def test_other_limits(live: Controller, make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(WAITING)
    assert tuner.control("set", max_parallel=5, n_trials=8)
    live.wait_for_runs(5)
    (tmp_path / "go").touch()
    assert ended(live) == 0
    assert [t.state for t in tuner.study.trials] == [TrialState.COMPLETE] * 8


def test_a_live_tuner_hands_over_and_its_runs_go_on(
    live: Controller, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(WAITING)
    pids = runs_alive(tmp_path)

    class LetsGo:
        def update(self, *_: object, **__: object) -> None:
            (tmp_path / "go").touch()

        def say(self, line: str) -> None:
            said.append(line)

        def close(self) -> None: ...

    said: list[str] = []
    tuner.progress = LetsGo()
    study = tuner.optimize(n_trials=6, take_over=True)
    assert ended(live) == 0
    assert any("3 live runs adopted" in line for line in said)
    assert len(list(tmp_path.glob("live.*"))) == 6
    assert {int(p.suffix[1:]) for p in tmp_path.glob("live.*")} >= {*pids}
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 6


def test_a_suspended_tuner_that_wakes_up_does_nothing_any_more(
    live: Controller,
    make_tuner: MakeTuner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import signal

    monkeypatch.setattr("tune_jobs.lease.TTL", 1.0)
    live.process.send_signal(signal.SIGSTOP)
    # The suspended one still holds the lock of this machine's local runs.
    for lock in (tmp_path / "runs").glob("*/.tuner.lock"):
        lock.unlink()
    tuner = make_tuner(WAITING)
    (tmp_path / "go").touch()
    study = tuner.optimize(n_trials=6)
    live.process.send_signal(signal.SIGCONT)
    assert ended(live) != 0
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 6
    assert len(tuner.study.trials) == 6
    assert len(list(tmp_path.glob("live.*"))) == 6


def test_nobody_is_asked_in_vain(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    with pytest.raises(StudyError, match="nobody is tuning"):
        tuner.control("pause")
    with pytest.raises(ConfigError, match="not one of"):
        tuner.control("explode")
