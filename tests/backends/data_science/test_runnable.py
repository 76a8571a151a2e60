"""Jobs that cannot be run trial by trial are refused before anything is created."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.backends.data_science.conftest import SOURCES, count_requests, open_client
from tests.oci_emulator import Emulator
from tune_jobs import Connection, DataScienceBackend
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


def test_existing_jobs_whose_nodes_are_not_equal_or_not_those_of_the_service(
    refuse: Refuse, emulator: Emulator, connection: Connection
) -> None:
    infrastructure = {
        "jobInfrastructureType": "ME_STANDALONE",
        "shapeName": "VM.GPU.A10.1",
        "blockStorageSizeInGBs": 50,
    }
    location = {"compartmentId": emulator.compartment, "projectId": emulator.project}
    group = {
        "replicas": 2,
        "jobInfrastructureConfigurationDetails": {
            "jobInfrastructureType": "MULTI_NODE",
            "shapeName": "VM.GPU.A10.1",
            "blockStorageSizeInGBs": 50,
        },
        "jobConfigurationDetails": {"jobType": "DEFAULT"},
    }
    nodes = {
        "jobNodeType": "MULTI_NODE",
        "jobNetworkConfiguration": {"jobNetworkType": "DEFAULT_NETWORK"},
        "jobNodeGroupConfigurationDetailsList": [
            {"name": "chief", **group},
            {"name": "workers", **group},
        ],
    }
    environment = {"jobType": "DEFAULT", "environmentVariables": {"NODE_COUNT": "2"}}
    client = open_client(connection)
    for more, why in (
        ({"jobNodeConfigurationDetails": nodes}, "2 node groups"),
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


def test_replicas_of_a_runtime_without_them_are_refused() -> None:
    for kind in ("python", "script", "notebook"):
        with pytest.raises(ConfigError, match=r"3 replicas.*nodes=2"):
            check_runtime("job", {"spec": {"runtime": {"type": kind, "spec": {"replicas": 3}}}})


def test_single_nodes_are_accepted() -> None:
    for spec in ({}, {"replicas": 1}, {"env": [{"name": "NODE_COUNT", "value": "1"}]}):
        check_runtime("job", {"spec": {"runtime": {"type": "python", "spec": spec}}})


def test_variables_may_not_claim_more_nodes_than_the_runs_have() -> None:
    def check(variable: str, value: int) -> None:
        spec = {"replicas": 3, "env": [{"name": variable, "value": value}]}
        check_runtime("job", {"spec": {"runtime": {"type": "pytorchDistributed", "spec": spec}}})

    for variable, largest in (("NODE_COUNT", 3), ("OCI__WORKER_COUNT", 2)):
        check(variable, largest)
        with pytest.raises(ConfigError, match=f"{variable}={largest + 1}, but .* have 3 nodes"):
            check(variable, largest + 1)
