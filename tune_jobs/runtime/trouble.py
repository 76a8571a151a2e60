"""Trouble of the machine, as opposed to failures of what runs on it. Python 3.8 on.

A full disk, or a machine without processes, files or memory left, says nothing about a trial.
`describe_trouble` is the one place that decides which errors are of this kind.
"""

from __future__ import annotations

import errno
import os
import re

_ADVICE = {
    errno.ENOSPC: "the disk is full (no space or no inodes left): free space",
    errno.EDQUOT: "the disk quota is used up: free space, or raise the quota",
    errno.EROFS: "the file system is read-only: mount it writable",
    errno.EFBIG: "files may not grow further: raise the limit (ulimit -f)",
    errno.EIO: "the disk does not work: check it",
    errno.EMFILE: "this process may not open more files: raise the limit (ulimit -n)",
    errno.ENFILE: "the machine has too many open files: close some programs",
    errno.EAGAIN: "no more processes may be started: raise the limit (ulimit -u), or end some",
    errno.ENOMEM: "no memory is left: end some programs",
    errno.ENOBUFS: "no memory is left for sockets: end some programs",
}
_FREED_BY_RUNS = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS}

_IN_OUTPUT = re.compile(
    rb"No space left on device|Disk quota exceeded|\[Errno (?:28|122)\]|ENOSPC|EDQUOT"
)

_MESSAGES = re.compile(
    r"no space left on device|disk is full|disk quota exceeded|disk i/o error|too many open files"
    r"|unable to open database file",
    re.IGNORECASE,
)

MIN_BYTES = 16 * 1024
"""Free bytes below which a disk is full: the history of a run has to fit."""


def find_errno(error: BaseException) -> int | None:
    """Return the number of the machine's trouble that caused an error; None if there is none."""
    seen = 0
    cause: BaseException | None = error
    while cause is not None and seen < 20:
        if isinstance(cause, MemoryError):
            return errno.ENOMEM
        if isinstance(cause, RuntimeError) and "can't start new thread" in str(cause):
            return errno.EAGAIN
        if isinstance(cause, OSError) and cause.errno in _ADVICE:
            return cause.errno
        cause, seen = cause.__cause__ or cause.__context__, seen + 1
    return None


def describe_trouble(error: BaseException) -> str:
    """Return what the machine lacks, where, and the fix; empty if the error is of another kind."""
    number = find_errno(error)
    if number is None:
        return ""
    return f"{error or os.strerror(number)}: {_ADVICE[number]}"


def is_trouble_message(message: str) -> bool:
    """Return whether an error of a library that hides the number is trouble of the machine."""
    return _MESSAGES.search(message) is not None


def is_freed_by_runs(error: BaseException) -> bool:
    """Return whether the end of live runs may end the trouble."""
    return find_errno(error) in _FREED_BY_RUNS


def is_in_output(tail: bytes) -> bool:
    """Return whether the end of a failed run's output says that a disk is full."""
    return _IN_OUTPUT.search(tail) is not None


def check_room(folder: str) -> None:
    """Check that a small file can be created below a folder, which need not exist yet.

    Raises:
        OSError: ENOSPC, with the folder, if the file system has no space or inodes left.
    """
    existing = folder
    while not os.path.isdir(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    try:
        status = os.statvfs(existing)
    except OSError:
        return
    no_inodes = status.f_files > 0 and status.f_favail == 0
    if status.f_blocks > 0 and (status.f_bavail * status.f_frsize < MIN_BYTES or no_inodes):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
