"""The emulated Vault, tested with the SDK and oci-cli."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import oci
import pytest

from tests.emulated_oci.clients import open_client, raises_error
from tests.oci_emulator import Emulator

TOKEN = "päss\nword".encode()


@pytest.fixture
def secrets(emulator: Emulator) -> Any:
    return open_client(oci.secrets.SecretsClient, emulator)


def content(answer: Any) -> bytes:
    return base64.b64decode(answer.data.secret_bundle_content.content)


def test_stages_and_rotation(emulator: Emulator, secrets: Any) -> None:
    ocid = emulator.vault.add("token", b"first")
    emulator.vault.rotate(ocid, b"second", name="v2")
    emulator.vault.rotate(ocid, b"third")
    emulator.vault.rotate(ocid, b"fourth", pending=True)
    by_stage = {"CURRENT": b"third", "PREVIOUS": b"second", "DEPRECATED": b"first"}
    by_stage |= {"PENDING": b"fourth", "LATEST": b"fourth"}
    for stage, value in by_stage.items():
        assert content(secrets.get_secret_bundle(ocid, stage=stage)) == value
    assert content(secrets.get_secret_bundle(ocid)) == b"third"
    assert content(secrets.get_secret_bundle(ocid, version_number=1)) == b"first"
    assert content(secrets.get_secret_bundle(ocid, secret_version_name="v2")) == b"second"
    emulator.vault.promote(ocid, 4)
    assert secrets.get_secret_bundle(ocid).data.stages == ["CURRENT", "LATEST"]
    assert len(secrets.list_secret_bundle_versions(ocid).data) == 4


def test_by_name(emulator: Emulator, secrets: Any) -> None:
    emulator.vault.add("token", TOKEN)
    assert content(secrets.get_secret_bundle_by_name("token", emulator.vault.id)) == TOKEN
    with raises_error(404, "NotAuthorizedOrNotFound"):
        secrets.get_secret_bundle_by_name("token", "ocid1.vault.oc1..other")


def test_what_is_rejected(emulator: Emulator, secrets: Any) -> None:
    ocid = emulator.vault.add("token", TOKEN)
    with raises_error(404, "NotAuthorizedOrNotFound"):
        secrets.get_secret_bundle("ocid1.vaultsecret.oc1..none")
    with raises_error(404, "NotAuthorizedOrNotFound"):
        secrets.get_secret_bundle(ocid, stage="PENDING")
    with raises_error(400, "InvalidParameter"):
        secrets.get_secret_bundle(ocid, stage="CURRENT", version_number=1)
    with raises_error(404, "NotAuthorizedOrNotFound"):
        secrets.get_secret_bundle(ocid, version_number=7)
    for state in ("PENDING_DELETION", "DELETED"):
        emulator.vault.set_state(ocid, state)
        with raises_error(404, "NotAuthorizedOrNotFound"):
            secrets.get_secret_bundle(ocid)


def test_permissions(emulator: Emulator, secrets: Any) -> None:
    ocid, other = emulator.vault.add("token", TOKEN), emulator.vault.add("other", TOKEN)
    vaults = open_client(oci.vault.VaultsClient, emulator)
    emulator.access.groups["readers"] = {emulator.world.user}
    emulator.access.permit(
        f"allow group readers to read secret-bundles in tenancy where target.secret.id = '{ocid}'"
    )
    assert content(secrets.get_secret_bundle(ocid)) == TOKEN
    for refused in (secrets.get_secret_bundle, vaults.get_secret):
        with raises_error(404, "NotAuthorizedOrNotFound"):
            refused(other)
    emulator.access.permit("allow group readers to read secret-family in tenancy")
    assert vaults.get_secret(other).data.lifecycle_state == "ACTIVE"
    assert [s.secret_name for s in vaults.list_secrets(emulator.compartment).data] == [
        "token",
        "other",
    ]


@pytest.mark.slow
def test_oci_cli(emulator: Emulator, cli: Callable[..., Any]) -> None:
    ocid = emulator.vault.add("token", b"first")
    emulator.vault.rotate(ocid, TOKEN)
    read = ["secrets", "secret-bundle"]
    bundle = cli(*read, "get", "--secret-id", ocid)["data"]
    assert base64.b64decode(bundle["secret-bundle-content"]["content"]) == TOKEN
    names = ["--secret-name", "token", "--vault-id", emulator.vault.id, "--stage", "PREVIOUS"]
    bundle = cli(*read, "get-secret-bundle-by-name", *names)["data"]
    assert base64.b64decode(bundle["secret-bundle-content"]["content"]) == b"first"
    assert cli("vault", "secret", "get", "--secret-id", ocid)["data"]["secret-name"] == "token"
