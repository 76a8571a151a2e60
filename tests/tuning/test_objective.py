"""``study.optimize(tuner.objective)``: Optuna's loop, with the tuner's guarantees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tune_jobs.backends.local.service import LocalService
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.errors import MachineTrouble
from tune_jobs.storage.lease import Lease, LeaseLost, StudyOwned
from tune_jobs.tuning.objective import ObjectiveRuns

WAITING = 'until [ -e go ]; do sleep 0.05; done; echo "value=$x"'


def steal_lease(runs: ObjectiveRuns) -> None:
    """Take the study over as another process does after the lease has expired."""
    session = runs._session
    thief = Lease(session.ledger.engine, session.ledger.uid)
    assert thief.take(thief._read())


def test_values_states_and_attempts(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.study.optimize(tuner.objective, n_trials=8, n_jobs=4)
    trials = tuner.study.trials
    assert all(t.state == TrialState.COMPLETE and t.value == t.params["x"] for t in trials)
    attempts = tuner.attempts()
    assert sorted(a.trial for a in attempts if a.trial is not None) == list(range(8))
    assert all(a.told is not None and a.state == "SUCCEEDED" for a in attempts)


def open_journal() -> JournalStorage:
    return JournalStorage(JournalFileBackend("study.log"))


def test_everything_is_written_to_a_journal(make_tuner: MakeTuner) -> None:
    study = optuna.create_study(study_name="s", storage=open_journal())
    study.enqueue_trial({"x": 0.25})
    body = 'echo "step 1 value=0.5"; echo "step 2 value=$x"'
    tuner = make_tuner(body, study=study, step="step")
    study.optimize(tuner.objective, n_trials=3)
    written = optuna.load_study(study_name="s", storage=open_journal()).trials
    assert written == study.trials
    assert [t.state for t in written] == [TrialState.COMPLETE] * 3
    assert [t.value for t in written] == [t.params["x"] for t in written]
    assert [len(t.intermediate_values) for t in written] == [2] * 3


def test_runs_that_are_interrupted_are_retried(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('[ -e "$here/shot" ] || { : > "$here/shot"; kill -9 $PPID; }; echo value=$x')
    tuner.study.optimize(tuner.objective, n_trials=3)
    trials = tuner.study.trials
    assert all(t.state == TrialState.COMPLETE and t.value == t.params["x"] for t in trials)
    attempts = [(a.trial, a.attempt, a.state.value) for a in tuner.attempts()]
    assert attempts[0] == (0, 1, "LOST")
    assert sorted(attempts[1:]) == [(0, 2, "SUCCEEDED"), (1, 1, "SUCCEEDED"), (2, 1, "SUCCEEDED")]


def test_a_result_and_the_end_of_its_attempt_are_one_transaction(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = make_tuner()
    tuner.study.optimize(tuner.objective, n_trials=1)
    runs = tuner._objective_runs
    assert runs is not None

    record_ended = runs._session.ledger.record_ended

    def breaks(connection: object, ended: Sequence[Attempt], reported: float) -> None:
        record_ended(connection, ended, reported)  # type: ignore[arg-type]
        if ended:
            raise ZeroDivisionError

    monkeypatch.setattr(runs._session.ledger, "record_ended", breaks)
    with pytest.raises(AssertionError) as raised:  # Optuna's, of an error while it tells
        tuner.study.optimize(tuner.objective, n_trials=1)
    assert isinstance(raised.value.__context__, ZeroDivisionError)
    stored = optuna.load_study(study_name="s", storage="sqlite:///s.db").trials[1]
    assert stored.state == TrialState.RUNNING
    assert [a.told is None for a in tuner.attempts()] == [False, True]


def test_a_process_that_lost_the_study_writes_nothing(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    study = tuner.study
    known: list[object] = []

    def read() -> list[object]:
        stored = optuna.load_study(study_name="s", storage="sqlite:///s.db")
        return [(t.state, t.params, t.user_attrs, t.values) for t in stored.trials]

    def steal(*_: object) -> None:
        assert tuner._objective_runs is not None
        steal_lease(tuner._objective_runs)
        known.extend(read())

    with pytest.raises(LeaseLost):
        study.optimize(tuner.objective, n_trials=2, callbacks=[steal])
    assert read() == known
    assert len(known) == 1


def test_a_study_whose_loop_has_ended_is_released(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.study.optimize(tuner.objective, n_trials=1)
    runs = tuner._objective_runs
    assert runs is not None
    runs._session.on_idle()
    assert tuner.owner() is None
    assert make_tuner().optimize(n_trials=1).trials[1].state == TrialState.COMPLETE
    tuner.study.optimize(tuner.objective, n_trials=1)
    assert len(tuner.attempts()) == 3


def test_a_study_is_not_released_before_its_trial_is_told(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    trial = tuner.study.ask()
    value = tuner.objective(trial)
    runs = tuner._objective_runs
    assert runs is not None
    assert runs._session.is_working()
    runs._session.on_idle()
    assert tuner.owner() is not None
    tuner.study.tell(trial, value)
    assert not runs._session.is_working()
    assert [a.told is None for a in tuner.attempts()] == [False]


def test_a_process_that_loses_the_study_during_a_run_writes_no_result(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(f"touch {tmp_path}/live; until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    errors: list[BaseException] = []

    def work() -> None:
        try:
            tuner.study.optimize(tuner.objective, n_trials=1)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not (tmp_path / "live").exists():
        thread.join(0.05)
        assert thread.is_alive()
    assert tuner._objective_runs is not None
    steal_lease(tuner._objective_runs)
    (tmp_path / "go").touch()
    thread.join(60)
    assert [type(error) for error in errors] == [LeaseLost]
    (trial,) = optuna.load_study(study_name="s", storage="sqlite:///s.db").trials
    assert trial.state == TrialState.RUNNING
    assert tuner.attempts()[0].told is None


SCRIPT = """
import sys
from pathlib import Path
import optuna
from tests.conftest import space
from tune_jobs import LocalBackend, Tuner
study = optuna.create_study(
    study_name="s", storage="sqlite:///s.db", direction="maximize", load_if_exists=True
)
tuner = Tuner(study, space, LocalBackend("train.sh"), metric="value",
              store="runs", progress=False)
