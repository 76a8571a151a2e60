"""Files that scripts may have replaced by something else. Python 3.8 on.

Opening a FIFO waits for its other end, and reading a device may never end; therefore only regular
files are opened.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from .private_files import open_private


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
        OSError: If it cannot be opened, or is not a regular file (EINVAL).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.fdopen(_check(descriptor, path), "rb")


def append(path: str, data: bytes) -> None:
    """Append to a file: everything or nothing. A new one is private, see `private_files`.

    Raises:
        OSError: If it cannot be written, or is not a regular file (EINVAL). Nothing is appended.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = _check(open_private(path, flags), path)
    try:
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError as error:
            os.ftruncate(descriptor, size)
            error.filename = path
            raise
    finally:
        os.close(descriptor)


def _check(descriptor: int, path: str) -> int:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", path)
