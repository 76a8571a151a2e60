"""Trials of the assumptions about Object Storage, with a few small objects."""

from __future__ import annotations

import contextlib
from typing import Any

from tune_jobs.backends.data_science.doctor.repeating import RepeatingClient
from tune_jobs.backends.data_science.doctor.report import Findings
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.probe import REPORTS
from tune_jobs.runtime.upload import parse_uri


class StoreTrials:
    """Trials in the folder of one examination.

    Args:
        connection: The connection to OCI.
        uri: URI of an empty folder.
        findings: Where results are added.
    """

    def __init__(self, connection: Connection, uri: str, findings: Findings) -> None:
        import oci

        self._error = oci.exceptions.ServiceError
        client = connection.client(oci.object_storage.ObjectStorageClient)
        self._client: Any = RepeatingClient(client)
        self._bucket, self._namespace, prefix = parse_uri(uri)
        self._prefix, self._findings = f"{prefix}/", findings
        self._names = {f"{name}.json" for name in REPORTS}

    @property
    def uri(self) -> str:
        """URI of the folder, with its namespace once that is known."""
        place = f"{self._bucket}@{self._namespace}" if self._namespace else self._bucket
        return f"oci://{place}/{self._prefix}".rstrip("/")

    def try_all(self) -> bool:
        """Try everything; return whether the store can be used."""
        policy = policies.STORE.for_bucket(self._bucket)
        self._find_namespace("bucket")
        with self._findings.asking("bucket", policy):
            self._put("conditional", b"1")
            self._get("conditional")
            self._list("conditional")
            self._findings.add("bucket", "holds", f"{self._bucket}@{self._namespace}")
        if self._findings.by_id["bucket"].verdict != "holds":
            return False
        trials = {
            "put-if-absent": self._try_conditional,
            "put-replaces": self._try_replacing,
            "listed-at-once": self._try_listing,
            "list-pages": self._try_pages,
            "get-range": self._try_range,
            "names-kept": self._try_names,
            "missing-404": self._try_missing,
        }
        for id, trial in trials.items():
            with self._findings.asking(id, policy):
                trial()
        return True

    def try_study(self) -> None:
        """Try whether the folder can hold a study: what exists must not be replaced."""
        self._find_namespace("storage")
        with self._findings.asking("storage", policies.STORE.for_bucket(self._bucket)):
            self._put("conditional", b"1", if_none_match="*")
            problem = self._find_condition_problem()
            fix = "keep the study in another bucket" if problem else ""
            self._findings.add("storage", "differs" if problem else "holds", problem, fix)

    def remove_all(self) -> list[str]:
        """Remove every object of this examination; return what could not be removed."""
        if not self._namespace:
            return []
        left, names = [], {self._prefix + name for name in self._names}
        with contextlib.suppress(Exception):  # what cannot be listed is removed by name
            names |= self._list("").keys()
        for name in sorted(names):
            try:
                self._client.delete_object(self._namespace, self._bucket, name)
            except Exception as error:  # whatever the SDK raises
                if getattr(error, "status", None) != 404:
                    left.append(f"object {name} of bucket {self._bucket}")
        return left

    def read(self, name: str) -> bytes | None:
        """Return an object; None if it does not exist or cannot be read."""
        try:
            return self._get(name)
        except Exception:  # a store that fails was reported by `try_all`
            return None

    # -- requests ---------------------------------------------------------------------------------

    def _find_namespace(self, finding: str) -> None:
        if not self._namespace:
            with self._findings.asking(finding, policies.BUCKETS):
                self._namespace = self._client.get_namespace().data

    def _put(self, name: str, data: bytes, **options: Any) -> None:
        path = self._prefix + name
        self._names.add(name)
        self._client.put_object(self._namespace, self._bucket, path, data, **options)

    def _get(self, name: str, **options: Any) -> bytes:
        path = self._prefix + name
        answer = self._client.get_object(self._namespace, self._bucket, path, **options)
        return bytes(answer.data.content)

    def _list(self, below: str, **options: Any) -> dict[str, str]:
        """Return the etags of the objects below a prefix, by name."""
        answer = self._client.list_objects(
            self._namespace,
            self._bucket,
            prefix=self._prefix + below,
            fields="name,etag",
            **options,
        ).data
        return {entry.name: entry.etag for entry in answer.objects}

    # -- trials -----------------------------------------------------------------------------------

    def _try_conditional(self) -> None:
        problem = self._find_condition_problem()
        self._findings.judge("put-if-absent", not problem, problem)

    def _find_condition_problem(self) -> str:
        """Return what is wrong if an object that exists is created again."""
        try:
            self._put("conditional", b"2", if_none_match="*")
        except self._error as error:
            return "" if error.status == 412 else f"{error.status}"
        return "the object was replaced"

    def _try_replacing(self) -> None:
        self._put("replaced", b"1")
        path = self._prefix + "replaced"
        before = self._list("replaced").get(path)
        self._put("replaced", b"2")
        replaced = self._get("replaced") == b"2"
        self._findings.judge("put-replaces", replaced)
        self._put("after-replaced", b"")
        after = self._list("replaced").get(path)
        if replaced and before is not None and after is not None:
            self._findings.judge("etag-changes", before != after, f"{before}, then {after}")

    def _try_listing(self) -> None:
        self._put("listed", b"1")
        self._findings.judge("listed-at-once", bool(self._list("listed")))

    def _try_pages(self) -> None:
        for number in range(3):
            self._put(f"page-{number}", b"")
        self._put("after-pages", b"")
        answer = self._client.list_objects(
            self._namespace, self._bucket, prefix=f"{self._prefix}page-", limit=2
        ).data
        names, start = [entry.name for entry in answer.objects], answer.next_start_with
        if start:
            names += self._list("page-", start=start)
        self._findings.judge("list-pages", len(names) == 3, f"{len(names)} of 3 objects")

    def _try_range(self) -> None:
        self._put("range", b"0123456789")
        part = self._get("range", range="bytes=3-5")
        self._findings.judge("get-range", part == b"345", f"{len(part)} bytes instead of 3")

    def _try_names(self) -> None:
        name = "a b+c ü %20.txt"
        self._put(name, b"named")
        self._put("after-names", b"")
        listed = self._prefix + name in self._list("a")
        self._findings.judge("names-kept", listed and self._get(name) == b"named")

    def _try_missing(self) -> None:
        try:
            self._get("missing")
        except self._error as error:
            self._findings.judge("missing-404", error.status == 404, f"{error.status} {error.code}")
        else:
            self._findings.add("missing-404", "differs", "an object was returned")
