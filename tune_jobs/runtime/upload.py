"""Upload a run's metrics and outputs to Object Storage, or to a folder shared with the tuner.

In a job run of OCI, requests are signed by the resource principal; elsewhere by an API key, found
as ADS does (``OCI_CONFIG_LOCATION``, ``OCI_CONFIG_PROFILE``). ``TUNE_JOBS_OCI_ENDPOINT`` replaces
the region's endpoint of Object Storage. ``oci://`` needs the ``oci`` package.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from functools import partial
from typing import Any

from .oci_answers import MISSING, describe_answer, endure_briefly, read_answer
from .oci_identity import find_identity, renew_on_401
from .private_files import make_folders, open_private
from .refusals import persist

_LOG_START = 1 << 20
_LOG_END = 63 << 20
"""Bytes at the start and at the end of a long log that are kept."""

_OCI = re.compile(r"oci://(?P<bucket>[^@/]+)(?:@(?P<namespace>[^/]+))?(?:/(?P<prefix>.*))?")


def parse_uri(uri: str) -> tuple[str, str | None, str]:
    """Return bucket, namespace (if given) and prefix of ``oci://bucket@namespace/prefix``.

    Raises:
        ValueError: If it is another URI.
    """
    match = _OCI.fullmatch(uri.rstrip("/"))
    if match is None:
        raise ValueError(f"invalid URI {uri!r}: write oci://bucket@namespace/prefix")
    return match["bucket"], match["namespace"], match["prefix"] or ""


def open_place(uri: str) -> Any:
    """Open ``oci://...`` as `ObjectStorage`, and a path or ``file://...`` as `Directory`.

    Raises:
        ValueError: If the URI has another protocol.
    """
    match = _OCI.fullmatch(uri.rstrip("/"))
    if match:
        return ObjectStorage(match["bucket"], match["namespace"], match["prefix"] or "")
    if "://" in uri and not uri.startswith("file://"):
        raise ValueError(f"invalid store {uri!r}: use oci://bucket@namespace/prefix or a folder")
    return Directory(uri[len("file://") :] if uri.startswith("file://") else uri)


class Directory:
    """Folder in a file system that the tuner shares."""

    def __init__(self, path: str) -> None:
        self._path = path

    def put(self, name: str, data: bytes) -> None:
        """Write a file atomically (temporary file, then rename)."""
        target = self._target(name)
        with open(f"{target}.part", "wb", opener=open_private) as file:
            file.write(data)
        os.replace(f"{target}.part", target)

    def put_file(self, name: str, path: str) -> None:
        """Copy a local file atomically (temporary file, then rename)."""
        target = self._target(name)
        with open(path, "rb") as source, open(f"{target}.part", "wb", opener=open_private) as file:
            shutil.copyfileobj(source, file)
        os.replace(f"{target}.part", target)

    def get(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: If it does not exist.
        """
        with open(os.path.join(self._path, name), "rb") as file:
            return file.read()

    def get_file(self, name: str, path: str) -> None:
        """Copy a file to the local ``path``."""
        shutil.copyfile(os.path.join(self._path, name), path)

    def find(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, relative to it."""
        root = os.path.join(self._path, folder)
        found = [os.path.join(at, name) for at, _, names in os.walk(root) for name in names]
        return sorted(os.path.relpath(path, root) for path in found)

    def _target(self, name: str) -> str:
        target = os.path.join(self._path, name)
        make_folders(os.path.dirname(target))
        return target


class ObjectStorage:
    """Objects below a prefix of a bucket in OCI Object Storage."""

    def __init__(self, bucket: str, namespace: str | None, prefix: str) -> None:
        import oci

        config, signer = find_identity(oci)
        endpoint = os.environ.get("TUNE_JOBS_OCI_ENDPOINT")
        options = {"service_endpoint": endpoint} if endpoint else {}
        client = oci.object_storage.ObjectStorageClient(
            config,
            signer=signer,
            retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY,
            # The SDK shares one for the whole process, including the script's own clients.
            circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
            **options,
        )
        self._oci, self._client = oci, renew_on_401(client, signer)
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._namespace = namespace or self._client.get_namespace().data

    def put(self, name: str, data: bytes) -> None:
        """Write an object atomically."""
        self._client.put_object(self._namespace, self._bucket, self._prefix + name, data)

    def put_file(self, name: str, path: str) -> None:
        """Upload a local file, in parts if it is large."""
        manager = self._oci.object_storage.UploadManager(self._client)
        manager.upload_file(self._namespace, self._bucket, self._prefix + name, path)

    def get(self, name: str) -> bytes:
        """Return the content of an object.

        Raises:
            FileNotFoundError: If it does not exist.
        """
        try:
            answer = self._client.get_object(self._namespace, self._bucket, self._prefix + name)
        except self._oci.exceptions.ServiceError as error:
            if read_answer(error).kind == MISSING:
                raise FileNotFoundError(name) from error
            raise
        return bytes(answer.data.content)

    def get_file(self, name: str, path: str) -> None:
        """Download an object to the local ``path`` in pieces."""
        answer = self._client.get_object(self._namespace, self._bucket, self._prefix + name)
        with open(path, "wb") as file:
            for piece in answer.data.raw.stream(1 << 20, decode_content=False):
                file.write(piece)

    def find(self, folder: str) -> list[str]:
        """Return the names of all objects below a folder, relative to it."""
        root, start, found = f"{self._prefix}{folder}/", None, []
        while True:
            more: dict[str, Any] = {} if start is None else {"start": start}
            page = self._client.list_objects(
                self._namespace, self._bucket, prefix=root, **more
            ).data
            found += [entry.name[len(root) :] for entry in page.objects]
            start = page.next_start_with
            if not start:
                return found


class GrowingFile:
    """Local file that is uploaded as a whole whenever it has grown.

    Args:
        place: Where to upload it, see `open_place`.
        name: Its name there.
        path: The local file; it need not exist yet.
        shorten: Whether to upload only the start and the end of a long file.

    Attributes:
        uploaded: Size in bytes of what was uploaded last.
    """

    def __init__(self, place: Any, name: str, path: str, *, shorten: bool = False) -> None:
        self._place, self._name, self._path = place, name, path
        self._shorten = shorten
        self.uploaded = 0

    def upload(self) -> None:
        """Upload the file if it has grown.

        Raises:
            Exception: Whatever the place raises.
        """
        try:
            size = os.stat(self._path).st_size
        except OSError:
            return
        if size == self.uploaded:
            return
        if size <= _LOG_START + _LOG_END:
            with open(self._path, "rb") as file:
                self._place.put(self._name, file.read(size))
        elif not self._shorten:
            self._place.put_file(self._name, self._path)
        else:
            shortened = f"{self._path}.short"
            _shorten(self._path, shortened, size)
            self._place.put_file(self._name, shortened)
        self.uploaded = size


def report_file() -> str | None:
    """Return the file for reports of a job run without a runner; None outside of a job run.

    It is uploaded every ``TUNE_JOBS_UPLOAD_SECONDS`` (5) and at the interpreter's exit. A process
    that ends by SIGKILL or ``os._exit`` loses the reports since the last upload.
    """
    global _reports
    store, run = os.environ.get("TUNE_JOBS_STORE"), os.environ.get("TUNE_JOBS_RUN")
    if not store or not run:
        return None
    with _lock:
        if _reports is None or _reports[0] != os.getpid():
            path = os.path.join(tempfile.mkdtemp(prefix="tune_jobs-"), "reported.jsonl")
            _reports = (os.getpid(), path)
            file = GrowingFile(open_place(store), f"metrics/{run}.jsonl", path)
            seconds = float(os.environ.get("TUNE_JOBS_UPLOAD_SECONDS", "5"))
            arguments = (file.upload, seconds)
            threading.Thread(target=_upload_forever, args=arguments, daemon=True).start()
            atexit.register(_upload_finally, file)
        return _reports[1]


_lock = threading.Lock()
_reports: tuple[int, str] | None = None


def _upload_forever(upload: Any, seconds: float) -> None:
    warned = False
    while True:
        time.sleep(seconds)
        try:
            upload()
        except Exception as error:  # whatever the store's client raises
            if not warned:
                reason = describe_answer(error)
                print(f"tune_jobs: an upload failed, retrying: {reason}", file=sys.stderr)
            warned = True


def _upload_finally(file: GrowingFile) -> None:
    """Upload the last reports, with patience if earlier ones were accepted."""
    problem = persist(partial(endure_briefly, file.upload), lambda: not file.uploaded)
    if problem:
        print(f"tune_jobs: the reports are incomplete: {problem}", file=sys.stderr)


def _shorten(path: str, target: str, size: int) -> None:
    """Copy the start and the end of a long log, with a line that says what is missing."""
    with open(path, "rb") as log, open(target, "wb") as short:
        short.write(log.read(_LOG_START))
        omitted = size - _LOG_START - _LOG_END
        short.write(f"\n... tune_jobs omitted {omitted} bytes here ...\n".encode())
        log.seek(size - _LOG_END)
        while True:
            data = log.read(1 << 20)
            if not data:
                return
            short.write(data)
