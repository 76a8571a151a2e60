"""Time until a tuner has adopted the live runs of a killed one.

    python -m tests.benchmarks.recovery [--live 1000] [--finished 10000]

A study with finished trials gets live job runs on emulated OCI services, which run in another
process. Its tuner is killed by SIGKILL, and the next one is timed from the call of ``optimize``
until all runs are adopted, without imports. The last line has the seconds, the CPU seconds, the
peak memory, and the requests by operation.
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
from functools import partial
from pathlib import Path

import optuna

from tests.benchmarks.oci_requests import RUN_SECONDS, Service
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner
from tune_jobs.backends.data_science.service import DataScienceService
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.snapshot import Progress
from tune_jobs.notebook.panels import Silent
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.session import Session

SPACE = {f"x{i}": optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(6)}
BATCH = 500


def build_tuner(folder: Path, facts: dict[str, str], live: int, progress: Progress) -> Tuner:
    """Build a tuner with as many slots as live runs."""
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


def add_finished_trials(tuner: Tuner, count: int) -> None:
    """Add complete trials with their attempts."""
    mirror = StudyMirror(tuner.study)
    with Session(tuner.definition) as session:
        for start in range(0, count, BATCH):
            attempts = []
            for number in range(start, min(count, start + BATCH)):
                trial = mirror.study.ask()
                value = sum(tuner.definition.space.sample(trial).values())
                mirror.study.tell(trial, value)
                name = f"trial-{number:06d}-1"
                attempt = Attempt(
                    name, number, 1, "data_science", AttemptState.INTENDED, Invocation(), 0.0
                )
                attempts.append(attempt)
            mirror.commit(partial(session.ledger.record_intended, intended=attempts))
            ended = [replace(a, state=AttemptState.SUCCEEDED) for a in attempts]
            session.ledger.record_ended(None, ended, time.time())


class Recovered(BaseException):
    """Ends the measured call."""


class RecoveryTimer(Silent):
    """Progress display that raises `Recovered` once all runs are adopted."""

    def __init__(self) -> None:
        self.at = 0.0
        self.message = ""

    def say(self, line: str) -> None:
        if line.startswith("recovered"):
            self.at, self.message = time.perf_counter(), line
            raise Recovered


def fork(work: Callable[[], None]) -> int:
    """Run a function in a forked process and return its id."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def start_and_kill(tune: Callable[[], None], service: Service, live: int) -> None:
    """Run a tuner until all its job runs have been started, then kill it."""
    pid = fork(tune)
    n_started = 0
    while n_started < live:
        time.sleep(0.5)
        n_started += service.count_requests()["create_job_run"]
    time.sleep(3.0)  # until the tuner has recorded the last ones
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def measure(tuner: Tuner, timer: RecoveryTimer, service: Service, live: int) -> str:
    """Measure the recovery and describe it."""
    DataScienceService.cancel = lambda self, name: None  # type: ignore[method-assign]
    service.count_requests()
    start, cpu = time.perf_counter(), time.process_time()
    with contextlib.suppress(Recovered):
        tuner.optimize(n_trials=live)
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{timer.at - start:.2f} s ({cpu:.2f} s of CPU), peak {peak:.0f} MB, "
        f"requests {dict(service.count_requests())}"
    )


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=int, default=1000)
    parser.add_argument("--finished", type=int, default=10_000)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="recovery-"))
    (folder / "train.py").write_text("print('value: 1')")
    service = Service(RUN_SECONDS)
    live = options.live
    add_finished_trials(build_tuner(folder, service.facts, live, Silent()), options.finished)

    def tune() -> None:
        build_tuner(folder, service.facts, live, Silent()).optimize(n_trials=live)

    start_and_kill(tune, service, live)
    timer = RecoveryTimer()
    measured = measure(build_tuner(folder, service.facts, live, timer), timer, service, live)
    print(timer.message)
    print(f"{live} live runs, {options.finished} finished trials: {measured}")
    service.close()
    os._exit(0)


if __name__ == "__main__":
    main()
