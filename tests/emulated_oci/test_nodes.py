"""Emulated multi-node jobs: what the service refuses, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.emulated_oci.clients import open_client, raises_error
from tests.oci_emulator import Emulator

INFRASTRUCTURE = {
    "jobInfrastructureType": "MULTI_NODE",
    "shapeName": "VM.GPU.A10.1",
    "blockStorageSizeInGBs": 50,
}
GROUP = {
    "name": "workers",
    "replicas": 2,
    "minimumSuccessReplicas": 2,
    "jobInfrastructureConfigurationDetails": INFRASTRUCTURE,
    "jobConfigurationDetails": {"jobType": "DEFAULT"},
}
NODES = {
    "jobNodeType": "MULTI_NODE",
    "startupOrder": "IN_PARALLEL",
    "jobNetworkConfiguration": {"jobNetworkType": "DEFAULT_NETWORK"},
}
GROUPS = "jobNodeGroupConfigurationDetailsList"
SINGLE = {**INFRASTRUCTURE, "jobInfrastructureType": "ME_STANDALONE"}


@pytest.fixture
def emulator(tmp_path: Path) -> Any:
    """Emulator whose runs only take time."""
    with Emulator(tmp_path / "oci", execute=False) as running:
        yield running


@pytest.fixture
def science(emulator: Emulator) -> Any:
    return open_client(oci.data_science.DataScienceClient, emulator)


def describe(emulator: Emulator, nodes: Any, **more: Any) -> dict[str, Any]:
    place = {"projectId": emulator.project, "compartmentId": emulator.compartment}
    return {**place, "jobNodeConfigurationDetails": nodes, **more}


@pytest.mark.parametrize(
    ("nodes", "more", "why"),
    [
        ({**NODES, GROUPS: []}, {}, "is required"),
        ({**NODES, GROUPS: [{**GROUP, "name": None}]}, {}, "name is required"),
        ({**NODES, GROUPS: [GROUP, GROUP]}, {}, "must differ"),
        ({**NODES, GROUPS: [{**GROUP, "replicas": 0}]}, {}, "replicas 0"),
        ({**NODES, GROUPS: [{**GROUP, "replicas": 11}]}, {}, "replicas 11"),
        ({**NODES, GROUPS: [{**GROUP, "minimumSuccessReplicas": 3}]}, {}, "minimumSuccess"),
        ({**NODES, GROUPS: [{**GROUP, "jobConfigurationDetails": None}]}, {}, "jobConfiguration"),
        (
            {**NODES, GROUPS: [{**GROUP, "jobInfrastructureConfigurationDetails": SINGLE}]},
            {},
            "must be MULTI_NODE",
        ),
        ({**NODES, "jobNetworkConfiguration": None, GROUPS: [GROUP]}, {}, "Network"),
        ({**NODES, "startupOrder": "LATER", GROUPS: [GROUP]}, {}, "LATER"),
        (
            {**NODES, GROUPS: [GROUP]},
            {"jobInfrastructureConfigurationDetails": SINGLE},
            "belongs to its node groups",
        ),
        (None, {"jobInfrastructureConfigurationDetails": INFRASTRUCTURE}, "to a node group"),
    ],
)
def test_jobs_that_are_refused(
    emulator: Emulator, science: Any, nodes: Any, more: dict[str, Any], why: str
) -> None:
    with raises_error(400, "InvalidParameter") as refused:
        science.create_job(describe(emulator, nodes, **more))
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ({"jobConfigurationOverrideDetails": {"jobType": "DEFAULT"}}, "belongs to its node groups"),
        (
            {"jobNodeConfigurationOverrideDetails": {**NODES, GROUPS: [{**GROUP, "name": "x"}]}},
            "has no node group 'x'",
        ),
        (
            {"jobNodeConfigurationOverrideDetails": {**NODES, GROUPS: [{**GROUP, "replicas": 99}]}},
            "replicas 99",
        ),
    ],
)
def test_runs_that_are_refused(
    emulator: Emulator, science: Any, override: dict[str, Any], why: str
) -> None:
    job = science.create_job(describe(emulator, {**NODES, GROUPS: [GROUP]})).data
    science.create_job_artifact(job.id, b"", content_disposition="attachment; filename=a.py")
    place = {"projectId": emulator.project, "compartmentId": emulator.compartment}
    with raises_error(400, "InvalidParameter") as refused:
        science.create_job_run({**place, "jobId": job.id, **override})
    assert why in str(refused.value)
    shown = science.create_job_run({**place, "jobId": job.id}).data
    assert [group.name for group in shown.node_group_details_list] == ["workers"]


def test_capacity_counts_nodes(emulator: Emulator, science: Any) -> None:
    emulator.limits.capacity["VM.GPU.A10.1"] = 3
    job = science.create_job(describe(emulator, {**NODES, GROUPS: [GROUP]})).data
    science.create_job_artifact(job.id, b"", content_disposition="attachment; filename=a.py")
    emulator.data_science.duration = lambda run: 1000.0
    place = {"projectId": emulator.project, "compartmentId": emulator.compartment}
    runs = [science.create_job_run({**place, "jobId": job.id}).data for _ in range(2)]
    states = [science.get_job_run(run.id).data.lifecycle_state for run in runs]
    assert states == ["IN_PROGRESS", "FAILED"]


@pytest.mark.slow
def test_oci_cli(emulator: Emulator, science: Any, cli: Callable[..., Any], tmp_path: Path) -> None:
    place = ("--compartment-id", emulator.compartment, "--project-id", emulator.project)
    script = tmp_path / "train.py"
    script.touch()
    job = cli(
        *("data-science", "job", "create", *place),
        *("--job-node-configuration-details", json.dumps({**NODES, GROUPS: [GROUP]})),
    )["data"]["id"]
    cli(
        *("data-science", "job", "create-job-artifact", "--job-id", job),
        *("--job-artifact-file", str(script)),
        *("--content-disposition", "attachment; filename=train.py"),
    )
    group = {**GROUP, "jobConfigurationDetails": {"jobType": "DEFAULT"}, "replicas": 3}
    run = cli(
        *("data-science", "job-run", "create", *place, "--job-id", job),
        "--job-node-configuration-override-details",
        json.dumps({**NODES, GROUPS: [group]}),
    )["data"]
    shown = cli("data-science", "job-run", "get", "--job-run-id", run["id"])["data"]
    (override,) = shown["job-node-configuration-override-details"][
        "job-node-group-configuration-details-list"
    ]
    assert override["replicas"] == 3
    assert [each["name"] for each in shown["node-group-details-list"]] == ["workers"]
