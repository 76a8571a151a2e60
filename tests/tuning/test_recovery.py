"""Recovery of a study whose tuner was interrupted or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.conftest import MakeTuner, space
from tune_jobs.core.attempts import AttemptState
from tune_jobs.core.commands import End
from tune_jobs.core.events import Ticked
from tune_jobs.core.limits import Limits
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.snapshot import Snapshot
from tune_jobs.errors import BackendError, DatabaseTrouble
from tune_jobs.notebook.panels import Silent
from tune_jobs.storage import intervals
from tune_jobs.storage.lease import StudyOwned
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.tuning.interruption import Interruption
from tune_jobs.tuning.optimize import Optimization
from tune_jobs.tuning.session import RunSession

TUNER = """
import os, sys
sys.path.insert(0, {root!r})
import optuna
from tests.conftest import space
from tune_jobs.tuner import Tuner
from tune_jobs.backends.local.backend import LocalBackend
study = optuna.create_study(study_name="s", storage={storage}, direction="maximize",
                            load_if_exists=True, sampler=optuna.samplers.RandomSampler(seed=1))
backend = LocalBackend("train.sh", env={{"here": os.getcwd()}}, grace=1.0)
Tuner(study, space, backend, metric="value", max_parallel=3, progress=False).optimize(n_trials=6)
"""

# A run creates a file, then waits until it is released.
WAITING = ': > "$here/live.$$"; until [ -e "$here/go" ]; do sleep 0.02; done; echo value=$x'


class Controller:
    """A tuner in a process of its own, to be killed."""

    def __init__(self, folder: Path, storage: str = '"sqlite:///s.db"') -> None:
        self._folder = folder
        root = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-c", TUNER.format(root=root, storage=storage)],
            cwd=folder,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_for_runs(self, count: int) -> None:
        """Wait until ``count`` runs are live."""
        while len(list(self._folder.glob("live.*"))) < count:
            assert self.process.poll() is None, self.process.stderr
            os.sched_yield()

    def end_by(self, number: int) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.communicate(timeout=30)


def runs_alive(folder: Path) -> list[int]:
    """Process ids of runs that are live."""
    pids = [int(path.suffix[1:]) for path in folder.glob("live.*")]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


SQLITE = '"sqlite:///s.db"'
JOURNAL = (
    'optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("journal.log"))'
)


def journal() -> JournalStorage:
    """Open the storage of `JOURNAL` in this process."""
    return JournalStorage(JournalFileBackend("journal.log"))


@pytest.mark.parametrize("storage", [SQLITE, JOURNAL], ids=["sqlite", "journal"])
def test_runs_survive_a_killed_tuner_and_are_adopted(
    storage: str, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    study = optuna.create_study(
        study_name="s",
        storage="sqlite:///s.db" if storage == SQLITE else journal(),
        direction="maximize",
    )
    tuner = make_tuner(WAITING, study=study)
    controller = Controller(tmp_path, storage)
    controller.wait_for_runs(3)
    controller.end_by(signal.SIGKILL)
    assert len(runs_alive(tmp_path)) == 3
    before = [t.params for t in tuner.study.trials]
    (tmp_path / "go").touch()
    study = tuner.optimize(n_trials=6)
    assert [t.params for t in study.trials][:3] == before
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 6
    assert all(t.value == t.params["x"] for t in study.trials)
    assert [a.attempt for a in tuner.attempts()] == [1] * 6
    assert len(list(tmp_path.glob("live.*"))) == 6  # no trial was run twice


def test_what_ended_meanwhile_is_harvested(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(WAITING)
    controller = Controller(tmp_path)
    controller.wait_for_runs(3)
    controller.end_by(signal.SIGKILL)
    (tmp_path / "go").touch()
    while runs_alive(tmp_path):
        os.sched_yield()
    study = tuner.optimize(n_trials=3)
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert [a.attempt for a in tuner.attempts()] == [1] * 3


def test_two_tuners_cannot_work_on_one_study(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(WAITING)
    controller = Controller(tmp_path)
    controller.wait_for_runs(3)
    with pytest.raises(StudyOwned, match=f"process {controller.process.pid} on .* is tuning"):
        tuner.optimize(n_trials=1)
    (tmp_path / "go").touch()
    assert controller.process.wait(30) == 0
    controller.process.communicate()
    assert [t.value for t in tuner.study.trials] == [t.params["x"] for t in tuner.study.trials]
    assert len(tuner.optimize(n_trials=1).trials) == 7


def test_a_run_whose_trial_another_process_finished_is_stopped(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(WAITING)
    controller = Controller(tmp_path)
    controller.wait_for_runs(3)
    controller.end_by(signal.SIGKILL)
    tuner.study.tell(1, 0.25)
    orphans = set(runs_alive(tmp_path))

    class LetsGo(Silent):
        def say(self, line: str) -> None:
            if line.startswith("recovered"):
                said.append(line)
                (tmp_path / "go").touch()

    said: list[str] = []
    tuner.progress = LetsGo()
    study = tuner.optimize(n_trials=2)
    assert said == ["recovered: 2 live runs adopted, 1 runs of finished trials stopped"]
    assert [t.value for t in study.trials] == [
        study.trials[0].params["x"],
        0.25,
        study.trials[2].params["x"],
    ]
    assert not orphans & set(runs_alive(tmp_path))


def test_ctrl_c_stops_the_runs_and_the_next_call_runs_them_again(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(WAITING)
    controller = Controller(tmp_path)
    controller.wait_for_runs(3)
    controller.end_by(signal.SIGINT)
    assert runs_alive(tmp_path) == []
    before = [t.params for t in tuner.study.trials]
    assert [t.state for t in tuner.study.trials] == [TrialState.RUNNING] * 3
    (tmp_path / "go").touch()
    study = tuner.optimize(n_trials=4)
    assert [t.params for t in study.trials][:3] == before
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4
    states = [(a.trial, a.attempt, a.state) for a in tuner.attempts()]
    assert states[:3] == [(n, 1, AttemptState.CANCELED) for n in range(3)]
    assert sorted(states[3:]) == [(n, 2 if n < 3 else 1, AttemptState.SUCCEEDED) for n in range(4)]


def test_runs_of_a_study_in_memory_end_with_its_process(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    make_tuner(WAITING)
    controller = Controller(tmp_path, "None")
    controller.wait_for_runs(3)
    controller.end_by(signal.SIGKILL)
    while runs_alive(tmp_path):
        os.sched_yield()


def test_a_run_whose_host_is_gone_too_is_run_again(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(WAITING)
    controller = Controller(tmp_path)
    controller.wait_for_runs(3)
    pids = runs_alive(tmp_path)
    host = int(Path(f"/proc/{pids[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(host, signal.SIGKILL)
    controller.end_by(signal.SIGKILL)
    (tmp_path / "go").touch()
    study = tuner.optimize(n_trials=3)
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    attempts = tuner.attempts()
    assert {a.state for a in attempts} <= {AttemptState.LOST, AttemptState.SUCCEEDED}
    assert [a.trial for a in attempts if a.state == AttemptState.SUCCEEDED] == [0, 1, 2]


def test_the_call_continues_when_the_host_is_killed(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('[ -e "$here/shot" ] || { : > "$here/shot"; kill -9 $PPID; }; echo value=$x')
    study = tuner.optimize(n_trials=4)
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    states = {a.state for a in tuner.attempts() if a.attempt == 1}
    assert AttemptState.LOST in states


def test_a_full_database_loses_nothing(
    make_tuner: MakeTuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = partial(DatabaseRetry, patience=0.0)
    monkeypatch.setattr("tune_jobs.tuning.session.DatabaseRetry", impatient)
    full = [False]
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/s.db")

    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def limit(connection: sqlalchemy.Connection) -> None:
        pages = 1 if full[0] else 1_000_000  # SQLite cannot grow the file then
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
    tuner = make_tuner(study=study)
    tuner.optimize(n_trials=3)
    full[0] = True
    with pytest.raises(DatabaseTrouble, match=r"cannot be written: database or disk is full"):
        tuner.optimize(n_trials=500)
    before = [t.value for t in study.trials if t.state == TrialState.COMPLETE]
    full[0] = False
    tuner.optimize(n_trials=5)
    assert [t.value for t in study.trials][: len(before)] == before
    assert all(t.value == t.params["x"] for t in study.trials)


def test_a_run_that_was_intended_but_never_started_is_started(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner()
    tuner.optimize(n_trials=1)
    with RunSession(tuner.definition, own=False) as session:
        call = Optimization(session, Limits(2, None, 2, None), Silent())
        call.engine.handle(Ticked())  # a turn up to its commit, and not further
        call.engine.write()
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE", "RUNNING", "RUNNING"]
    study = tuner.optimize(n_trials=2)
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert [a.attempt for a in tuner.attempts()] == [1, 1, 1]


def test_a_trial_that_was_created_but_not_yet_recorded_is_run(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    # Without a common transaction, a tuner can be killed between study and ledger.
    study = optuna.create_study(study_name="s", storage=journal(), direction="maximize")
    trial = study.ask()
    space(trial)
    trial.set_user_attr("tune_jobs:run", "trial-000000-1")
    tuner = make_tuner(study=study)
    tuner.optimize(n_trials=1)
    assert [t.value for t in study.trials] == [trial.params["x"]]
    assert [a.name for a in tuner.attempts()] == ["trial-000000-1"]


@pytest.mark.parametrize("enqueued", [True, False])
def test_a_trial_that_was_put_on_its_rung_but_not_yet_recorded_is_run(
    enqueued: bool, make_tuner: MakeTuner
) -> None:
    study = optuna.create_study(study_name="s", storage=journal(), direction="maximize")
    if enqueued:
        study.enqueue_trial({"x": 0.25, "n": 3})
    trial = study.ask()
    space(trial)
    trial.set_user_attr("tune_jobs:run", "trial-000000-1")
    rung = {"bracket": 0, "index": 0, "budget": 1, "after": None}
    trial.set_user_attr("tune_jobs:rung", rung)
    tuner = make_tuner(study=study, promotion=Promotion("epochs", 1, 2, factor=2))
    tuner.optimize(n_trials=1)
    assert study.trials[0].value == trial.params["x"]
    assert "tune_jobs:refused" not in study.trials[0].user_attrs
    assert tuner.attempts()[0].name == "trial-000000-1"


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_an_enqueued_trial_that_was_only_claimed_is_run(
    storage: str, make_tuner: MakeTuner
) -> None:
    where = journal() if storage == "journal" else "sqlite:///s.db"
    study = optuna.create_study(study_name="s", storage=where, direction="maximize")
    study.enqueue_trial({"x": 0.25})
    StudyMirror(study).study.ask()  # killed before its commit
    done = make_tuner(study=study).optimize(n_trials=2)
    assert [t.state for t in done.trials] == [TrialState.COMPLETE] * 2
    assert done.trials[0].value == 0.25


def test_an_enqueued_trial_whose_tuner_died_as_it_was_claimed_is_run(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(study_name="s", storage=journal(), direction="maximize")
    study.enqueue_trial({"x": 0.25})
    claim = JournalStorage.set_trial_state_values

    def dies(self: JournalStorage, trial_id: int, state: TrialState, *values: Any) -> bool:
        claim(self, trial_id, state, *values)
        raise KeyboardInterrupt

    mirror = StudyMirror(study)
    with monkeypatch.context() as patch:
        patch.setattr(JournalStorage, "set_trial_state_values", dies)
        with pytest.raises(KeyboardInterrupt):
            mirror.study.ask()
    done = make_tuner(study=study).optimize(n_trials=1)
    assert [t.value for t in done.trials] == [0.25]


def test_an_enqueued_trial_that_another_was_faster_to_take_stays_theirs(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(study_name="s", storage=journal(), direction="maximize")
    study.enqueue_trial({"x": 0.25})
    mirror = StudyMirror(study)
    note = JournalStorage.set_trial_user_attr

    def beaten(self: JournalStorage, trial_id: int, key: str, value: Any) -> None:
        note(self, trial_id, key, value)
        self.set_trial_state_values(trial_id, TrialState.RUNNING)

    with monkeypatch.context() as patch:
        patch.setattr(JournalStorage, "set_trial_user_attr", beaten)
        mirror.study.ask()
    done = make_tuner(study=study).optimize(n_trials=1)
    assert [t.state.name for t in done.trials] == ["RUNNING", "COMPLETE"]


def test_a_running_trial_of_another_process_is_left_alone(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.study.ask()
    study = tuner.optimize(n_trials=2)
    assert [t.state.name for t in study.trials] == ["RUNNING", "COMPLETE", "COMPLETE"]


def test_the_pruner_is_asked_again_about_an_adopted_run(make_tuner: MakeTuner) -> None:
    # A report is written before the decision to prune; a tuner can be killed in between.
    tuner = make_tuner('echo "epoch=1 value=0.5"; sleep 60', step="epoch", max_parallel=1)

    class Leaves(Silent):
        def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
            if any(run.step is not None for run in snapshot().running):
                call.end(End.LEAVE)

    with RunSession(tuner.definition, own=False) as session:
        call = Optimization(session, Limits(1, None, 1, None), Leaves())
        call.run()
    assert tuner.study.trials[0].intermediate_values == {1: 0.5}
    assert tuner.study.trials[0].state == TrialState.RUNNING
    tuner.study.pruner = optuna.pruners.ThresholdPruner(lower=0.6)
    study = tuner.optimize(n_trials=1)
    assert [t.state for t in study.trials] == [TrialState.PRUNED]
    assert [a.attempt for a in tuner.attempts()] == [1]


def test_a_study_created_again_under_its_name_starts_afresh(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(n_trials=3)
    optuna.delete_study(study_name="s", storage="sqlite:///s.db")
    tuner = make_tuner()
    study = tuner.optimize(n_trials=3)
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert len(tuner.attempts()) == 3


def test_a_child_that_outlives_its_tuner_keeps_nothing(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(WAITING)
    forking = FORKS.format(root=str(Path(__file__).parents[2]))
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", forking], cwd=tmp_path) as process:
        while not (tmp_path / "child").exists():
            assert process.poll() is None
            os.sched_yield()
        process.kill()
    child = int((tmp_path / "child").read_text())
    try:
        (tmp_path / "go").touch()
        study = tuner.optimize(n_trials=3)
        assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
        assert [a.attempt for a in tuner.attempts()] == [1] * 3
    finally:
        os.kill(child, signal.SIGKILL)


FORKS = """
import os, threading, time
def fork():
    while not any(name.startswith("live.") for name in os.listdir()):
        time.sleep(0.02)
    child = os.fork()
    if child == 0:
        time.sleep(120)
        os._exit(0)
    with open("child.part", "w") as file:
        file.write(str(child))
    os.rename("child.part", "child")
