"""Live runs while the service refuses to list them, lags, and loses them; on a virtual clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import oci
import pytest

from tune_jobs.backends.oci_runs.live_runs import (
    DENIALS,
    MAX_ASKED,
    MISSING_PATIENCE,
    UNSTARTED_LIMIT,
    LiveRuns,
)
from tune_jobs.backends.oci_runs.service import ServiceRun
from tune_jobs.backends.oci_runs.shapes import Shapes
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.errors import BackendError
from tune_jobs.runtime.oci_answers import OUTAGE_PATIENCE, REFUSAL_PATIENCE

POLL = 15.0


def service_run(name: str, state: str = "IN_PROGRESS", **more: object) -> ServiceRun:
    run = ServiceRun(f"id-{name}", name, state, "", {}, 0.0, 1.0, None, "job")
    return replace(run, **more)  # type: ignore[arg-type]


class Service:
    """Runs of a service: what exists, what its listing lacks, and what it answers instead."""

    policy = "allow group <tuners> to manage data-science-job-runs"

    def __init__(self) -> None:
        self.runs: dict[str, ServiceRun] = {}
        self.unlisted: set[str] = set()
        self.error: Exception | None = None
        self.asked: list[str] = []
        self.canceled: list[str] = []

    def cancel(self, run_id: str) -> None:
        self.canceled.append(run_id)

    def get(self, run_id: str) -> ServiceRun | None:
        self.asked.append(run_id)
        return self.runs.get(run_id)

    def list_by_id(self, job: str, run_ids: Collection[str]) -> dict[str, ServiceRun]:
        if self.error:
            raise self.error
        return {i: self.runs[i] for i in run_ids if i in self.runs and i not in self.unlisted}

    def list_by_name(
        self, job: str, names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, ServiceRun]:
        listed = self.list_by_id(job, [f"id-{name}" for name in names])
        return {run.name: run for run in listed.values()}


class Bench:
    """Live runs of a service, on a virtual clock."""

    def __init__(self, *names: str, fallback: Collection[str] = ()) -> None:
        self.now, self.notices, self.service = 0.0, list[str](), Service()
        shapes = Shapes({"shapeName": "first"}, list(fallback), lambda: self.now)
        self.live = LiveRuns(
            self.service, shapes, self.notices.append, POLL, lambda: self.now, lambda: self.now
        )
        for name in names:
            self.service.runs[f"id-{name}"] = service_run(name)
            self.live.watch(name, f"id-{name}", "job", "first")

    def poll(self) -> dict[str, RunUpdate]:
        """Let time pass until the next poll, and return what it reports."""
        self.now += self.live.until_due() or 0.0
        return {update.name: update for update in self.live.poll()}

    def wait(self, seconds: float) -> dict[str, RunUpdate]:
        """Poll for a while, and return the last report of each run."""
        reports: dict[str, RunUpdate] = {}
        end = self.now + seconds
        while self.now < end and self.live.until_due() is not None:
            reports |= self.poll()
        return reports


def answer(status: int, code: str = "x", message: str = "no") -> Exception:
    error: Exception = oci.exceptions.ServiceError(status, code, {}, message)
    return error


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503, 429])
def test_refused_listing_is_waited_out(status: int) -> None:
    bench = Bench("a", "b")
    bench.poll()
    bench.service.error = answer(status)
    began = bench.now
    bench.poll()
    assert bench.now - began == POLL
    assert len(bench.notices) == 1, "it is said with the first refusal"
    bench.wait(REFUSAL_PATIENCE - 200.0)
    bench.service.error = None
    assert set(bench.wait(130.0)) == {"a", "b"}
    assert len(bench.notices) == 2
    assert bench.service.canceled == []


@pytest.mark.parametrize(
    ("status", "patience"), [(401, REFUSAL_PATIENCE), (404, REFUSAL_PATIENCE), (500, 1800.0)]
)
def test_listing_that_remains_refused_ends_the_call_and_no_run(
    status: int, patience: float
) -> None:
    bench = Bench("a")
    bench.poll()
    bench.service.error = answer(status)
    began = bench.now
    with pytest.raises(BackendError, match=str(status)):
        bench.wait(2 * OUTAGE_PATIENCE)
    assert patience <= bench.now - began < patience + 200.0
    assert bench.service.canceled == []
    assert "a" in bench.live


def test_outage_without_an_answer_is_never_given_up() -> None:
    bench = Bench("a")
    bench.service.error = ConnectionResetError()
    bench.wait(86_400.0)
    bench.service.error = None
    assert bench.wait(130.0)["a"].state == RunState.IN_PROGRESS


def test_run_that_the_listing_lacks_is_requested_by_its_ocid() -> None:
    bench = Bench("a", "moved")
    bench.poll()
    bench.service.unlisted.add("id-moved")
    bench.wait(MISSING_PATIENCE + POLL)
    assert set(bench.service.asked) == {"id-moved"}
    assert bench.wait(600.0)["moved"].state == RunState.IN_PROGRESS
    bench.service.runs["id-moved"] = service_run("moved", "SUCCEEDED")
    assert bench.poll()["moved"].state == RunState.SUCCEEDED


def test_run_is_lost_after_two_denials() -> None:
    bench = Bench("a")
    bench.wait(MISSING_PATIENCE)
    bench.service.unlisted.add("id-a")
    kept = bench.service.runs.pop("id-a")
    assert bench.poll()["a"].state == RunState.IN_PROGRESS
    bench.service.runs["id-a"] = kept  # the denial was a blip
    bench.poll()
    del bench.service.runs["id-a"]
    reports = [bench.poll()["a"].state for _ in range(DENIALS)]
    assert reports == [RunState.IN_PROGRESS, RunState.LOST]


def test_empty_listing_costs_a_limited_number_of_requests() -> None:
    names = [f"run-{i:03d}" for i in range(3 * MAX_ASKED)]
    bench = Bench(*names)
    bench.wait(MISSING_PATIENCE)
    bench.service.unlisted = set(bench.service.runs)
    for _ in range(3):
        bench.poll()
    assert sorted(bench.service.asked) == sorted(bench.service.runs), "each of them once"


def test_runs_that_never_start_end_the_call() -> None:
    bench = Bench()
    reports = []
    for i in range(UNSTARTED_LIMIT):
        name = f"run-{i}"
        bench.service.runs[f"id-{name}"] = service_run(name, "FAILED", details="odd", started=None)
        bench.live.watch(name, f"id-{name}", "job", "first")
        reports.append(bench.poll()[name])
    assert [report.fatal for report in reports] == [False] * (UNSTARTED_LIMIT - 1) + [True]
    assert all(report.transient and report.exit_code is None for report in reports)
    assert f"{UNSTARTED_LIMIT} job runs in a row" in reports[-1].cause


def test_capacity_is_said_once_with_the_shape_that_follows() -> None:
    bench = Bench("a", "b", fallback=["second"])
    for name in "ab":
        failed = service_run(name, "FAILED", details="Insufficient host resources", started=None)
        bench.service.runs[f"id-{name}"] = failed
    reports = bench.poll()
    assert [reports[name].retry_after for name in "ab"] == [0.0, 0.0]
    assert len(bench.notices) == 1
    assert "second" in bench.notices[0]


def test_earlier_fatal_end_is_retried() -> None:
    bench = Bench()
    failed = service_run("a", "FAILED", details="Authorization failed", started=None)
    bench.service.runs["id-a"] = failed
    found = bench.live.find(["job"], ["a"], {})["a"]
    assert (found.state, found.fatal, found.transient) == (RunState.FAILED, False, True)


@pytest.mark.parametrize(
    ("state", "ends", "cause"),
    [
        ("SUCCEEDED", RunState.SUCCEEDED, ""),
        ("FAILED", RunState.FAILED, "failed before it started (the service gives no reason)"),
        ("CANCELED", RunState.FAILED, "it was canceled outside of tune_jobs"),
        ("DELETED", RunState.FAILED, "it was deleted outside of tune_jobs"),
    ],
)
def test_run_that_ended_without_times_and_details_has_ended(
    state: str, ends: RunState, cause: str
) -> None:
    bench = Bench("a")
    bare = service_run("a", state, accepted=None, started=None, finished=None)
    bench.service.runs["id-a"] = bare
    update = bench.poll()["a"]
    assert (update.state, update.cause) == (ends, cause)
    assert update.finished == bench.now
    assert bench.live.until_due() is None


def test_run_is_found_by_its_ocid() -> None:
    bench = Bench()
    bench.service.runs["id-a"] = service_run("a")
    found = bench.live.find_by_id({"a": "id-a", "b": "id-b"})
    assert {name: update.state for name, update in found.items()} == {"a": RunState.IN_PROGRESS}
    assert "a" in bench.live


def test_run_that_was_canceled_before_it_is_watched_is_canceled_without_a_poll() -> None:
    bench = Bench()
    bench.live.cancel("a")
    bench.service.runs["id-a"] = service_run("a")
    bench.live.watch("a", "id-a", "job", "first")
    bench.live.close()
    assert bench.service.canceled == ["id-a"]
