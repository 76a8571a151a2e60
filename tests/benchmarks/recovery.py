"""How long the next tuner needs after a kill, with many live runs and a long history.

    python -m tests.benchmarks.recovery [--live 1000] [--finished 10000]

A study with finished trials gets live job runs on emulated OCI services (in another process); its
tuner is killed by SIGKILL; the next one is timed from the call of ``optimize`` until all runs are
adopted. Importing is before.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna

from tests.benchmarks.oci_requests import Service
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner
from tune_jobs.backends.data_science.service import DataScienceService
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.snapshot import Progress
from tune_jobs.notebook.panels import Silent
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.session import Session

SPACE = {f"x{i}": optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(6)}


def build_tuner(folder: Path, facts: dict[str, str], live: int, progress: Progress) -> Tuner:
    """A tuner with as many slots as runs."""
    study = optuna.create_study(
        study_name="recovery",
        storage=f"sqlite:///{folder}/study.db",
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )
    backend = DataScienceBackend.from_script(
        folder / "train.py",
        Infrastructure(facts["compartment"], facts["project"], "VM.Standard2.1"),
        connection=Connection(config_file=facts["config_file"], endpoint=facts["endpoint"]),
        poll_seconds=1.0,
        start_rate=1e6,
    )
    store = f"oci://tune-jobs@{facts['namespace']}/runs"
    return Tuner(
        study, SPACE, backend, metric="value", max_parallel=live, store=store, progress=progress
    )


def fill(tuner: Tuner, count: int) -> None:
    """Trials of the past, with their attempts."""
    mirror = StudyMirror(tuner.study)
    with Session(tuner.definition) as session:
        for start in range(0, count, 500):
            trials = []
            for number in range(start, min(count, start + 500)):
                trial = mirror.study.ask()
                value = sum(tuner.definition.space.sample(trial).values())
                mirror.study.tell(trial, value)
                name = f"trial-{number:06d}-1"
                attempt = Attempt(
                    name, number, 1, "data_science", AttemptState.INTENDED, Invocation(), 0.0
                )
                trials.append(attempt)
            mirror.commit(lambda connection, made=trials: session.ledger.intend(connection, made))  # type: ignore[misc]
            ended = [replace(a, state=AttemptState.SUCCEEDED) for a in trials]
            session.ledger.ended(None, ended, time.time())


class Stop(BaseException):
    """The measurement is over."""


class Timed(Silent):
    """Notes when the runs were adopted, and ends."""

    def __init__(self) -> None:
        self.at = 0.0
        self.said = ""

    def say(self, line: str) -> None:
        if line.startswith("recovered"):
            self.at, self.said = time.perf_counter(), line
            raise Stop


def forked(work: Callable[[], None]) -> int:
    """Do it in a process that can be killed; its number."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=int, default=1000)
    parser.add_argument("--finished", type=int, default=10_000)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="recovery-"))
    (folder / "train.py").write_text("print('value: 1')")
    service = Service(run_seconds=1e6)
    fill(build_tuner(folder, service.facts, options.live, Silent()), options.finished)

    def tune() -> None:
        build_tuner(folder, service.facts, options.live, Silent()).optimize(n_trials=options.live)

    pid = forked(tune)
    started = 0
    while started < options.live:
        time.sleep(0.5)  # the services count
        started += service.requests()["create_job_run"]
    time.sleep(3.0)  # until it has noted what was started
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    timed = Timed()
    tuner = build_tuner(folder, service.facts, options.live, timed)
    DataScienceService.cancel = lambda self, name: None  # type: ignore[method-assign]
    began, cpu = time.perf_counter(), time.process_time()
    service.requests()
    with contextlib.suppress(Stop):
        tuner.optimize(n_trials=options.live)
    asked = service.requests()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(timed.said)
    print(
        f"{options.live} live runs, {options.finished} finished trials: {timed.at - began:.2f} s "
        f"({time.process_time() - cpu:.2f} s of CPU), peak {peak:.0f} MB, requests {dict(asked)}"
    )
    service.close()
    os._exit(0)


if __name__ == "__main__":
    main()
