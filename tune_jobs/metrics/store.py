"""The metric store, as the tuner sees it: any folder that fsspec can reach.

    STORE/STUDY-UID/metrics/trial-000012-1.jsonl      the metrics of an attempt, a record a line
    STORE/STUDY-UID/runs/trial-000012-1/log.txt       what it printed
    STORE/STUDY-UID/runs/trial-000012-1/outputs/...   what it left
    STORE/STUDY-UID/runs/final-1-1/provenance.json    where a final run came from

A name is never used by two attempts, and nothing is ever overwritten by another attempt.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import fsspec

from tune_jobs.errors import StoreError
from tune_jobs.metrics.records import Record, decode


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
    """How far a metrics file was read."""

    offset: int = 0
    records: list[Record] = field(default_factory=list)


class MetricStore:
    """Reads what the runs of one study wrote.

    Args:
        uri: Any URI that fsspec knows (a plain path, ``s3://...``).
        folder: The study's folder in it, see `study_folder`.

    Raises:
        StoreError: the URI's protocol is unknown, its package is not installed, or nobody answers.
    """

    def __init__(self, uri: str, folder: str) -> None:
        self.uri = f"{uri.rstrip('/')}/{folder}"
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.uri)
        except Exception as error:  # every file system behind fsspec has errors of its own
            raise StoreError(f"the metric store {uri!r} cannot be opened: {error}") from error
        self._tails: dict[str, _Tail] = {}

    def check_writable(self) -> None:
        """Write, read and remove a small file.

        Raises:
            StoreError: it did not work; the message says what to do.
        """
        path = f"{self._root}/.check-{secrets.token_hex(4)}"
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(path, b"tune_jobs")
            back = self._fs.cat_file(path)
            self._fs.rm_file(path)
        except Exception as error:  # every file system behind fsspec has errors of its own
            raise StoreError(
                f"the metric store {self.uri} is not writable: {error}. Choose another place "
                "with Tuner(store=...), or mend its permissions."
            ) from error
        if back != b"tune_jobs":
            raise StoreError(f"the metric store {self.uri} gave back other bytes than were written")

    def records(self, name: str) -> list[Record]:
        """All records of an attempt so far; reads only what is new since the last call.

        Raises:
            StoreError: the store cannot be read.
        """
        tail = self._tails.setdefault(name, _Tail())
        data = self._read(f"metrics/{name}.jsonl", tail.offset)
        decoded = decode(data)
        tail.offset += decoded.consumed
        tail.records += decoded.records
        return tail.records

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
            path = f"{self._root}/{relative}"
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self._fs.pipe_file(path, text.encode())
        except Exception as error:
            raise StoreError(f"{self.uri}/{relative} cannot be written: {error}") from error
        return f"{self.uri}/{relative}"

    def read_text(self, relative: str) -> str:
        """A file of the study; empty if there is none.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._read(relative, 0).decode("utf-8", "replace")

    def outputs(self, name: str) -> list[str]:
        """What an attempt left in its outputs folder, relative to it."""
        root = f"{self._root}/runs/{name}/outputs"
        try:
            found: list[str] = self._fs.find(root)
        except FileNotFoundError:
            return []
        return sorted(path.split(f"/runs/{name}/outputs/", 1)[1] for path in found)

    def outputs_uri(self, name: str) -> str:
        """Where an attempt's outputs are."""
        return f"{self.uri}/runs/{name}/outputs"

    def _read(self, relative: str, start: int) -> bytes:
        """A file from ``start`` on (negative: from the end); empty if it does not exist."""
        path = f"{self._root}/{relative}"
        try:
            if start < 0:
                start = max(0, int(self._fs.size(path)) + start)
            data: Any = self._fs.cat_file(path, start=start) if start else self._fs.cat_file(path)
        except FileNotFoundError:
            return b""
        except Exception as error:
            raise StoreError(f"{self.uri}/{relative} cannot be read: {error}") from error
        return bytes(data)
