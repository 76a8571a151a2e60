"""A run has ended once the store has all its metrics."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from tune_jobs.backends.base import BackendService
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.core.observations import Observation
from tune_jobs.core.resource_usage import ResourceUsage
from tune_jobs.errors import StoreError
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.records import Record, encode
from tune_jobs.tuning.tracker import METRICS_PATIENCE, STORE_PATIENCE, RunTracker

NAME = "trial-000000-1"


class Service(BackendService):
    """A service whose updates and clock the test sets."""

    def __init__(self) -> None:
        self.now, self.updates = 0.0, list[RunUpdate]()
        self.timeouts: list[float | None] = []

    def clock(self) -> float:
        return self.now

    def paths(self, name: str) -> RunPaths:
        return RunPaths.below(name)

    def submit(self, request: RunRequest) -> str:
        return request.name

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        self.timeouts.append(timeout)
        updates, self.updates = self.updates, []
        return updates

    def cancel(self, name: str) -> None: ...

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        return {}

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None: ...


class Bench:
    """A tracker with one live run over a store in a local folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store" / "s-1"
        for below in ("metrics", f"runs/{NAME}"):
            (self.root / below).mkdir(parents=True)
        self.service = Service()
        self.notices: list[str] = []
        store = MetricStore(str(folder / "store"), "s-1")
        self.tracker = RunTracker(self.service, store, self.notices.append)
        self.tracker.submit(
            Attempt(NAME, 0, 1, "test", AttemptState.INTENDED, Invocation(), intended=0.0)
        )

    def write(self, *values: float) -> int:
        """Write these metrics to the store; return their size."""
        lines = "".join(encode(Record(1.0, i, {"value": v})) for i, v in enumerate(values))
        (self.root / f"metrics/{NAME}.jsonl").write_text(lines)
        return len(lines)

    def end(self, metrics_bytes: int | None, state: RunState = RunState.SUCCEEDED) -> None:
        """End the run; with a history that states the size of its metrics."""
        event = {"event": "ended", "metrics_bytes": metrics_bytes}
        (self.root / f"runs/{NAME}/run.jsonl").write_text(json.dumps(event) + "\n")
        self.service.updates = [
            RunUpdate(NAME, state, finished=1.0, has_metrics=None, has_history=True)
        ]

    def end_using(self, state: RunState, **used: float) -> Observation:
        """End the run with a history that states what it used; return what the tracker says."""
        event = {"event": "ended", "metrics_bytes": self.write(0.1), "usage": used}
        (self.root / f"runs/{NAME}/run.jsonl").write_text(json.dumps(event) + "\n")
        self.service.updates = [
            RunUpdate(NAME, state, finished=1.0, has_metrics=None, has_history=True)
        ]
        (seen,) = self.tracker.wait(None)
        return seen

    def ended(self) -> list[tuple[RunState, list[float]]]:
        """One turn: the runs that the tracker reports as over, with their values."""
        return [
            (seen.update.state, [r.values["value"] for r in seen.records])
            for seen in self.tracker.wait(None)
            if seen.ended
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_complete_run_ends_at_once(bench: Bench) -> None:
    bench.end(bench.write(0.1, 0.2))
    assert bench.ended() == [(RunState.SUCCEEDED, [0.1, 0.2])]
    assert not bench.tracker.live


def test_an_old_body_is_not_the_last_value(bench: Bench) -> None:
    size = bench.write(0.1, 0.2)
    bench.write(0.1)
    bench.end(size)
    assert bench.ended() == []
    assert bench.tracker.live
    bench.service.now = METRICS_PATIENCE / 2
    assert bench.ended() == []
    bench.write(0.1, 0.2)
    assert bench.ended() == [(RunState.SUCCEEDED, [0.1, 0.2])]
    assert bench.service.timeouts == [None, 1.0, 1.0], "it waits for the store, not for a run"


def test_metrics_that_never_come_fail_the_attempt(bench: Bench) -> None:
    size = bench.write(0.1, 0.2)
    bench.write(0.1)
    bench.end(size)
    assert bench.ended() == []
    bench.service.now = METRICS_PATIENCE
    (seen,) = bench.tracker.wait(None)
    assert (seen.update.state, seen.update.transient) == (RunState.FAILED, True)
    assert f"has {size // 2} bytes of the {size} that the run wrote" in seen.update.cause
    assert not bench.tracker.live


def test_a_history_that_is_late_is_waited_for(bench: Bench) -> None:
    size = bench.write(0.1)
    bench.end(size)
    history = bench.root / f"runs/{NAME}/run.jsonl"
    content = history.read_text()
    history.write_text('{"event": "started"}\n')
    assert bench.ended() == []
    history.write_text(content)
    assert bench.ended() == [(RunState.SUCCEEDED, [0.1])]


def test_a_history_of_an_earlier_version_is_enough(bench: Bench) -> None:
    bench.write(0.1)
    bench.end(None)
    assert bench.ended() == [(RunState.SUCCEEDED, [0.1])]


def test_a_failed_run_is_not_waited_for(bench: Bench) -> None:
    bench.end(1000, RunState.FAILED)
    assert bench.ended() == [(RunState.FAILED, [])]


def test_a_store_that_cannot_be_read_is_asked_again_for_a_while(bench: Bench) -> None:
    bench.end(bench.write(0.1))
    metrics = bench.root / f"metrics/{NAME}.jsonl"
    content = metrics.read_text()
    metrics.unlink()
    metrics.mkdir()  # reading a folder fails
    assert bench.ended() == []
    bench.service.now = STORE_PATIENCE / 2
    assert bench.ended() == []
    assert len(bench.notices) == 1
    metrics.rmdir()
    metrics.write_text(content)
    assert bench.ended() == [(RunState.SUCCEEDED, [0.1])]


def test_a_store_that_stays_unreadable_is_an_error(bench: Bench) -> None:
    bench.end(bench.write(0.1))
    metrics = bench.root / f"metrics/{NAME}.jsonl"
    metrics.unlink()
    metrics.mkdir()
    assert bench.ended() == []
    bench.service.now = STORE_PATIENCE + 1
    with pytest.raises(StoreError, match=r"reading .*\.jsonl failed: .*not a regular file"):
        bench.tracker.wait(None)


def test_a_failure_is_explained_even_if_its_log_cannot_be_read(bench: Bench) -> None:
    (bench.root / f"runs/{NAME}/log.txt").mkdir()
    update = RunUpdate(NAME, RunState.FAILED, cause="exit code 1")
    explained = bench.tracker.explain(update, "exit code 1", MetricSources(("value",)))
    assert explained.startswith("exit code 1; its log cannot be read: reading ")


@pytest.mark.parametrize(
    ("has_history", "log", "said"),
    [
        (True, "", "nothing was printed"),
        (False, "", "was not looked at, since its job has no runner: have the script call"),
        (False, "val: 1", "numbers were printed for: val"),
    ],
)
def test_what_was_not_looked_at_is_not_said_to_be_missing(
    has_history: bool, log: str, said: str, bench: Bench
) -> None:
    if log:
        (bench.root / f"runs/{NAME}/log.txt").write_text(log)
    update = RunUpdate(NAME, RunState.SUCCEEDED, has_history=has_history)
    explained = bench.tracker.explain(update, "no 'value'", MetricSources(("value",)))
    assert explained.startswith("no 'value'; ")
    assert said in explained


def test_a_size_that_the_backend_knows_needs_no_history(bench: Bench) -> None:
    size = bench.write(0.1, 0.2)
    bench.write(0.1)
    bench.service.updates = [
        RunUpdate(NAME, RunState.SUCCEEDED, finished=1.0, has_history=True, metrics_bytes=size)
    ]
    assert bench.ended() == []
    bench.write(0.1, 0.2)
    assert bench.ended() == [(RunState.SUCCEEDED, [0.1, 0.2])]


def test_the_metrics_of_a_run_without_a_history_are_read_once_more_at_its_end(bench: Bench) -> None:
    bench.write(0.1, 0.2)  # of which the listing says nothing yet
    bench.service.updates = [RunUpdate(NAME, RunState.SUCCEEDED, finished=1.0, has_metrics=False)]
    assert bench.ended() == [(RunState.SUCCEEDED, [0.1, 0.2])]


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED])
def test_the_end_of_a_run_says_what_it_used(state: RunState, bench: Bench) -> None:
    usage = bench.end_using(state, cpu_mean=0.5, memory_peak=3.0).update.usage
    assert usage is not None
    assert (usage.cpu_mean, usage.memory_peak) == (0.5, 3.0)


