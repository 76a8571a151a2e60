"""The emulator implements the register of assumptions, and can deviate from each entry."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oci
import pytest
from oci.exceptions import ServiceError

from tests import oci_emulator
from tests.emulated_oci.clients import open_client
from tests.emulated_oci.test_nodes import GROUP, GROUPS, NODES
from tests.oci_emulator import Emulator
from tune_jobs.backends.oci_runs.assumptions import ASSUMPTIONS
from tune_jobs.backends.oci_runs.failures import classify_failure

models = oci.data_science.models


def test_emulator_implements_exactly_the_register() -> None:
    folder = Path(oci_emulator.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    assert set(re.findall(r'deviates\(\s*"([\w-]+)"', source)) == set(ASSUMPTIONS)


def test_entries_are_complete() -> None:
    root = Path(__file__).parents[2] / "tune_jobs"
    for entry in ASSUMPTIONS.values():
        assert entry.statement
        assert entry.source
        path = root / entry.used.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), entry
        assert entry.standing in ("verified", "documented", "assumed")


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """Emulator whose runs only take time."""
    with Emulator(tmp_path / "oci", execute=False) as running:
        yield running


MakeRun = Callable[..., Any]


@pytest.fixture
def make_run(emulator: Emulator) -> MakeRun:
    """Return a function that creates a job and a run, and returns the run."""
    client = open_client(oci.data_science.DataScienceClient, emulator)
    job = client.create_job(
        models.CreateJobDetails(
            project_id=emulator.project,
            compartment_id=emulator.compartment,
            job_configuration_details=models.DefaultJobConfigurationDetails(
                maximum_runtime_in_minutes=1
            ),
            job_infrastructure_configuration_details=(
                models.ManagedEgressStandaloneJobInfrastructureConfigurationDetails(
                    shape_name="VM.Standard.E4.Flex",
                    block_storage_size_in_gbs=50,
                    job_shape_config_details=models.JobShapeConfigDetails(
                        ocpus=1, memory_in_gbs=16
                    ),
                )
            ),
            job_log_configuration_details=models.JobLogConfigurationDetails(
                enable_logging=True, log_group_id="ocid1.loggroup.oc1..own"
            ),
        )
    ).data.id
    client.create_job_artifact(
        job, b"import time\ntime.sleep(60)", content_disposition="attachment; filename=a.py"
    )

    def make(token: str = "", **details: Any) -> Any:
        given = {"opc_retry_token": token} if token else {}
        wanted = models.CreateJobRunDetails(
            project_id=emulator.project, compartment_id=emulator.compartment, job_id=job, **details
        )
        return client.create_job_run(wanted, **given).data

    make.client = client  # type: ignore[attr-defined]
    return make


def observe(assumption: str, emulator: Emulator, make_run: Any) -> bool:
    """Return whether an assumption that cannot be tried in a tenancy holds in the emulator."""
    return bool(_OBSERVE[assumption](emulator, make_run))


def _token_one_day(emulator: Emulator, make_run: Any) -> bool:
    first = make_run("token")
    now = emulator.world.clock()
    emulator.world.clock = lambda: now + 80_000.0
    return str(make_run("token").id) == str(first.id)


def _infrastructure_replaced(emulator: Emulator, make_run: Any) -> bool:
    other = models.ManagedEgressStandaloneJobInfrastructureConfigurationDetails(
        shape_name="VM.Standard2.1", block_storage_size_in_gbs=50
    )
    run = make_run(job_infrastructure_configuration_override_details=other)
    return run.job_infrastructure_configuration_details.job_shape_config_details is None


def _capacity_wording(emulator: Emulator, make_run: Any) -> bool:
    emulator.limits.capacity["VM.Standard.E4.Flex"] = 0
    run = make_run.client.get_job_run(make_run().id).data
    return classify_failure(run.lifecycle_details).no_capacity


def _limit_code(emulator: Emulator, make_run: Any) -> bool:
    emulator.limits.max_live_runs = 0
    with pytest.raises(ServiceError) as caught:
        make_run()
    return str(caught.value.code) == "LimitExceeded"


def _runtime_wording(emulator: Emulator, make_run: Any) -> bool:
    emulator.world.execute = True
    emulator.data_science.set_seconds_per_minute(0.01)
    run = make_run()
    emulator.data_science.join()
    details = make_run.client.get_job_run(run.id).data.lifecycle_details
    return "ran longer" in classify_failure(details).cause


def _container_arguments(emulator: Emulator, make_run: Any) -> bool:
    emulator.world.execute = True
    run = make_run(
        job_configuration_override_details=models.DefaultJobConfigurationDetails(
            command_line_arguments="argument"
        ),
        job_environment_configuration_override_details=(
            models.OcirContainerJobEnvironmentConfigurationDetails(
                image="iad.ocir.io/emulated/image:1", entrypoint=["echo"], cmd=["from"]
            )
        ),
    )
    emulator.data_science.join()
    return [e.message for e in emulator.log_search.entries() if e.run == run.id] == [
        "from argument"
    ]


def _log_override(emulator: Emulator, make_run: Any) -> bool:
    other = models.JobLogConfigurationDetails(
        enable_logging=True, log_group_id="ocid1.loggroup.oc1..other"
    )
    run = make_run(job_log_configuration_override_details=other)
    return str(run.log_details.log_group_id) == "ocid1.loggroup.oc1..other"


def _if_match(emulator: Emulator, make_run: Any) -> bool:
    emulator.data_science.duration = lambda run: 60.0
    run = make_run()
    try:
        make_run.client.cancel_job_run(run.id, if_match="another")
    except ServiceError as error:
        return bool(error.status == 412)
    return False


def _filters_checked(emulator: Emulator, make_run: Any) -> bool:
    try:
        make_run.client.list_job_runs(emulator.compartment, lifecycle_state="SUCCEEDED")
        make_run.client.base_client.call_api(
            "/jobRuns",
            "GET",
            query_params={"compartmentId": emulator.compartment, "color": "red"},
            response_type="list[JobRunSummary]",
        )
    except ServiceError as error:
        return bool(error.status == 400)
    return False


def _condition_first(emulator: Emulator, make_run: Any) -> bool:
    storage = open_client(oci.object_storage.ObjectStorageClient, emulator)
    address = (emulator.namespace, "tune-jobs", "once")
    emulator.access.groups["writers"] = {emulator.world.user}
    emulator.access.permit(
        "allow group writers to manage objects in tenancy where request.permission='OBJECT_CREATE'"
    )
    storage.put_object(*address, b"1", if_none_match="*")
    with pytest.raises(ServiceError) as caught:
        storage.put_object(*address, b"2", if_none_match="*")
    assert emulator.object_storage.buckets["tune-jobs"].objects["once"].data == b"1"
    return bool(caught.value.code == "IfNoneMatchFailed")


def _run_nodes(emulator: Emulator, make_run: Any, script: str) -> list[str]:
    """Run a shell script on two nodes, with a variable of the run; return what they print."""
    emulator.world.execute = True
    place = {"projectId": emulator.project, "compartmentId": emulator.compartment}
    log = {"enableLogging": True, "logGroupId": "ocid1.loggroup.oc1..own"}
    details = {**place, "jobNodeConfigurationDetails": {**NODES, GROUPS: [GROUP]}}
    job = make_run.client.create_job({**details, "jobLogConfigurationDetails": log}).data.id
    make_run.client.create_job_artifact(
        job, script.encode(), content_disposition="attachment; filename=a.sh"
    )
    settings = {"jobType": "DEFAULT", "environmentVariables": {"OF": "run"}}
    group = {"name": GROUP["name"], "jobConfigurationDetails": settings}
    override = {"jobNodeType": "MULTI_NODE", GROUPS: [group]}
    make_run.client.create_job_run(
        {**place, "jobId": job, "jobNodeConfigurationOverrideDetails": override}
    )
    emulator.data_science.join()
    return sorted(entry.message for entry in emulator.log_search.entries())


def _node_variables(emulator: Emulator, make_run: Any) -> bool:
    script = "echo $NODE_RANK of $INITIAL_CLUSTER_SIZE; test -e $CLUSTER_NODES_METADATA_FILE"
    return _run_nodes(emulator, make_run, script) == ["0 of 2", "1 of 2"]


def _node_override(emulator: Emulator, make_run: Any) -> bool:
    return _run_nodes(emulator, make_run, "echo of $OF") == ["of run", "of run"]


def _node_failure(emulator: Emulator, make_run: Any) -> bool:
    script = """
        at=$HOME/..
        if [ $NODE_RANK = 1 ]; then
            echo $$ > $at/pid
            until [ -e $at/up ]; do sleep 0.02; done
            exit 3
        fi
        trap 'echo stopped; exit 1' TERM
        until [ -s $at/pid ]; do sleep 0.02; done
        touch $at/up
        while kill -0 $(cat $at/pid); do sleep 0.02; done 2> /dev/null
        for _ in $(seq 100); do sleep 0.05; done
    """
    return _run_nodes(emulator, make_run, script) == ["stopped"]


def _current_stage(emulator: Emulator, make_run: Any) -> bool:
    ocid = emulator.vault.add("token", b"current")
    emulator.vault.rotate(ocid, b"next", pending=True)
    client = open_client(oci.secrets.SecretsClient, emulator)
    bundle = client.get_secret_bundle(ocid, stage="CURRENT").data
    return base64.b64decode(bundle.secret_bundle_content.content) == b"current"


def _deleted_secret(emulator: Emulator, make_run: Any) -> bool:
    ocid = emulator.vault.add("token", b"value")
    emulator.vault.set_state(ocid, "PENDING_DELETION")
    with pytest.raises(ServiceError) as caught:
        open_client(oci.secrets.SecretsClient, emulator).get_secret_bundle(ocid)
    return bool(caught.value.status == 404)


def _metric_names(emulator: Emulator, make_run: Any) -> bool:
    emulator.monitoring.add("ocid1.datasciencejobrun.oc1..r", 60.0, CpuUtilization=50.0)
    client = open_client(oci.monitoring.MonitoringClient, emulator)
    details = oci.monitoring.models.ListMetricsDetails(namespace="oci_datascience_jobrun")
    return [m.name for m in client.list_metrics(emulator.compartment, details).data] == [
        "CpuUtilization"
    ]


_OBSERVE = {
    "node-variables": _node_variables,
    "node-override": _node_override,
    "node-failure": _node_failure,
    "current-stage": _current_stage,
    "deleted-secret": _deleted_secret,
    "condition-first": _condition_first,
    "token-one-day": _token_one_day,
    "infrastructure-replaced": _infrastructure_replaced,
    "capacity-wording": _capacity_wording,
    "limit-code": _limit_code,
    "runtime-wording": _runtime_wording,
    "container-arguments": _container_arguments,
    "log-override": _log_override,
    "if-match": _if_match,
    "filters-checked": _filters_checked,
    "metric-names": _metric_names,
}


@pytest.mark.parametrize("deviates", [False, True], ids=["as assumed", "deviating"])
@pytest.mark.parametrize("assumption", [a.id for a in ASSUMPTIONS.values() if not a.tried])
def test_assumption_that_cannot_be_tried(
    emulator: Emulator, make_run: Any, assumption: str, deviates: bool
) -> None:
    if deviates:
        emulator.world.deviations = {assumption}
    assert observe(assumption, emulator, make_run) is not deviates
    assert assumption in emulator.world.exercised


def test_compartment_of_a_run_changes(emulator: Emulator, make_run: Any) -> None:
    other = emulator.world.add_compartment("other")
    run = make_run()
    details = models.ChangeJobRunCompartmentDetails(compartment_id=other)
    make_run.client.change_job_run_compartment(run.id, details)
    assert make_run.client.get_job_run(run.id).data.compartment_id == other
    assert make_run.client.list_job_runs(emulator.compartment).data == []


def test_part_of_an_artifact(emulator: Emulator, make_run: Any) -> None:
    job = make_run().job_id
    answer = make_run.client.get_job_artifact_content(job, range="bytes=0-5")
    assert (answer.status, answer.data.content) == (206, b"import")
