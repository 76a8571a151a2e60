"""Kill the tuner at every point of a study, start it again, and look whether anything is wrong.

    python -m tests.faults.kill --kills 1000 [--seed 7]
    python -m tests.faults.kill --backend oci --kills 100
    python -m tests.faults.kill --storage journal --kills 300        (or postgresql, mariadb)
    python -m tests.faults.kill --scenario promotion --kills 300

A study of a few trials (`scenarios`) is run once, to count its points (`points`): before and after
every commit, every access to a journal, every call of the backend, every access to the store. Then,
again and again, in a folder of its own: a tuner that is killed by SIGKILL at a random point,
sometimes a second one that is killed, too, and one that is left alone. After that must hold:

    every trial is told once, as what it should be, with the value that its own run wrote
    every run that was started is an attempt of the ledger, and every attempt is one run
    no run is live, no attempt is open, nobody owns the study

The tuner is a forked process, so that a kill is real and costs no imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.databases import SERVERS
from tests.faults.points import Points
from tests.faults.scenarios import SCENARIOS, TRIALS, Scenario
from tune_jobs.backends.base import Backend
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.core.trial_attributes import counts_as_finished
from tune_jobs.tuner import Tuner

Storage = Callable[[Path], BaseStorage | str]


@contextlib.contextmanager
def unwrap_storage(kind: str) -> Iterator[Storage]:
    """Where studies are kept: in a file of their own, or all in one server."""
    if kind in SERVERS:
        with SERVERS[kind]() as server:
            yield lambda _: server.url
    elif kind == "journal":
        yield lambda folder: JournalStorage(JournalFileBackend(f"{folder}/study.log"))
    else:
        yield lambda folder: f"sqlite:///{folder}/study.db"


@dataclass(frozen=True)
class Place:
    """Where one round happens.

    Args:
        folder: The study, and what was run: a file ``<attempt>.<pid>`` for each run.
        store: The metric store.
        make: Makes the backend.
        scenario: What is tuned.
        storage: Where the study of a folder is kept.
    """

    folder: Path
    store: str
    make: Callable[[Path], Backend]
    scenario: Scenario
    storage: Storage

    def tuner(self) -> Tuner:
        """A tuner of the round's study."""
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
            self.make(self.folder),
            metric="value",
            step="epoch",
            max_parallel=2,
            store=self.store,
            progress=False,
            **self.scenario.settings,
        )

    def work(self, points: Points) -> None:
        """Tune to the end, as ``tune-jobs run`` would."""
        points.install()
        tuner = self.tuner()
        if not tuner.study.trials:
            tuner.study.enqueue_trial({"x": 0.25})
            tuner.study.enqueue_trial({"x": 0.75})
        tuner.optimize(n_trials=TRIALS - sum(counts_as_finished(t) for t in tuner.study.trials))
        if self.scenario.final:
            tuner.train_best(arguments={"epochs": 3})


def local(folder: Path, scenario: Scenario, storage: Storage) -> Place:
    """Runs on this machine."""
    script = folder / "train.sh"
    script.write_text(scenario.script)

    def make(folder: Path) -> Backend:
        return LocalBackend(script, env={"HERE": str(folder)})

    return Place(folder, str(folder / "runs"), make, scenario, storage)


class Oci:
    """Runs of an emulated OCI, in a process of its own."""

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
        """One job for all rounds: making it takes longer than a round."""
        from tune_jobs import Connection, DataScienceBackend, Infrastructure
        from tune_jobs.core.job_runs import MetricSources

        script = folder / "train.sh"
        script.write_text(self._scenario.script)
        connection = Connection(config_file=self._config, endpoint=self._endpoint)
        on = Infrastructure(self._compartment, self._project, "VM.Standard2.1")
        backend = DataScienceBackend.from_script(script, on, connection=connection)
        with backend.open(
            self._store, "job", MetricSources(("value",)), keep_runs=True, notice=lambda text: None
        ) as service:
            job = service.describe()["job"]
        return str(job)

    def place(self, folder: Path, storage: Storage) -> Place:
        """A round's place: a prefix of its own in the bucket."""

        def make(folder: Path) -> Backend:
            from tune_jobs import Connection, DataScienceBackend

            return DataScienceBackend.from_ocid(
                self._job,
                connection=Connection(config_file=self._config, endpoint=self._endpoint),
                env={"HERE": str(folder)},
                poll_seconds=0.2,
                start_rate=100.0,
            )

        return Place(folder, f"{self._store}/{folder.name}", make, self._scenario, storage)

    def close(self) -> None:
        """End the services."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def forked(work: Callable[[], Any], kill_after: float = 120.0) -> tuple[int, Any]:
    """Do something in a forked process; its exit code (negative: a signal) and its result."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            answer = json.dumps(work()).encode()
            os.write(write, answer)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGABRT))
        signal.alarm(int(kill_after))
        text = pipe.read()
        _, status = os.waitpid(pid, 0)
        signal.alarm(0)
    return os.waitstatus_to_exitcode(status), json.loads(text) if text else None


