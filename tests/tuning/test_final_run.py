"""Final runs: recorded, repeatable, and never trained twice by accident."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from tests.conftest import MakeTuner
from tests.simulation import SPACE, curve, simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.core.attempts import AttemptState
from tune_jobs.core.outcomes import MAX_ATTEMPTS
from tune_jobs.dashboard.reading import read_study
from tune_jobs.errors import ConfigError, FinalRunFailed, StudyError, TuningStopped
from tune_jobs.script.command_line import CommandLine
from tune_jobs.storage.lease import Lease, LeaseLost
from tune_jobs.tuning.provenance import FinalRequest
from tune_jobs.tuning.session import Session

BODY = """
for a in "$@"; do
  case $a in --out=*) out=${a#--out=};; --epochs=*) epochs=${a#--epochs=};; esac
done
mkdir -p "$out"; echo "weights $x" > "$out/model.txt"; echo "value=$x loss=$epochs"
"""
LINE = CommandLine(["{parameters}", "--out={outputs}", "--epochs=1"])


def test_it_trains_the_best_configuration_and_says_where_it_came_from(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_text("1,2\n")
    tuner = make_tuner(BODY, command_line=LINE, extra_metrics=["loss"])
    study = tuner.optimize(n_trials=5)
    final = tuner.train_best({"epochs": 50}, data=["data.csv"])
    assert final.trial == study.best_trial.number
    assert final.params == study.best_params
    assert final.metrics == {"value": study.best_value, "loss": 50.0}
    assert final.files == ("model.txt",)
    assert Path(final.outputs, "model.txt").read_text() == f"weights {study.best_params['x']!r}\n"

    record = json.loads(Path(final.provenance).read_text())
    assert record["study"]["name"] == "s"
    assert record["trial"] == {"number": final.trial, "values": [study.best_value]}
    assert record["arguments"] == {"epochs": 50}
    assert "--epochs=50" in record["command"]
    assert "--epochs=1" not in record["command"]
    assert record["data"]["data.csv"]["bytes"] == 4
    assert len(record["code"]["code_sha256"]) == 64
    assert record["versions"]["packages"]["optuna"] == optuna.__version__
    times = record["times"]
    assert times["intended"] <= times["started"] <= times["finished"]


def test_the_studys_data_is_that_of_its_final_run(make_tuner: MakeTuner, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2\n")
    tuner = make_tuner(BODY, command_line=LINE, data=["data.csv"])
    tuner.optimize(n_trials=1)
    digest = read_study(tuner.study).definition["data"]["data.csv"]["sha256"]
    record = json.loads(Path(tuner.train_best().provenance).read_text())
    assert record["data"]["data.csv"]["sha256"] == digest
    (tmp_path / "data.csv").unlink()
    with pytest.raises(StudyError, match=r"data=data\.csv: the file cannot be read"):
        tuner.optimize(n_trials=1)


def test_it_can_be_repeated_from_its_provenance(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(BODY, command_line=LINE)
    tuner.optimize(n_trials=2)
    final = tuner.train_best({"epochs": 3})
    line = json.loads(Path(final.provenance).read_text())["repeat"]
    printed = subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
    assert printed == f"value={final.metrics['value']!r} loss=3\n"
    assert Path("repeat/outputs/model.txt").exists()


def test_the_same_again_is_not_trained_twice(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(BODY, command_line=LINE)
    tuner.optimize(n_trials=3)
    first = tuner.train_best({"epochs": 3})
    assert make_tuner(BODY, command_line=LINE).train_best({"epochs": 3}) == first
    assert tuner.train_best({"epochs": 4}).name == "final-2-1"
    assert tuner.train_best({"epochs": 3}, again=True).name == "final-3-1"
    assert [a.name for a in tuner.attempts() if a.is_final] == [
        "final-1-1",
        "final-2-1",
        "final-3-1",
    ]


def test_final_runs_are_not_trials(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(BODY, command_line=LINE)
    tuner.optimize(n_trials=2)
    tuner.train_best()
    assert len(tuner.optimize(n_trials=1).trials) == 3


def test_a_chosen_trial(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(BODY, command_line=LINE)
    study = tuner.optimize(n_trials=4)
    worst = min(study.trials, key=lambda t: t.params["x"])
    assert tuner.train_best(trial=worst.number).params == worst.params
    with pytest.raises(StudyError, match="no finished trial 99"):
        tuner.train_best(trial=99)


def test_the_knee_of_a_front(make_tuner: MakeTuner, tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path}/m.db", directions=["maximize", "maximize"]
    )
    for x, n in [(0.0, 9), (0.8, 8), (1.0, 0)]:
        study.enqueue_trial({"x": x, "n": n})
    tuner = make_tuner('echo "value=$x count=$n"', study=study, metric=["value", "count"])
    tuner.optimize(n_trials=3)
    assert tuner.train_best(pick="knee").params == {"x": 0.8, "n": 8}
    assert tuner.train_best(pick="value").params == {"x": 1.0, "n": 0}
    assert tuner.train_best(pick="count").params == {"x": 0.0, "n": 9}


def test_before_there_is_anything_to_train(make_tuner: MakeTuner) -> None:
    with pytest.raises(StudyError, match="no trial is complete yet: run optimize"):
        make_tuner().train_best()


def test_a_final_run_that_fails_can_be_tried_again(make_tuner: MakeTuner, tmp_path: Path) -> None:
    body = 'case "$*" in *--epochs=9*) [ -e "$here/ok" ] || exit 6;; esac; echo value=$x'
    tuner = make_tuner(body)
    tuner.optimize(n_trials=1)
    with pytest.raises(TuningStopped, match="final-1-1 of trial 0 failed: exit code 6") as error:
        tuner.train_best({"epochs": 9})
    assert type(error.value) is FinalRunFailed
    (tmp_path / "ok").touch()
    assert tuner.train_best({"epochs": 9}).name == "final-2-1"
    states = [a.state for a in tuner.attempts() if a.is_final]
    assert states == [AttemptState.FAILED, AttemptState.SUCCEEDED]


FINAL = """
import sys
sys.path.insert(0, {root!r})
import optuna
from tests.conftest import space
from tune_jobs.tuner import Tuner
from tune_jobs.backends.local.backend import LocalBackend
study = optuna.load_study(study_name="s", storage="sqlite:///s.db")
backend = LocalBackend("train.sh", env={{"here": {here!r}}})
Tuner(study, space, backend, metric="value", progress=False).train_best({{"epochs": 5}})
"""


def test_a_final_run_survives_its_tuner(make_tuner: MakeTuner, tmp_path: Path) -> None:
    body = (
        'case "$*" in *--epochs=5*) echo x >> "$here/begun"; '
        'until [ -e "$here/go" ]; do sleep 0.02; done;; esac; echo value=$x'
    )
    tuner = make_tuner(body)
    tuner.optimize(n_trials=1)
    root = str(Path(__file__).parents[2])
    program = FINAL.format(root=root, here=str(tmp_path))
    training = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    while not (tmp_path / "begun").exists():
        os.sched_yield()
    training.send_signal(signal.SIGKILL)
    training.wait()
    (tmp_path / "go").touch()
    tuner.optimize(n_trials=2)
    (final,) = (a for a in tuner.attempts() if a.is_final)
    assert final.told is None, "tuning resumed the final run, which is left to train_best"
    assert tuner.train_best({"epochs": 5}, trial=0).name == "final-1-1"
    assert (tmp_path / "begun").read_text() == "x\n"


def test_what_it_shows_is_escaped(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.optimize(n_trials=1)
    final = tuner.train_best({"note": "<script>alert(1)</script>"})
    assert "<script>" not in final._repr_html_()
    assert "&lt;script&gt;" in final._repr_html_()


def test_a_final_run_is_retried_from_its_checkpoint() -> None:
    seen: list[int | None] = []

    def course(run: SimulatedRun) -> list[SimulatedReport]:
        if run.name.startswith("final"):
            seen.append(run.resume_step)
        return curve(run)

    tuner, _ = simulated(course, backend={"checkpoints": True, "preempted": 0.9, "seed": 3})
    tuner.definition.study.add_trial(
        optuna.trial.create_trial(
            params={"x": 0.5}, distributions=dict(SPACE), value=0.5, state=TrialState.COMPLETE
        )
    )
    attempts = []
    try:
        final = tuner.train_best()
        attempts = [a.name for a in tuner.attempts() if a.is_final]
        assert final.name == attempts[-1]
    except FinalRunFailed:
        attempts = [a.name for a in tuner.attempts() if a.is_final]
        assert len(attempts) == MAX_ATTEMPTS
    assert attempts == [f"final-1-{n}" for n in range(1, len(attempts) + 1)]
    assert len(attempts) > 1, "it was preempted"
    assert any(step is not None for step in seen[1:]), "it resumed"


def test_a_final_run_that_lost_its_study_records_nothing(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(
        f"[ -e {tmp_path}/final ] && until [ -e {tmp_path}/go ]; do sleep 0.05; done; "
        f'echo "value=$x"'
    )
    tuner.optimize(n_trials=1)
    (tmp_path / "final").touch()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            tuner.train_best()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not any(a.is_final and a.state == "SUBMITTED" for a in tuner.attempts()):
        thread.join(0.05)
        assert thread.is_alive()
    with Session(tuner.definition) as session:
        thief = Lease(session.ledger.engine, session.ledger.uid)
        while not thief.take(thief._read()):
            pass  # it has written another heartbeat
    (tmp_path / "go").touch()
    thread.join(60)
    assert [type(error) for error in errors] == [LeaseLost]
    (final,) = [a for a in tuner.attempts() if a.is_final]
    assert final.told is None
    thief.release()
    assert tuner.train_best().name == final.name, "the next call takes it over"


def test_a_final_run_is_stopped_on_request(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(f'[ -e {tmp_path}/final ] && sleep 60; echo "value=$x"')
    tuner.optimize(n_trials=1)
    (tmp_path / "final").touch()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            tuner.train_best()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not any(a.is_final and a.state == "SUBMITTED" for a in tuner.attempts()):
        thread.join(0.05)
        assert thread.is_alive()
    assert tuner.control("stop", runs="cancel")
    thread.join(60)
    (error,) = errors
    assert isinstance(error, FinalRunFailed)
    assert "stopped on request" in str(error)


def test_other_resources_are_another_final_run() -> None:
    trial = optuna.trial.create_trial(value=0.5)
    plain = FinalRequest(trial, {}, {}, {})
    assert plain.key == FinalRequest(trial, {}, {}, {}).key
    assert plain.key != FinalRequest(trial, {}, {}, {"shape": "VM.GPU.A10.1"}).key


def test_resources_are_checked_before_a_run_is_recorded(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.optimize(n_trials=1)
    with pytest.raises(ConfigError, match="a local run has no resources to choose"):
        tuner.train_best(resources={"shape": "VM.GPU.A10.1"})
    assert not any(attempt.is_final for attempt in tuner.attempts())


def test_a_final_run_without_its_metric_is_no_success(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    tuner = make_tuner(f'[ -e {tmp_path}/final ] || echo "value=$x"')
    tuner.optimize(n_trials=1)
    (tmp_path / "final").touch()
    with pytest.raises(FinalRunFailed, match="value"):
        tuner.train_best()
    (final,) = [a for a in tuner.attempts() if a.is_final]
    assert final.state == AttemptState.FAILED
    (tmp_path / "final").unlink()
    assert tuner.train_best().name == "final-2-1"


def test_a_final_run_outlives_connections_that_break(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = make_tuner()
    tuner.optimize(n_trials=1)
    with Session(tuner.definition) as session:
        dialect: Any = session.ledger.engine.dialect
    commit, prove = dialect.do_commit, Lease.heartbeat
    is_owner, commits = False, 0

    def heartbeat(lease: Lease, connection: Any) -> None:
        nonlocal is_owner
        prove(lease, connection)
        is_owner = True  # the next commit is that of an owner's write

    def breaks(connection: Any) -> None:
        """Break the owner's first commit after it took effect, and the second one before."""
        nonlocal is_owner, commits
        was_owner, is_owner = is_owner, False
        commits += was_owner
        if not was_owner or commits != 2:
            commit(connection)
        if was_owner and commits <= 2:
            raise OperationalError("COMMIT", {}, Exception("gone"), connection_invalidated=True)

    monkeypatch.setattr(Lease, "heartbeat", heartbeat)
    monkeypatch.setattr(dialect, "do_commit", breaks)
    final = tuner.train_best()
    monkeypatch.undo()
    assert final.name == "final-1-1"
    assert commits >= 3
    assert [a.attempt for a in tuner.attempts() if a.is_final] == [1]
