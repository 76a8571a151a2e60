"""The metric store, as the tuner sees it: OCI Object Storage, or any folder that fsspec can reach.

    STORE/STUDY-UID/metrics/trial-000012-1.jsonl      the metrics of an attempt, a record a line
    STORE/STUDY-UID/runs/trial-000012-1/log.txt       what it printed
    STORE/STUDY-UID/runs/trial-000012-1/outputs/...   what it left
    STORE/STUDY-UID/runs/final-1-1/provenance.json    where a final run came from

A name is never used by two attempts, and nothing is ever overwritten by another attempt.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tune_jobs.errors import ConfigError, StoreError
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.runtime.records import Record, decode


def study_folder(study_name: str, uid: str) -> str:
    """A study's folder in a store: its name, as far as file names allow, and its uid."""
    return f"{quote(study_name, safe=' .,+=@()')[:120]}-{uid}"


def absolute(uri: str) -> str:
    """A store URI that means the same in another process: local paths made absolute.

    Raises:
        StoreError: it holds a password.
    """
    if re.search(r"://[^/@]*:[^/@]*@", uri):
        raise StoreError(
            "the metric store's URI holds a password, which would be kept with the study: put it "
            "into fsspec's configuration (such as the environment variable FSSPEC_FTP_PASSWORD)"
        )
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


@dataclass
class _Tail:
    """How far a metrics file was read, and which version of it."""

    offset: int = 0
    version: str = ""
    records: list[Record] = field(default_factory=list)


class MetricStore:
    """Reads what the runs of one study wrote.

    Args:
        uri: A plain path, ``oci://bucket@namespace/prefix``, or any URI that fsspec knows.
        folder: The study's folder in it, see `study_folder`.
        options: How it is reached, see `open_folder`.

    Raises:
        StoreError: the URI's protocol is unknown, its package is not installed, or nobody answers.
    """

    def __init__(self, uri: str, folder: str, options: Mapping[str, Any] | None = None) -> None:
        self.uri = f"{uri.rstrip('/')}/{folder}"
        try:
            self._folder = open_folder(self.uri, options or {})
        except (StoreError, ConfigError):
            raise
        except Exception as error:  # every file system behind fsspec has errors of its own
            raise StoreError(f"the metric store {uri!r} cannot be opened: {error}") from error
        self._tails: dict[str, _Tail] = {}

    def check_writable(self) -> None:
        """Write, read and remove a small file.

        Raises:
            StoreError: it did not work; the message says what to do.
        """
        path = f".check-{secrets.token_hex(4)}"
        try:
            self._folder.write(path, b"tune_jobs")
            back = self._folder.read(path)
            self._folder.remove(path)
        except Exception as error:  # every file system behind fsspec has errors of its own
            raise StoreError(
                f"the metric store {self.uri} is not writable: {_reason(error)}. Choose another "
                "place with Tuner(store=...), or mend its permissions."
            ) from error
        if back != b"tune_jobs":
            raise StoreError(f"the metric store {self.uri} gave back other bytes than were written")

    def changed(self, names: Collection[str]) -> set[str]:
        """Which of these attempts have new metrics: one listing for all of them.

        Raises:
            StoreError: the store cannot be read.
        """
        if not names:
            return set()
        try:
            versions = self._folder.versions(
                "metrics", f"{min(names)}.jsonl", f"{max(names)}.jsonl"
            )
        except Exception as error:
            raise StoreError(f"{self.uri}/metrics cannot be listed: {_reason(error)}") from error
        changed = set()
        for name in names:
            tail = self._tails.setdefault(name, _Tail())
            version = versions.get(f"{name}.jsonl", "")
            if version != tail.version:
                # Noted before it is read: what is written in between is read again.
                tail.version = version
                changed.add(name)
        return changed

    def records(self, name: str) -> list[Record]:
        """All records of an attempt so far; reads only what is new since the last call.

        Raises:
            StoreError: the store cannot be read.
        """
        tail = self._tails.setdefault(name, _Tail())
        try:
            decoded = decode(self._read(f"metrics/{name}.jsonl", tail.offset))
        except StoreError:
            tail.version = ""  # so that it is asked for again
            raise
        tail.offset += decoded.consumed
        tail.records += decoded.records
        return tail.records

    def fetch(self, names: Collection[str]) -> None:
        """Read what is new of these attempts, several at once where that is worth it.

        Raises:
            StoreError: the store cannot be read.
        """
        readers = min(len(names), self._folder.readers)
        if readers < 2:
            for name in names:
                self.records(name)
            return
        with ThreadPoolExecutor(readers) as pool:
            list(pool.map(self.records, names))

    def known(self, name: str) -> list[Record]:
        """The records of an attempt that were read already."""
        return self._tails.setdefault(name, _Tail()).records

    def forget(self, name: str) -> None:
        """Drop what is remembered of an attempt that has ended."""
        self._tails.pop(name, None)

    def log(self, name: str, last: int | None = None) -> str:
        """What an attempt printed, or its last ``last`` bytes.

        Raises:
            StoreError: the store cannot be read.
        """
        data = self._read(f"runs/{name}/log.txt", -last if last else 0)
        return data.decode("utf-8", "replace")

    def log_from(self, name: str, offset: int) -> bytes:
        """What an attempt printed from a byte offset on."""
        return self._read(f"runs/{name}/log.txt", offset)

    def write(self, relative: str, text: str) -> str:
        """Write a file of the study; returns its URI.

        Raises:
            StoreError: the store cannot be written.
        """
        try:
            self._folder.write(relative, text.encode())
        except Exception as error:
            raise StoreError(
                f"{self.uri}/{relative} cannot be written: {_reason(error)}"
            ) from error
        return f"{self.uri}/{relative}"

    def read_text(self, relative: str) -> str:
        """A file of the study; empty if there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._read(relative, 0).decode("utf-8", "replace")

    def remove_checkpoints(self, names: Sequence[str]) -> None:
        """Remove what these attempts saved; what cannot be removed stays."""
        with contextlib.suppress(Exception):  # every file system behind fsspec has its own
            self._folder.remove_all([f"runs/{name}/checkpoints" for name in names])

    def outputs(self, name: str) -> list[str]:
        """What an attempt left in its outputs folder, relative to it."""
        return self._folder.find(f"runs/{name}/outputs")

    def outputs_uri(self, name: str) -> str:
        """Where an attempt's outputs are."""
        return f"{self.uri}/runs/{name}/outputs"

    def _read(self, relative: str, start: int) -> bytes:
        """A file from ``start`` on (negative: from the end); empty if it does not exist."""
        try:
            return self._folder.read(relative, start)
        except FileNotFoundError:
            return b""
        except Exception as error:
            raise StoreError(f"{self.uri}/{relative} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What went wrong; of an answer of OCI the part that people can use."""
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    return f"{code}: {message}" if code and message else str(error)
