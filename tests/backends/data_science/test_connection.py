"""Connections: all ways to authenticate, against verified signatures; object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import oci
import pytest

from tests.oci_emulator import Emulator
from tests.oci_emulator.signing import session_token
from tune_jobs import Connection
from tune_jobs.errors import ConfigError
from tune_jobs.metric_store.object_storage import ObjectStorageFolder


def namespace(connection: Connection) -> str:
    return str(connection.client(oci.object_storage.ObjectStorageClient).get_namespace().data)


def test_api_key_and_profile(emulator: Emulator, tmp_path: Path) -> None:
    config = tmp_path / "config"
    text = emulator.config_file.read_text()
    config.write_text(text.replace("[DEFAULT]", "[TUNING]"))
    config.chmod(0o600)
    connection = Connection(
        auth="api_key", config_file=config, profile="TUNING", endpoint=emulator.endpoint
    )
    assert namespace(connection) == emulator.namespace


def test_security_token(emulator: Emulator, tmp_path: Path) -> None:
    token = session_token(emulator.tenancy, emulator.compartment)
    emulator.add_token(token)
    (tmp_path / "token").write_text(token)
    config = tmp_path / "config"
    config.write_text(
        emulator.config_file.read_text() + f"security_token_file={tmp_path / 'token'}\n"
    )
    config.chmod(0o600)
    connection = Connection("security_token", config, endpoint=emulator.endpoint)
    assert namespace(connection) == emulator.namespace


def test_resource_principal_is_the_default_where_there_is_one(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in emulator.resource_principal().items():
        monkeypatch.setenv(name, value)
    connection = Connection(endpoint=emulator.endpoint)
    assert connection.kind == "resource_principal"
    assert namespace(connection) == emulator.namespace
    assert Connection(config_file="x").kind == "api_key"


def test_variables_of_ads(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_CONFIG_LOCATION", str(emulator.config_file))
    monkeypatch.setenv("OCI_CONFIG_PROFILE", "DEFAULT")
    monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
    assert namespace(Connection()) == emulator.namespace
    monkeypatch.setenv("OCI_IAM_TYPE", "instance_principal")
    assert Connection().kind == "instance_principal"


def test_region_overrides_the_profile(emulator: Emulator) -> None:
    connection = Connection(config_file=emulator.config_file, region="eu-frankfurt-1")
    client = connection.client(oci.data_science.DataScienceClient)
    assert "eu-frankfurt-1" in client.base_client.endpoint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config_file": "/no/such/config"}, "/no/such/config"),
        ({"profile": "MISSING"}, "profile 'MISSING'"),
        ({"auth": "security_token"}, "security_token_file"),
        ({"auth": "resource_principal"}, "works inside OCI"),
    ],
)
def test_invalid_configuration_is_explained(
    options: dict[str, Any],
    message: str,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OCI_RESOURCE_PRINCIPAL_VERSION", raising=False)
    connection = Connection(**{"config_file": emulator.config_file, **options})
    with pytest.raises(ConfigError, match=message):
        connection.client(oci.object_storage.ObjectStorageClient)


def test_clients_are_cached_and_have_no_circuit_breaker(connection: Connection) -> None:
    client = connection.client(oci.object_storage.ObjectStorageClient)
    assert connection.client(oci.object_storage.ObjectStorageClient) is client
    assert client.base_client.circuit_breaker_strategy is None or isinstance(
        client.base_client.circuit_breaker_strategy, oci.circuit_breaker.NoCircuitBreakerStrategy
    )


def test_repr_holds_no_key(connection: Connection) -> None:
    connection.client(oci.object_storage.ObjectStorageClient)
    assert "PRIVATE" not in repr(connection)
    assert "Signer" not in repr(connection)


def test_bucket_without_namespace(connection: Connection, emulator: Emulator) -> None:
    folder = ObjectStorageFolder("oci://tune-jobs/some/prefix", connection)
    folder.write("a.txt", b"abc")
    full = ObjectStorageFolder(f"oci://tune-jobs@{emulator.namespace}/some", connection)
    assert full.find("prefix") == ["a.txt"]


def test_many_folders_are_removed_with_one_listing(
    connection: Connection, emulator: Emulator
) -> None:
    folder = ObjectStorageFolder(f"oci://tune-jobs@{emulator.namespace}/study", connection)
    for number in range(8):
        folder.write(f"runs/trial-{number}/checkpoints/deep/a.txt", b"1")
        folder.write(f"runs/trial-{number}/log.txt", b"1")
    emulator.requests.clear()
    folder.remove_all([f"runs/trial-{n}/checkpoints" for n in (1, 2, 3, 5, 6, 99)])
    listings = [seen for seen in emulator.requests if seen.operation == "list_objects"]
    assert len(listings) == 1
    left = folder.find("runs")
    assert [name for name in left if "checkpoints" in name] == [
        f"trial-{n}/checkpoints/deep/a.txt" for n in (0, 4, 7)
    ]
    assert len([name for name in left if name.endswith("log.txt")]) == 8
    folder.remove_all(["runs/trial-0/checkpoints", "runs/trial-9/checkpoints"])
    assert len(folder.find("runs")) == 10


def test_folder_in_object_storage(connection: Connection, emulator: Emulator) -> None:
    folder = ObjectStorageFolder(f"oci://tune-jobs@{emulator.namespace}", connection)
    with pytest.raises(FileNotFoundError):
        folder.read("missing")
    for number in range(12):
        folder.write(f"metrics/trial-{number:06d}-1.jsonl", b"0123456789")
    path = "metrics/trial-000003-1.jsonl"
    assert (folder.read(path, 4), folder.read(path, 10), folder.read(path, -3)) == (
        b"456789",
        b"",
        b"789",
    )
    emulator.requests.clear()
    found = folder.versions("metrics", "trial-000003-1.jsonl", "trial-000005-1.jsonl")
    assert sorted(found) == [f"trial-{n:06d}-1.jsonl" for n in (3, 4, 5)]
    assert len(emulator.requests) == 1
    folder.write(path, b"x")
    again = folder.versions("metrics", "trial-000003-1.jsonl", "trial-000005-1.jsonl")
    assert [n for n in found if found[n] != again[n]] == ["trial-000003-1.jsonl"]
    folder.remove(path)
    assert "trial-000003-1.jsonl" not in folder.find("metrics")
