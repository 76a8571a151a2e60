"""A folder of the metric store in any file system that fsspec supports."""

from __future__ import annotations

import errno
import ftplib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import FileEntry, FilePart, Folder, store_errors
from tune_jobs.runtime.private_files import find_refusal, make_folders, open_private

_VERSION_KEYS = re.compile("etag|time|modif|updated|created|generation|version|md5|size|ino", re.I)
_VOLATILE_KEYS = re.compile("atime|access", re.I)
_ATTEMPTS = 3
_PIECE = 1 << 20
_PARTIAL = re.compile(r"/\.[^/]*\.[0-9a-f]{8}\.part")


class FsspecFolder:
    """Folder in a file system that fsspec supports.

    Args:
        uri: URI with one of fsspec's protocols, or a plain path.
        options: Arguments of the file system.

    Raises:
        StoreError: If the protocol is unknown, a package is missing or the place cannot be reached.
    """

    readers = 1  # not every file system may be used by several threads

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._uri, self._options = uri, dict(options)
        self._made: set[str] = set()
        self._broken = False
        with store_errors(f"opening the metric store {uri!r}"):
            self._fs, self._root = fsspec.core.url_to_fs(uri, **self._options)

    def read(self, path: str, start: int = 0) -> bytes:
        """See `Folder.read`."""
        full = f"{self._root}/{path}"
        with self._errors("reading", path) as fs:
            if isinstance(fs, LocalFileSystem):
                _check_regular(full)
            last = max(0, -start)
            if last:
                fs.invalidate_cache()
                start = max(0, int(fs.size(full)) - last)
            try:
                data: Any = fs.cat_file(full, start=start) if start else fs.cat_file(full)
            except Exception as error:
                if _is_missing(error) or not start:
                    raise
                # Some file systems reject a range that starts at the file's end.
                data = fs.cat_file(full)[start:]
        return bytes(data)[-last:]

    def read_part(self, path: str, start: int, length: int) -> FilePart:
        """See `Folder.read_part`."""
        full = f"{self._root}/{path}"
        with self._errors("reading", path) as fs:
            if isinstance(fs, LocalFileSystem):
                _check_regular(full)
            fs.invalidate_cache()
            size = int(fs.size(full))
            first = max(0, size + start) if start < 0 else min(start, size)
            last = min(size, first + length)
            data: Any = fs.cat_file(full, start=first, end=last) if last > first else b""
        return FilePart(bytes(data), first, size)

    def write(self, path: str, data: bytes) -> None:
        """See `Folder.write`."""
        full = f"{self._root}/{path}"
        with self._errors("writing", path) as fs:
            try:
                self._write(fs, full, data)
            except FileNotFoundError as error:  # of a folder on the way
                raise StoreError(f"writing {self._uri}/{path} failed: {error}") from error

    def _write(self, fs: Any, path: str, data: bytes) -> None:
        parent = path.rpartition("/")[0]
        if parent in self._made:
            with suppress(Exception):  # others may have removed it
                return _put(fs, path, data)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _make_folders(fs, parent)
                self._made.add(parent)
                break
            except Exception:  # it may exist all the same, or others may be creating it
                with suppress(Exception):
                    return _put(fs, path, data)
                if attempt == _ATTEMPTS:
                    raise
                fs.invalidate_cache()
        _put(fs, path, data)

    def remove(self, path: str) -> None:
        """See `Folder.remove`."""
        with self._errors("removing", path) as fs:
            try:
                fs.rm_file(f"{self._root}/{path}")
            except Exception as error:
                if _is_missing(error):
                    raise FileNotFoundError(path) from error
                raise

    def remove_all(self, folders: Sequence[str]) -> None:
        """See `Folder.remove_all`."""
        for folder in folders:
            with self._errors("removing", folder) as fs, suppress(FileNotFoundError):
                if isinstance(fs, LocalFileSystem):
                    fs.rm(f"{self._root}/{folder}", recursive=True)
                    continue
                # File by file, since others expand wildcards in the path and rely on `exists`.
                for path in self._files(fs, folder):
                    with suppress(FileNotFoundError):
                        fs.rm_file(path)

    def versions(self, folder: str, first: str, last: str) -> dict[str, str]:
        """See `Folder.versions`."""
        with self._errors("listing", folder) as fs:
            fs.invalidate_cache()
            try:
                listed = fs.ls(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
        named = {e["name"].rpartition("/")[2]: e for e in listed if e.get("type") != "directory"}
        return {name: _version(entry) for name, entry in named.items() if first <= name <= last}

    def find(self, folder: str) -> list[str]:
        """See `Folder.find`."""
        with self._errors("listing", folder) as fs:
            found = self._files(fs, folder)
        below = f"{self._root}/{folder}".strip("/") + "/"
        return sorted(path.partition(below)[2] for path in found)

    def entries(self, folder: str) -> list[FileEntry]:
        """See `Folder.entries`."""
        with self._errors("listing", folder) as fs:
            found = [entry for entry in self._list(fs, folder) if entry["type"] == "file"]
        below = f"{self._root}/{folder}".strip("/") + "/"
        entries = [
            FileEntry(each["name"].partition(below)[2], int(each["size"] or 0), _modified(each))
            for each in found
        ]
        return sorted(entries, key=lambda entry: entry.path)

    def download(self, path: str, target: BinaryIO) -> None:
        """See `Folder.download`."""
        with self._errors("reading", path) as fs, fs.open(f"{self._root}/{path}", "rb") as source:
            shutil.copyfileobj(source, target, _PIECE)

    def _files(self, fs: Any, folder: str) -> list[str]:
        """Return the paths of all files below a folder."""
        return [entry["name"] for entry in self._list(fs, folder)]

    def _list(self, fs: Any, folder: str) -> list[dict[str, Any]]:
        """Return the entries of all files below a folder, also of links and the like.

        ``fs.find`` is no help: in many file systems it leaves out what it cannot list.
        """
        fs.invalidate_cache()
        found: list[dict[str, Any]] = []
        folders = [f"{self._root}/{folder}"]
        while folders:
            path = folders.pop()
            with suppress(FileNotFoundError):
                for entry in fs.ls(path, detail=True):
                    if entry["type"] != "directory":
                        found.append(entry)
                    elif entry["name"].strip("/") != path.strip("/"):
                        folders.append(entry["name"])
        return [entry for entry in found if not _PARTIAL.search(entry["name"])]

    @contextmanager
    def _errors(self, doing: str, path: str) -> Iterator[Any]:
        """Yield the file system, and raise whatever goes wrong as a StoreError.

        After an error it is opened anew: many file systems never reconnect.
        """
        action = f"{doing} {self._uri}/{path}"
        try:
            with store_errors(action):
                if self._broken:
                    options = {**self._options, "skip_instance_cache": True}
                    self._fs, self._root = fsspec.core.url_to_fs(self._uri, **options)
                    self._broken = False
                with self._refusals(action, path):
                    yield self._fs
        except FileNotFoundError as error:
            if isinstance(error.__cause__, ftplib.Error) and not _is_missing(error):
                self._broken = True
                raise StoreError(f"{action} failed: {error.__cause__}") from error
            raise
        except StoreError:
            self._broken = True
            raise

    @contextmanager
    def _refusals(self, action: str, path: str) -> Iterator[None]:
        """Say whose file or folder refuses this user, where that can be known."""
        try:
            yield
        except PermissionError as error:
            full = f"{self._root}/{path}"
            local = isinstance(self._fs, LocalFileSystem)
            refusal = local and (find_refusal(full, write=False) or find_refusal(full, write=True))
            if not refusal:
                raise
            raise StoreError(f"{action} failed: {refusal}") from error


if TYPE_CHECKING:
    _: Folder = FsspecFolder("", {})


def _make_folders(fs: Any, path: str) -> None:
    if isinstance(fs, LocalFileSystem):
        make_folders(path)
    else:
        fs.makedirs(path, exist_ok=True)


def _put(fs: Any, path: str, data: bytes) -> None:
    """Write a file, atomically where a local rename permits it."""
    if isinstance(fs, LocalFileSystem):
        parent, _, name = path.rpartition("/")
        partial = f"{parent}/.{name[:200]}.{secrets.token_hex(4)}.part"
        with open(partial, "xb", opener=open_private) as file:
            file.write(data)
        fs.mv(partial, path)
    else:
        fs.pipe_file(path, data)


def _check_regular(path: str) -> None:
    """Raise OSError if a script has put something else in place of a file, such as a FIFO.

    Opening it might never return.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _is_missing(error: Exception) -> bool:
    """Return whether an error means that the file does not exist.

    fsspec's FTP raises FileNotFoundError for any error reply.
    """
    reply = error if isinstance(error, ftplib.Error) else error.__cause__
    if isinstance(reply, ftplib.Error):
        return str(reply).startswith("550")
    return isinstance(error, FileNotFoundError)


def _modified(entry: Mapping[str, Any]) -> float | None:
    """Return when a file was modified, as far as its file system says."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modify", "created"):
        value = entry.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str) and re.match(r"\d{14}", value):  # FTP: 20261125140301.123
            return datetime.strptime(f"{value[:14]}+0000", "%Y%m%d%H%M%S%z").timestamp()
    return None


def _version(entry: Mapping[str, Any]) -> str:
    """Return all details of a directory's entry that change with the file."""
    return "|".join(
        str(value)
        for key, value in sorted(entry.items())
        if _VERSION_KEYS.search(key) and not _VOLATILE_KEYS.search(key)
    )
