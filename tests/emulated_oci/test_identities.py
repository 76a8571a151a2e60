"""Keys and tokens that expire or are replaced, and policies, tested with the SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.emulated_oci.clients import open_client, raises_error
from tests.oci_emulator import Emulator
from tests.oci_emulator.policies import Access, Compartment, Principal, Statement, Target

signers = oci.auth.signers


def open_storage(emulator: Emulator, signer: Any) -> Any:
    return oci.object_storage.ObjectStorageClient(
        {"region": emulator.world.region},
        signer=signer,
        service_endpoint=emulator.endpoint,
        retry_strategy=oci.retry.NoneRetryStrategy(),
    )


def test_rotated_api_key(emulator: Emulator) -> None:
    before = open_client(oci.object_storage.ObjectStorageClient, emulator)
    emulator.identities.rotate_api_key()
    with raises_error(401, "NotAuthenticated"):
        before.get_namespace()
    after = open_client(oci.object_storage.ObjectStorageClient, emulator)
    assert after.get_namespace().data == emulator.namespace


def test_security_token_expires(emulator: Emulator) -> None:
    emulator.identities.token_seconds = -1.0
    config = oci.config.from_file(str(emulator.identities.security_token()))

    def read_signer() -> Any:
        key = oci.signer.load_private_key_from_file(config["key_file"])
        return signers.SecurityTokenSigner(Path(config["security_token_file"]).read_text(), key)

    with raises_error(401, "NotAuthenticated"):
        open_storage(emulator, read_signer()).get_namespace()
    emulator.identities.token_seconds = 60.0
    emulator.identities.renew()
    assert open_storage(emulator, read_signer()).get_namespace().data == emulator.namespace


def test_resource_principal_in_files_is_renewed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    emulator.identities.token_seconds = -1.0
    variables = emulator.identities.resource_principal(in_files=tmp_path / "principal")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = open_storage(emulator, signers.get_resource_principals_signer())
    with raises_error(401, "NotAuthenticated"):
        client.get_namespace()
    emulator.identities.token_seconds = 60.0
    emulator.identities.renew()
    assert client.get_namespace().data == emulator.namespace


def test_instance_principal_is_federated_again(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{emulator.endpoint}/opc/v2")
    emulator.identities.token_seconds = 1.0
    signer = signers.InstancePrincipalsSecurityTokenSigner(
        federation_endpoint=f"{emulator.endpoint}/v1/x509"
    )
    client = open_storage(emulator, signer)
    assert client.get_namespace().data == emulator.namespace
    assert client.get_namespace().data == emulator.namespace
    assert signer.region == emulator.world.region
    federated = [seen for seen in emulator.requests if seen.operation == "federate"]
    assert len(federated) > 1  # the SDK refreshes tokens that are about to expire


ALICE = Principal("ocid1.user..alice")
RUN = Principal("ocid1.run", "datasciencejobrun", "ocid1.c")
RULE = "all {resource.type = 'datasciencejobrun', resource.compartment.id = 'ocid1.c'}"


@pytest.mark.parametrize(
    ("statement", "who", "verb", "resource", "allowed"),
    [
        ("allow group g to use objects in tenancy", ALICE, "read", "objects", True),
        ("allow group g to use objects in tenancy", ALICE, "manage", "objects", False),
        ("allow group g to use objects in tenancy", RUN, "read", "objects", False),
        ("allow group other to use objects in tenancy", ALICE, "read", "objects", False),
        ("allow group g to manage object-family in compartment c", ALICE, "use", "buckets", True),
        ("allow group g to manage object-family in compartment d", ALICE, "use", "buckets", False),
        ("allow group g to read objects in compartment parent", ALICE, "read", "objects", True),
        ("allow any-user to read objects in compartment id ocid1.c", RUN, "read", "objects", True),
        ("allow dynamic-group runs to read objects in tenancy", RUN, "read", "objects", True),
        ("allow dynamic-group runs to read objects in tenancy", ALICE, "read", "objects", False),
        (
            "allow group g to manage objects in compartment c where target.bucket.name = 'b'",
            *(ALICE, "manage", "objects", True),
        ),
        (
            "allow group g to manage objects in compartment c where target.bucket.name = 'x'",
            *(ALICE, "manage", "objects", False),
        ),
        (
            "allow group g to read objects in tenancy where any {target.bucket.name = 'x', "
            "target.compartment.id = 'ocid1.c'}",
            *(ALICE, "read", "objects", True),
        ),
    ],
)
def test_policy(statement: str, who: Principal, verb: str, resource: str, allowed: bool) -> None:
    compartments = {
        "ocid1.p": Compartment("parent", "ocid1.t"),
        "ocid1.c": Compartment("c", "ocid1.p"),
        "ocid1.d": Compartment("d", "ocid1.t"),
    }
    access = Access("ocid1.t", compartments, {"g": {ALICE.id}}, {"runs": RULE})
    access.permit(statement)
    assert access.allows(who, verb, resource, Target("ocid1.c", "b")) is allowed


@pytest.mark.parametrize(
    "text",
    [
        "allow group g to own objects in tenancy",
        "allow group g to read things in tenancy",
        "allow group to read objects in tenancy",
        "allow group g to read objects in tenancy where target.bucket.name like 'x'",
        "grant group g to read objects in tenancy",
    ],
)
def test_invalid_statement(text: str) -> None:
    with pytest.raises(ValueError, match=r"statement|unknown|condition|group"):
        Statement.parse(text)


REFUSED = {
    "OBJECT_CREATE": ["overwrite", "get", "list", "delete"],
    "OBJECT_OVERWRITE": ["create", "get", "list", "delete"],
    "OBJECT_READ": ["create", "overwrite", "list", "delete"],
    "OBJECT_INSPECT": ["create", "overwrite", "get", "delete"],
    "OBJECT_DELETE": ["create", "overwrite", "get", "list"],
}


@pytest.mark.parametrize("permission", REFUSED)
def test_permissions_of_objects(emulator: Emulator, storage: Any, permission: str) -> None:
    here = (emulator.namespace, "tune-jobs")
    storage.put_object(*here, "old", b"")
    emulator.access.groups["tuners"] = {emulator.world.user}
    emulator.access.permit(
        f"allow group tuners to manage objects in tenancy where any {{request.permission = "
        f"'{permission}', request.permission = 'OBJECT_RESTORE'}}"
    )
    requests: dict[str, Callable[[], Any]] = {
        "create": lambda: storage.put_object(*here, "new", b""),
        "overwrite": lambda: storage.put_object(*here, "old", b""),
        "get": lambda: storage.get_object(*here, "old"),
        "list": lambda: storage.list_objects(*here),
        "delete": lambda: storage.delete_object(*here, "old"),
    }
    refused = []
    for name, request in requests.items():
        try:
            request()
        except oci.exceptions.ServiceError as error:
            refused.append(name if error.code == "BucketNotFound" else str(error))
    assert refused == REFUSED[permission]


def test_half_permitted_user(emulator: Emulator, science: Any, storage: Any) -> None:
    emulator.access.groups["tuners"] = {emulator.world.user}
    emulator.access.permit(
        "allow group tuners to inspect data-science-jobs in compartment emulated"
    )
    assert science.list_jobs(emulator.compartment).data == []
    with raises_error(404, "NotAuthorizedOrNotFound"):
        science.list_job_runs(emulator.compartment)
    with raises_error(404, "BucketNotFound"):
        storage.list_objects(emulator.namespace, "tune-jobs")
