"""A study in a bucket: the cost of a turn, of opening it, and of looking on.

    python -m tests.benchmarks.bucket [--trials 100 1000 10000]

The bucket is a dictionary, so that the figures are those of tune_jobs without the network: CPU
milliseconds, bytes and requests. A turn reports a trial with 27 steps, and creates another one,
with their attempts, in one transaction. Figures of a turn are means of the last 50. "Opening" is
the copy from the last base and the entries after it, "load_study" is on top of it, and "attach" is
`Tuner.attach` with the first figures, opening included. "A reader's hour" is an hour of looks at
the intervals of a bucket, while the tuner commits the given number of turns, in virtual time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection

from tests.storage.bucket.conftest import find_replica
from tests.storage.bucket.faulty_store import MemoryStore
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.storage.bucket.dialect import settle
from tune_jobs.storage.bulk_read import load_study
from tune_jobs.storage.changes import Changes, TrialChange
from tune_jobs.storage.intervals import BUCKET
from tune_jobs.storage.lease import Lease
from tune_jobs.storage.ledger import Ledger
from tune_jobs.storage.rdb_writer import RdbWriter
from tune_jobs.tuner import Tuner

STEPS = 27
WINDOW = 50
NAMES = ("lr", "decay", "width", "depth", "dropout", "momentum")
SPACE: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in NAMES}
START = datetime(2026, 1, 1)


@dataclass
class Cost:
    """What something cost.

    Args:
        cpu: CPU milliseconds of its thread.
        sent, received: Bytes.
        requests: Number of requests.
    """

    cpu: float
    sent: int
    received: int
    requests: int


def measure(store: MemoryStore, operation: Callable[[], object], times: int = 1) -> Cost:
    """Return what an operation costs each time."""
    before = (store.sent, store.received, store.requests, time.thread_time())
    for _ in range(times):
        operation()
    cpu = (time.thread_time() - before[3]) * 1000 / times
    sent, received = store.sent - before[0], store.received - before[1]
    return Cost(cpu, sent // times, received // times, (store.requests - before[2]) // times)


def open_storage(store: MemoryStore, **options: object) -> RDBStorage:
    """Open a copy of its own."""
    arguments = {"store": store, "max_age": 3600.0, **options}
    return RDBStorage("oci://bucket@namespace/prefix", engine_kwargs={"connect_args": arguments})


class Turns:
    """Turns of a tuner.

    Args:
        storage: Where the study is.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage
        self.study = optuna.create_study(study_name="s", storage=self._storage)
        self._ledger = Ledger(self.study, "oci://bucket@namespace/runs")
        lease = Lease(self._storage.engine, self._ledger.uid)
        lease.acquire()
        self._writer = RdbWriter(self._storage, self.study._study_id, lease)
        self._running: tuple[int, FrozenTrial] | None = None
        self.count = 0

    def turn(self) -> None:
        """Report the trial that runs, and create the next one."""
        created, changed, ended = self._create(), [], []
        if self._running is not None:
            trial_id, before = self._running
            changed = [finish(trial_id, before)]
            ended = [replace(build_attempt(before), state=AttemptState.SUCCEEDED, finished=2.0)]

        def write_ledger(connection: Connection | None) -> None:
            self._ledger.record_intended(connection, [build_attempt(created)])
            self._ledger.record_ended(connection, ended, 3.0)

        (trial_id,) = self._writer.write(Changes([created], changed), write_ledger)
        self._running = trial_id, created
        self.count += 1

    def _create(self) -> FrozenTrial:
        trial = create_trial(
            state=TrialState.RUNNING,
            params={name: (self.count * 0.618 + i * 0.1) % 1 for i, name in enumerate(NAMES)},
            distributions=SPACE,
            system_attrs={"tune_jobs:run": f"trial-{self.count:06d}-1"},
        )
        trial.number, trial.datetime_start = self.count, START + timedelta(seconds=self.count)
        return trial

    def settle(self) -> None:
        """Write the last base."""
        settle(self._storage.engine)


