"""The metric store, as the tuner reads it.

    STORE/STUDY-UID/metrics/trial-000012-1.jsonl      metrics of an attempt, one record per line
    STORE/STUDY-UID/runs/final-1-1/provenance.json    provenance of a final run
    STORE/STUDY-UID/runs/trial-000012-1               an attempt:
        log.txt                                       its standard output and error
        usage.jsonl                                   what it used
        run.jsonl                                     its history, written last
        outputs                                       its outputs
        work                                          other files that it left

No two attempts share a name, and no attempt overwrites the files of another.

A store need not be consistent. Listings only say what to read while a run is live. When it has
ended, its history says how many bytes of metrics there are, and `MetricStore.settle` says whether
all of them were read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import FileEntry, FilePart
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.runtime.records import Record, decode
from tune_jobs.runtime.usage_summary import MOST_BYTES, parse_usage, summarize

READ_BACK_SECONDS = 10.0
"""Seconds after which a file that was written has to be readable."""

_Result = TypeVar("_Result")


def study_folder(study_name: str, uid: str) -> str:
    """Return a study's folder in a store: its name, as far as file names allow, and its uid."""
    return f"{quote(study_name, safe=' .,+=@()')[:120]}-{uid}"


def absolute(uri: str) -> str:
    """Return a store's URI in the form that another process understands: local paths absolute.

    Raises:
        StoreError: If the URI contains a password.
    """
    if re.search(r"://[^/@]*:[^/@]*@", uri):
        raise StoreError(
            "the metric store's URI contains a password, which would be stored with the study: "
            "configure it in fsspec instead (such as the variable FSSPEC_FTP_PASSWORD)"
        )
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


@dataclass
class _Tail:
    """Progress of reading one metrics file.

    Attributes:
        offset: Bytes that were decoded.
        size: Bytes that were seen; those after ``offset`` are an unfinished line.
        version: Version of the file when it was read last; empty if it has to be read again.
        records: Records of the decoded bytes.
    """

    offset: int = 0
    size: int = 0
    version: str = ""
    records: list[Record] = field(default_factory=list)


