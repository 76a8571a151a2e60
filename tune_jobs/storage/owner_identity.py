"""The identity of an owner: which process, and whether it is dead.

    host|boot|pid|start|random@namespaces

Another machine's owner is never known to be dead. Nor is one in another PID or time namespace, such
as a container, which may share host name and boot: its ids and ticks mean something else here.
Earlier versions wrote no namespaces; their owners are taken for processes of this one.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass

from tune_jobs.runtime.processes import (
    read_boot_id,
    read_cpu_seconds,
    read_namespace,
    read_start_ticks,
)


@dataclass(frozen=True)
class _Owner:
    host: str
    boot: str
    pid: int
    start: str
    namespaces: str

    @property
    def is_here(self) -> bool:
        """Whether its process id means a process that this one can see."""
        here = (socket.gethostname()[:64], _read_boot())
        namespaces = self.namespaces or _read_namespaces()  # earlier versions wrote none
        return bool(self.boot) and (self.host, self.boot, namespaces) == (*here, _read_namespaces())


def identify_process() -> str:
    """Return an identity of this process by which others on this machine know if it is alive."""
    pid = os.getpid()
    random = uuid.uuid4().hex[:8]
    start = _read_start(pid)
    host = socket.gethostname()[:64]
    return f"{host}|{_read_boot()}|{pid}|{start}|{random}@{_read_namespaces()}"


def is_dead(owner: str) -> bool:
    """Return whether an owner is known to be dead."""
    parsed = _parse(owner)
    if not parsed.is_here:
        return False
    start = _read_start(parsed.pid)
    # Where /proc hides the processes of other users, a live one cannot be read.
    return start != parsed.start if start else not _exists(parsed.pid)


def is_elsewhere(owner: str) -> bool:
    """Return whether an owner is on another machine, so that only its heartbeats show its life."""
    return not _parse(owner).is_here


def is_this_process(owner: str) -> bool:
    """Return whether an owner is this process."""
    parsed, pid = _parse(owner), os.getpid()
    return parsed.is_here and parsed.pid == pid and parsed.start == _read_start(pid)


def measure_cpu(owner: str | None) -> float | None:
    """Return the CPU seconds that an owner's process has used; None if that is unknown."""
    if owner is None:
        return None
    parsed = _parse(owner)
    if not parsed.is_here or parsed.pid == os.getpid():
        return None
    return read_cpu_seconds(parsed.pid)


def describe(owner: str | None) -> str:
    """Return an owner's process and host for messages."""
    if owner is None:
        return "another process"
    parsed = _parse(owner)
    return f"process {parsed.pid} on {parsed.host}"


def _parse(owner: str) -> _Owner:
    host, boot, pid, start, rest = owner.rsplit("|", 4)
    return _Owner(host, boot, int(pid), start, rest.partition("@")[2])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _read_boot() -> str:
    return (read_boot_id() or "")[:8]


def _read_start(pid: int) -> str:
    ticks = read_start_ticks(pid)
    return "" if ticks is None else str(ticks)


def _read_namespaces() -> str:
    """Return the inodes of the namespaces of process ids and of time; empty if unknown."""
    return "-".join((read_namespace(kind) or "").strip(f"{kind}:[]") for kind in ("pid", "time"))
