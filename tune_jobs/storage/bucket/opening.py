"""Stores of objects, and Optuna's storages in them, by URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tune_jobs.arguments.calls import strict_types
from tune_jobs.errors import StudyError
from tune_jobs.oci.connection import Connection
from tune_jobs.storage.bucket import bases, entries
from tune_jobs.storage.bucket.requests import Requests
from tune_jobs.storage.bucket.stores import ObjectStore

_BACKENDS = ("oci", "bucket")

FORMS = (
    "oci://bucket@namespace/prefix, bucket+s3://bucket/prefix, bucket+az://container/prefix, "
    "bucket+gs://bucket/prefix, or bucket+file:///folder with the whole path"
)
"""The URLs of databases in buckets."""


def is_bucket(url: str | URL) -> bool:
    """Return whether a URL is that of a database in a bucket."""
    try:
        return make_url(url).get_backend_name() in _BACKENDS
    except ArgumentError:
        return False


def open_store(
    url: URL,
    connection: Connection | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ObjectStore:
    """Return the store of a URL.

    Args:
        url: URL of the database.
        connection: How OCI is reached; by default as ADS does.
        storage_options: Arguments of fsspec's file system for other services.

    Raises:
        StudyError: If the URL is invalid.
        ConfigError: If a package is missing, or the connection is not configured.
    """
    kind, prefix = url.drivername.removeprefix("bucket+"), _read_prefix(url)
    if kind == "oci" and (url.username or url.host):
        from tune_jobs.storage.bucket.oci_store import OciStore

        bucket, namespace = (url.username, url.host) if url.username else (url.host, None)
        return OciStore(str(bucket), namespace, prefix, connection)
    if kind == "file" and url.host is None and prefix:
        from tune_jobs.storage.bucket.folder_store import FolderStore

        return FolderStore(f"/{prefix}")
    from tune_jobs.storage.bucket.fsspec_store import PACKAGES, FsspecStore

    if kind in PACKAGES and url.host:
        account = f"{url.username}@" if url.username else ""
        return FsspecStore(kind, f"{account}{url.host}/{prefix}", storage_options)
    raise StudyError(f"invalid storage {url}: write {FORMS}")


def _read_prefix(url: URL) -> str:
    """Return the prefix of a URL, in which SQLAlchemy has decoded escapes: ``%2F`` is a slash.

    Raises:
        StudyError: If it does not look the same in a URL, which would then be that of another one.
    """
    prefix = (url.database or "").strip("/")
    if found := set(prefix) & set("%?"):
        raise StudyError(
            f"invalid storage {url}: {min(found)!r} in a prefix (%2F is decoded to a slash, and so "
            "on): use letters, digits, '-', '_', '.' and '/'"
        )
    return prefix


def has_log(url: str, connection: Connection | None = None) -> bool:
    """Return whether a bucket has the log of a database at a URL; creates nothing.

    Raises:
        StudyError: If the URL is invalid, or the store refuses.
        sqlite3.OperationalError: If it does not answer.
    """
    requests = Requests(open_store(make_url(url), connection))
    first = requests.get(entries.name_entry(1), entries.MAX_BYTES)
    return first is not None or bool(requests.list(bases.FOLDER))


@strict_types
def bucket_storage(
    url: str,
    connection: Connection | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> RDBStorage:
    """Return Optuna's storage for a database in a bucket; creates the database if there is none.

    Where the environment says how the service is reached, the URL can be given to Optuna instead.

    Args:
        url: Such as ``oci://bucket@namespace/prefix``.
        connection: How OCI is reached; by default as ADS does.
        storage_options: For other services, arguments of fsspec's file system, such as
            ``endpoint_url`` for S3.

    Raises:
        StudyError: If the URL is invalid, or the database cannot be used.
    """
    if not is_bucket(url):
        raise StudyError(f"{url!r} is not in a bucket: write {FORMS}")
    arguments = {"connection": connection, "storage_options": storage_options}
    return RDBStorage(url, engine_kwargs={"connect_args": arguments})