threading.Thread(target=fork, daemon=True).start()
storage = "sqlite:///s.db"
""" + TUNER.replace("{storage}", "storage").replace("n_trials=6", "n_trials=3")


def test_a_second_start_does_not_harm_a_suspended_tuner(
    make_tuner: MakeTuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_tuner()
    locked = make_tuner().definition.backend
    with RunSession(first.definition, own=True) as session:
        assert session._heartbeat is not None
        session._heartbeat.stop()  # as if it was suspended
        monkeypatch.setattr(intervals, "DATABASE", replace(intervals.DATABASE, ttl=0.0))
        monkeypatch.setattr("tune_jobs.tuning.session._owned_here", set())  # another process
        with pytest.raises(BackendError, match="another tuner"):
            RunSession(replace(first.definition, backend=locked), own=True)
        session.lease.renew(at_once=True)
        assert session.lease.held


def test_a_study_is_released_without_waiting_for_a_stalled_database(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled, released = threading.Event(), threading.Event()
    monkeypatch.setattr("tune_jobs.tuning.session.RELEASE_SECONDS", 0.01)
    session = RunSession(make_tuner().definition, own=True)
    release = session.lease.release

    def waits(retry: Any) -> None:
        stalled.wait(30)
        release(retry)
        released.set()

    monkeypatch.setattr(session.lease, "release", waits)
    session.close()
    stalled.set()
    assert released.wait(30)
    assert not session.lease.held


def test_an_interruption_during_a_stall_ends_the_call_at_once() -> None:
    answers = Interruption()
    answers.ask()
    assert answers.asked
    with pytest.raises(KeyboardInterrupt):
        answers.ask()
    stalled = Interruption(lambda: True)
    with pytest.raises(KeyboardInterrupt):
        stalled.ask()
    assert stalled.asked
