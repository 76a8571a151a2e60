"""A database server that leaves an operation without an answer."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.stall_watch import StallWatch


class Watched:
    """Operations in a time that passes when asked to, and what is said of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.retry = DatabaseRetry("server", self.said.append, self.sleep, lambda: self.now)
        self.watch = StallWatch(self.retry)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and look every second."""
        for _ in range(max(1, round(seconds))):
            self.now += min(seconds, 1.0)
            self.watch.look()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_long_wait_is_said_once_for_each_operation(watched: Watched) -> None:
    for _ in range(2):
        watched.retry.call(lambda: watched.sleep(60))
    assert len(watched.said) == 2
    assert watched.said[0].startswith("the study's database has not answered for 4 s")


def test_short_operations_say_nothing(watched: Watched) -> None:
    for _ in range(20):
        watched.retry.call(lambda: watched.sleep(3))
    watched.sleep(60)  # between operations
    assert watched.said == []


def test_a_refusal_is_an_answer(watched: Watched) -> None:
    tries: list[float] = []

    def refuse() -> None:
        tries.append(watched.now)
        if watched.now < 30:
            raise OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)

    watched.retry.call(refuse)
    assert len(tries) > 1
    assert [line for line in watched.said if "has not answered" in line] == []
