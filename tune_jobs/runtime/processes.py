"""Identity of processes, from Linux's ``/proc``. Standard library only, Python 3.8 on.

A process id is assigned again after its process has ended; with the boot of the machine and the
start of the process it is unique.
"""

from __future__ import annotations

import os
import time


def read_boot_id() -> str | None:
    """Return the random id of this boot of the machine; None where there is no ``/proc``."""
    try:
        return _read("/proc/sys/kernel/random/boot_id").strip()
    except OSError:
        return None


def read_start_ticks(pid: int) -> int | None:
    """Return the clock ticks between the boot and the start of a process.

    None if there is no such process, or no ``/proc``.
    """
    try:
        # The second field, the program's name in parentheses, may hold blanks and parentheses.
        return int(_read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def read_start_time(pid: int) -> float | None:
    """Return when a process started, in seconds since the epoch; None as `read_start_ticks`."""
    ticks = read_start_ticks(pid)
    if ticks is None:
        return None
    try:
        uptime = float(_read("/proc/uptime").split()[0])
    except (OSError, IndexError, ValueError):
        return None
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
