"""The protocol of tuning on a study in a bucket, where each tuner has a copy of its own.

Beside the failures of `tests.tuning.test_protocol`, requests are lost before and after their
effect, throttled, executed twice or long after they were given up, and tuners are killed between
the PUT of an entry and their own commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from optuna.storages import RDBStorage
from sqlalchemy import Engine

from tests.storage.bucket.conftest import dump, find_replica
from tests.storage.bucket.unanswered_store import FAULTS, FaultyStore, Killed
from tests.tuning.test_protocol import Controller, Protocol
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.schema import prepare

pytestmark = pytest.mark.slow


class BucketProtocol(Protocol):
    """Failures of a bucket, and all others, in any order."""

    def __init__(self) -> None:
        self.late: list[Callable[[], object]] = []
        self.stores: list[FaultyStore] = []
        self.ages = self._alternate()
        super().__init__()
        self.elsewhere = self.open().engine
        prepare(self.elsewhere)

    def _alternate(self) -> Iterator[float]:
        while True:  # one that looks at every transaction, and one that only meets refusals
            yield from (-1.0, 1e9)

    def open(self, patience: float = 0.0) -> RDBStorage:
        """Open the study with a copy of its own."""
        self.stores.append(FaultyStore(self.folder / "bucket", self.late))
        arguments = {
            "store": self.stores[-1],
            "max_age": next(self.ages),
            "patience": patience,
            "sleep": lambda seconds: None,
        }
        url = f"bucket+file://{self.folder}/bucket"
        return RDBStorage(url, engine_kwargs={"connect_args": arguments})

    def start(self) -> Controller:
        """Start a tuner on a copy of its own."""
        controller = Controller(self.folder, self.service, self.open())
        self.store = self.stores[-1]
        controller.session.retry.sleep = lambda seconds: None
        return controller

    @rule()
    def turn(self) -> None:
        """The tuner takes a turn, and may be killed in it."""
        try:
            super().turn()
        except Killed:
            self.controller = self.start()

    @rule(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=4))
    def entries_meet_trouble(self, faults: list[str]) -> None:
        """The next PUTs of the tuner fail; some of them are given up, and made anew."""
        self.store.faults = faults

    @rule()
    def a_read_is_throttled(self) -> None:
        """The next GET or listing is."""
        self.store.is_down = True

    @precondition(lambda self: self.late)
    @rule()
    def a_request_takes_effect_late(self) -> None:
        """It was given up long ago."""
        self.late.pop(0)()

    @rule()
    def another_machine_writes(self) -> None:
        """The number that the tuner expects for its next entry is taken."""
        Controls(self.elsewhere, self.controller.session.ledger.uid).request("resume")

    @rule()
    def the_tuner_is_suspended(self) -> None:
        """See `Protocol`; a tuner that is not at work is not killed."""
        self.store.faults = []
        super().the_tuner_is_suspended()

    def teardown(self) -> None:
        """See `Protocol`; some requests take effect only while the last tuner works."""
        for store in self.stores:
            store.faults, store.is_down = [], False
        for request in self.late[::2]:
            request()
        super().teardown()

    def check(self, last: Controller) -> None:
        """See `Protocol`; all copies are the same."""
        for request in self.late:
            request()
        super().check(last)
        fresh = self.open().engine
        engines: list[Engine] = [last.engine, fresh, self.elsewhere]
        for engine in engines:
            _look(engine)
        assert dump(engines[0]) == dump(engines[1]) == dump(engines[2])


def _look(engine: Engine) -> None:
    """Follow the log to its end."""
    with engine.connect():
        find_replica(engine).look()


BucketProtocol.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestBucketProtocol = BucketProtocol.TestCase
