"""Emulated Object Storage, signatures and faults, tested with the SDK, ocifs and ADS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import oci
import pytest
from oci.exceptions import ServiceError

from tests.emulated_oci.clients import open_client, raises_error
from tests.oci_emulator import Emulator, Fault
from tests.oci_emulator.faults import Kind

# -- Object Storage ----------------------------------------------

NAMES = ["plain", "a/b/c.txt", "ü €.txt", "a+b c", "100%", "question?#&=", "//double"]


@pytest.mark.parametrize("name", NAMES)
def test_objects_with_odd_names(name: str, storage: Any, emulator: Emulator) -> None:
    address = (emulator.namespace, "tune-jobs", name)
    put = storage.put_object(*address, b"0123456789")
    got = storage.get_object(*address)
    assert got.data.content == b"0123456789"
    assert got.headers["etag"] == put.headers["etag"]
    assert storage.get_object(*address, range="bytes=3-5").data.content == b"345"
    assert storage.get_object(*address, range="bytes=-2").data.content == b"89"
    assert storage.head_object(*address).headers["content-length"] == "10"
    assert [o.name for o in storage.list_objects(*address[:2]).data.objects] == [name]
    storage.delete_object(*address)
    with raises_error(404, "ObjectNotFound"):
        storage.get_object(*address)


def test_errors_of_object_storage(storage: Any, emulator: Emulator) -> None:
    here = (emulator.namespace, "tune-jobs")
    storage.put_object(*here, "x", b"abc")
    with raises_error(416, "InvalidRange"):
        storage.get_object(*here, "x", range="bytes=3-")
    with raises_error(412, "IfNoneMatchFailed"):
        storage.put_object(*here, "x", b"", if_none_match="*")
    with raises_error(412, "IfMatchFailed"):
        storage.put_object(*here, "x", b"", if_match="another")
    with raises_error(412, "IfMatchFailed"):
        storage.put_object(*here, "missing", b"", if_match="another")
    with raises_error(400, "InvalidParameter"):
        storage.put_object(*here, "x", b"", if_none_match="another")
    assert storage.get_object(*here, "x").data.content == b"abc"
    with raises_error(404, "BucketNotFound"):
        storage.put_object(emulator.namespace, "no-bucket", "x", b"")
    with raises_error(404, "NamespaceNotFound"):
        storage.list_objects("elsewhere", "tune-jobs")
    with raises_error(400, "UnmatchedContentMD5"):
        storage.put_object(*here, "y", b"abc", content_md5="wrong")
    details = oci.object_storage.models.CreateBucketDetails(
        name="tune-jobs", compartment_id=emulator.compartment
    )
    with raises_error(409, "BucketAlreadyExists"):
        storage.create_bucket(emulator.namespace, details)
    with pytest.raises(ServiceError, match="404"):
        storage.head_object(*here, "missing")


def test_listings(storage: Any, emulator: Emulator) -> None:
    here = (emulator.namespace, "tune-jobs")
    for name in ("a/1", "a/2", "a/b/3", "a/b/4", "c"):
        storage.put_object(*here, name, b"abc")

    def names(**options: Any) -> tuple[list[str], list[str], str | None]:
        found = storage.list_objects(*here, **options).data
        return [o.name for o in found.objects], found.prefixes or [], found.next_start_with

    assert names(prefix="a/") == (["a/1", "a/2", "a/b/3", "a/b/4"], [], None)
    assert names(prefix="a/", delimiter="/") == (["a/1", "a/2"], ["a/b/"], None)
    assert names(start="a/2", end="c") == (["a/2", "a/b/3", "a/b/4"], [], None)
    assert names(limit=2) == (["a/1", "a/2"], [], "a/b/3")
    assert names(limit=1, delimiter="/") == ([], ["a/"], "c")
    shown = storage.list_objects(*here, fields="name,size,etag,timeModified").data.objects[0]
    assert (shown.size, bool(shown.etag), shown.md5) == (3, True, None)
    assert storage.list_objects(*here).data.objects[0].size is None


def test_multipart_uploads(storage: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(300_000))
    here = (emulator.namespace, "tune-jobs", "big")
    manager = oci.object_storage.UploadManager(storage)
    manager.upload_file(*here, str(path), part_size=100_000)
    assert storage.get_object(*here).data.content == path.read_bytes()
    with raises_error(404, "NoSuchUpload"):
        storage.upload_part(*here, "no-upload", 1, b"x")


def test_renaming(storage: Any, emulator: Emulator) -> None:
    here = (emulator.namespace, "tune-jobs")
    storage.put_object(*here, "old", b"abc")
    details = oci.object_storage.models.RenameObjectDetails(source_name="old", new_name="new")
    storage.rename_object(*here, details)
    assert [o.name for o in storage.list_objects(*here).data.objects] == ["new"]


def test_ocifs(emulator: Emulator) -> None:
    fs = fsspec.filesystem(
        "oci",
        config=emulator.config(),
        config_kwargs={"service_endpoint": emulator.endpoint},
        skip_instance_cache=True,
    )
    root = f"tune-jobs@{emulator.namespace}/data"
    with fs.open(f"{root}/a.txt", "wb") as file:
        file.write(b"abc")
    with fs.open(f"{root}/big", "wb") as file:
        file.write(b"x" * (6 << 20))
    assert fs.cat(f"{root}/a.txt") == b"abc"
    assert fs.info(f"{root}/big")["size"] == 6 << 20
    assert [p.rsplit("/", 1)[1] for p in sorted(fs.find(root))] == ["a.txt", "big"]
    assert not fs.exists(f"{root}/missing")
    fs.rm(f"{root}/a.txt")
    assert not fs.exists(f"{root}/a.txt")


# -- signatures ----------------------------------------------


def test_wrong_key_is_refused(emulator: Emulator, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tests.oci_emulator.signing import pem

    other = tmp_path / "other.pem"
    other.write_text(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    storage = open_client(oci.object_storage.ObjectStorageClient, emulator, key_file=str(other))
    with raises_error(401, "NotAuthenticated"):
        storage.get_namespace()


def test_unknown_user_is_refused(emulator: Emulator) -> None:
    user = "ocid1.user.oc1..unknown"
    storage = open_client(oci.object_storage.ObjectStorageClient, emulator, user=user)
    with raises_error(401, "NotAuthenticated"):
        storage.get_namespace()


def test_unsigned_body_is_refused(emulator: Emulator, science: Any) -> None:
    import requests

    signer = oci.signer.Signer.from_config(emulator.config())
    url = f"{emulator.endpoint}/20190101/jobs"
    prepared = requests.Request("POST", url, json={"a": 1}, auth=signer).prepare()
    prepared.body = b'{"a": 2}'
    with requests.Session() as session:
        assert session.send(prepared).status_code == 401
        assert session.get(url).status_code == 401
        old = requests.Request("GET", url, auth=signer).prepare()
        old.headers["date"] = "Thu, 05 Jan 2014 21:31:40 GMT"
        assert session.send(old).status_code == 401


def test_resource_principal(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in emulator.resource_principal().items():
        monkeypatch.setenv(name, value)
    signer = oci.auth.signers.get_resource_principals_signer()
    storage = oci.object_storage.ObjectStorageClient(
        {"region": signer.region}, signer=signer, service_endpoint=emulator.endpoint
    )
    assert storage.get_namespace().data == emulator.namespace


# -- faults ----------------------------------------------


@pytest.mark.parametrize("kind", ["throttle", "error", "drop_before", "drop_after"])
def test_faults(kind: Kind, emulator: Emulator, storage: Any) -> None:
    emulator.faults.add(Fault(kind, operation="put_object", times=1, after=1))
    here = (emulator.namespace, "tune-jobs")
    storage.put_object(*here, "a", b"")
    with pytest.raises((ServiceError, oci.exceptions.RequestException)) as caught:
        storage.put_object(*here, "b", b"")
    status = getattr(caught.value, "status", None)
    assert status == {"throttle": 429, "error": 503}.get(kind)
    names = [o.name for o in storage.list_objects(*here).data.objects]
    assert names == (["a", "b"] if kind == "drop_after" else ["a"])
    storage.put_object(*here, "c", b"")


def test_requests_are_counted(emulator: Emulator, storage: Any) -> None:
    storage.get_namespace()
    with pytest.raises(ServiceError):
        storage.get_bucket(emulator.namespace, "none")
    assert [(s.operation, s.status) for s in emulator.requests] == [
        ("get_namespace", 200),
        ("get_bucket", 404),
    ]
