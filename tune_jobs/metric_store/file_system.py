"""A folder of the metric store in any file system that fsspec supports."""

from __future__ import annotations

import ftplib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import Folder, store_errors

_VERSION_KEYS = re.compile("etag|time|modif|updated|created|generation|version|md5|size|ino", re.I)
_VOLATILE_KEYS = re.compile("atime|access", re.I)
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
            if start < 0:
                fs.invalidate_cache()
                start = max(0, int(fs.size(full)) + start)
            try:
                data: Any = fs.cat_file(full, start=start) if start else fs.cat_file(full)
            except FileNotFoundError:
                raise
            except Exception:
                if not start or not _ends_before(fs, full, start):
                    raise
                return b""  # some file systems refuse a range that starts at the file's end
        return bytes(data)

    def write(self, path: str, data: bytes) -> None:
        """See `Folder.write`: atomic where the file system is or where it can rename atomically."""
        parent, _, name = f"{self._root}/{path}".rpartition("/")
        with self._errors("writing", path) as fs:
            problem = self._make_parent(fs, parent)
            try:
                if isinstance(fs, LocalFileSystem):
                    partial = f"{parent}/.{name}.{secrets.token_hex(4)}.part"
                    fs.pipe_file(partial, data)
                    fs.mv(partial, f"{parent}/{name}")
                else:
                    fs.pipe_file(f"{parent}/{name}", data)
            except Exception as error:
                self._made.discard(parent)  # it may have been removed
                raise StoreError(
                    f"writing {self._uri}/{path} failed: {problem or error}"
                ) from error

    def _make_parent(self, fs: Any, parent: str) -> Exception | None:
        """Create a folder; return what went wrong, since it may exist all the same."""
        if parent in self._made:
            return None
        try:
            fs.makedirs(parent, exist_ok=True)
        except Exception as error:
            return error
        self._made.add(parent)
        return None

    def remove(self, path: str) -> None:
        """See `Folder.remove`."""
        with self._errors("removing", path) as fs:
            fs.rm_file(f"{self._root}/{path}")

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
        below = f"{self._root}/{folder}/".strip("/") + "/"
        return sorted(path.partition(below)[2] for path in found)

    def _files(self, fs: Any, folder: str) -> list[str]:
        fs.invalidate_cache()
        try:
            found: list[str] = fs.find(f"{self._root}/{folder}")
        except FileNotFoundError:
            return []
        return [path for path in found if not _PARTIAL.search(path)]

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
                yield self._fs
        except FileNotFoundError as error:
            if _is_missing(error):
                raise
            self._broken = True
            raise StoreError(f"{action} failed: {error.__cause__}") from error
        except StoreError:
            self._broken = True
            raise


if TYPE_CHECKING:
    _: Folder = FsspecFolder("", {})


def _ends_before(fs: Any, path: str, start: int) -> bool:
    fs.invalidate_cache()
    try:
        return int(fs.size(path)) <= start
    except Exception:
        return False


def _is_missing(error: FileNotFoundError) -> bool:
    """Return whether the file does not exist; fsspec's FTP raises it for any error reply."""
    cause = error.__cause__
    return not isinstance(cause, ftplib.Error) or str(cause).startswith("550")


def _version(entry: Mapping[str, Any]) -> str:
    """Return all details of a directory's entry that change with the file."""
    return "|".join(
        str(value)
        for key, value in sorted(entry.items())
        if _VERSION_KEYS.search(key) and not _VOLATILE_KEYS.search(key)
    )
