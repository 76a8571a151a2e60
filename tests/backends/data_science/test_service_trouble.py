"""Job runs while the service refuses, fails, lags or loses runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends.data_science.conftest import (
    PRINTS,
    SOURCES,
    MakeBackend,
    OpenService,
    count_requests,
    open_client,
    run,
    wait_for_end,
    wait_for_ends,
)
from tests.oci_emulator import Emulator, Fault
from tests.oci_emulator.faults import Kind
from tune_jobs import Connection, Infrastructure, Tuner
from tune_jobs.backends.data_science.service import DataScienceService
from tune_jobs.core.job_runs import RunState
from tune_jobs.errors import BackendError, StoreError
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.oci.policies import STORE
from tune_jobs.runtime import oci_answers

MakeTuner = Callable[..., Tuner]


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "throttle", "error"])
def test_start_without_an_answer_is_one_run(
    kind: Kind,
    make_backend: MakeBackend,
    open_service: OpenService,
    emulator: Emulator,
    connection: Connection,
) -> None:
    notices: list[str] = []
    service = open_service(make_backend(PRINTS), notice=notices.append)
    emulator.faults.add(Fault(kind, operation="create_job_run", times=1))
    notices.clear()
    service.submit(run("trial-000000-1", "--x=0.5"))
    assert wait_for_end(service, "trial-000000-1").state == RunState.SUCCEEDED
    runs = open_client(connection).list_job_runs(emulator.compartment).data
    assert [r.display_name for r in runs] == ["trial-000000-1"]
    assert count_requests(emulator)["create_job_run"] == 2
    assert len(notices) == 1
    assert "retrying" in notices[0]


def test_throttled_starts_do_not_block_other_services(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore, emulator: Emulator
) -> None:
    service = open_service(make_backend(PRINTS))
    emulator.faults.add(Fault("throttle", operation="create_job_run", times=12))
    names = {f"trial-{i:06d}-1" for i in range(12)}
    for name in names:
        service.submit(run(name, "--x=1"))
    while count_requests(emulator)["create_job_run"] < 12:
        service.wait(0.1)
    stored.check_writable()  # an open circuit breaker would raise
    assert len(wait_for_ends(service, names, 90.0)) == 12


def test_missing_policy_is_named(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator
) -> None:
    service = open_service(make_backend(PRINTS))
    emulator.faults.add(
        Fault("error", operation="create_job_run", status=404, code="NotAuthorizedOrNotFound")
    )
    service.submit(run("trial-000000-1"))
    with pytest.raises(BackendError, match="manage data-science-job-runs"):
        wait_for_end(service, "trial-000000-1")


def test_wrong_compartment_is_named(make_backend: MakeBackend, open_service: OpenService) -> None:
    nowhere = Infrastructure(
        "ocid1.compartment.oc1..nowhere", "ocid1.datascienceproject.oc1..x", "VM.Standard2.1"
    )
    wrong = make_backend(PRINTS, infrastructure=nowhere)
    with pytest.raises(BackendError, match=r"ocid1\.compartment\.oc1\.\.nowhere"):
        open_service(wrong)


def test_store_out_of_reach_is_refused(make_backend: MakeBackend) -> None:
    with pytest.raises(BackendError, match="oci://bucket@namespace/prefix"):
        make_backend(PRINTS).open("runs", "study-1", SOURCES, keep_runs=True, notice=print)


def test_missing_bucket_is_named(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    backend = make_backend(PRINTS)
    tuner = build_tuner(backend, store=f"oci://elsewhere@{emulator.namespace}/runs")
    with pytest.raises(StoreError, match=r"elsewhere.*BucketNotFound") as refused:
        tuner.optimize(n_trials=1)
    assert "oci os bucket create" in str(refused.value)
    assert str(STORE.for_bucket("elsewhere")) in str(refused.value)


def test_first_requests_are_refused_for_a_moment(
    make_backend: MakeBackend,
    build_tuner: MakeTuner,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(oci_answers, "FIRST_PATIENCE", 3.0)
    operations = (
        *("put_object", "get_object", "delete_object", "list_objects"),
        *("list_jobs", "create_job", "create_job_artifact", "get_job"),
        *("create_job_run", "list_job_runs"),
    )
    for number, operation in enumerate(operations):
        status = (401, 404)[number % 2]
        emulator.faults.add(Fault("error", operation, times=1, status=status, code="Blip"))
    tuner = build_tuner(make_backend(PRINTS), max_parallel=1)
    tuner.optimize(n_trials=1)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"]
    refused = {seen.operation for seen in emulator.requests if seen.status in (401, 404)}
    assert set(operations) <= refused


def test_refused_listings_of_the_store_end_no_run(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    for after, (status, code) in enumerate(
        [(401, "NotAuthenticated"), (404, "BucketNotFound"), (503, "ServiceUnavailable")]
    ):
        fault = Fault("error", "list_objects", times=1, after=3 + after, status=status, code=code)
        emulator.faults.add(fault)
    tuner = build_tuner(make_backend(PRINTS), max_parallel=2)
    tuner.optimize(n_trials=2)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE", "COMPLETE"]
    assert {seen.status for seen in emulator.requests} >= {401, 404, 503}
    assert count_requests(emulator)["cancel_job_run"] == 0


def test_out_of_capacity_uses_the_fallback_shape(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator, connection: Connection
) -> None:
    emulator.limits.capacity["VM.Standard.E4.Flex"] = 0
    backend = make_backend(PRINTS, fallback_shapes=["VM.Standard2.1"])
    tuner = build_tuner(backend, max_parallel=1)
    tuner.optimize(n_trials=2)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE", "COMPLETE"]
    first, second = tuner.attempts(0)
    assert "out of host capacity" in (first.cause or "")
    run_of = open_client(connection).get_job_run(second.run_id).data
    shape = run_of.job_infrastructure_configuration_details.shape_name
    override = run_of.job_infrastructure_configuration_override_details
    assert "VM.Standard2.1" in (shape, override and override.shape_name)
    assert len(tuner.attempts(1)) == 1


def test_service_limit_delays_runs(
    make_backend: MakeBackend,
    build_tuner: MakeTuner,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune_jobs.backends.oci_runs.starter.LIMIT_PAUSE", 0.3)
    emulator.limits.max_live_runs = 2
    tuner = build_tuner(make_backend(PRINTS), max_parallel=4)
    tuner.optimize(n_trials=6)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"] * 6
    assert len(tuner.attempts()) == 6


@pytest.mark.parametrize("state", ["NEEDS_ATTENTION", "UNKNOWN_STATE"])
def test_odd_state_is_given_up_after_a_while(
    state: str,
    make_backend: MakeBackend,
    open_service: OpenService,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune_jobs.backends.oci_runs.live_runs.ATTENTION_PATIENCE", 0.5)
    emulator.data_science.next_states.append(state)
    service = open_service(make_backend(PRINTS))
    service.submit(run("trial-000000-1"))
    end = wait_for_end(service, "trial-000000-1")
    assert (end.state, end.transient) == (RunState.FAILED, True)
    assert "was in state" in end.cause


def test_stale_listing_loses_nothing(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    emulator.faults.add(Fault("stale", operation="list_job_runs", seconds=1.0))
    tuner = build_tuner(make_backend(PRINTS))
    tuner.optimize(n_trials=4)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"] * 4
    assert len(tuner.attempts()) == 4


def test_outage_of_service_and_store_is_survived(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    tuner = build_tuner(make_backend(PRINTS))
    tuner.optimize(n_trials=1)
    emulator.faults.add(Fault("error", operation="list_job_runs", times=3))
    emulator.faults.add(Fault("drop_before", operation="list_objects", times=3))
    emulator.faults.add(Fault("throttle", operation="get_object", times=3))
    tuner.optimize(n_trials=3)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"] * 4


def test_runs_of_a_killed_tuner_are_adopted(
    make_backend: MakeBackend,
    build_tuner: MakeTuner,
    emulator: Emulator,
    connection: Connection,
    tmp_path: Path,
) -> None:
    class Killed(BaseException):
        pass

    class Dies:
        """Progress that raises between two turns, as a kill would end the tuner."""

        def update(self, *_: object, **__: object) -> None:
            if count_requests(emulator)["create_job_run"] >= 3:
                raise Killed

        def say(self, text: str) -> None: ...
        def close(self) -> None: ...

    go = tmp_path / "go"
    script = (
        f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.02)\n"
        "print('value: 1')\n"
    )
    tuner = build_tuner(make_backend(script), max_parallel=3, progress=Dies())
    monkey = pytest.MonkeyPatch()
    monkey.setattr(DataScienceService, "cancel", lambda self, name: None)  # as a kill
    monkey.setattr("tune_jobs.tuning.engine.STOP_SECONDS", 0.0)
    with pytest.raises(Killed):
        tuner.optimize(n_trials=3)
    monkey.undo()
    go.touch()
    again = build_tuner(make_backend(script), max_parallel=3)
    again.optimize(n_trials=3)
    assert [t.state.name for t in again.study.trials] == ["COMPLETE"] * 3
    runs = open_client(connection).list_job_runs(emulator.compartment).data
    assert sorted(r.display_name for r in runs) == [f"trial-{i:06d}-1" for i in range(3)]


def test_deleted_run_is_run_again(
    make_backend: MakeBackend,
    build_tuner: MakeTuner,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune_jobs.backends.oci_runs.live_runs.MISSING_PATIENCE", 0.3)
    emulator.data_science.next_states.append("IN_PROGRESS")
    wait, vanished = DataScienceService.wait, list[str]()

    def wait_after_deleting(service: DataScienceService, timeout: float | None) -> Any:
        if not vanished:
            for run in emulator.data_science.runs():
                vanished.append(run.id)
                emulator.data_science.vanish(run.id)
        return wait(service, timeout)

    monkeypatch.setattr(DataScienceService, "wait", wait_after_deleting)
    tuner = build_tuner(make_backend(PRINTS), max_parallel=1)
    tuner.optimize(n_trials=1)
    assert [a.state for a in tuner.attempts()] == ["LOST", "SUCCEEDED"]
    assert tuner.study.trials[0].state.name == "COMPLETE"