study.optimize(tuner.objective, n_trials=3, n_jobs=3)
"""


@pytest.mark.parametrize("next_call", ["objective", "optimize"])
def test_runs_of_a_killed_process_are_adopted(
    next_call: str, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(
        f"touch {tmp_path}/live.$$; until [ -e {tmp_path}/go ]; do sleep 0.05; done; "
        'echo "value=$x"'
    )
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": root},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    while len(list(tmp_path.glob("live.*"))) < 3:
        assert process.poll() is None
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "go").touch()
    if next_call == "objective":
        tuner.study.optimize(tuner.objective, n_trials=1)
        while any(t.state == TrialState.RUNNING for t in tuner.study.trials):
            tuner.study.optimize(tuner.objective, n_trials=1)
    else:
        tuner.optimize(n_trials=4)
    adopted = tuner.study.trials[:3]
    assert all(t.state == TrialState.COMPLETE and t.value == t.params["x"] for t in adopted)
    assert sorted(a.name for a in tuner.attempts())[:3] == [f"trial-{n:06d}-1" for n in range(3)]
    assert len(list(tmp_path.glob("live.*"))) == len(tuner.study.trials), "none ran twice"


def test_optimize_after_objective_takes_the_study_over(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.study.optimize(tuner.objective, n_trials=2)
    assert len(tuner.optimize(n_trials=2).trials) == 4
    tuner.study.optimize(tuner.objective, n_trials=1)
    assert tuner.train_best().trial == tuner.study.best_trial.number
    assert tuner.owner() is None


def test_optimize_beside_objective_is_refused_at_once(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(
        f'touch {tmp_path}/live; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo "value=$x"'
    )
    thread = threading.Thread(target=lambda: tuner.study.optimize(tuner.objective, n_trials=1))
    thread.start()
    while not (tmp_path / "live").exists():
        thread.join(0.05)
        assert thread.is_alive()
    for call in (lambda: tuner.optimize(n_trials=1), tuner.train_best):
        with pytest.raises(StudyOwned, match="in this process"):
            call()
    (tmp_path / "go").touch()
    thread.join(60)
    assert tuner.study.trials[0].state == TrialState.COMPLETE


def test_a_canceled_trial_fails(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(f"touch {tmp_path}/live; sleep 60")
    thread = threading.Thread(
        target=lambda: tuner.study.optimize(tuner.objective, n_trials=1, catch=(Exception,))
    )
    thread.start()
    while not (tmp_path / "live").exists():
        thread.join(0.05)
        assert thread.is_alive()
    assert tuner.control("cancel", trial=0)
    thread.join(60)
    (trial,) = tuner.study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["tune_jobs:cause"].startswith("canceled on request")


KILLED = """
import os
import optuna
from tests.conftest import space
from tune_jobs import LocalBackend, Tuner

