"""Kill the tuner at every point of a study, start it again, and look whether anything is wrong.

    python -m tests.faults.kill --backend local --kills 1000 [--seed 7]
    python -m tests.faults.kill --backend oci --kills 100
    python -m tests.faults.kill --storage journal --kills 300

A study of a few trials, some of which its pruner stops, is run once, to count its points
(`points`): before and after every commit, every call of the backend, every access to the store.
Then, again and again, in a folder of its own: a tuner that is killed by SIGKILL at a random point,
sometimes a second one that is killed, too, and one that is left alone. After that must hold:

    every trial is complete or pruned, once, with the value that its own run wrote
    every run that was started is an attempt of the ledger, and every attempt is one run
    no run is live, no attempt is open, nobody owns the study

The tuner is a forked process, so that a kill is real and costs no imports.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.faults.points import Points
from tune_jobs.backends.base import Backend
from tune_jobs.backends.local import LocalBackend
from tune_jobs.ledger import Attempt
from tune_jobs.marks import is_told
from tune_jobs.tuner import Tuner

TRIALS = 4
PRUNED_FROM = 0.7
SCRIPT = """\
for a in "$@"; do case $a in --x=*) x=${a#--x=};; esac; done
name=${TUNE_JOBS_RUN##*/}
: > "$HERE/$name.$$"
echo "epoch=1 value=$x"
case $x in 0.[789]*) sleep 100;; esac
"""


@dataclass(frozen=True)
class Place:
    """Where one round happens.

    Args:
        folder: The study, and what was run: a file ``<attempt>.<pid>`` for each run.
        store: The metric store.
        make: Makes the backend.
        journal: Whether the study is in a journal file instead of SQLite.
    """

    folder: Path
    store: str
    make: Callable[[Path], Backend]
    journal: bool = False

    def tuner(self) -> Tuner:
        """A tuner of the round's study."""
        file = JournalFileBackend(f"{self.folder}/study.log") if self.journal else None
        study = optuna.create_study(
            study_name="faults",
            storage=JournalStorage(file) if file else f"sqlite:///{self.folder}/study.db",
            sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.ThresholdPruner(upper=PRUNED_FROM),
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
        )

    def work(self, points: Points) -> None:
        """Tune to the end, as ``tune-jobs run`` would."""
        points.install()
        tuner = self.tuner()
        if not tuner.study.trials:
            tuner.study.enqueue_trial({"x": 0.25})
            tuner.study.enqueue_trial({"x": 0.75})
        tuner.optimize(n_trials=TRIALS - sum(is_told(t) for t in tuner.study.trials))


def local(folder: Path) -> Backend:
    """Runs on this machine."""
    script = folder / "train.sh"
    script.write_text(SCRIPT)
    return LocalBackend(script, env={"HERE": str(folder)})


class Oci:
    """Runs of an emulated OCI, in a process of its own."""

    def __init__(self, folder: Path) -> None:
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
        from tune_jobs.backends.base import MetricSources

        script = folder / "train.sh"
        script.write_text(SCRIPT)
        connection = Connection(config_file=self._config, endpoint=self._endpoint)
        on = Infrastructure(self._compartment, self._project, "VM.Standard2.1")
        backend = DataScienceBackend.from_script(script, on, connection=connection)
        backend.open(self._store, "job", MetricSources(("value",)), keep_runs=True)
        job = backend.describe()["job"]
        backend.close()
        return str(job)

    def place(self, folder: Path) -> Place:
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

        return Place(folder, f"{self._store}/{folder.name}", make)

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
    found = []
    if len(trials) != TRIALS:
        found.append(f"there are {len(trials)} trials")
    for trial in trials:
        x, state = trial.params.get("x"), trial.state.name
        if x is None or state != ("PRUNED" if x >= PRUNED_FROM else "COMPLETE"):
            found.append(f"trial {trial.number} with {x} is {state}")
        if trial.value != x:
            found.append(f"trial {trial.number} has {trial.value}, its run wrote {x}")
    runs = Counter(p.name.rsplit(".", 1)[0] for p in place.folder.glob("trial-*"))
    found += [f"{name} was run {count} times" for name, count in runs.items() if count > 1]
    if set(runs) != {a.name for a in attempts}:
        found.append(f"runs {sorted(runs)}, attempts {[a.name for a in attempts]}")
    found += [f"{a.name} is open: {a.state}" for a in attempts if a.told is None]
    found += _told_once(attempts)
    if tuner.owner() is not None:
        found.append(f"owned by {tuner.owner()}")
    return found


def _told_once(attempts: list[Attempt]) -> list[str]:
    ended = Counter(a.trial for a in attempts if a.state in ("SUCCEEDED", "CANCELED"))
    return [f"runs of trial {t} ended {n} times" for t in range(TRIALS) if (n := ended[t]) != 1]


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
    parser.add_argument("--storage", choices=["sqlite", "journal"], default="sqlite")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chance = random.Random(options.seed)
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    (root / "oci").mkdir()
    oci = Oci(root / "oci") if options.backend == "oci" else None
    try:
        return _rounds(options.kills, chance, root, oci, options.storage == "journal")
    finally:
        if oci:
            oci.close()
        shutil.rmtree(root, ignore_errors=True)


def _rounds(wanted: int, chance: random.Random, root: Path, oci: Oci | None, journal: bool) -> int:
    def fresh(number: int) -> Place:
        folder = root / f"round-{number}"
        folder.mkdir()
        place = oci.place(folder) if oci else Place(folder, str(folder / "runs"), local)
        return replace(place, journal=journal)

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
