"""Jobs that cannot be run trial by trial are refused before anything is created."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends.data_science.conftest import SOURCES, count_requests, open_client
from tests.oci_emulator import Emulator
from tune_jobs import Connection, DataScienceBackend
from tune_jobs.backends.data_science.job import quiet_ads
from tune_jobs.backends.data_science.runnable import check_runtime
from tune_jobs.errors import ConfigError

Refuse = Callable[[DataScienceBackend], str]


@pytest.fixture
def refuse(emulator: Emulator, store: str) -> Refuse:
    """Return a function that opens a backend and returns why it is refused."""

    def use(backend: DataScienceBackend) -> None:
        backend.check()
        backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print)

    def refuse(backend: DataScienceBackend) -> str:
        before = count_requests(emulator)["create_job"]
        with pytest.raises(ConfigError) as refused:
            use(backend)
        assert count_requests(emulator)["create_job"] == before
        return str(refused.value)

    return refuse


def _ads_job(runtime: Any, emulator: Emulator) -> Any:
    with quiet_ads():
        from ads.jobs import DataScienceJob, Job
    infrastructure = (
        DataScienceJob()
        .with_compartment_id(emulator.compartment)
        .with_project_id(emulator.project)
        .with_shape_name("VM.GPU.A10.1")
    )
    return Job(name="distributed").with_infrastructure(infrastructure).with_runtime(runtime)


def test_distributed_runtimes_of_ads(
    refuse: Refuse, emulator: Emulator, connection: Connection, tmp_path: Path
) -> None:
    with quiet_ads():
        from ads.jobs import ContainerRuntime, PyTorchDistributedRuntime
    script = tmp_path / "train.py"
    script.write_text("")
    for replicas in (1, 2):
        pytorch = (
            PyTorchDistributedRuntime()
            .with_service_conda("pytorch20_p39_gpu_v2")
            .with_source(str(script))
            .with_command("train.py")
            .with_replica(replicas)
        )
        job = _ads_job(pytorch, emulator)
        assert "distributed" in refuse(DataScienceBackend.from_job(job, connection=connection))
        path = tmp_path / f"job{replicas}.yaml"
        path.write_text(job.to_yaml())
        assert "distributed" in refuse(DataScienceBackend.from_yaml(path, connection=connection))
    container = ContainerRuntime().with_image("iad.ocir.io/n/i:1", entrypoint=["train"])
    job = _ads_job(container.with_replica(3), emulator)
    assert "3 replicas" in refuse(DataScienceBackend.from_job(job, connection=connection))


def test_existing_jobs_of_several_nodes(
    refuse: Refuse, emulator: Emulator, connection: Connection
) -> None:
    infrastructure = {
        "jobInfrastructureType": "ME_STANDALONE",
        "shapeName": "VM.GPU.A10.1",
        "blockStorageSizeInGBs": 50,
    }
    location = {"compartmentId": emulator.compartment, "projectId": emulator.project}
    group = {"name": "nodes", "replicas": 2}
    nodes = {
        "jobNodeType": "MULTI_NODE",
        "jobNodeGroupConfigurationDetailsList": [group],
    }
    environment = {"jobType": "DEFAULT", "environmentVariables": {"NODE_COUNT": "2"}}
    client = open_client(connection)
    for more, why in (
        ({"jobNodeConfigurationDetails": nodes}, "multi-node"),
        (
            {
                "jobInfrastructureConfigurationDetails": infrastructure,
                "jobConfigurationDetails": environment,
            },
            "NODE_COUNT=2",
        ),
    ):
        created = client.create_job({**location, **more}, opc_retry_token=why)
        message = refuse(DataScienceBackend.from_ocid(created.data.id, connection=connection))
        assert why in message
        assert "one node" in message


def test_single_nodes_are_accepted() -> None:
    for spec in ({}, {"replicas": 1}, {"env": [{"name": "NODE_COUNT", "value": "1"}]}):
        check_runtime("job", {"spec": {"runtime": {"type": "python", "spec": spec}}})
