"""Objects of OCI Object Storage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tune_jobs.errors import require_package
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import (
    BUCKET,
    MISSING,
    PERMISSION_ADVICE,
    describe_answer,
    read_answer,
)
from tune_jobs.storage.bucket.stores import BucketTrouble, ObjectStore, build_size_error

_PAGE = 1000


class OciStore:
    """Objects below a prefix of a bucket.

    Args:
        bucket: Its name.
        namespace: The namespace; by default it is asked for.
        prefix: Begin of the names; may be empty.
        connection: How OCI is reached; by default as ADS does.

    Raises:
        ConfigError: If the ``oci`` package is not installed, or the connection not configured.
    """

    def __init__(
        self, bucket: str, namespace: str | None, prefix: str, connection: Connection | None
    ) -> None:
        require_package("a study in a bucket of OCI", "oci", extra="oci")
        import oci

        self._client = (connection or Connection()).client(oci.object_storage.ObjectStorageClient)
        self._bucket, self._namespace = bucket, namespace
        self._prefix = f"{prefix}/" if prefix else ""
        self._is_found = False  # whether the bucket is known to exist
        place = f"{bucket}@{namespace}" if namespace else bucket
        self.url = f"oci://{place}/{prefix}".rstrip("/")

    def get(self, name: str, limit: int) -> bytes | None:
        """See `ObjectStore.get`."""
        with self._errors():
            try:
                answer = self._client.get_object(*self._name(name))
            except Exception as error:
                if read_answer(error).kind == MISSING:
                    return None
                raise
            with answer.data as body:
                if int(answer.headers.get("content-length", 0)) > limit:
                    raise build_size_error(self.url, name, limit)
                return bytes(body.content)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`."""
        with self._errors():
            try:
                self._client.put_object(*self._name(name), data, if_none_match="*")
            except Exception as error:
                if getattr(error, "status", None) == 412:
                    return False
                # A caller without the right to overwrite may get a refusal instead of 412.
                if read_answer(error).is_refusal and self._exists(name):
                    return False
                raise
        return True

    def _exists(self, name: str) -> bool:
        try:
            self._client.get_object(*self._name(name), range="bytes=0-0")
        except Exception:  # the refusal that led here says more
            return False
        return True

    def put(self, name: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        with self._errors():
            self._client.put_object(*self._name(name), data)

    def list(self, folder: str, start: str = "") -> list[str]:
        """See `ObjectStore.list`."""
        names: list[str] = []
        wanted = {"prefix": f"{self._prefix}{folder}/", "limit": _PAGE, "fields": "name"}
        if start:
            wanted["start"] = f"{self._prefix}{start}"
        while True:
            with self._errors():
                namespace, bucket, _ = self._name("")
                answer = self._client.list_objects(namespace, bucket, **wanted).data
            names += [each.name[len(self._prefix) :] for each in answer.objects]
            if not answer.next_start_with:
                return names
            wanted["start"] = answer.next_start_with

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        with self._errors():
            try:
                self._client.delete_object(*self._name(name))
            except Exception as error:
                if read_answer(error).kind != MISSING:
                    raise

    def _name(self, name: str) -> tuple[str, str, str]:
        if self._namespace is None:
            self._namespace = str(self._client.get_namespace().data)
        return self._namespace, self._bucket, f"{self._prefix}{name}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert the SDK's errors."""
        try:
            yield
            self._is_found = True
        except Exception as error:
            meaning = read_answer(error, now=time.time())
            if not hasattr(error, "status") and not meaning.is_transient:
                raise  # no answer of the service at all
            policy: Any = policies.STORE.for_bucket(self._bucket)
            is_other = self._is_found and meaning.kind == BUCKET
            advice = (PERMISSION_ADVICE if is_other else meaning.advice).format(policy=policy)
            raise BucketTrouble(describe_answer(error), meaning._replace(advice=advice)) from error


if TYPE_CHECKING:
    _: ObjectStore = OciStore("", None, "", None)