def dies(trial):
    params = space(trial)
    if trial.study.study_name == "s":  # not one of the samples that check the space
        os.kill(os.getpid(), 9)
    return params

study = optuna.create_study(study_name="s", storage="sqlite:///s.db", direction="maximize")
tuner = Tuner(study, dies, LocalBackend("train.sh"), metric="value", store="runs", progress=False)
study.optimize(tuner.objective, n_trials=1)
"""


def test_a_trial_whose_process_was_killed_before_its_attempt_is_run(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    (tmp_path / "train.sh").touch()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=env,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    tuner = make_tuner()
    tuner.optimize(n_trials=1)
    (trial,) = tuner.study.trials
    assert trial.state == TrialState.COMPLETE
    assert trial.value == trial.params["x"]


def test_a_trial_that_optuna_gave_to_two_threads_is_run_once(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    study = tuner.study
    study.enqueue_trial({"x": 0.25})
    study.enqueue_trial({"x": 0.75})
    first = study.ask()
    second = optuna.Trial(study, first._trial_id)  # as by a race before the storage is fenced
    for trial in (first, second):
        study.tell(trial, tuner.objective(trial))
    assert [t.value for t in study.trials] == [0.25, 0.75]
    assert [a.trial for a in tuner.attempts()] == [0, 1]


INTERRUPTED = """
import os, signal, sys
import optuna
from tests.conftest import space
from tune_jobs import LocalBackend, Tuner
from tune_jobs.tuning.interruption import interrupt_on_termination

if sys.argv[2] == "SIGTERM":
    interrupt_on_termination()
study = optuna.load_study(study_name="s", storage="sqlite:///s.db")
backend = LocalBackend("train.sh", grace=0.2)
tuner = Tuner(study, space, backend, metric="value", store="runs", progress=False)
before = signal.getsignal(signal.SIGINT)
try:
    study.optimize(tuner.objective, n_trials=6, n_jobs=int(sys.argv[1]))
except KeyboardInterrupt:
    assert signal.getsignal(signal.SIGINT) is before
    print("interrupted, owner:", tuner.owner())
"""


@pytest.mark.parametrize(
    ("n_jobs", "number"),
    [(1, signal.SIGINT), (2, signal.SIGINT), (2, signal.SIGTERM)],
    ids=["one", "several", "terminated"],
)
def test_an_interrupted_loop_stops_its_runs_and_is_resumed(
    n_jobs: int, number: signal.Signals, make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(
        f"touch {tmp_path}/live.$$; until [ -e {tmp_path}/go ]; do sleep 0.02; done; "
        'echo "value=$x"'
    )
    loop = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(n_jobs), number.name],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while len(list(tmp_path.glob("live.*"))) < n_jobs:
        assert loop.poll() is None
        threading.Event().wait(0.05)
    loop.send_signal(number)
    printed, _ = loop.communicate(timeout=60)
    assert printed == "interrupted, owner: None\n"
    for started in tmp_path.glob("live.*"):
        assert not Path("/proc", started.suffix[1:]).exists()
        started.unlink()
    before = tuner.study.get_trials()
    assert [t.state for t in before] == [TrialState.RUNNING] * n_jobs
    (tmp_path / "go").touch()
    tuner.optimize(n_trials=n_jobs)
    trials = tuner.study.trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * n_jobs
    assert [t.params for t in trials] == [t.params for t in before]
    assert sorted(a.name for a in tuner.attempts() if a.state == "SUCCEEDED") == [
        f"trial-{n:06d}-2" for n in range(n_jobs)
    ]


def test_the_trouble_of_a_machine_is_not_the_failure_of_a_trial(
    make_tuner: MakeTuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = make_tuner(
        f'touch {tmp_path}/live; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo "value=$x"'
    )
    study = tuner.study
    wait = LocalService.wait

    def breaks(service: LocalService, timeout: float | None) -> list[RunUpdate]:
        if (tmp_path / "live").exists():
            raise MachineTrouble("the disk is full")
        return wait(service, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(LocalService, "wait", breaks)
        with pytest.raises(MachineTrouble, match="the disk is full"):
            study.optimize(tuner.objective, n_trials=3, n_jobs=2)
    assert {t.state for t in study.get_trials()} == {TrialState.RUNNING}
    assert tuner.owner() is None
    (tmp_path / "go").touch()
    tuner.optimize(n_trials=2)
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]
    assert [a.attempt for a in tuner.attempts()] == [1, 1]