def finish(trial_id: int, before: FrozenTrial) -> TrialChange:
    """Return the change of a trial that is complete."""
    steps = {step: 0.5 + before.params["lr"] / (step + 1) for step in range(STEPS)}
    trial = create_trial(
        value=steps[STEPS - 1],
        params=before.params,
        distributions=SPACE,
        intermediate_values=steps,
        user_attrs={"cost": 0.1},
    )
    trial.number, trial.datetime_start = before.number, before.datetime_start
    trial.datetime_complete = datetime.now(UTC).replace(tzinfo=None)
    return TrialChange(
        trial_id, trial, user_attrs=frozenset(["cost"]), steps=frozenset(steps), finished=True
    )


def build_attempt(trial: FrozenTrial) -> Attempt:
    """Return the attempt of a trial."""
    argv = tuple(f"--{name}={value}" for name, value in trial.params.items())
    name = f"trial-{trial.number:06d}-1"
    return Attempt(name, trial.number, 1, "local", AttemptState.INTENDED, Invocation(argv), 1.0)


def measure_all(trials: list[int]) -> Iterator[tuple[int, str, Cost]]:
    """Yield number of trials, what is measured, and its cost."""
    store = MemoryStore()
    turns = Turns(open_storage(store))
    reader = open_storage(store)
    for count in trials:
        while turns.count < count - WINDOW:
            turns.turn()
        if count == trials[0]:
            yield from measure_file(count)
        yield count, "turn", measure(store, turns.turn, WINDOW)
        follow = find_replica(reader.engine).look
        follow()
        turns.turn()
        yield count, "look after a turn", measure(store, follow)
        yield count, "look, nothing new", measure(store, follow, 20)
        turns.settle()
        yield count, "opening", measure(store, partial(open_storage, store))
        opened = open_storage(store)
        yield count, "load_study", measure(store, partial(load_study, "s", opened))
        yield count, "attach", measure(store, partial(attach, store))
        yield count, "base", measure(store, find_replica(opened.engine).write_base)
        yield count, "a reader's hour, no turn", measure_hour(store, turns, 0)
        yield count, "a reader's hour, 240 turns", measure_hour(store, turns, 240)


def attach(store: MemoryStore) -> None:
    """Open a study and read its figures."""
    Tuner.attach("s", open_storage(store)).snapshot()


def measure_hour(store: MemoryStore, turns: Turns, count: int) -> Cost:
    """Return the cost of looking on for an hour, in which a tuner commits some turns."""
    reading = MemoryStore()
    reading.objects = store.objects
    now = 0.0
    look = find_replica(open_storage(reading, clock=lambda: now).engine).look
    looks = round(3600 / BUCKET.progress)
    total = Cost(0.0, 0, 0, 0)
    for number in range(looks):
        now += BUCKET.progress
        if (number + 1) * count // looks > number * count // looks:
            turns.turn()
        cost = measure(reading, look)
        total = Cost(
            total.cpu + cost.cpu,
            total.sent + cost.sent,
            total.received + cost.received,
            total.requests + cost.requests,
        )
    return total


def measure_file(count: int) -> Iterator[tuple[int, str, Cost]]:
    """Yield the cost of a turn in an SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        turns = Turns(RDBStorage(f"sqlite:///{folder}/study.db"))
        while turns.count < count - WINDOW:
            turns.turn()
        yield count, "turn in an SQLite file", measure(MemoryStore(), turns.turn, WINDOW)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("| trials | what | CPU ms | kB sent | kB received | requests |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for count, what, cost in measure_all(sorted(parser.parse_args().trials)):
        kilobytes = f"{cost.sent / 1000:,.2f} | {cost.received / 1000:,.2f}"
        print(
            f"| {count:,} | {what} | {cost.cpu:,.1f} | {kilobytes} | {cost.requests} |", flush=True
        )


if __name__ == "__main__":
    main()
