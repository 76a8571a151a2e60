"""A study on OCI from the notebook that detaches it to its end, with machines that break."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import select

from tests.detached.on_oci import ROOT, run, write_study
from tests.oci_emulator import Emulator
from tests.waiting import wait_until
from tune_jobs.core.attempts import AttemptState
from tune_jobs.notebook.monitor import StudyMonitor
from tune_jobs.runtime.processes import find_by_environment
from tune_jobs.storage import intervals
from tune_jobs.storage.schema import owners
from tune_jobs.tuner import Tuner

TRIALS = 40

SHORT = {"ttl": 6.0, "renewal": 0.5, "rival": 0.2, "commands": 0.2, "trials": 0.2, "answer": 0.2}
"""Intervals of all machines, so that a broken one is replaced within seconds."""

OTHER_MACHINE = f"""
if "tune_jobs.cli.controller" in sys.orig_argv:
    import socket
    from dataclasses import replace
    from tune_jobs.storage import intervals
    socket.gethostname = lambda: os.environ["JOB_RUN_OCID"][-12:]
    intervals.BUCKET = replace(intervals.BUCKET, **{SHORT})
"""
"""Executed first by a controller: its job run is a machine of its own."""

TRAIN = """\
import os, sys, time
x = next(word.split("=")[1] for word in sys.argv if word.startswith("--x="))
name = os.environ["TUNE_JOBS_RUN"].rpartition("/")[2]
open(f"{folder}/{{name}}.{{os.getpid()}}", "w").write(x)
print("value:", x)
"""

NOTEBOOK = """\
import optuna
from tune_jobs import ControllerJob, DataScienceBackend, Infrastructure, Tuner

