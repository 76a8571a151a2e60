"""A file system of fsspec whose faults a test switches on and off.

It wraps any other file system, so that a store in that one is read through faults:

    faults = FileSystemFaults(fsspec.filesystem("memory"), "/runs")
    store = MetricStore("faulty://runs", "study", {"faults": faults})
    faults.freeze_files()                              # reads return what is there now
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec
from fsspec import AbstractFileSystem


class FileSystemFaults:
    """Faults of a `FaultyFileSystem`; implements `tune_jobs.testing.metric_stores.StoreFaults`.

    Args:
        target: The file system below, which holds the files and gets all writes.
        root: Folder in it that is the root of the faulty one.
    """

    def __init__(self, target: AbstractFileSystem, root: str) -> None:
        self.target, self.root = target, root.rstrip("/")
        self.listed: Mapping[str, int] | None = None
        self.readable: Mapping[str, bytes] | None = None
        self.admits_existence = True
        self.is_truthful = True
        self.refuses_empty_ranges = False
        self.failure = ""

    def freeze_listings(self) -> None:
        """See `StoreFaults.freeze_listings`."""
        self.listed = {path: len(data) for path, data in self.snapshot().items()}

    def freeze_files(self) -> None:
        """See `StoreFaults.freeze_files`."""
        self.readable = self.snapshot()

    def empty_listings(self) -> None:
        """See `StoreFaults.empty_listings`."""
        self.listed = {}

    def falsify_listings(self) -> None:
        """See `StoreFaults.falsify_listings`."""
        self.is_truthful = False

    def deny_existence(self) -> None:
        """See `StoreFaults.deny_existence`."""
        self.admits_existence = False

    def fail(self) -> None:
        """See `StoreFaults.fail`."""
        self.failure = "the network is down"

    def clear(self) -> None:
        """See `StoreFaults.clear`."""
        self.__init__(self.target, self.root)  # type: ignore[misc]

    def snapshot(self) -> dict[str, bytes]:
        """Return the content of every file, by path."""
        self.target.invalidate_cache()
        try:
            paths = self.target.find(self.root)
        except FileNotFoundError:
            return {}
        return {path.partition(self.root)[2]: self.target.cat_file(path) for path in paths}


class FaultyFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """File system that passes every operation on to another one, with faults.

    Args:
        faults: The faults, and the file system below.
    """

    protocol = "faulty"
    root_marker = "/"
    cachable = False

    def __init__(self, faults: FileSystemFaults, **options: Any) -> None:
        super().__init__(**options)
        self._faults = faults

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("faulty://").strip("/")

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """List a folder as it is, as it was, or without any entry."""
        below = self._strip_protocol(path).rstrip("/") + "/"
        found: dict[str, dict[str, Any]] = {}
        for name, size in self._listing().items():
            if name.startswith(below):
                child, _, deeper = name[len(below) :].partition("/")
                kind = "directory" if deeper else "file"
                found[below + child] = self._entry(below + child, kind, 0 if deeper else size)
        if not found and self._faults.listed is None:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def _listing(self) -> Mapping[str, int]:
        faults = self._checked()
        if faults.listed is not None:
            return faults.listed
        return {path: len(data) for path, data in faults.snapshot().items()}

    def _entry(self, name: str, kind: str, size: int) -> dict[str, Any]:
        return {"name": name, "type": kind, "size": size if self._faults.is_truthful else 1}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Return the details of a file or folder, or deny that it exists."""
        faults, path = self._checked(), self._strip_protocol(path)
        if not faults.admits_existence:
            raise FileNotFoundError(path)
        details = faults.target.info(faults.root + path)
        return self._entry(path, details["type"], details["size"] or 0)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **options: Any
    ) -> bytes:
        """Return the content of a file as it is or as it was."""
        faults, path = self._checked(), self._strip_protocol(path)
        if faults.readable is None:
            data: bytes = faults.target.cat_file(faults.root + path)
        elif path in faults.readable:
            data = faults.readable[path]
        else:
            raise FileNotFoundError(path)
        if start is not None and start >= len(data) and faults.refuses_empty_ranges:
            raise OSError(f"416: {path} has no bytes from {start} on")
        return data[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write a file."""
        faults = self._checked()
        faults.target.pipe_file(faults.root + self._strip_protocol(path), value)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Create a folder; fails if it exists and the file system denies it."""
        faults, path = self._checked(), self._strip_protocol(path)
        faults.target.makedirs(faults.root + path, exist_ok=exist_ok and faults.admits_existence)

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        faults = self._checked()
        faults.target.rm_file(faults.root + self._strip_protocol(path))

    def _checked(self) -> FileSystemFaults:
        if self._faults.failure:
            raise ConnectionError(self._faults.failure)
        return self._faults


fsspec.register_implementation(FaultyFileSystem.protocol, FaultyFileSystem, clobber=True)
