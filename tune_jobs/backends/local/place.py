"""Where the tuners of one metric store find its host on this machine.

The host listens at a socket in a temporary folder, since the kernel limits the length of its path,
and names it in a file of the metric store that it locks. So there is one host whatever temporary
folders its tuners have.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from typing import Any

from tune_jobs.core.strict_json import encode_json
from tune_jobs.runtime.private_files import make_closed_folder
from tune_jobs.runtime.regular_files import open_regular

_LOCK_FLAGS = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class HostPlace:
    """The socket of a host, and the record in the metric store that names it.

    Args:
        path: The socket of a host that does not run yet.
        record: File in the metric store, which the host locks.
    """

    def __init__(self, path: str, record: str) -> None:
        self.path, self.record = path, record
        self._lock = -1

    # -- the tuner's side -----------------------------------------------------------------------

    def read(self) -> dict[str, Any]:
        """Return what the record says: ``pid``, ``socket``, and ``crash`` if the host crashed."""
        with contextlib.suppress(OSError, ValueError), open_regular(self.record) as file:
            record = json.loads(file.read())
            return record if isinstance(record, dict) else {}
        return {}

    def addresses(self) -> list[str]:
        """Return the sockets at which a host may listen; the one of the record first."""
        return list(dict.fromkeys([*filter(None, [self.read().get("socket")]), self.path]))

    # -- the host's side ------------------------------------------------------------------------

    def take(self) -> bool:
        """Become the host; return False if there is another one."""
        while True:
            lock = os.open(self.record, _LOCK_FLAGS, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_ino == os.stat(self.record).st_ino:
                    self._lock = lock
                    return True
            except BlockingIOError:
                os.close(lock)
                return False
            except FileNotFoundError:
                pass
            os.close(lock)  # a host that left has removed it

    def listen(self) -> socket.socket:
        """Listen at the socket, and record it."""
        make_closed_folder(os.path.dirname(self.path))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(64)
        listener.setblocking(False)
        self._write({"pid": os.getpid(), "socket": self.path})
        return listener

    def is_reachable(self) -> bool:
        """Return whether tuners find the host: temporary folders and stores are cleaned up."""
        return os.path.exists(self.path) and os.path.exists(self.record)

    def renew(self) -> socket.socket | None:
        """Listen at a new socket in place of a removed one; None if that is not possible."""
        with contextlib.suppress(OSError):
            if os.path.exists(self.record) or self.take():
                return self.listen()
        return None

    def record_crash(self, trace: str) -> None:
        """Record why the host ends, for the tuner to say."""
        with contextlib.suppress(OSError):
            self._write({"pid": os.getpid(), "crash": trace[-2000:]})

    def leave(self) -> None:
        """Remove what tuners find the host by."""
        for path in (self.path, self.record):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _write(self, record: dict[str, Any]) -> None:
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, encode_json(record).encode(), 0)
