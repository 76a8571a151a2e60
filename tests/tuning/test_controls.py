"""Commands to a tuner in another process."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.tuning.test_recovery import WAITING, Controller, runs_alive
from tests.waiting import wait_until
from tune_jobs.cli.main import main
from tune_jobs.core.commands import Control, ControlState, End, apply_control
from tune_jobs.core.limits import Limits, change_limits
from tune_jobs.core.snapshot import Snapshot
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.notebook.panels import Silent
from tune_jobs.storage import intervals
from tune_jobs.tuning.optimize import Optimization
from tune_jobs.tuning.session import RunSession, Session


def control(command: str, **argument: object) -> Control:
    return Control(1, command, argument)


def test_orders() -> None:
    paused = apply_control(ControlState(), control("pause"))
    assert paused == ControlState(paused=True)
    assert apply_control(paused, control("resume")) == ControlState()
    assert apply_control(paused, control("stop", runs="finish")) == ControlState(end=End.FINISH)
    assert apply_control(ControlState(), control("stop", runs="cancel")) == ControlState(
        end=End.CANCEL
    )
    assert apply_control(ControlState(), control("hand_over")) == ControlState(end=End.LEAVE)
    assert apply_control(ControlState(), control("cancel", trial=3)) == ControlState()


def test_limits() -> None:
    limits = Limits(n_trials=10, deadline=None, max_parallel=2, max_failures=None)
    wider = change_limits(limits, control("set", max_parallel=8, n_trials=50), finished_before=20)
    assert (wider.max_parallel, wider.n_trials) == (8, 30)
    assert change_limits(limits, control("set", n_trials=5), finished_before=20).n_trials == 0


@pytest.fixture
def live(make_tuner: MakeTuner, tmp_path: Path) -> Controller:
    """Start a tuner in another process with three waiting runs."""
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


def test_only_live_trials_can_be_canceled(
    live: Controller, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(WAITING)
    assert tuner.control("cancel", trial=1)
    tuner.study.enqueue_trial({"x": 0.5})
    waiting = len(tuner.study.trials) - 1
    for trial, problem in [
        (1, "trial 1 is FAIL and has no live job run to cancel"),
        (waiting, f"trial {waiting} is WAITING and has no live job run"),
        (99, "there is no trial 99 to cancel"),
    ]:
        with pytest.raises(StudyError, match=problem):
            tuner.control("cancel", trial=trial)
    (tmp_path / "go").touch()
    assert ended(live) == 0


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

    monkeypatch.setattr(intervals, "DATABASE", replace(intervals.DATABASE, ttl=1.0))
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


def test_commands_to_an_earlier_owner_are_void(
    make_tuner: MakeTuner,
) -> None:
    tuner = make_tuner(max_parallel=1)
    limits = Limits(n_trials=50, deadline=None, max_parallel=1)
    with Session(tuner.definition) as earlier:
        before = earlier.controls.request("pause")
    with RunSession(tuner.definition, own=True) as session:
        after = session.controls.request("stop", runs="finish")
        Optimization(session, limits, Silent()).run()
        assert session.controls.is_done(before)
        assert session.controls.is_done(after)
    assert len(tuner.study.trials) < 50


def test_a_command_without_an_owner_is_an_error(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    with pytest.raises(StudyError, match="no process is tuning"):
        tuner.control("pause")
    with pytest.raises(ConfigError, match="unknown command 'explode'"):
        tuner.control("explode")
    with pytest.raises(ConfigError, match="invalid runs='bogus': use 'finish' or 'cancel'"):
        tuner.control("stop", runs="bogus")
    with pytest.raises(ConfigError, match="name the trial to cancel"):
        tuner.control("cancel")


def test_another_process_looks_on(live: Controller, make_tuner: MakeTuner, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Looks:
        def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
            now = snapshot()
            seen.append((now.complete, now.live))
            (tmp_path / "go").touch()

        def say(self, line: str) -> None:
            assert line.startswith("watching process")

        def close(self) -> None: ...

    study = make_tuner(WAITING, progress=Looks()).watch()
    assert ended(live) == 0
    assert seen[0] == (0, 3)
    assert seen[-1] == (6, 0)
    assert len(study.trials) == 6


STUDY_YAML = """\
study: s
script: train.sh
metric: value
direction: maximize
parameters:
  x: {type: float, low: 0, high: 1}
sampler: random
n_trials: 6
max_parallel: 2
storage: sqlite:///s.db
backend: {type: local, env: {here: %s}}
"""


def test_from_the_command_line(
    make_tuner: MakeTuner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tuner(WAITING)  # for its script
    (tmp_path / "study.yaml").write_text(STUDY_YAML % tmp_path)
    process = subprocess.Popen([sys.executable, "-m", "tune_jobs.cli", "run", "study.yaml"])
    wait_until(lambda: len(list(tmp_path.glob("live.*"))) == 2)
    assert main(["status", "study.yaml"]) == 0
    assert f"tuned by process {process.pid}" in capsys.readouterr().out
    assert main(["set", "study.yaml", "--max-parallel", "3", "--n-trials", "4"]) == 0
    wait_until(lambda: len(list(tmp_path.glob("live.*"))) == 3)
    assert main(["cancel", "study.yaml", "0"]) == 0
    assert main(["pause", "study.yaml"]) == 0
    assert main(["resume", "study.yaml"]) == 0
    assert main(["set", "study.yaml"]) == 2
    (tmp_path / "go").touch()
    assert process.wait(30) == 0
    capsys.readouterr()
    assert main(["status", "study.yaml"]) == 0
    assert "3 complete, 1 fail" in capsys.readouterr().out
    assert main(["stop", "study.yaml"]) == 3
    assert "no process is tuning" in capsys.readouterr().err


def test_a_database_that_is_locked_for_a_while_ends_nothing(
    make_tuner: MakeTuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_jobs.storage.retry.CONTENTION", 0.0)
    said: list[str] = []
    locked = sqlite3.connect(tmp_path / "s.db", check_same_thread=False, isolation_level=None)

    class Locks:
        def update(self, *_: object, **__: object) -> None:
            if len(list(tmp_path.glob("ran.*"))) >= 2 and not said:
                said.append("locked")
                locked.execute("BEGIN EXCLUSIVE")

        def say(self, line: str) -> None:
            said.append(line)
            if "does not answer" in line:
                locked.execute("ROLLBACK")

        def close(self) -> None: ...

    study = optuna.create_study(
        study_name="s",
        storage=optuna.storages.RDBStorage(
            f"sqlite:///{tmp_path}/s.db", engine_kwargs={"connect_args": {"timeout": 0.2}}
        ),
        direction="maximize",
    )
    tuner = make_tuner(': > "$here/ran.$$"; echo "value=$x"', study=study, progress=Locks())
    tuner.optimize(n_trials=8)
    locked.close()
    assert any("database is locked" in line for line in said)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 8
    assert len(list(tmp_path.glob("ran.*"))) == 8
