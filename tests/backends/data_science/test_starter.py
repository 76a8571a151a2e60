"""Starting of runs: rate, retries and withdrawal, on a virtual clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import oci

from tune_jobs.backends.oci_runs.starter import LIMIT_PAUSE, Refused, Started, Starter


class Bench:
    """Starter with a virtual clock, and a service with prepared answers."""

    def __init__(self, rate: float = 1000.0) -> None:
        self.now = 0.0
        self.requests: list[str] = []
        self.notices: list[str] = []
        self.answers: list[Exception | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.starter = Starter(self.create, self.notices.append, lambda: self.now, rate)

    def create(self, details: Mapping[str, Any], name: str) -> str:
        self.gate.wait(10)
        self.requests.append(name)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        return f"ocid1.run.{name}"

    def poll_until(self, condition: Callable[[], bool]) -> list[Started | Refused]:
        """Poll until a condition holds, and return the answers."""
        answers: list[Started | Refused] = []
        while not condition():
            assert self.starter.answered.wait(10)
            answers += self.starter.poll()
        return answers


def error(status: int, code: str) -> Exception:
    service_error: Exception = oci.exceptions.ServiceError(status, code, {}, "no")
    return service_error


def test_run_is_started() -> None:
    bench = Bench()
    bench.starter.add("a", {})
    assert bench.starter.answered.wait(10)
    assert bench.starter.poll() == [Started("a", "ocid1.run.a")]
    bench.starter.close()


def test_rate_is_limited() -> None:
    bench = Bench(rate=2.0)
    for name in "abc":
        bench.starter.add(name, {})
    assert bench.starter.answered.wait(10)
    bench.starter.poll()
    assert bench.requests == ["a"]
    assert bench.starter.until_due() == 0.5
    bench.now = 0.5
    bench.starter.poll()
    bench.poll_until(lambda: len(bench.requests) == 2)
    bench.now = 1.0
    bench.starter.poll()
    bench.poll_until(lambda: len(bench.requests) == 3)
    assert bench.starter.until_due() is None
    bench.starter.close()


def test_transient_errors_are_retried_with_backoff() -> None:
    bench = Bench()
    bench.answers = [error(503, "ServiceUnavailable"), error(429, "TooManyRequests"), None]
    bench.starter.add("a", {})
    pauses = []
    while len(bench.requests) < 3:
        assert bench.starter.answered.wait(10)
        assert bench.starter.poll() == []
        pause = bench.starter.until_due()
        assert pause
        pauses.append(pause)
        bench.now += pause
        bench.starter.answered.clear()
        bench.starter.poll()
        while len(bench.requests) < len(pauses) + 1:
            assert bench.starter.answered.wait(10)
    assert pauses == [1.0, 2.0]
    assert bench.starter.poll() == [Started("a", "ocid1.run.a")]
    assert len(bench.notices) == 1
    bench.starter.close()


def test_limit_pauses_all_requests() -> None:
    bench = Bench()
    bench.answers = [error(400, "LimitExceeded")]
    bench.starter.add("a", {})
    assert bench.starter.answered.wait(10)
    bench.starter.poll()
    bench.now = 0.001
    bench.starter.add("b", {})
    assert bench.requests == ["a"]
    assert bench.starter.limited_since == 0.0
    bench.now = LIMIT_PAUSE
    bench.starter.poll()
    bench.poll_until(lambda: "b" in bench.requests or bench.requests.count("a") == 2)
    assert bench.starter.limited_since is None
    bench.starter.close()


def test_refusal_is_reported_once() -> None:
    bench = Bench()
    refusal = error(400, "InvalidParameter")
    bench.answers = [refusal]
    bench.starter.add("a", {})
    assert bench.starter.answered.wait(10)
    assert bench.starter.poll() == [Refused("a", refusal)]
    assert bench.starter.until_due() is None
    bench.starter.close()


def test_only_unsent_requests_can_be_dropped() -> None:
    bench = Bench(rate=1.0)
    bench.gate.clear()
    bench.starter.add("a", {})
    bench.starter.add("b", {})
    assert not bench.starter.drop("a")  # it is in flight
    assert bench.starter.drop("b")
    assert not bench.starter.drop("b")
    bench.answers = [error(503, "ServiceUnavailable")]
    bench.gate.set()
    assert bench.starter.answered.wait(10)
    assert bench.starter.until_due() is not None
    assert not bench.starter.drop("a")  # it may exist
    bench.starter.close()
