"""Long studies lose nothing: 24 hours in virtual time, and tokens of seconds in real time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

from tests.backends.data_science.conftest import MakeBackend, count_requests
from tests.oci_emulator import Emulator, Fault
from tests.oci_emulator.object_storage import Object
from tests.soak.credentials import open_expiring
from tune_jobs import Connection, DataScienceBackend, Tuner
from tune_jobs.backends.oci_runs.clock import Clock
from tune_jobs.oci.connection import Auth
from tune_jobs.runtime.records import Record, encode

MakeTuner = Callable[..., Tuner]

HOUR = 3600.0


class VirtualTime:
    """Clock that advances when the tuner would wait, and calls a function at times of interest."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.on_advance: Callable[[float], None] = lambda now: None

    def read(self) -> float:
        """Return the seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.on_advance(self.now)

    def wait(self, event: threading.Event, timeout: float | None, busy: bool) -> bool:
        """Wait for an event; time stands still while a request is under way that will set it."""
        if busy:
            return event.wait(30.0)
        if not event.is_set():
            self.advance(timeout or 0.0)
        return event.is_set()


@pytest.fixture
def clock(emulator: Emulator) -> VirtualTime:
    """Virtual time of the emulator; requests are signed by the real time."""
    virtual = VirtualTime()
    emulator.world.clock = virtual.read
    emulator.world.execute = False
    return virtual


@pytest.fixture
def kind(clock: VirtualTime) -> type[DataScienceBackend]:
    """Backend that lives by virtual time."""

    class VirtualBackend(DataScienceBackend):
        tick = 60.0
        _clock = Clock(clock.read, clock.read, clock.advance, clock.wait)

    return VirtualBackend


def leave_results(emulator: Emulator, run: Any) -> None:
    """Put into the bucket what a run would write."""
    name = run.facts["displayName"]
    folder = run.facts["jobConfigurationOverrideDetails"]["environmentVariables"]["TUNE_JOBS_STORE"]
    prefix = folder.partition(f"@{emulator.namespace}/")[2]
    metrics = encode(Record(0.0, None, {"value": 0.5})).encode()
    ended = {"event": "ended", "metrics_bytes": len(metrics)}
    bucket = emulator.object_storage.buckets["tune-jobs"]
    for path, data in (
        (f"metrics/{name}.jsonl", metrics),
        (f"runs/{name}/run.jsonl", json.dumps(ended).encode() + b"\n"),
    ):
        bucket.objects[f"{prefix}/{path}"] = Object(data, name, 0.0, "text/plain", {})


OUTAGES = (
    ("list_job_runs", 401, "NotAuthenticated"),
    ("list_job_runs", 404, "NotAuthorizedOrNotFound"),
    ("list_job_runs", 503, "ServiceUnavailable"),
    ("list_objects", 401, "NotAuthenticated"),
    ("list_objects", 404, "BucketNotFound"),
    ("create_job_run", 401, "NotAuthenticated"),
    ("create_job_run", 404, "NotAuthorizedOrNotFound"),
    ("create_job_run", 500, "InternalServerError"),
    ("create_job_run", 400, "LimitExceeded"),
    ("get_job_run", 404, "NotAuthorizedOrNotFound"),
)
"""What is refused for some minutes of an hour each."""


@pytest.mark.slow
def test_day_of_refusals_loses_nothing(
    make_backend: MakeBackend,
    build_tuner: MakeTuner,
    emulator: Emulator,
    clock: VirtualTime,
    kind: type[DataScienceBackend],
) -> None:
    began = clock.now

    def take_time(run: Any) -> float:
        leave_results(emulator, run)
        return 1.6 * HOUR

    def refuse(now: float) -> None:
        hour, within = divmod(now - began, HOUR)
        operation, status, code = OUTAGES[int(hour) % len(OUTAGES)]
        emulator.faults.clear()
        emulator.faults.add(Fault("stale", "list_job_runs", seconds=120.0))
        if 1200.0 < within < 1680.0:
            emulator.faults.add(Fault("error", operation, status=status, code=code))

    emulator.data_science.duration = take_time
    clock.on_advance = refuse
    tuner = build_tuner(make_backend("print()", kind=kind, poll_seconds=60.0), max_parallel=4)
    tuner.optimize(n_trials=56)
    assert {t.state.name for t in tuner.study.trials} == {"COMPLETE"}
    assert [a.state for a in tuner.attempts()] == ["SUCCEEDED"] * 56
    assert len(emulator.data_science.runs()) == 56, "none was started twice"
    assert count_requests(emulator)["cancel_job_run"] == 0
    assert clock.now - began > 22 * HOUR


@pytest.fixture(params=get_args(Auth))
def expiring(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[Connection]:
    """Connection whose credentials, as those of the runs, are valid for seconds."""
    with open_expiring(emulator, request.param, 6.0) as connection:
        yield connection


@pytest.mark.slow
def test_credentials_of_seconds_and_refusals_of_every_operation(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator, expiring: Connection
) -> None:
    emulator.faults.add(Fault("stale", "list_job_runs", seconds=2.0))
    first = {"put_object": 8, "get_object": 6, "list_objects": 3, "create_job_run": 1}
    for operation in ("list_job_runs", "get_job_run", *first):
        for i, status in enumerate((401, 404, 503)):
            after = first.get(operation, 1) + 5 * i
            code = "NotAuthorizedOrNotFound" if status == 404 else "x"
            fault = Fault("error", operation, times=1, after=after, status=status, code=code)
            emulator.faults.add(fault)
    script = (
        "import time\nfor i in range(10):\n    print('value:', i, flush=True)\n    time.sleep(1)"
    )
    backend = make_backend(script, connection=expiring, poll_seconds=0.5, upload_seconds=0.5)
    tuner = build_tuner(backend, max_parallel=2)
    began = time.monotonic()
    tuner.optimize(n_trials=4)
    assert time.monotonic() - began > 2 * emulator.identities.token_seconds
    assert [t.values for t in tuner.study.trials] == [[9.0]] * 4
    assert len(emulator.data_science.runs()) == 4
    assert count_requests(emulator)["cancel_job_run"] == 0
