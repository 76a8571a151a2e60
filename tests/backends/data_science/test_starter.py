"""Starting of runs: rate, retries and withdrawal, on a virtual clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import oci
import pytest

from tune_jobs.backends.oci_runs.starter import (
    ERRORS_PER_SHAPE,
    LIMIT_PAUSE,
    Refused,
    Started,
    Starter,
)
from tune_jobs.runtime.oci_answers import FIRST_PATIENCE, OUTAGE_PATIENCE, REFUSAL_PATIENCE


class Bench:
    """Starter with a virtual clock, and a service with prepared answers."""

    def __init__(self, rate: float = 1000.0) -> None:
        self.now = 0.0
        self.requests: list[str] = []
        self.notices: list[str] = []
        self.answers: list[Exception | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.others: list[Mapping[str, Any]] = []
        self.shapes: list[str] = []
        self.starter = Starter(
            self.create, self.notices.append, lambda: self.now, rate, self.choose_other
        )

    def choose_other(self, *_: object) -> Mapping[str, Any] | None:
        return self.others.pop(0) if self.others else None

    def create(self, details: Mapping[str, Any], name: str) -> str:
        self.gate.wait(10)
        self.requests.append(name)
        self.shapes.append(details.get("shape", ""))
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

    def run_until_requested(self, count: int) -> list[Started | Refused]:
        """Let time pass until a number of requests were answered, and return the answers."""
        answers: list[Started | Refused] = []
        while len(self.requests) < count:
            self.now += self.starter.until_due() or 0.0
            answers += self.starter.poll()
            while self.starter.is_requesting:
                assert self.starter.answered.wait(10)
                answers += self.starter.poll()
            answers += self.starter.poll()
            if any(isinstance(answer, Refused) for answer in answers):
                break
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
    assert ["no room" in line for line in bench.notices] == [True]
    bench.now = LIMIT_PAUSE
    bench.starter.poll()
    bench.poll_until(lambda: "b" in bench.requests or bench.requests.count("a") == 2)
    assert bench.starter.exhausted_by is None
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


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "LimitExceeded", "no"),
        (500, "InternalError", "Out of host capacity."),
        (503, "x", "There is not enough host capacity to run this"),
        (409, "x", "No hosts available for VM.GPU.A10.1"),
        (404, "x", "insufficient resources in the availability domain"),
        (409, "Conflict", "Insufficient compute"),
        (400, "x", "The requested shape is currently not available in AD-1"),
        (412, "x", "hosts exhausted"),
        (404, "NotFound", "No VM.GPU.A10.1 instance could be found"),
        (404, "x", "No available compute host was found in AD-1"),
        (400, "InvalidParameter", "something about this shape"),
    ],
)
def test_refusal_in_any_words_is_tried_with_another_shape(
    status: int, code: str, message: str
) -> None:
    bench = Bench()
    bench.others = [{"shape": "second"}]
    bench.answers = [oci.exceptions.ServiceError(status, code, {}, message)]
    bench.starter.add("a", {"shape": "first"})
    assert bench.run_until_requested(2) == [Started("a", "ocid1.run.a")]
    assert bench.shapes == ["first", "second"]
    bench.starter.close()


def test_persistent_errors_are_tried_with_another_shape() -> None:
    bench = Bench()
    bench.others = [{"shape": "second"}]
    bench.answers = [error(500, "InternalServerError")] * ERRORS_PER_SHAPE
    bench.starter.add("a", {"shape": "first"})
    bench.run_until_requested(ERRORS_PER_SHAPE + 1)
    assert bench.shapes == ["first"] * ERRORS_PER_SHAPE + ["second"]
    bench.starter.close()


def test_refusal_for_good_is_tried_with_another_shape() -> None:
    bench = Bench()
    bench.others = [{"shape": "second"}]
    bench.answers = [error(404, "NotAuthorizedOrNotFound")] * 3
    bench.starter.add("a", {"shape": "first"})
    assert bench.run_until_requested(4) == [Started("a", "ocid1.run.a")]
    assert bench.shapes == ["first"] * 3 + ["second"]
    bench.starter.close()


def test_service_without_room_has_an_end() -> None:
    bench = Bench()
    full = error(400, "LimitExceeded")
    bench.answers = [full] * 200
    bench.starter.add("a", {})
    while bench.starter.exhausted_by is None:
        bench.run_until_requested(len(bench.requests) + 1)
    assert bench.starter.exhausted_by is full
    assert OUTAGE_PATIENCE <= bench.now < OUTAGE_PATIENCE + 2 * 60
    assert len(bench.notices) == 1
    bench.answers.clear()  # there is room again
    bench.run_until_requested(len(bench.requests) + 1)
    assert bench.starter.exhausted_by is None
    bench.starter.close()


@pytest.mark.parametrize(("status", "accepted"), [(401, True), (404, True), (404, False)])
def test_refusal_is_waited_out_if_it_is_new(status: int, accepted: bool) -> None:
    bench = Bench()
    if accepted:
        bench.starter.add("before", {})
        bench.poll_until(lambda: not bench.starter.is_requesting and bool(bench.requests))
    bench.answers = [error(status, "NotAuthorizedOrNotFound")] * 100
    began = bench.now
    bench.starter.add("a", {})
    answers: list[Started | Refused] = []
    while not any(isinstance(answer, Refused) for answer in answers):
        answers += bench.run_until_requested(len(bench.requests) + 1)
    waited = bench.now - began
    patience = REFUSAL_PATIENCE if accepted else FIRST_PATIENCE
    assert patience <= waited < patience + 61
    assert len(bench.notices) == 1
    bench.starter.close()
