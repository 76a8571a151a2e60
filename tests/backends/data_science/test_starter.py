"""Starting runs: a rate, retries, and what cannot be taken back; on a clock of our own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import oci

from tune_jobs.backends.oci_runs.starter import LIMIT_PAUSE, Refused, Started, Starter


class Bench:
    """A starter, its clock, and a service that does what it is told."""

    def __init__(self, rate: float = 1000.0) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.told: list[str] = []
        self.answers: list[Exception | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.starter = Starter(self.create, self.told.append, lambda: self.now, rate)

    def create(self, details: Mapping[str, Any], name: str) -> str:
        self.gate.wait(10)
        self.asked.append(name)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        return f"ocid1.run.{name}"

    def until(self, condition: Callable[[], bool]) -> list[Started | Refused]:
        """Poll until something is so."""
        found: list[Started | Refused] = []
        while not condition():
            assert self.starter.answered.wait(10)
            found += self.starter.poll()
        return found


def error(status: int, code: str) -> Exception:
    made: Exception = oci.exceptions.ServiceError(status, code, {}, "no")
    return made


def test_a_run_is_asked_for_and_told() -> None:
    bench = Bench()
    bench.starter.add("a", {})
    assert bench.starter.answered.wait(10)
    assert bench.starter.poll() == [Started("a", "ocid1.run.a")]
    bench.starter.close()


def test_no_more_than_the_rate() -> None:
    bench = Bench(rate=2.0)
    for name in "abc":
        bench.starter.add(name, {})
    assert bench.starter.answered.wait(10)
    bench.starter.poll()
    assert bench.asked == ["a"]
    assert bench.starter.until_due() == 0.5
    bench.now = 0.5
    bench.starter.poll()
    bench.until(lambda: len(bench.asked) == 2)
    bench.now = 1.0
    bench.starter.poll()
    bench.until(lambda: len(bench.asked) == 3)
    assert bench.starter.until_due() is None
    bench.starter.close()


def test_without_an_answer_it_is_asked_again_ever_more_slowly_and_said_once() -> None:
    bench = Bench()
    bench.answers = [error(503, "ServiceUnavailable"), error(429, "TooManyRequests"), None]
    bench.starter.add("a", {})
    pauses = []
    while len(bench.asked) < 3:
        assert bench.starter.answered.wait(10)
        assert bench.starter.poll() == []
        pause = bench.starter.until_due()
        assert pause
        pauses.append(pause)
        bench.now += pause
        bench.starter.answered.clear()
        bench.starter.poll()
        while len(bench.asked) < len(pauses) + 1:
            assert bench.starter.answered.wait(10)
    assert pauses == [1.0, 2.0]
    assert bench.starter.poll() == [Started("a", "ocid1.run.a")]
    assert len(bench.told) == 1
    bench.starter.close()


def test_at_a_limit_nobody_else_is_asked_for() -> None:
    bench = Bench()
    bench.answers = [error(400, "LimitExceeded")]
    bench.starter.add("a", {})
    assert bench.starter.answered.wait(10)
    bench.starter.poll()
    bench.now = 0.001
    bench.starter.add("b", {})
    assert bench.asked == ["a"]
    assert bench.starter.limited_since == 0.0
    bench.now = LIMIT_PAUSE
    bench.starter.poll()
    bench.until(lambda: "b" in bench.asked or bench.asked.count("a") == 2)
    assert bench.starter.limited_since is None
    bench.starter.close()


def test_a_refusal_is_told_once() -> None:
    bench = Bench()
    refusal = error(400, "InvalidParameter")
    bench.answers = [refusal]
    bench.starter.add("a", {})
    assert bench.starter.answered.wait(10)
    assert bench.starter.poll() == [Refused("a", refusal)]
    assert bench.starter.until_due() is None
    bench.starter.close()


def test_only_what_was_never_asked_for_can_be_dropped() -> None:
    bench = Bench(rate=1.0)
    bench.gate.clear()
    bench.starter.add("a", {})
    bench.starter.add("b", {})
    assert not bench.starter.drop("a")  # it is on its way
    assert bench.starter.drop("b")
    assert not bench.starter.drop("b")
    bench.answers = [error(503, "ServiceUnavailable")]
    bench.gate.set()
    assert bench.starter.answered.wait(10)
    assert bench.starter.until_due() is not None
    assert not bench.starter.drop("a")  # it may exist
    bench.starter.close()
