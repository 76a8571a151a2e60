"""Files that a script left in its working folder, which are kept beside its outputs.

A file counts if it is new there or has changed since the script was started; links, named pipes and
caches of Python do not. What is kept is bounded, since a script may download a data set into its
working folder.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

MAX_FILES = 1000
"""Files of a working folder that are kept, at most."""

MAX_BYTES = 1 << 30
"""Bytes of a working folder that are kept, at most; the run's TUNE_JOBS_WORK_BYTES replaces it."""

MAX_SEEN = 100_000
"""Files in a working folder above which none is kept: it is not a folder of the run's own."""

IGNORED = frozenset({"__pycache__", ".git", ".ipynb_checkpoints"})
"""Names of folders that are not looked into."""

_UNPRINTABLE = re.compile(rb"[\x00-\x1f\x7f]")


class LeftFile(NamedTuple):
    """A file that a script left.

    Attributes:
        path: Its path relative to the working folder.
        size: Its size in bytes.
    """

    path: str
    size: int


class LeftFiles(NamedTuple):
    """The files that a script left.

    Attributes:
        kept: Those to keep, smallest first.
        omitted: Those above the limits.
        too_many: Whether the search stopped early because there are too many files.
    """

    kept: list[LeftFile]
    omitted: list[LeftFile]
    too_many: bool = False

    def describe_omitted(self) -> dict[str, Any] | None:
        """Return what is omitted, as JSON; None if nothing is."""
        if self.too_many:
            return {"files": MAX_SEEN, "bytes": 0, "names": []}
        if not self.omitted:
            return None
        return {
            "files": len(self.omitted),
            "bytes": sum(file.size for file in self.omitted),
            "names": [portable_name(file.path) for file in self.omitted[:20]],
        }


def take_snapshot(folder: str) -> Mapping[str, tuple[int, int, int]] | None:
    """Return size, time of modification and inode of every file below a folder, by its path.

    None if there are too many files.
    """
    found: dict[str, tuple[int, int, int]] = {}
    for path, status in _walk(folder):
        if len(found) >= MAX_SEEN:
            return None
        found[path] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def find_left_files(
    folder: str,
    before: Mapping[str, tuple[int, int, int]] | None,
    env: Mapping[str, str],
    is_input: Callable[[str], bool] = lambda path: False,
) -> LeftFiles:
    """Return the files that are new or changed, or none if there are too many to look at.

    Args:
        folder: The working folder.
        before: What it had when the script was started, see `take_snapshot`.
        env: Environment variables of the run.
        is_input: Returns whether a file is as it was given to the script.
    """
    after = take_snapshot(folder)
    if before is None or after is None:
        return LeftFiles([], [], too_many=True)
    left = [
        LeftFile(path, version[0])
        for path, version in after.items()
        if before.get(path) != version and not is_input(path)
    ]
    limit = _read_limit(env)
    kept: list[LeftFile] = []
    omitted: list[LeftFile] = []
    for file in sorted(left, key=lambda file: (file.size, file.path)):
        limit -= file.size
        (kept if limit >= 0 and len(kept) < MAX_FILES else omitted).append(file)
    return LeftFiles(kept, omitted)


def portable_name(path: str) -> str:
    """Return a path with control characters and invalid UTF-8 percent-encoded, for any store."""
    raw = os.fsencode(path)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return quote_from_bytes(raw, safe="/ !#$&'()*+,:;<=>?@[]^_`{|}~-.")
    return _UNPRINTABLE.sub(lambda byte: b"%%%02X" % ord(byte[0]), raw).decode()


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the regular files below a folder on the same file system; links are not followed."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _is_own_folder(parent, name, device)]
        for name in names:
            path = os.path.join(parent, name)
            try:
                found = os.lstat(path)
            except OSError:
                continue  # removed meanwhile
            if stat.S_ISREG(found.st_mode):
                yield os.path.relpath(path, folder), found


def _is_own_folder(parent: str, name: str, device: int) -> bool:
    if name in IGNORED:
        return False
    try:
        return os.lstat(os.path.join(parent, name)).st_dev == device
    except OSError:
        return False


def _read_limit(env: Mapping[str, str]) -> int:
    try:
        return int(float(env.get("TUNE_JOBS_WORK_BYTES", MAX_BYTES)))
    except ValueError:
        return MAX_BYTES
