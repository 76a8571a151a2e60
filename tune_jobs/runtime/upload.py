"""Where a run's metrics and outputs go: Object Storage, or a folder that the tuner sees, too.

Inside a job run of OCI the resource principal signs; elsewhere an API key, as the drivers of ADS
have it (``OCI_CONFIG_LOCATION``, ``OCI_CONFIG_PROFILE``). ``TUNE_JOBS_OCI_ENDPOINT`` is one address
for Object Storage instead of the region's own.

Run side: standard library only, Python 3.8 on; the ``oci`` package where the place is ``oci://``.
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
from typing import Any

_LOG_START = 1 << 20
_LOG_END = 63 << 20
"""Bytes of a long file that are kept: its start and its end."""

_OCI = re.compile(r"oci://(?P<bucket>[^@/]+)(?:@(?P<namespace>[^/]+))?(?:/(?P<prefix>.*))?")


def open_place(uri: str) -> Any:
    """An `ObjectStorage` for ``oci://...``, a `Directory` for a path or ``file://...``.

    Raises:
        ValueError: it is neither.
    """
    match = _OCI.fullmatch(uri.rstrip("/"))
    if match:
        return ObjectStorage(match["bucket"], match["namespace"], match["prefix"] or "")
    if "://" in uri and not uri.startswith("file://"):
        raise ValueError(f"{uri}: a run can write to oci://bucket@namespace/prefix or to a folder")
    return Directory(uri[len("file://") :] if uri.startswith("file://") else uri)


class Directory:
    """A folder in a file system that the tuner sees, too."""

    def __init__(self, path: str) -> None:
        self._path = path

    def put(self, name: str, data: bytes) -> None:
        """Write a file; nobody ever sees half of it."""
        target = self._target(name)
        with open(f"{target}.part", "wb") as file:
            file.write(data)
        os.replace(f"{target}.part", target)

    def put_file(self, name: str, path: str) -> None:
        """Copy a file; nobody ever sees half of it."""
        target = self._target(name)
        shutil.copyfile(path, f"{target}.part")
        os.replace(f"{target}.part", target)

    def get(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            FileNotFoundError: there is none.
        """
        with open(os.path.join(self._path, name), "rb") as file:
            return file.read()

    def get_file(self, name: str, path: str) -> None:
        """Copy a file to ``path``."""
        shutil.copyfile(os.path.join(self._path, name), path)

    def find(self, folder: str) -> list[str]:
        """All files below a folder, relative to it; none if it does not exist."""
        root = os.path.join(self._path, folder)
        found = [os.path.join(at, name) for at, _, names in os.walk(root) for name in names]
        return sorted(os.path.relpath(path, root) for path in found)

    def _target(self, name: str) -> str:
        target = os.path.join(self._path, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target


class ObjectStorage:
    """Objects below a prefix of a bucket."""

    def __init__(self, bucket: str, namespace: str | None, prefix: str) -> None:
        import oci

        config, signer = _identity(oci)
        more = {} if signer is None else {"signer": signer}
        endpoint = os.environ.get("TUNE_JOBS_OCI_ENDPOINT")
        if endpoint:
            more["service_endpoint"] = endpoint
        self._oci = oci
        self._client = oci.object_storage.ObjectStorageClient(
            config,
            retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY,
            # The SDK's is one for the whole process, the script's own clients included.
            circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
            **more,
        )
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._namespace = namespace or self._client.get_namespace().data

    def put(self, name: str, data: bytes) -> None:
        """Write an object."""
        self._client.put_object(self._namespace, self._bucket, self._prefix + name, data)

    def put_file(self, name: str, path: str) -> None:
        """Copy a file, a large one in parts."""
        manager = self._oci.object_storage.UploadManager(self._client)
        manager.upload_file(self._namespace, self._bucket, self._prefix + name, path)

    def get(self, name: str) -> bytes:
        """An object's bytes.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            answer = self._client.get_object(self._namespace, self._bucket, self._prefix + name)
        except self._oci.exceptions.ServiceError as error:
            if error.status == 404:
                raise FileNotFoundError(name) from error
            raise
        return bytes(answer.data.content)

    def get_file(self, name: str, path: str) -> None:
        """Copy an object to ``path``, a piece at a time."""
        answer = self._client.get_object(self._namespace, self._bucket, self._prefix + name)
        with open(path, "wb") as file:
            for piece in answer.data.raw.stream(1 << 20, decode_content=False):
                file.write(piece)

    def find(self, folder: str) -> list[str]:
        """All objects below a folder, relative to it; none if there are none."""
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
    """A file that is uploaded whole whenever it has grown.

    Args:
        place: Where it goes.
        name: Its name there.
        path: The file; it need not exist yet.
        shorten: Whether only the start and the end of a long file are uploaded.
    """

    def __init__(self, place: Any, name: str, path: str, *, shorten: bool = False) -> None:
        self._place, self._name, self._path = place, name, path
        self._shorten = shorten
        self.uploaded = 0
        """Its size when it was uploaded last, in bytes."""

    def upload(self) -> None:
        """Upload it, if there is more of it than before.

        Raises:
            Exception: what the place raises.
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
    """The file for reports where no runner takes them; None outside of a job run.

    What is in it is uploaded every ``TUNE_JOBS_UPLOAD_SECONDS`` (5), and when Python ends. What is
    ended by SIGKILL or ``os._exit`` loses at most what was reported since.
    """
    global _reports
    store, run = os.environ.get("TUNE_JOBS_STORE"), os.environ.get("TUNE_JOBS_RUN")
    if not store or not run:
        return None
    with _lock:
        if _reports is None or _reports[0] != os.getpid():
            path = os.path.join(tempfile.mkdtemp(prefix="tune_jobs-"), "reported.jsonl")
            _reports = (os.getpid(), path)
            upload = GrowingFile(open_place(store), f"metrics/{run}.jsonl", path).upload
            seconds = float(os.environ.get("TUNE_JOBS_UPLOAD_SECONDS", "5"))
            threading.Thread(target=_upload_often, args=(upload, seconds), daemon=True).start()
            atexit.register(upload)
        return _reports[1]


_lock = threading.Lock()
_reports: tuple[int, str] | None = None


def _upload_often(upload: Any, seconds: float) -> None:
    warned = False
    while True:
        time.sleep(seconds)
        try:
            upload()
        except Exception as error:  # whatever the store's client raises
            if not warned:
                print(f"tune_jobs: an upload failed: {error}; trying again", file=sys.stderr)
            warned = True


def _shorten(path: str, target: str, size: int) -> None:
    """The start and the end of a long log, with a line between them."""
    with open(path, "rb") as log, open(target, "wb") as short:
        short.write(log.read(_LOG_START))
        left_out = size - _LOG_START - _LOG_END
        short.write(f"\n... tune_jobs left out {left_out} bytes here ...\n".encode())
        log.seek(size - _LOG_END)
        while True:
            data = log.read(1 << 20)
            if not data:
                return
            short.write(data)


def _identity(oci: Any) -> Any:
    """Configuration and signer, as the drivers of ADS choose them."""
    principal = "OCI_RESOURCE_PRINCIPAL_VERSION" in os.environ
    if principal and os.environ.get("OCI_IAM_TYPE") != "api_key":
        signer = oci.auth.signers.get_resource_principals_signer()
        return {"region": signer.region}, signer
    location = os.environ.get("OCI_CONFIG_LOCATION", "~/.oci/config")
    profile = os.environ.get("OCI_CONFIG_PROFILE", "DEFAULT")
    return oci.config.from_file(os.path.expanduser(location), profile), None