class MetricStore:
    """Files that the runs of one study wrote.

    Args:
        uri: Plain path, ``oci://bucket@namespace/prefix``, or any URI that fsspec supports.
        folder: The study's folder in it, see `study_folder`.
        options: Options of the place, see `open_folder`.
        sleep: Function that waits for a number of seconds.

    Raises:
        StoreError: If the store cannot be opened.
    """

    def __init__(
        self,
        uri: str,
        folder: str,
        options: Mapping[str, Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.uri = f"{uri.rstrip('/')}/{folder}"
        self._options = options or {}
        self._folder = open_folder(self.uri, self._options)
        self._sleep = sleep
        self._tails: dict[str, _Tail] = {}
        self._ends: dict[str, dict[str, Any]] = {}  # of runs that succeeded, for `read_usage`

    def check_writable(self) -> None:
        """Write, read and remove a small file.

        Raises:
            StoreError: If that fails; the message says how to fix it.
        """
        path, data = f".check-{secrets.token_hex(4)}", b"tune_jobs"
        try:
            self._folder.write(path, data)
            found = self._read_back(path)
            with contextlib.suppress(FileNotFoundError):
                self._folder.remove(path)
        except StoreError as error:
            generic = ". Choose another store with Tuner(store=...), or fix its permissions"
            advice = "" if error.has_advice else generic
            raise StoreError(
                f"the metric store {self.uri} is not writable: {error}{advice}", has_advice=True
            ) from error
        if found != data:
            raise StoreError(
                f"the metric store {self.uri} returned {len(found)} other bytes than were written: "
                "choose another store with Tuner(store=...)"
            )

    def _read_back(self, path: str) -> bytes:
        backoff, attempt = Backoff(first=0.1, longest=READ_BACK_SECONDS), 0
        while True:
            attempt += 1
            pause = backoff.pause(attempt)
            try:
                return self._folder.read(path)
            except FileNotFoundError as error:
                if pause > READ_BACK_SECONDS / 2:
                    raise StoreError(
                        f"a new file was not readable within {READ_BACK_SECONDS:g} s"
                    ) from error
            self._sleep(pause)

    # -- metrics --------------------------------------------------------------------------------

    def changed(self, names: Collection[str]) -> set[str]:
        """Return which attempts have new metrics, with one listing for all of them.

        Raises:
            StoreError: If the store cannot be listed.
        """
        if not names:
            return set()
        versions = self._folder.versions("metrics", f"{min(names)}.jsonl", f"{max(names)}.jsonl")
        changed = set()
        for name in names:
            version = versions.get(f"{name}.jsonl")
            tail = self._tail(name)
            if version is not None and (version != tail.version or not version):
                # Recorded before the read, so that later changes are read again.
                tail.version = version
                changed.add(name)
        return changed

    def records(self, name: str) -> list[Record]:
        """Return all records of an attempt so far; reads only what is new since the last call.

        Raises:
            StoreError: If the store cannot be read.
        """
        tail = self._tail(name)
        version, tail.version = tail.version, ""
        data = self._read(f"metrics/{name}.jsonl", tail.offset)
        if len(data) > tail.size - tail.offset:
            tail.version = version
        # Otherwise the body is one that was read before, whatever the listing says: it is read
        # again, since a stale copy and a rewritten file look the same.
        decoded = decode(data)
        tail.size = max(tail.size, tail.offset + len(data))
        tail.offset += decoded.consumed
        tail.records += decoded.records
        return tail.records

    def fetch(self, names: Collection[str]) -> None:
        """Read the new records of these attempts, in parallel if the store is suited to it.

        Raises:
            StoreError: If the store cannot be read.
        """
        self._map(self.records, names)

    def known(self, name: str) -> list[Record]:
        """Return the records of an attempt that were read already."""
        return self._tail(name).records

    def settle(self, sizes: Mapping[str, int | None]) -> dict[str, str]:
        """Read the metrics of runs that have ended to their end.

        Args:
            sizes: By attempt, the bytes of metrics that its run wrote; None: its history says it.

        Returns:
            By attempt, what the store does not have yet; attempts without an entry are complete.

        Raises:
            StoreError: If the store cannot be read.
        """
        found = self._map(lambda name: self._settle(name, sizes[name]), sizes)
        return {name: missing for name, missing in zip(sizes, found, strict=True) if missing}

    def _settle(self, name: str, size: int | None) -> str:
        """Return what is missing of an ended run's metrics; empty if they are complete."""
        if size is None:
            ended = self.read_history(name)
            if ended is None:
                return f"{self.uri}/runs/{name}/run.jsonl has no end yet"
            self._ends[name] = ended
            size = ended.get("metrics_bytes")
        if not isinstance(size, int):  # written by an earlier version
            self.records(name)
            return ""
        tail = self._tail(name)
        if tail.size < size:
            self.records(name)
        if tail.size < size:
            path = f"{self.uri}/metrics/{name}.jsonl"
            return f"{path} has {tail.size} bytes of the {size} that the run wrote"
        return ""

    def read_history(self, name: str) -> dict[str, Any] | None:
        """Return the last event of a run's history, its end; None if there is none yet.

        Raises:
            StoreError: If the store cannot be read.
        """
        last = self.read_text(f"runs/{name}/run.jsonl").strip().rpartition("\n")[2]
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(last)
            if isinstance(event, dict) and event.get("event") == "ended":
                return event
        return None

    def read_usage(self, name: str) -> dict[str, Any]:
        """Return what a run that has ended used, see `summarize`; empty if that is not known.

        Raises:
            StoreError: If the store cannot be read.
        """
        ended = self._ends.pop(name, None) or self.read_history(name)
        if ended is not None and isinstance(ended.get("usage"), dict):
            return dict(ended["usage"])
        return dict(summarize(self.read_usage_lines(name)))

    def read_usage_lines(self, name: str) -> list[dict[str, float]]:
        """Return what a run used until now, see `tune_jobs.runtime.usage`; empty if unknown.

        Raises:
            StoreError: If the store cannot be read.
        """
        return parse_usage(self._read(f"runs/{name}/usage.jsonl", -MOST_BYTES))

    def forget(self, name: str) -> None:
        """Drop the records of an attempt that has ended."""
        self._tails.pop(name, None)
        self._ends.pop(name, None)

    def _tail(self, name: str) -> _Tail:
        return self._tails.setdefault(name, _Tail())

    def _map(self, function: Callable[[str], _Result], names: Collection[str]) -> Iterable[_Result]:
        readers = min(len(names), self._folder.readers)
        if readers < 2:
            return [function(name) for name in names]
        with ThreadPoolExecutor(readers) as pool:
            return list(pool.map(function, names))

    # -- other files ----------------------------------------------------------------------------

    def log(self, name: str, last: int | None = None) -> str:
        """Return the output of an attempt, or its last ``last`` bytes.

        Raises:
            StoreError: If the store cannot be read.
        """
        data = self._read(f"runs/{name}/log.txt", -last if last else 0)
        return data.decode("utf-8", "replace")

    def log_from(self, name: str, offset: int) -> bytes:
        """Return the output of an attempt from a byte offset on.

        Raises:
            StoreError: If the store cannot be read.
        """
        return self._read(f"runs/{name}/log.txt", offset)

    def read_part(self, relative: str, start: int, length: int) -> FilePart | None:
        """Return part of a file of the study, or None if the file does not exist.

        See `Folder.read_part`.

        Raises:
            StoreError: If the store cannot be read.
        """
        try:
            return self._folder.read_part(relative, start, length)
        except FileNotFoundError:
            return None

    def write(self, relative: str, content: str) -> str:
        """Write a file of the study; return its URI.

        Raises:
            StoreError: If the store cannot be written.
        """
        self._folder.write(relative, content.encode())
        return f"{self.uri}/{relative}"

    def read_text(self, relative: str) -> str:
        """Return the content of a file of the study; empty if it does not exist.

        Raises:
            StoreError: If the store cannot be read.
        """
        return self._read(relative, 0).decode("utf-8", "replace")

    def remove_checkpoints(self, names: Sequence[str]) -> None:
        """Remove the checkpoints of these attempts, as far as the store permits it."""
        with contextlib.suppress(StoreError):
            self._folder.remove_all([f"runs/{name}/checkpoints" for name in names])

    def remove_everything(self) -> None:
        """Remove all files of the study.

        Raises:
            StoreError: If one cannot be removed.
        """
        base, _, folder = self.uri.rpartition("/")
        open_folder(base, self._options).remove_all([folder])

    def outputs(self, name: str) -> list[str]:
        """Return the files in an attempt's outputs folder, relative to it.

        Raises:
            StoreError: If the store cannot be listed.
        """
        return self._folder.find(f"runs/{name}/outputs")

    def entries(self, relative: str) -> list[FileEntry]:
        """Return the regular files below a folder of the study.

        Raises:
            StoreError: If the store cannot be listed.
        """
        return self._folder.entries(relative)

    def download(self, relative: str, target: BinaryIO) -> None:
        """Copy the content of a file of the study.

        Raises:
            StoreError: If the store cannot be read, or has no such file.
        """
        try:
            self._folder.download(relative, target)
        except FileNotFoundError as error:
            raise StoreError(f"{self.uri}/{relative} does not exist (any more)") from error

    def outputs_uri(self, name: str) -> str:
        """Return the URI of an attempt's outputs folder."""
        return f"{self.uri}/runs/{name}/outputs"

    def work_uri(self, name: str) -> str:
        """Return the URI of an attempt's working folder."""
        return f"{self.uri}/runs/{name}/work"

    def _read(self, relative: str, start: int) -> bytes:
        """Read a file from ``start`` on (negative: from the end); empty if it does not exist."""
        try:
            return self._folder.read(relative, start)
        except FileNotFoundError:
            return b""
