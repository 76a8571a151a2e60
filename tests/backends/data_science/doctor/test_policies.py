"""The documented policies: sufficient together, and each of them necessary."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import oci
import pytest
from sqlalchemy.engine import make_url

from tests.backends.data_science.doctor.conftest import Examine
from tests.oci_emulator import Emulator
from tests.oci_emulator.data_science import NOTEBOOK_SESSION
from tests.oci_emulator.policies import Principal
from tune_jobs import Connection, Infrastructure
from tune_jobs.backends.data_science.doctor.prerequisites import Prerequisites
from tune_jobs.backends.data_science.doctor.report import Findings
from tune_jobs.backends.data_science.doctor.secret_checks import check_secrets
from tune_jobs.backends.data_science.doctor.store_trials import StoreTrials
from tune_jobs.backends.data_science.doctor.target import Target
from tune_jobs.backends.data_science.job import JobRegistry
from tune_jobs.backends.data_science.job_runs import JobRuns
from tune_jobs.backends.oci_runs.failures import classify_failure
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.oci import policies
from tune_jobs.oci.policies import POLICIES, Policy
from tune_jobs.runtime import refusals
from tune_jobs.storage.bucket.opening import open_store

DOCUMENTED = (Path(__file__).parents[4] / "docs" / "oci.md").read_text()
NAMES = {"<tuners>": "tuners", "<job-runs>": "job-runs", "<compartment>": "emulated"}
NAMES |= {"<controllers>": "controllers"}
NAMES |= {"<bucket>": "tune-jobs", "<conda-bucket>": "conda"}

CONTROLLER = "ocid1.datasciencejobrun.oc1..controller"


def fill_in(statement: object) -> str:
    """Return a statement with the names of the emulated tenancy."""
    text = str(statement)
    for placeholder, name in NAMES.items():
        text = text.replace(placeholder, name)
    return text


@pytest.fixture
def emulator(emulator: Emulator) -> Emulator:
    """Emulator with the groups of the documentation."""
    emulator.access.groups["tuners"] = {emulator.world.user}
    rule = (
        f"resource.type = 'datasciencejobrun', resource.compartment.id = '{emulator.compartment}'"
    )
    emulator.access.dynamic_groups["job-runs"] = f"all {{{rule}}}"
    controllers = f"all {{resource.id = '{CONTROLLER}'}}"
    emulator.access.dynamic_groups["controllers"] = controllers
    return emulator


def permit_all_but(emulator: Emulator, *missing: Policy) -> None:
    """Permit what is documented, without some statements."""
    emulator.access.permit(*(fill_in(policy) for policy in POLICIES if policy not in missing))


# -- documentation --------------------------------------------------------------------------------


def test_terraform_has_exactly_the_statements() -> None:
    snippet = DOCUMENTED.partition("```terraform")[2].partition("```")[0]
    assert re.findall(r'^    "(allow .*)",$', snippet, re.M) != []
    assert set(re.findall(r'"(allow .*)"', snippet)) == {str(policy) for policy in POLICIES}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.role} {policy.grant}")
def test_tables_have_the_policy(policy: Policy) -> None:
    assert f"| `{policy}` | {policy.needed or 'always'} | {policy.without} |" in DOCUMENTED


def test_runner_names_the_same_statement() -> None:
    source = Path(refusals.__file__).read_text().replace('"\n    "', "")
    assert str(policies.RUN_STORE).partition("'")[0] in source


# -- sufficient -----------------------------------------------------------------------------------


def test_documented_policies_suffice(
    emulator: Emulator, examine: Examine, infrastructure: Infrastructure
) -> None:
    permit_all_but(emulator)
    report = examine(run=True, store="oci://tune-jobs/runs")
    assert report.is_good, str(report)


# -- necessary ------------------------------------------------------------------------------------


def find_refusals(emulator: Emulator, connection: Connection) -> dict[str, str]:
    """Return the fixes that requests of a tuner find, with every option in use."""
    findings = Findings()
    target = Target(
        compartment=emulator.compartment,
        project=emulator.project,
        shapes=("VM.Standard.E4.Flex",),
        log_group="ocid1.loggroup.oc1..g",
        subnet="ocid1.subnet.oc1..s",
        image="iad.ocir.io/ns/image:1",
    )
    Prerequisites(connection, target, 1, findings).check()
    StoreTrials(connection, "oci://tune-jobs/doctor", findings).try_all()
    check_secrets(connection, {"TOKEN": emulator.vault.add("token", b"value")}, findings)
    return {f.id: f.fix for f in findings.by_id.values() if f.verdict == "refused"}


BY_REQUESTS = [
    policy
    for policy in POLICIES
    if policy.role == "tuner" and policy not in (policies.MOUNTS, policies.SESSION)
]


@pytest.mark.parametrize("policy", BY_REQUESTS, ids=lambda policy: policy.grant)
def test_each_policy_of_the_tuner_is_necessary(
    emulator: Emulator, connection: Connection, policy: Policy
) -> None:
    # With this one the listing of the bucket is refused, and also its neighbours'.
    permit_all_but(emulator, policy, policies.MOUNTS)
    fixes = set(find_refusals(emulator, connection).values())
    wanted = policy.for_bucket("tune-jobs") if policy is policies.STORE else policy
    assert fixes == {str(wanted)}


def test_no_refusals_with_all_policies(emulator: Emulator, connection: Connection) -> None:
    permit_all_but(emulator, policies.MOUNTS)
    assert find_refusals(emulator, connection) == {}


def test_log_group_in_another_compartment(emulator: Emulator, connection: Connection) -> None:
    elsewhere = emulator.world.add_compartment("logs")
    emulator.world.log_groups["ocid1.loggroup.oc1..g"] = elsewhere
    others = [p for p in POLICIES if p not in (policies.LOG_CONTENT, policies.LOG_GROUPS)]
    here = [fill_in(policy) for policy in others if policy is not policies.MOUNTS]
    there = [
        f"allow group tuners to {grant} in compartment logs"
        for grant in (policies.LOG_CONTENT.grant, policies.LOG_GROUPS.grant)
    ]
    emulator.access.permit(*here, *there)
    assert find_refusals(emulator, connection) == {}
    emulator.access.permit(*here)
    assert set(find_refusals(emulator, connection)) == {"log group", "log content"}


def test_session_policy_is_necessary(
    emulator: Emulator, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NB_SESSION_OCID", NOTEBOOK_SESSION)
    permit_all_but(emulator, policies.MOUNTS)
    assert find_refusals(emulator, connection) == {}
    permit_all_but(emulator, policies.MOUNTS, policies.SESSION)
    fixes = find_refusals(emulator, connection)
    assert fixes == {"notebook session": str(policies.SESSION)}


def start_run(
    emulator: Emulator, connection: Connection, job: dict[str, Any], run: dict[str, Any]
) -> Any:
    """Create a job and a run, and return the run as it is shown."""
    client = connection.client(oci.data_science.DataScienceClient)
    place = {"projectId": emulator.project, "compartmentId": emulator.compartment}
    infrastructure = {
        "jobInfrastructureType": "ME_STANDALONE",
        "shapeName": "VM.Standard2.1",
        "blockStorageSizeInGBs": 50,
    }
    details = {
        **place,
        "jobConfigurationDetails": {"jobType": "DEFAULT"},
        "jobInfrastructureConfigurationDetails": infrastructure,
        **job,
    }
    job_id = client.create_job(details).data.id
    client.create_job_artifact(job_id, b"", content_disposition="attachment; filename=a.py")
    started = client.create_job_run({**place, "jobId": job_id, **run}).data
    return client.get_job_run(started.id).data


CONDA = {
    "jobConfigurationDetails": {
        "jobType": "DEFAULT",
        "environmentVariables": {"CONDA_ENV_BUCKET": "conda"},
    }
}
IMAGE = {
    "jobEnvironmentConfigurationOverrideDetails": {
        "jobEnvironmentType": "OCIR_CONTAINER",
        "image": "iad.ocir.io/emulated/image:1",
    }
}


@pytest.mark.parametrize(
    ("policy", "job", "run"),
    [(policies.RUN_CONDA, CONDA, {}), (policies.RUN_REPOS, {}, IMAGE)],
    ids=["conda", "image"],
)
def test_policy_of_runs_is_necessary(
    emulator: Emulator,
    connection: Connection,
    policy: Policy,
    job: dict[str, Any],
    run: dict[str, Any],
) -> None:
    emulator.world.execute = False
    permit_all_but(emulator)
    assert start_run(emulator, connection, job, run).lifecycle_state == "SUCCEEDED"
    permit_all_but(emulator, policy)
    shown = start_run(emulator, connection, job, run)
    assert shown.lifecycle_state == "FAILED"
    assert classify_failure(shown.lifecycle_details).fatal


SUBNET = {
    "jobInfrastructureConfigurationDetails": {
        "jobInfrastructureType": "STANDALONE",
        "shapeName": "VM.Standard2.1",
        "blockStorageSizeInGBs": 50,
        "subnetId": "ocid1.subnet.oc1..s",
    }
}


def test_policy_of_the_service_is_necessary(emulator: Emulator, connection: Connection) -> None:
    emulator.world.execute = False
    permit_all_but(emulator)
    start_run(emulator, connection, SUBNET, {})
    permit_all_but(emulator, policies.SERVICE_NETWORK)
    with pytest.raises(oci.exceptions.ServiceError, match="not permitted to use subnet"):
        start_run(emulator, connection, SUBNET, {})


@pytest.mark.slow
@pytest.mark.parametrize("policy", [policies.RUN_STORE, policies.RUN_LOG], ids=["store", "log"])
def test_policies_of_runs_are_named(emulator: Emulator, examine: Examine, policy: Policy) -> None:
    permit_all_but(emulator, policy)
    report = examine(run=True)
    assert [f.fix for f in report.register if f.fix] == [str(policy)]


# -- controllers ---------------------------------------------------------------------------------


LOGGED = {
    "jobLogConfigurationDetails": {
        "enableLogging": True,
        "enableAutoLogCreation": True,
        "logGroupId": "ocid1.loggroup.oc1..g",
    }
}


def act_as_controller(emulator: Emulator, job: str) -> None:
    """Do what a controller does, with the principal of its job run: read, start, write, read."""
    connection = Connection()
    folder = open_folder(f"oci://tune-jobs@{emulator.namespace}/runs/s", {"connection": connection})
    found = JobRegistry(connection, folder, "s", print).get(job)
    place = {"projectId": emulator.project, "compartmentId": emulator.compartment}
    JobRuns(connection, found.compartment).create({**place, "jobId": job}, "token")
    store = open_store(make_url(f"oci://tune-jobs@{emulator.namespace}/study"), connection)
    assert store.put_if_absent("log/0000000001.z", b"")
    assert store.list("log") == ["log/0000000001.z"]


@pytest.mark.parametrize(
    "missing",
    [
        None,
        policies.CONTROLLER_JOBS,
        policies.CONTROLLER_RUNS,
        policies.CONTROLLER_PROJECTS,
        policies.CONTROLLER_STORE,
        policies.CONTROLLER_LOG_GROUPS,
    ],
    ids=lambda policy: policy.grant if policy else "none",
)
def test_policies_of_controllers(
    emulator: Emulator,
    connection: Connection,
    missing: Policy | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emulator.world.execute = False
    permit_all_but(emulator)
    start_run(emulator, connection, LOGGED, {})
    (job,) = (
        connection.client(oci.data_science.DataScienceClient).list_jobs(emulator.compartment).data
    )
    # Every job run may use the bucket, as those of trials do: here only controllers may.
    permit_all_but(emulator, policies.RUN_STORE, *filter(None, [missing]))
    who = Principal(CONTROLLER, "datasciencejobrun", emulator.compartment)
    for name, value in emulator.identities.resource_principal(who).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
    if missing is None:
        act_as_controller(emulator, job.id)
        return
    with pytest.raises(Exception, match=r"NotAuthorizedOrNotFound|not authorized"):
        act_as_controller(emulator, job.id)
