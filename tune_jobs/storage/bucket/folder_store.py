"""Objects as files of a folder, which several machines or users may share.

A file is created under a temporary name and then linked to its own, which fails if that exists. So
a name appears with its whole content or not at all, and only once. The temporary files of writers
that were killed are removed by a later one, by their names and ages. Should a writer of one be
suspended rather than killed, it does not find its file, and repeats the request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tune_jobs.runtime.oci_answers import ERROR, INVALID, NO_ANSWER, PERMISSION, Meaning
from tune_jobs.runtime.private_files import find_refusal, make_folders, open_private
from tune_jobs.storage.bucket.stores import BucketTrouble, ObjectStore, build_size_error

_TEMPORARY = ".new-"
_OUR_TEMPORARY = re.compile(rf"{re.escape(_TEMPORARY)}[0-9a-f]{{16}}")
LEFT_SECONDS = 3600.0
"""Age from which a temporary file is one that a killed writer left; usual are milliseconds."""
_OUTAGE = Meaning(NO_ANSWER, float("inf"))
_HOPELESS = Meaning(INVALID, 0.0, "The storage has to be a folder, with nothing but its objects")
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
_READ_ONLY = "Check the permissions of the folder, and that its file system is mounted for writing"
_HOPELESS_ERRORS = (
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENODEV,
    errno.ENOTDIR,
    errno.ENXIO,
)


class FolderStore:
    """Files below a folder, which is created when the first one is written.

    Args:
        folder: Absolute path.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(os.path.normpath(folder))
        self.url = f"bucket+file://{self._folder}"
        self._existed = False

    def get(self, name: str, limit: int) -> bytes | None:
        """See `ObjectStore.get`."""
        with self._errors(write=False):
            try:
                with (self._folder / name).open("rb") as file:
                    data = file.read(limit + 1)
            except FileNotFoundError:
                self._check_folder()
                return None
        if len(data) > limit:
            raise build_size_error(self.url, name, limit)
        return data

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`."""
        with self._temporary(name, data) as (temporary, target):
            try:
                os.link(temporary, target)
            except OSError as error:
                # Over NFS, the answer to a link that was made may be lost.
                if os.stat(temporary).st_nlink != 2:
                    if isinstance(error, FileExistsError):
                        return False
                    raise
            _sync(target.parent)
        return True

    def put(self, name: str, data: bytes) -> None:
        """See `ObjectStore.put`."""
        with self._temporary(name, data) as (temporary, target):
            os.replace(temporary, target)
            self._remove_left_files(os.stat(target).st_mtime)

    def list(self, folder: str, start: str = "") -> list[str]:
        """See `ObjectStore.list`."""
        with self._errors(write=False):
            try:
                found = os.listdir(self._folder / folder)
            except FileNotFoundError:
                self._check_folder()
                return []
        names = [f"{folder}/{name}" for name in found if not name.startswith(".")]
        return sorted(name for name in names if name >= start)

    def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        with self._errors(write=True):
            (self._folder / name).unlink(missing_ok=True)

    def _remove_left_files(self, now: float) -> None:
        """Remove the temporary files of killed writers, as far as that is permitted.

        Args:
            now: The time by the clock of the file system.
        """
        for folder in self._folder.iterdir():
            if folder.is_symlink():
                continue
            with contextlib.suppress(OSError), os.scandir(folder) as found:
                for each in found:
                    if _OUR_TEMPORARY.fullmatch(each.name):
                        _remove_if_left(each, now)

    @contextmanager
    def _temporary(self, name: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """Write a file under a temporary name; yield its path and the one that it is to have."""
        target = self._folder / name
        temporary = target.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        with self._errors(write=True):
            if self._existed:
                self._check_folder()
            make_folders(target.parent)
            self._existed = True
            try:
                with open(temporary, "xb", opener=open_private) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary, target
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def _check_folder(self) -> None:
        """Check that the folder has not vanished, as when a share is unmounted."""
        exists = self._folder.is_dir()
        if self._existed and not exists:
            raise BucketTrouble(f"the folder {self._folder} is not there", _OUTAGE)
        self._existed |= exists

    @contextmanager
    def _errors(self, *, write: bool) -> Iterator[None]:
        """Convert the errors of files."""
        try:
            yield
        except OSError as error:
            if error.errno in _REFUSALS:
                advice = find_refusal(error.filename or self._folder, write=write) or _READ_ONLY
                raise BucketTrouble(str(error), Meaning(PERMISSION, 600.0, advice)) from error
            meaning = _HOPELESS if error.errno in _HOPELESS_ERRORS else Meaning(ERROR, 1800.0)
            raise BucketTrouble(str(error), meaning) from error


def _remove_if_left(file: os.DirEntry[str], now: float) -> None:
    with contextlib.suppress(OSError):  # another process removed it, or it is another user's
        is_file = file.is_file(follow_symlinks=False)
        if is_file and now - file.stat(follow_symlinks=False).st_mtime > LEFT_SECONDS:
            os.unlink(file)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, where the file system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


if TYPE_CHECKING:
    _: ObjectStore = FolderStore("")
