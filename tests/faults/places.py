"""Places where a study runs: its storage, its backend, and the program that tunes it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.databases import SERVERS
from tests.faults.host import ORDER
from tests.faults.points import Point, Points
from tests.faults.scenarios import TRIALS, Scenario
from tune_jobs.backends.base import Backend
from tune_jobs.backends.local import connection
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.core.trial_attributes import counts_as_finished
from tune_jobs.storage import intervals
from tune_jobs.tuner import Tuner

Storage = Callable[[Path], BaseStorage | str]

SHORT = replace(intervals.DATABASE, ttl=2.0, renewal=0.4, rival=0.1)
"""Intervals of tuners of which one is suspended."""

MARK = "HERE"
"""Environment variable of every process of a round: the round's folder."""


@contextlib.contextmanager
def open_storage(kind: str) -> Iterator[Storage]:
    """Open a kind of storage: a file for each study, or one server for all."""
    if kind in SERVERS:
        with SERVERS[kind]() as server:
            yield lambda _: server.url
    elif kind == "journal":
        yield lambda folder: JournalStorage(JournalFileBackend(f"{folder}/study.log"))
    elif kind == "bucket":  # which is looked into at every transaction, so that points recur
        yield lambda folder: f"bucket+file://{folder}/study?max_age=-1"
    else:
        yield lambda folder: f"sqlite:///{folder}/study.db"


@dataclass(frozen=True)
class Place:
    """Place of one round.

    Args:
        folder: The study, and a file ``<attempt>.<pid>`` for each run that was started.
        store: The metric store.
        make_backend: Makes the backend.
        scenario: What is tuned.
        storage: Where the study of a folder is kept.
    """

    folder: Path
    store: str
    make_backend: Callable[[Path], Backend]
    scenario: Scenario
    storage: Storage

    def make_tuner(self) -> Tuner:
        """Return a tuner of the round's study."""
        study = optuna.create_study(
            study_name=self.folder.name,
            storage=self.storage(self.folder),
            sampler=optuna.samplers.RandomSampler(),
            pruner=self.scenario.pruner(),
            load_if_exists=True,
        )
        return Tuner(
            study,
            {"x": optuna.distributions.FloatDistribution(0.0, 1.0)},
            self.make_backend(self.folder),
            metric="value",
            step="epoch",
            max_parallel=2,
            store=self.store,
            progress=False,
            **self.scenario.settings,
        )

    def tune(self, target: Point | None = None, action: str = "kill") -> None:
        """Tune to the end in this process, as a user's program would.

        Args:
            target: The point of this process, or of the local host that it starts, where a signal
                is sent.
            action: See `Points`.
        """
        os.environ[MARK] = str(self.folder)
        os.environ[ORDER] = json.dumps(
            {
                "folder": str(self.folder),
                "target": str(target) if target and target.role == "host" else "",
                "action": action,
            }
        )
        connection.HOST_MODULE = "tests.faults.host"
        if action == "suspend":
            intervals.DATABASE = intervals.BUCKET = SHORT
        Points("tuner", self.folder, target, action).install()
        self._tune()

    def prepare(self) -> None:
        """Create the study, with two enqueued trials."""
        study = self.make_tuner().study
        study.enqueue_trial({"x": 0.25})
        study.enqueue_trial({"x": 0.75})

    def _tune(self) -> None:
        tuner = self.make_tuner()
        if self.scenario.objective:
            started = sum(t.state != TrialState.WAITING for t in tuner.study.trials)
            tuner.study.optimize(tuner.objective, n_trials=max(0, TRIALS - started), n_jobs=2)
        # After Optuna's own loop: trials that a killed process has left open.
        done = sum(counts_as_finished(t) for t in tuner.study.trials)
        tuner.optimize(n_trials=max(0, TRIALS - done))
        if self.scenario.final:
            tuner.train_best(arguments={"epochs": 3})


def place_locally(folder: Path, scenario: Scenario, storage: Storage) -> Place:
    """Return a place whose runs are processes of this machine."""
    script = folder / "train.sh"
    script.write_text(scenario.script)

    def make_backend(folder: Path) -> Backend:
        return LocalBackend(script, env={MARK: str(folder)})

    return Place(folder, str(folder / "runs"), make_backend, scenario, storage)


class EmulatedOci:
    """Emulated services in a process of their own, with one job for all rounds.

    Args:
        folder: Of the services.
        scenario: What is tuned.
    """

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self._scenario = scenario
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.oci_emulator", "--folder", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline().split() for _ in range(5)]
        facts = dict(line[-1].split("=", 1) for line in lines[:2])
        self._endpoint = facts["TUNE_JOBS_OCI_ENDPOINT"]
        self._config = facts["OCI_CONFIG_LOCATION"]
        self._compartment, self._project, self._store = (line[2] for line in lines[2:])
        self._job = self._make_job(folder)

    def _make_job(self, folder: Path) -> str:
        from tune_jobs import Connection, DataScienceBackend, Infrastructure
        from tune_jobs.core.job_runs import MetricSources

        script = folder / "train.sh"
        script.write_text(self._scenario.script)
        oci = Connection(config_file=self._config, endpoint=self._endpoint)
        infrastructure = Infrastructure(self._compartment, self._project, "VM.Standard2.1")
        backend = DataScienceBackend.from_script(script, infrastructure, connection=oci)
        with backend.open(
            self._store, "job", MetricSources(("value",)), keep_runs=True, notice=lambda text: None
        ) as service:
            job = service.describe()["job"]
        return str(job)

    def open_storage(self, folder: Path) -> BaseStorage:
        """Return the storage of a study in the bucket."""
        from tune_jobs import Connection, bucket_storage

        connection = Connection(config_file=self._config, endpoint=self._endpoint)
        return bucket_storage(f"{self._store}/studies/{folder.name}", connection)

    def place(self, folder: Path, storage: Storage) -> Place:
        """Return a place with a prefix of its own in the bucket."""

        def make_backend(folder: Path) -> Backend:
            from tune_jobs import Connection, DataScienceBackend

            return DataScienceBackend.from_ocid(
                self._job,
                connection=Connection(config_file=self._config, endpoint=self._endpoint),
                env={MARK: str(folder)},
                poll_seconds=0.2,
                start_rate=100.0,
            )

        return Place(folder, f"{self._store}/{folder.name}", make_backend, self._scenario, storage)

    def close(self) -> None:
        """End the services."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