def problems(place: Place) -> list[str]:
    """What is wrong after the last tuner has ended."""
    tuner = place.tuner()
    trials, attempts = tuner.study.trials, tuner.attempts()
    found = place.scenario.problems(trials)
    found += [
        f"trial {t.number} has {t.value}, its run wrote {t.params.get('x')}"
        for t in trials
        if t.value != t.params.get("x")
    ]
    runs = Counter(p.name.rsplit(".", 1)[0] for p in place.folder.glob("*-*.*"))
    found += [f"{name} was run {count} times" for name, count in runs.items() if count > 1]
    if set(runs) != {a.name for a in attempts}:
        found.append(f"runs {sorted(runs)}, attempts {[a.name for a in attempts]}")
    found += [f"{a.name} is open: {a.state}" for a in attempts if a.told is None]
    over = [a for a in attempts if a.state in ("SUCCEEDED", "CANCELED") and not a.is_final]
    ended = Counter(a.trial for a in over)
    found += [
        f"runs of trial {t.number} ended {n} times" for t in trials if (n := ended[t.number]) != 1
    ]
    finals = [a.name for a in attempts if a.is_final and a.state == "SUCCEEDED"]
    if len(finals) != place.scenario.final:
        found.append(f"final runs that succeeded: {finals}")
    if tuner.owner() is not None:
        found.append(f"owned by {tuner.owner()}")
    return found


def one_round(place: Place, kills: list[int]) -> list[str]:
    """Tuners that are killed at these points, one that is not; what is wrong then."""
    for point in kills:
        forked(lambda point=point: place.work(Points(point)))  # type: ignore[misc]
    code, _ = forked(lambda: place.work(Points(None)))
    if code != 0:
        return [f"the tuner that was left alone ended with {code}"]
    _, found = forked(lambda: problems(place))
    return ["its end could not be looked at"] if found is None else list(found)


def count_points(place: Place) -> int:
    """How many points an undisturbed study has."""

    def work() -> int:
        points = Points(None)
        place.work(points)
        return points.passed

    code, passed = forked(work)
    assert code == 0, "the study fails even if nobody kills the tuner"
    return int(passed)


def main(arguments: list[str] | None = None) -> int:
    """Run rounds; the exit code is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["local", "oci"], default="local")
    parser.add_argument("--storage", choices=["sqlite", "journal", *SERVERS], default="sqlite")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="pruning")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chance = random.Random(options.seed)
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    (root / "oci").mkdir()
    scenario = SCENARIOS[options.scenario]
    oci = Oci(root / "oci", scenario) if options.backend == "oci" else None

    try:
        with unwrap_storage(options.storage) as storage:

            def fresh(number: int) -> Place:
                folder = root / f"round-{number}"
                folder.mkdir()
                return oci.place(folder, storage) if oci else local(folder, scenario, storage)

            return _rounds(options.kills, chance, fresh)
    finally:
        if oci:
            oci.close()
        shutil.rmtree(root, ignore_errors=True)


def _rounds(wanted: int, chance: random.Random, fresh: Callable[[int], Place]) -> int:
    points = count_points(fresh(0))
    done, number, bad, began = 0, 0, 0, time.monotonic()
    while done < wanted:
        number += 1
        place = fresh(number)
        kills = [chance.randint(1, points)]
        if chance.random() < 0.3:
            kills.append(chance.randint(1, points))
        found = one_round(place, kills)
        done += len(kills)
        bad += bool(found)
        for problem in found:
            print(f"round {number}, killed at {kills} of {points}: {problem}", flush=True)
        shutil.rmtree(place.folder, ignore_errors=True)
    seconds = time.monotonic() - began
    print(f"{done} kills in {number} rounds, {points} points, {bad} bad rounds, {seconds:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
