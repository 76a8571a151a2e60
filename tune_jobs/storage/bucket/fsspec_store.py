"""Objects of the stores that fsspec reaches and that can create one only if it is absent.

bucket+s3://bucket/prefix       Amazon S3 and what is compatible with it (package s3fs)
bucket+az://container/prefix    Azure Blob Storage (adlfs); also bucket+abfs://
bucket+gs://bucket/prefix       Google Cloud Storage (gcsfs), which is not tested
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tune_jobs.errors import require_package
from tune_jobs.runtime.oci_answers import CONFLICT, ERROR, PERMISSION, Meaning
from tune_jobs.storage.bucket.stores import BucketTrouble, ObjectStore, build_size_error

PACKAGES = {
    "s3": ("s3fs", "s3"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "gs": ("gcsfs", "gcs"),
}
"""The package that a protocol needs, and the extra of tune_jobs that installs it."""

_MISSING_BUCKET = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted")
_EXISTS = ("PreconditionFailed", "ConditionNotMet", "BlobAlreadyExists", 412)
_CONFLICT = ("ConditionalRequestConflict", "OperationAborted")
_NO_ACCESS = ("NoCredentialsError", "PartialCredentialsError", "ClientAuthenticationError")
_ADVICE = (
    "Check the name of the bucket, the credentials, and that they may read, list and create "
    "objects there"
)


class FsspecStore:
    """Objects below a prefix of a bucket.

    Args:
        protocol: A protocol of `PACKAGES`.
        path: Bucket and prefix.
        options: Arguments of the file system, such as ``endpoint_url``; fsspec's configuration and
            the environment have the others.

    Raises:
        ConfigError: If its package is not installed.
    """

    def __init__(self, protocol: str, path: str, options: Mapping[str, Any] | None = None) -> None:
        package, extra = PACKAGES[protocol]
        self.url = f"bucket+{protocol}://{path}".rstrip("/")
        require_package(f"the storage {self.url}", package, extra=extra)
        import fsspec

        given = {"use_listings_cache": False, **(options or {})}
        self._files, self._root = fsspec.core.url_to_fs(f"{protocol}://{path}", **given)

    def get(self, name: str, limit: int) -> bytes | None:
        """See `ObjectStore.get`."""
        with self._errors():
            try:
                data = bytes(self._files.cat_file(self._path(name), start=0, end=limit + 1))
            except FileNotFoundError as error:
                if _find_code(error) in _MISSING_BUCKET:
                    raise
                return None
        if len(data) > limit:
            raise build_size_error(self.url, name, limit)
        return data

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`."""
        with self._errors():
            try:
                self._files.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            except Exception as error:
                if _find_code(error) in _EXISTS:
                    return False
                raise
        return True

    def put(self, name: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        with self._errors():
            self._files.pipe_file(self._path(name), data)

    def list(self, folder: str, start: str = "") -> list[str]:
        """See `ObjectStore.list`; fsspec lists whole folders only."""
        with self._errors():
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._path(folder))
            except FileNotFoundError as error:
                if _find_code(error) in _MISSING_BUCKET:
                    raise
                return []
        names = (f"{folder}/{path.rpartition('/')[2]}" for path in found)
        return sorted(name for name in names if name >= start)

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        with self._errors():
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError as error:
                if _find_code(error) in _MISSING_BUCKET:
                    raise

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert the errors of the services' clients, which have no common base."""
        try:
            yield
        except Exception as error:
            code = _find_code(error)
            message = f"{f'{code}: ' if code else ''}{error or type(error).__name__}"
            raise BucketTrouble(" ".join(message.split())[:500], _read(error, code)) from error


def _read(error: Exception, code: object) -> Meaning:
    """Return what an error means."""
    is_refused = isinstance(error, FileNotFoundError | PermissionError) or code in (401, 403, 404)
    if is_refused or code in _MISSING_BUCKET or type(error).__name__ in _NO_ACCESS:
        return Meaning(PERMISSION, 600.0, _ADVICE)
    if code in _CONFLICT:
        return Meaning(CONFLICT, 600.0)
    return Meaning(ERROR, 1800.0)


def _find_code(error: BaseException | None) -> Any:
    """Return the code in the answer that an error was raised from; None without one."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):  # botocore
            return response.get("Error", {}).get("Code")
        for name in ("error_code", "code", "status_code"):  # azure, gcsfs
            if (code := getattr(error, name, None)) is not None:
                return str(getattr(code, "value", code)) if isinstance(code, str) else code
        error = error.__cause__ or error.__context__
    return None


if TYPE_CHECKING:
    _: ObjectStore = FsspecStore("s3", "")
