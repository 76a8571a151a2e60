"""A folder of the metric store in OCI Object Storage, through the ``oci`` client.

    oci://bucket@namespace/prefix        oci://bucket/prefix (in the tenancy's own namespace)

The ``oci`` client needs one request for a read where ocifs needs two, and lists a range of names,
which fsspec cannot.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from os.path import commonpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from tune_jobs.errors import ConfigError, StoreError, require_package
from tune_jobs.metric_store.base import FileEntry, FilePart, Folder, store_errors
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import describe_answer, endure_briefly, read_answer

_URI = re.compile(r"oci://(?P<bucket>[^@/]+)(?:@(?P<namespace>[^/]+))?(?:/(?P<prefix>.*))?")
_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<size>\d+)")
_PAGE = 1000
_PIECE = 1 << 20
_FEW = 4
"""Number of folders up to which each is listed by itself."""


class ObjectStorageFolder:
    """Objects below a prefix of one bucket.

    Args:
        uri: ``oci://bucket@namespace/prefix``.
        connection: How OCI is reached; by default as ADS does.

    Raises:
        StoreError: If the URI is invalid, the ``oci`` package is not installed or the service
            refuses.
        ConfigError: If the connection is not configured.
    """

    readers = 8

    def __init__(self, uri: str, connection: Connection | None = None) -> None:
        parts = _URI.fullmatch(uri.rstrip("/"))
        if parts is None:
            raise StoreError(f"invalid URI {uri!r}: write oci://bucket@namespace/prefix")
        try:
            require_package(f"the metric store {uri}", "oci", extra="oci")
        except ConfigError as error:
            raise StoreError(str(error)) from error
        import oci

        self._retry = _build_retry(attempts=5, seconds=60, longest=8)
        # Polls are repeated anyway, and trouble is to be said soon.
        self._poll_retry = _build_retry(attempts=3, seconds=4, longest=1)
        self._error = oci.exceptions.ServiceError
        self._client = (connection or Connection()).client(oci.object_storage.ObjectStorageClient)
        self._uri, self._bucket = uri.rstrip("/"), parts["bucket"]
        with self._errors(f"opening the metric store {uri!r}"):
            self._namespace = parts["namespace"] or self._call(self._client.get_namespace).data
        self._prefix = f"{parts['prefix']}/" if parts["prefix"] else ""

    @property
    def uri(self) -> str:
        """Its URI with the namespace, which job runs need no permission to find then."""
        return f"oci://{self._bucket}@{self._namespace}/{self._prefix}".rstrip("/")

    def read(self, path: str, start: int = 0) -> bytes:
        """See `Folder.read`."""
        wanted = {} if start == 0 else {"range": f"bytes={start}" + ("-" if start > 0 else "")}
        with self._errors(f"reading {self._uri}/{path}"):
            try:
                return self._get(path, wanted)[0]
            except self._error as error:
                if error.status == 416:  # the object ends before ``start``
                    return b""
                raise

    def read_part(self, path: str, start: int, length: int) -> FilePart:
        """See `Folder.read_part`: one request for a part that begins within the object."""
        wanted = f"bytes={start}" if start < 0 else f"bytes={start}-{start + length - 1}"
        with self._errors(f"reading {self._uri}/{path}"):
            try:
                data, headers = self._get(path, {"range": wanted})
            except self._error as error:
                if error.status != 416:
                    raise
                size = self._read_size(path)  # the object ends before ``start``, or is empty
                return FilePart(b"", min(size, max(0, start)), size)
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if found is None:  # the whole object
            first = max(0, len(data) + start) if start < 0 else min(start, len(data))
            return FilePart(data[first : first + length], first, len(data))
        return FilePart(data[:length], int(found["first"]), int(found["size"]))

    def _get(self, path: str, wanted: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """Return what a request for an object answers, and its headers."""
        try:
            answer = self._call(self._client.get_object, *self._name(path), **wanted)
        except self._error as error:
            if error.status == 404 and error.code == "ObjectNotFound":
                raise FileNotFoundError(path) from error
            raise
        with answer.data as body:
            return bytes(body.content), answer.headers

    def _read_size(self, path: str) -> int:
        answer = self._call(self._client.head_object, *self._name(path))
        return int(answer.headers["content-length"])

    def write(self, path: str, data: bytes) -> None:
        """See `Folder.write`."""
        with self._errors(f"writing {self._uri}/{path}"):
            self._call(self._client.put_object, *self._name(path), data)

    def remove(self, path: str) -> None:
        """See `Folder.remove`."""
        with self._errors(f"removing {self._uri}/{path}"):
            try:
                self._call(self._client.delete_object, *self._name(path))
            except self._error as error:
                if error.status == 404 and error.code == "ObjectNotFound":
                    raise FileNotFoundError(path) from error
                raise

    def remove_all(self, folders: Sequence[str]) -> None:
        """See `Folder.remove_all`: lists a few folders one by one, many by their common prefix."""
        if len(folders) <= _FEW:
            found = [f"{folder}/{name}" for folder in folders for name in self.find(folder)]
        else:
            wanted = set(folders)
            listed = self._list(
                prefix=f"{self._prefix}{commonpath(folders)}",
                start=f"{self._prefix}{min(folders)}",
                end=f"{self._prefix}{max(folders)}\x7f",
            )
            names = (entry["name"][len(self._prefix) :] for entry in listed)
            found = [n for n in names if any(str(p) in wanted for p in PurePosixPath(n).parents)]
        for name in found:
            with suppress(FileNotFoundError):
                self.remove(name)

    def versions(self, folder: str, first: str, last: str) -> dict[str, str]:
        """See `Folder.versions`."""
        root = f"{self._prefix}{folder}/"
        entries = self._list(
            prefix=root,
            start=f"{root}{first}",
            end=f"{root}{last}\x7f",  # `end` itself is excluded
            delimiter="/",
            fields="name,etag",
            retry_strategy=self._poll_retry,
        )
        names = {entry["name"][len(root) :]: entry["etag"] for entry in entries}
        return {name: etag or "" for name, etag in names.items() if first <= name <= last}

    def find(self, folder: str) -> list[str]:
        """See `Folder.find`."""
        root = f"{self._prefix}{folder}/"
        return sorted(entry["name"][len(root) :] for entry in self._list(prefix=root))

    def entries(self, folder: str) -> list[FileEntry]:
        """See `Folder.entries`."""
        root = f"{self._prefix}{folder}/"
        listed = self._list(prefix=root, fields="name,size,timeModified")
        found = [
            FileEntry(entry["name"][len(root) :], entry["size"] or 0, entry["modified"])
            for entry in listed
            if not entry["name"].endswith("/")  # a folder that a console created
        ]
        return sorted(found, key=lambda entry: entry.path)

    def download(self, path: str, target: BinaryIO) -> None:
        """See `Folder.download`."""
        with self._errors(f"reading {self._uri}/{path}"):
            try:
                answer = self._call(self._client.get_object, *self._name(path))
            except self._error as error:
                if error.status == 404 and error.code == "ObjectNotFound":
                    raise FileNotFoundError(path) from error
                raise
            with answer.data as body:
                for piece in body.raw.stream(_PIECE, decode_content=False):
                    target.write(piece)

    def _list(self, **wanted: Any) -> Iterator[dict[str, Any]]:
        """Yield the entries of all pages of a listing."""
        while True:
            with self._errors(f"listing {self._uri}"):
                answer = self._call(
                    self._client.list_objects, self._namespace, self._bucket, limit=_PAGE, **wanted
                ).data
            for entry in answer.objects:
                modified = entry.time_modified and entry.time_modified.timestamp()
                yield {
                    "name": entry.name,
                    "etag": entry.etag,
                    "size": entry.size,
                    "modified": modified,
                }
            if not answer.next_start_with:
                return
            wanted["start"] = answer.next_start_with

    def _errors(self, action: str) -> AbstractContextManager[None]:
        return store_errors(action, self._advise, describe_answer)

    def _advise(self, error: Exception) -> str:
        policy = policies.STORE.for_bucket(self._bucket)
        return read_answer(error, now=time.time()).advice.format(policy=policy)

    def _name(self, path: str) -> tuple[str, str, str]:
        return self._namespace, self._bucket, f"{self._prefix}{path}"

    def _call(self, operation: Any, *arguments: Any, **wanted: Any) -> Any:
        if "retry_strategy" in wanted:
            return operation(*arguments, **wanted)
        return endure_briefly(partial(operation, *arguments, retry_strategy=self._retry, **wanted))


def _build_retry(attempts: int, seconds: int, longest: int) -> Any:
    import oci

    return oci.retry.RetryStrategyBuilder(
        max_attempts_check=True,
        max_attempts=attempts,
        total_elapsed_time_check=True,
        total_elapsed_time_seconds=seconds,
        retry_base_sleep_time_seconds=0.5,
        retry_max_wait_between_calls_seconds=longest,
        service_error_check=True,
        service_error_retry_on_any_5xx=True,
        service_error_retry_config={429: []},
    ).get_retry_strategy()


if TYPE_CHECKING:
    _: Folder = ObjectStorageFolder("")