def test_a_run_without_an_end_used_what_it_wrote_while_it_lived(bench: Bench) -> None:
    lines = [{"cores": 2.0, "memory_limit": 16.0}, {"at": 15.0, "cpu": 15.0, "peak": 15.9}]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"at": 30, "c'
    (bench.root / f"runs/{NAME}/usage.jsonl").write_text(text)
    bench.service.updates = [RunUpdate(NAME, RunState.FAILED, finished=1.0, has_history=True)]
    (seen,) = bench.tracker.wait(None)
    assert seen.update.usage == ResourceUsage(
        seconds=15.0,
        cores=2.0,
        cpu_seconds=15.0,
        cpu_mean=0.5,
        cpu_p95=0.5,
        cpu_peak=0.5,
        memory_limit=16.0,
        memory_p95=15.9,
        memory_peak=15.9,
    )


@pytest.mark.parametrize(
    ("state", "code", "peak", "cause"),
    [
        (RunState.FAILED, 137, 15.9, "exit code 137 (out of memory: killed at 15.9 of 16 GB)"),
        (RunState.FAILED, 137, 3.0, "exit code 137"),
        (RunState.FAILED, 1, 15.9, "exit code 1"),
        (RunState.CANCELED, 137, 15.9, "exit code 137"),
    ],
)
def test_a_run_that_was_killed_for_its_memory_says_how_much_it_had(
    state: RunState, code: int, peak: float, cause: str, bench: Bench
) -> None:
    usage = ResourceUsage(memory_peak=peak * 2**30, memory_limit=16.0 * 2**30)
    update = RunUpdate(NAME, state, exit_code=code, cause=f"exit code {code}", usage=usage)
    bench.service.updates = [update]
    (seen,) = bench.tracker.wait(None)
    assert seen.update.cause == cause
