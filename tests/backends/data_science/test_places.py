"""Where things are: mounts of file systems, log groups elsewhere, unreadable notebook sessions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.backends.data_science.conftest import (
    PRINTS,
    SOURCES,
    MakeBackend,
    OpenService,
    count_requests,
    open_client,
)
from tests.oci_emulator import Emulator, Fault
from tests.oci_emulator.data_science import NOTEBOOK_SESSION
from tune_jobs import Connection, Infrastructure
from tune_jobs.backends.data_science.log_search import find_stream
from tune_jobs.errors import BackendError, ConfigError

TARGET, EXPORT = "ocid1.mounttarget.oc1..t", "ocid1.export.oc1..e"


def test_mounts_are_resolved_by_the_connection(
    make_backend: MakeBackend,
    open_service: OpenService,
    emulator: Emulator,
    connection: Connection,
    infrastructure: Infrastructure,
) -> None:
    emulator.services.resources += [
        ("ocid1.privateip.oc1..p", "PrivateIp", "10.0.0.5"),
        (TARGET, "MountTarget", "ocid1.privateip.oc1..p"),
        (EXPORT, "Export", "/export"),
    ]
    mounts = [
        {"src": "10.0.0.5:/export", "dest": "data"},
        {"src": "10.0.0.5@/export", "dest": "/mnt/more"},
        {"src": f"{TARGET}:{EXPORT}", "dest": "third"},
        {"src": "oci://b@n/some/prefix", "dest": "objects"},
    ]
    on = replace(infrastructure, storage_mounts=mounts)
    open_service(make_backend(PRINTS, infrastructure=on))
    client = open_client(connection)
    job = client.get_job(client.list_jobs(emulator.compartment).data[0].id).data
    *files, objects = job.job_storage_mount_configuration_details_list
    assert {(m.mount_target_id, m.export_id) for m in files} == {(TARGET, EXPORT)}
    assert [m.destination_path for m in files] == [None, "/mnt", None]
    assert (objects.bucket, objects.namespace, objects.prefix) == ("b", "n", "some/prefix")
    assert {seen.status for seen in emulator.requests if "resources" in seen.path} == {200}


def test_mount_that_is_not_found_is_named(
    make_backend: MakeBackend, open_service: OpenService, infrastructure: Infrastructure
) -> None:
    on = replace(infrastructure, storage_mounts=[{"src": "10.9.9.9:/export", "dest": "data"}])
    with pytest.raises(BackendError, match=r"10\.9\.9\.9"):
        open_service(make_backend(PRINTS, infrastructure=on))


@pytest.mark.parametrize("source", ["/export", "oci://bucket/prefix", "host:/export", ""])
def test_mount_of_another_form_is_refused_at_once(source: str) -> None:
    with pytest.raises(ConfigError, match="storage mount"):
        Infrastructure(storage_mounts=[{"src": source, "dest": "data"}])


def test_log_group_is_looked_up_in_its_own_compartment(
    emulator: Emulator, connection: Connection
) -> None:
    elsewhere = emulator.world.add_compartment("logs")
    emulator.world.log_groups["ocid1.loggroup.oc1..x"] = elsewhere
    log = ("ocid1.loggroup.oc1..x", "ocid1.log.oc1..l")
    assert find_stream(connection, log, "job's") == "/".join([elsewhere, *log])
    emulator.faults.add(Fault("error", "get_log_group", status=404, code="NotAuthorizedOrNotFound"))
    assert find_stream(connection, log, "job's") == "/".join(["job's", *log])


def test_unreadable_notebook_session_is_explained(
    make_backend: MakeBackend,
    store: str,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NB_SESSION_OCID", NOTEBOOK_SESSION)
    refused = Fault("error", "get_notebook_session", status=404, code="NotAuthorizedOrNotFound")
    emulator.faults.add(refused)
    backend = make_backend(PRINTS, infrastructure=Infrastructure())
    with pytest.raises(BackendError, match="read data-science-notebook-sessions"):
        backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print)
    assert count_requests(emulator)["create_job"] == 0
