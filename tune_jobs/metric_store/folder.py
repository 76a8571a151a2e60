"""A folder of the metric store: what the tuner needs of a place where runs write.

There are two kinds of place: any file system that fsspec knows, and OCI Object Storage through the
``oci`` client itself (`object_storage`), which needs one request where ocifs needs two and can list
a range of names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import fsspec

SCHEME = "oci://"


class Folder(Protocol):
    """Files below one URI, by paths relative to it. Methods raise what the place raises.

    Attributes:
        readers: How many files are worth reading at once.
    """

    readers: int

    def read(self, path: str, start: int = 0) -> bytes:
        """A file from byte ``start`` on; of a negative one, its last ``-start`` bytes.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file."""
        ...

    def remove_all(self, folders: Sequence[str]) -> None:
        """Remove everything below these folders, if there is anything."""
        ...

    def versions(self, folder: str, first: str, last: str) -> dict[str, str]:
        """The files directly in ``folder`` with ``first <= name <= last``: name to version.

        A version is any text that changes when the file does.
        """
        ...

    def find(self, folder: str) -> list[str]:
        """All files below ``folder``, relative to it, sorted."""
        ...


def open_folder(uri: str, options: Mapping[str, Any]) -> Folder:
    """The folder at ``uri``.

    Args:
        uri: Any URI that fsspec knows, or a plain path.
        options: For ``oci://`` a ``connection``; elsewhere, arguments of fsspec's file system.
    """
    if uri.startswith(SCHEME):
        from tune_jobs.metric_store.object_storage import ObjectStorageFolder

        return ObjectStorageFolder(uri, options.get("connection"))
    return FsspecFolder(uri, options)


class FsspecFolder:
    """A folder in any file system that fsspec knows."""

    readers = 1  # not every one of them may be used by several threads

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(uri, **options)
        self._made: set[str] = set()

    def read(self, path: str, start: int = 0) -> bytes:
        """See `Folder.read`."""
        full = f"{self._root}/{path}"
        if start < 0:
            start = max(0, int(self._fs.size(full)) + start)
        data: Any = self._fs.cat_file(full, start=start) if start else self._fs.cat_file(full)
        return bytes(data)

    def write(self, path: str, data: bytes) -> None:
        """See `Folder.write`."""
        full = f"{self._root}/{path}"
        parent = full.rsplit("/", 1)[0]
        if parent not in self._made:
            self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        self._fs.pipe_file(full, data)

    def remove(self, path: str) -> None:
        """See `Folder.remove`."""
        self._fs.rm_file(f"{self._root}/{path}")

    def remove_all(self, folders: Sequence[str]) -> None:
        """See `Folder.remove_all`."""
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(f"{self._root}/{folder}", recursive=True)

    def versions(self, folder: str, first: str, last: str) -> dict[str, str]:
        """See `Folder.versions`."""
        self._fs.invalidate_cache()
        try:
            listed = self._fs.ls(f"{self._root}/{folder}", detail=True)
        except FileNotFoundError:
            return {}
        named = {entry["name"].rsplit("/", 1)[-1]: entry for entry in listed}
        return {name: _version(e) for name, e in named.items() if first <= name <= last}

    def find(self, folder: str) -> list[str]:
        """See `Folder.find`."""
        root = f"{self._root}/{folder}"
        try:
            found: list[str] = self._fs.find(root)
        except FileNotFoundError:
            return []
        return sorted(path.split(f"/{folder}/", 1)[1] for path in found)


def _version(entry: Mapping[str, Any]) -> str:
    """Whatever a file system tells of a file that changes with it."""
    keys = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created", "size")
    return "|".join(str(entry[key]) for key in keys if key in entry)
