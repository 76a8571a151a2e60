"""Emulated jobs and job runs, tested with the SDK and oci-cli."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest
from oci.exceptions import ServiceError

from tests.emulated_oci.clients import open_client, raises_error
from tests.oci_emulator import Delays, Emulator, Fault

models = oci.data_science.models


# -- jobs and job runs ----------------------------------------------


def job_details(emulator: Emulator, **changes: Any) -> Any:
    return models.CreateJobDetails(
        **{
            "project_id": emulator.project,
            "compartment_id": emulator.compartment,
            "display_name": "job",
            "job_configuration_details": models.DefaultJobConfigurationDetails(
                command_line_arguments="--own 1",
                environment_variables={"A": "job", "B": "job"},
                maximum_runtime_in_minutes=60,
            ),
            "job_infrastructure_configuration_details": (
                models.ManagedEgressStandaloneJobInfrastructureConfigurationDetails(
                    shape_name="VM.Standard2.1", block_storage_size_in_gbs=50
                )
            ),
            "job_log_configuration_details": models.JobLogConfigurationDetails(
                enable_logging=True,
                enable_auto_log_creation=False,
                log_group_id="ocid1.loggroup.oc1..g",
                log_id="ocid1.log.oc1..l",
            ),
            **changes,
        }
    )


@pytest.fixture
def make_job(science: Any, emulator: Emulator) -> Callable[..., str]:
    def make(script: str, name: str = "train.py") -> str:
        job = science.create_job(job_details(emulator)).data.id
        data = script if isinstance(script, bytes) else script.encode()
        science.create_job_artifact(job, data, content_disposition=f"attachment; filename={name}")
        return str(job)

    return make


def start(science: Any, emulator: Emulator, job: str, token: str = "", **details: Any) -> Any:
    more = {"opc_retry_token": token} if token else {}
    return science.create_job_run(
        models.CreateJobRunDetails(
            project_id=emulator.project,
            compartment_id=emulator.compartment,
            job_id=job,
            **details,
        ),
        **more,
    ).data


def wait_for_end(science: Any, run_id: str) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        run = science.get_job_run(run_id).data
        if run.lifecycle_state in ("SUCCEEDED", "FAILED", "CANCELED"):
            return run
        time.sleep(0.05)  # the service has no notifications
    raise AssertionError(f"{run_id} did not end within 30 s")


def read_output(emulator: Emulator, run_id: str) -> list[str]:
    return [e.message for e in emulator.log_search.entries() if e.run == run_id]


SHOW = (
    "import json, os, sys\n"
    "print(json.dumps([sys.argv[1:], {k: os.environ.get(k) for k in "
    "('A', 'B', 'JOB_RUN_OCID', 'JOB_OCID', 'HOME')}, os.getcwd()]))\n"
)


def test_run_executes_the_artifact(
    science: Any, emulator: Emulator, make_job: Callable[..., str]
) -> None:
    job = make_job(SHOW)
    override = models.DefaultJobConfigurationDetails(
        command_line_arguments="--x 'a b' ü", environment_variables={"B": "run"}
    )
    run = start(science, emulator, job, job_configuration_override_details=override)
    assert run.lifecycle_state in ("ACCEPTED", "IN_PROGRESS")
    done = wait_for_end(science, run.id)
    assert done.lifecycle_state == "SUCCEEDED"
    assert done.time_accepted <= done.time_started <= done.time_finished
    argv, env, work = json.loads(read_output(emulator, run.id)[0])
    assert argv == ["--x", "a b", "ü"]
    assert (env["A"], env["B"], env["JOB_RUN_OCID"], env["JOB_OCID"]) == ("job", "run", run.id, job)
    assert work == f"{env['HOME']}/decompressed_artifact"


def test_archive_with_an_entry_point(
    science: Any, emulator: Emulator, make_job: Callable[..., Any]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("code/run.sh", 'echo "from bash $1"\nexit 21\n')
    job = make_job(packed.getvalue(), "packed.zip")
    settings = models.DefaultJobConfigurationDetails(
        environment_variables={"JOB_RUN_ENTRYPOINT": "code/run.sh"}
    )
    run = start(science, emulator, job, job_configuration_override_details=settings)
    done = wait_for_end(science, run.id)
    assert done.lifecycle_state == "FAILED"
    assert done.lifecycle_details == "Job run artifact execution failed with exit code 21."
    assert read_output(emulator, run.id) == ["from bash --own"]


def test_sdk_in_a_run_uses_the_emulator(
    science: Any, emulator: Emulator, make_job: Callable[..., str]
) -> None:
    script = (
        "import oci\nsigner = oci.auth.signers.get_resource_principals_signer()\n"
        "client = oci.object_storage.ObjectStorageClient({}, signer=signer)\n"
        "print(client.get_namespace().data)\n"
    )
    run = start(science, emulator, make_job(script))
    assert wait_for_end(science, run.id).lifecycle_state == "SUCCEEDED", read_output(
        emulator, run.id
    )
    assert read_output(emulator, run.id) == [emulator.namespace]


def test_cancel(science: Any, emulator: Emulator, make_job: Callable[..., str]) -> None:
    emulator.delays.canceling = 0.2
    run = start(science, emulator, make_job("import time\ntime.sleep(60)"))
    science.cancel_job_run(run.id)
    assert science.get_job_run(run.id).data.lifecycle_state == "CANCELING"
    with raises_error(409, "IncorrectState"):
        science.cancel_job_run(run.id)
    assert wait_for_end(science, run.id).lifecycle_state == "CANCELED"
    with raises_error(409, "IncorrectState"):
        science.cancel_job_run(run.id)
    with raises_error(404, "NotAuthorizedOrNotFound"):
        science.cancel_job_run("ocid1.datasciencejobrun.oc1..none")


def test_maximum_runtime(science: Any, emulator: Emulator, make_job: Callable[..., str]) -> None:
    emulator.data_science.set_seconds_per_minute(0.01)
    run = start(science, emulator, make_job("import time\ntime.sleep(60)"))
    done = wait_for_end(science, run.id)
    assert done.lifecycle_state == "FAILED"
    assert "maximum runtime" in done.lifecycle_details


def test_retry_token_creates_one_run(
    science: Any, emulator: Emulator, make_job: Callable[..., str]
) -> None:
    job = make_job("")
    first = start(science, emulator, job, "token", display_name="a")
    assert start(science, emulator, job, "token", display_name="a").id == first.id
    assert start(science, emulator, job, "other", display_name="a").id != first.id
    with raises_error(400, "InvalidParameter"):
        start(science, emulator, job, "token", display_name="b")
    with raises_error(400, "InvalidParameter"):
        start(science, emulator, job, "x" * 65)
    wait_for_end(science, first.id)
    science.delete_job_run(first.id)
    with raises_error(409, "InvalidatedRetryToken"):
        start(science, emulator, job, "token", display_name="a")


def test_listing_runs(tmp_path: Path) -> None:
    with Emulator(tmp_path / "idle", execute=False, delays=Delays(accepted=60.0)) as emulator:
        science = open_client(oci.data_science.DataScienceClient, emulator)
        job = science.create_job(job_details(emulator)).data.id
        science.create_job_artifact(job, b"x", content_disposition="attachment; filename=a.py")
        runs = [
            start(science, emulator, job, display_name=f"run-{i:03d}", freeform_tags={"i": str(i)})
            for i in range(120)
        ]
        page = science.list_job_runs(emulator.compartment, job_id=job, limit=100)
        assert [r.id for r in page.data] == [r.id for r in reversed(runs)][:100]
        rest = science.list_job_runs(
            emulator.compartment, job_id=job, limit=100, page=page.headers["opc-next-page"]
        )
        assert len(rest.data) == 20
        assert "opc-next-page" not in rest.headers
        assert rest.data[-1].freeform_tags == {"i": "0"}
        assert not hasattr(rest.data[-1], "job_configuration_override_details")
        by_name = science.list_job_runs(emulator.compartment, display_name="run-007").data
        assert [r.id for r in by_name] == [runs[7].id]
        by_state = science.list_job_runs(emulator.compartment, lifecycle_state="IN_PROGRESS")
        assert by_state.data == []
        with raises_error(400, "InvalidParameter"):
            science.list_job_runs(emulator.compartment, limit=101)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"freeform_tags": {str(i): "" for i in range(11)}}, "at most 10"),
        ({"freeform_tags": {"k": "x" * 257}}, "too long"),
        ({"display_name": "x" * 256}, "255"),
        (
            {
                "job_configuration_override_details": models.DefaultJobConfigurationDetails(
                    command_line_arguments="x" * 4001
                )
            },
            "4000",
        ),
        (
            {
                "job_configuration_override_details": models.DefaultJobConfigurationDetails(
                    environment_variables={"A": "x" * 20_000}
                )
            },
            "20000",
        ),
        (
            {
                "job_configuration_override_details": models.DefaultJobConfigurationDetails(
                    maximum_runtime_in_minutes=0
                )
            },
            "maximumRuntimeInMinutes",
        ),
    ],
)
def test_limits_of_a_run(
    change: dict[str, Any],
    message: str,
    science: Any,
    emulator: Emulator,
    make_job: Callable[..., str],
) -> None:
    with pytest.raises(ServiceError, match=message) as caught:
        start(science, emulator, make_job(""), **change)
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"nonsense": 1}, "unknown field 'nonsense'"),
        ({"displayName": 1}, "must be a str"),
        (
            {"jobInfrastructureConfigurationDetails": {"jobInfrastructureType": "ME_STANDALONE"}},
            "shapeName is required",
        ),
        ({"projectId": None}, "projectId is required"),
    ],
)
def test_invalid_bodies(
    body: dict[str, Any], message: str, science: Any, emulator: Emulator
) -> None:
    whole = {"projectId": emulator.project, "compartmentId": emulator.compartment, **body}
    with pytest.raises(ServiceError, match=message):
        science.create_job(whole)


def test_jobs_and_artifacts(science: Any, emulator: Emulator, make_job: Callable[..., str]) -> None:
    job = make_job("print(1)")
    with raises_error(409, "IncorrectState"):
        science.create_job_artifact(job, b"", content_disposition="attachment; filename=b.py")
    assert "train.py" in science.head_job_artifact(job).headers["content-disposition"]
    assert science.get_job_artifact_content(job).data.content == b"print(1)"
    empty = science.create_job(job_details(emulator)).data.id
    with pytest.raises(ServiceError, check=lambda e: e.status == 404):
        science.head_job_artifact(empty)
    with raises_error(409, "IncorrectState"):
        start(science, emulator, empty)
    with raises_error(404, "NotAuthorizedOrNotFound"):
        start(science, emulator, "ocid1.datasciencejob.oc1..none")
    with raises_error(404, "NotAuthorizedOrNotFound"):
        science.create_job(job_details(emulator, project_id="ocid1.datascienceproject.oc1..none"))
    run = start(science, emulator, job)
    wait_for_end(science, run.id)
    with raises_error(409, "IncorrectState"):
        science.delete_job(job)
    science.delete_job(job, delete_related_job_runs=True)
    with raises_error(404, "NotAuthorizedOrNotFound"):
        science.get_job_run(run.id)
    assert [j.id for j in science.list_jobs(emulator.compartment).data] == [empty]


def test_limits_and_capacity(tmp_path: Path) -> None:
    with Emulator(tmp_path / "idle", execute=False) as emulator:
        emulator.data_science.duration = lambda run: 60.0
        emulator.limits.max_live_runs = 2
        emulator.limits.capacity["VM.Standard2.1"] = 1
        science = open_client(oci.data_science.DataScienceClient, emulator)
        job = science.create_job(job_details(emulator)).data.id
        science.create_job_artifact(job, b"x", content_disposition="attachment; filename=a.py")
        first = start(science, emulator, job)
        second = start(science, emulator, job)
        third = start(science, emulator, job)
        states = [science.get_job_run(r.id).data for r in (first, second, third)]
        assert [r.lifecycle_state for r in states] == ["IN_PROGRESS", "FAILED", "FAILED"]
        assert "Out of host capacity" in states[1].lifecycle_details
        emulator.limits.capacity.clear()
        start(science, emulator, job)
        with raises_error(400, "LimitExceeded"):
            start(science, emulator, job)


def test_stale_listings(science: Any, emulator: Emulator, make_job: Callable[..., str]) -> None:
    run = start(science, emulator, make_job(""))
    wait_for_end(science, run.id)
    emulator.faults.add(Fault("stale", operation="list_job_runs", seconds=3600, times=1))
    assert science.list_job_runs(emulator.compartment).data == []
    assert len(science.list_job_runs(emulator.compartment).data) == 1


def test_log_search(science: Any, emulator: Emulator, make_job: Callable[..., str]) -> None:
    search = open_client(oci.loggingsearch.LogSearchClient, emulator)
    run = start(science, emulator, make_job("print('one')\nprint('two')"))
    wait_for_end(science, run.id)
    other = start(science, emulator, make_job("print('three')"))
    wait_for_end(science, other.id)

    def find(condition: str, limit: int = 100, order: str = "asc") -> list[str]:
        now = time.time()
        stream = f"{emulator.compartment}/ocid1.loggroup.oc1..g/ocid1.log.oc1..l"
        details = oci.loggingsearch.models.SearchLogsDetails(
            time_start=time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - 600)),
            time_end=time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now + 600)),
            search_query=f'SEARCH "{stream}"{condition} | SORT BY datetime {order}',
        )
        results = search.search_logs(details, limit=limit).data.results
        return [r.data["logContent"]["data"]["message"] for r in results]

    assert find(f" | WHERE source = '*{run.id}'") == ["one", "two"]
    assert find(f" | WHERE source = '*{run.id}'", order="DESC") == ["two", "one"]
    assert find(f" | WHERE source = '{run.id}'") == []  # not found without the asterisk
    assert sorted(find("")) == ["one", "three", "two"]
    assert find(f" | where source = '*{run.id}' and data.message = 'two'") == ["two"]
    assert len(find(f" | where source = '*{run.id}' or source = '*{other.id}'")) == 3
    assert find("", limit=1) == ["one"]
    with raises_error(400, "InvalidParameter"):
        find(" | nonsense")


# -- an independent client ----------------------------------------------


@pytest.mark.slow
def test_oci_cli(cli: Callable[..., Any], emulator: Emulator, science: Any, tmp_path: Path) -> None:
    place = ("--compartment-id", emulator.compartment, "--project-id", emulator.project)
    job = cli(
        *("data-science", "job", "create", *place, "--display-name", "from-cli"),
        *("--configuration-details", '{"jobType": "DEFAULT"}'),
        "--infrastructure-configuration-details",
        json.dumps(
            {
                "jobInfrastructureType": "ME_STANDALONE",
                "shapeName": "VM.Standard2.1",
                "blockStorageSizeInGBs": 50,
            }
        ),
    )["data"]["id"]
    script = tmp_path / "train.py"
    script.write_text("import sys, time\ntime.sleep(float(sys.argv[1]))\n")
    cli(
        *("data-science", "job", "create-job-artifact", "--job-id", job),
        *("--job-artifact-file", str(script)),
        *("--content-disposition", "attachment; filename=train.py"),
    )
    runs = [
        cli(
            *("data-science", "job-run", "create", *place, "--job-id", job),
            "--configuration-override-details",
            json.dumps({"jobType": "DEFAULT", "commandLineArguments": seconds}),
        )["data"]["id"]
        for seconds in ("0", "60")
    ]
    wait_for_end(science, runs[0])
    cli("data-science", "job-run", "cancel", "--job-run-id", runs[1])
    wait_for_end(science, runs[1])
    listed = cli("data-science", "job-run", "list", *place[:2], "--all")["data"]
    assert {r["id"]: r["lifecycle-state"] for r in listed} == {
        runs[0]: "SUCCEEDED",
        runs[1]: "CANCELED",
    }
    bucket = ("-ns", emulator.namespace, "-bn", "tune-jobs")
    cli("os", "object", "put", *bucket, "--name", "a/train.py", "--file", str(script))
    listed = cli("os", "object", "list", *bucket)["data"]
    assert [(o["name"], o["size"]) for o in listed] == [("a/train.py", script.stat().st_size)]
    back = tmp_path / "back.py"
    cli("os", "object", "get", *bucket, "--name", "a/train.py", "--file", str(back))
    assert back.read_text() == script.read_text()
