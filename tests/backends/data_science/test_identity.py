"""Credentials that expire, rotate and are refused, for every way to authenticate."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.backends.data_science.conftest import count_requests
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Connection
from tune_jobs.errors import StoreError
from tune_jobs.metric_store.object_storage import ObjectStorageFolder
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.oci_answers import read_answer


def open_storage(connection: Connection) -> Any:
    return connection.client(oci.object_storage.ObjectStorageClient)


def use(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def expire(emulator: Emulator, client: Any) -> None:
    """Accept what a client signs with no longer."""
    emulator.identities.revoke(client.base_client.signer.api_key)


def statuses(emulator: Emulator) -> list[int]:
    return [seen.status for seen in emulator.requests if seen.operation == "get_namespace"]


def test_token_file_is_read_again_when_it_is_rotated(emulator: Emulator) -> None:
    config = emulator.identities.security_token()
    client = open_storage(Connection("security_token", config, endpoint=emulator.endpoint))
    client.get_namespace()
    expire(emulator, client)
    emulator.identities.renew()
    client.get_namespace()
    assert statuses(emulator) == [200, 200], "no request was refused"
    (config.parent / "token").unlink()  # it is being replaced: the last token remains valid
    client.get_namespace()


def test_key_of_a_profile_is_read_again_when_it_is_rotated(
    emulator: Emulator, connection: Connection
) -> None:
    client = open_storage(connection)
    client.get_namespace()
    emulator.identities.rotate_api_key()
    client.get_namespace()
    assert statuses(emulator) == [200, 200]


def test_resource_principal_is_read_again_when_it_is_refused(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, emulator.resource_principal())
    client = open_storage(Connection(endpoint=emulator.endpoint))
    client.get_namespace()
    expire(emulator, client)
    use(monkeypatch, emulator.resource_principal())
    client.get_namespace()
    assert statuses(emulator) == [200, 401, 200]


def test_files_of_a_resource_principal_are_followed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, emulator.identities.resource_principal(in_files=tmp_path / "rp"))
    client = open_storage(Connection(endpoint=emulator.endpoint))
    client.get_namespace()
    expire(emulator, client)
    emulator.identities.renew()
    client.get_namespace()
    assert statuses(emulator) == [200, 200]


def test_instance_principal_asks_for_a_new_token(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{emulator.endpoint}/opc/v2")
    client = open_storage(Connection("instance_principal", endpoint=emulator.endpoint))
    client.get_namespace()
    expire(emulator, client)
    client.get_namespace()
    assert statuses(emulator) == [200, 401, 200]


@pytest.mark.parametrize("body", [b"data", io.BytesIO(b"data")])
def test_request_is_repeated_once_after_a_401(
    body: Any, emulator: Emulator, connection: Connection
) -> None:
    emulator.faults.add(Fault("error", "put_object", times=1, status=401, code="NotAuthenticated"))
    client = open_storage(connection)
    client.put_object(emulator.namespace, "tune-jobs", "name", body)
    assert emulator.object_storage.buckets["tune-jobs"].objects["name"].data == b"data"
    emulator.faults.clear()
    emulator.faults.add(Fault("error", "get_namespace", status=401, code="NotAuthenticated"))
    before = count_requests(emulator)["get_namespace"]
    with pytest.raises(oci.exceptions.ServiceError):
        client.get_namespace()
    assert count_requests(emulator)["get_namespace"] == before + 2


def test_store_names_a_wrong_clock(emulator: Emulator, connection: Connection, store: str) -> None:
    emulator.set_clock_ahead(420.0)
    metrics = MetricStore(store, "study-1", {"connection": connection})
    emulator.faults.add(Fault("error", "put_object", status=401, code="NotAuthenticated"))
    with pytest.raises(StoreError, match=r"clock is 7\.0 minutes behind OCI's") as refused:
        metrics.check_writable()
    assert "another store" not in str(refused.value)


@pytest.mark.parametrize(
    "message",
    [
        "Date 'Thu, 26 Nov 2026' is not within allowed clock skew. Current '...'",
        "the request's date is too far from now",
    ],
)
def test_wrong_clock_is_recognized_by_the_message(message: str) -> None:
    error = oci.exceptions.ServiceError(401, "NotAuthenticated", {}, message)
    assert "clock differs" in read_answer(error).advice


def test_store_names_the_policy_that_it_needs(emulator: Emulator, connection: Connection) -> None:
    folder = ObjectStorageFolder(f"oci://elsewhere@{emulator.namespace}/x", connection)
    with pytest.raises(StoreError, match=r"manage objects .* target\.bucket\.name = 'elsewhere'"):
        folder.write("name", b"")