study = optuna.create_study(
    study_name="s",
    storage="{storage}",
    direction="maximize",
    sampler=optuna.samplers.RandomSampler(),
    pruner=optuna.pruners.NopPruner(),
)
where = dict(compartment="{compartment}", project="{project}", shape="VM.Standard.E4.Flex", ocpus=1)
tuner = Tuner(
    study,
    {{"x": optuna.distributions.FloatDistribution(0.0, 1.0)}},
    DataScienceBackend.from_script(
        "train.py", Infrastructure(**where, memory_gb=16), poll_seconds=0.3, start_rate=50
    ),
    metric="value",
    store="{store}",
    max_parallel=4,
    prices={{"VM.Standard.E4.Flex": 1.0}},
)
controller = ControllerJob(
    Infrastructure(**where, memory_gb=8),
    conda="oci://tune-jobs@{namespace}/conda/tune_jobs",
    env={{"PYTHONPATH": {root!r}}},
)
detached = tuner.detach(controller, n_trials={trials}, then="train_best")
print("detached", flush=True)
detached.wait()
"""


class Machines:
    """A tenancy, the laptop that detaches a study, and a desktop that knows its address.

    Args:
        emulator: The tenancy.
        folder: Where each run that is executed leaves a file.
    """

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator, self.folder = emulator, folder
        bucket = f"oci://tune-jobs@{emulator.namespace}"
        self.storage, self.store = f"{bucket}/study", f"{bucket}/runs"

    def detach_from_notebook(self, home: Path) -> None:
        """Detach the study in a notebook's process, which is killed afterwards."""
        home.mkdir()
        (home / "train.py").write_text(TRAIN.format(folder=self.folder))
        program = NOTEBOOK.format(
            storage=self.storage,
            store=self.store,
            compartment=self.emulator.compartment,
            project=self.emulator.project,
            namespace=self.emulator.namespace,
            root=ROOT,
            trials=TRIALS,
        )
        env = {**os.environ, "HOME": str(home), "PYTHONPATH": ROOT}
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=home, env=env, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout as printed:
            assert "detached\n" in printed, "the notebook failed"
            process.kill()
        assert process.wait() < 0

    @cached_property
    def monitor(self) -> StudyMonitor:
        """The study as the desktop sees it."""
        return Tuner.attach("s", self.storage)

    def count(self, state: str = "COMPLETE") -> int:
        """Return the number of trials in a state."""
        return self.monitor.snapshot().counts().get(state, 0)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds, however busy the processor is."""
        wait_until(condition, seconds=600.0, pause=0.3)

    def wait_for(self, complete: int) -> None:
        """Wait for a number of complete trials."""
        self.wait(lambda: self.count() >= complete)

    def break_controller(self) -> None:
        """Let the machine of the last controller break."""
        record = self.monitor.snapshot().controllers[-1]
        self.emulator.data_science.break_down(str(record.run_id))

    def list_runs(self) -> list[Any]:
        """Return all job runs of the tenancy."""
        return self.emulator.data_science.runs()


@pytest.fixture
def machines(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """The machines; this process is the desktop, which has nothing but the study.yaml."""
    emulator.world.preamble = OTHER_MACHINE
    monkeypatch.setattr(intervals, "BUCKET", replace(intervals.BUCKET, **SHORT))
    monkeypatch.setattr(socket, "gethostname", lambda: "desktop")
    desktop, ran = tmp_path / "desktop", tmp_path / "ran"
    desktop.mkdir()
    ran.mkdir()
    monkeypatch.chdir(desktop)
    monkeypatch.setenv("HOME", str(desktop))
    write_study(
        emulator,
        monkeypatch,
        parameters="parameters: {x: {type: float, low: 0.0, high: 1.0}}",
        n_trials=f"n_trials: {TRIALS}",
        max_parallel="max_parallel: 4",
        sampler="sampler: random\npruner: none",
        duplicates="",
    )
    Path("train.py").write_text(TRAIN.format(folder=ran))
    return Machines(emulator, ran)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_happens_exactly_once(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random()
    machines.detach_from_notebook(tmp_path / "laptop")
    machines.wait_for(3)
    pause_and_enqueue(machines, capsys)
    for _ in range(2):
        wanted = machines.count() + chance.randint(4, 10)
        machines.wait_for(wanted)
        machines.break_controller()
        code, _, error = run("run", "--detach", capsys=capsys)
        assert code == 0, error
    assert "final-1-1: training" in run("logs", "controller", "-f", capsys=capsys)[1]
    check_everything(machines, capsys)


def pause_and_enqueue(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    """Pause the study, enqueue a configuration, and resume it when it has done nothing."""

    def command(*words: str) -> None:
        machines.wait(lambda: run(*words, capsys=capsys)[0] == 0)

    command("pause")
    machines.wait(lambda: not machines.count("RUNNING"))
    study = optuna.load_study(study_name="s", storage=machines.storage)
    study.enqueue_trial({"x": 0.5})
    started = len(machines.list_runs())
    # Another command is done: the controller has looked for commands and trials again.
    command("set", "--max-parallel", "5")
    assert len(machines.list_runs()) == started
    assert machines.count("RUNNING") == 0
    command("resume")
    machines.wait(lambda: any(t.params.get("x") == 0.5 and t.value for t in study.trials))


def check_everything(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    """Check what is left at the end."""
    study = optuna.load_study(study_name="s", storage=machines.storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * TRIALS
    ran = {path.name.split(".")[0]: float(path.read_text()) for path in machines.folder.iterdir()}
    assert len(ran) == len(list(machines.folder.iterdir())), "a run was executed twice"
    assert [t.value for t in study.trials] == [ran[f"trial-{t.number:06}-1"] for t in study.trials]
    assert [t.params["x"] for t in study.trials] == [t.value for t in study.trials]
    assert ran["final-1-1"] == study.best_value

    seen = machines.monitor.snapshot()
    controllers = {record.name: record.run_id for record in seen.controllers}
    runs = Counter(each.facts["displayName"] for each in machines.list_runs())
    assert runs == Counter([*ran, "controller-1", "controller-2", "controller-3"])
    assert {each.facts["displayName"]: each.id for each in machines.list_runs()} == {
        **{attempt.name: attempt.run_id for attempt in seen.runs},
        **controllers,
    }
    assert {attempt.state for attempt in seen.runs} == {AttemptState.SUCCEEDED}
    assert all(attempt.told for attempt in seen.runs)
    assert not any(each.is_live for each in machines.list_runs())
    for each in machines.list_runs():
        assert not find_by_environment("JOB_RUN_OCID", each.id)
    check_lease_and_costs(machines, capsys)


def check_lease_and_costs(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that the study is free, and that each controller is paid for."""
    seen = machines.monitor
    with seen.study._storage._backend.engine.connect() as connection:  # type: ignore[attr-defined]
        assert connection.execute(select(owners.c.owner)).scalars().all() == [None]
    status = json.loads(run("status", "--json", capsys=capsys)[1])
    assert (status["owner"], status["trials"]) == (None, {"COMPLETE": TRIALS})
    assert [each["state"] for each in status["final_runs"]] == ["SUCCEEDED"]
    controllers = seen.snapshot().controllers
    assert len(controllers) == 3
    assert all((each.started or 0.0) < (each.finished or 0.0) for each in controllers)
    hours = sum((each.finished or 0.0) - (each.started or 0.0) for each in controllers) / 3600.0
    assert status["costs"]["controllers"]["hours"] == pytest.approx(hours)
    assert status["costs"]["controllers"]["money"] == pytest.approx(hours)
