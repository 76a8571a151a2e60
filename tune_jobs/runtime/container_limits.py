"""How many cores and how much memory processes may use, by their control groups. Python 3.8 on.

Sources: cgroups(7); the kernel's cgroup-v1/memory.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

_ROOT = "/sys/fs/cgroup"
_UNLIMITED = 1 << 60
"""Bytes that no machine has: version 1 writes such a number for "no limit"."""


class Limits(NamedTuple):
    """What a process may use; None for what is not known.

    Args:
        cores: Cores, of which it may use a part of the time, so that it need not be whole.
        memory: Bytes.
    """

    cores: Optional[float] = None  # noqa: UP045
    memory: Optional[int] = None  # noqa: UP045


def read_limits(proc: str = "/proc", root: str = _ROOT) -> Limits:
    """Return what this process and its children may use.

    Args:
        proc: The folder of processes.
        root: The folder of control groups.
    """
    groups = _find_groups(proc)
    memory = [_read_total_memory(proc), *_read_memory_limits(groups, root)]
    cores = [_count_cores(), *_read_core_limits(groups, root)]
    known = [limit for limit in memory if limit is not None and limit < _UNLIMITED]
    return Limits(min(cores), min(known) if known else None)


def _count_cores() -> float:
    try:
        return float(len(os.sched_getaffinity(0)))
    except (AttributeError, OSError):  # not on macOS
        return float(os.cpu_count() or 1)


def _read_total_memory(proc: str) -> int | None:
    for line in _read(f"{proc}/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal" and value.split():
            return _whole(value.split()[0], 1024)
    return None


def _find_groups(proc: str) -> dict[str, str]:
    """Return the control group by controller; under version 2 the controller is ``""``."""
    groups = {}
    for line in _read(f"{proc}/self/cgroup").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            groups.update(dict.fromkeys(parts[1].split(","), parts[2]))
    return groups


def _folders(root: str, group: str) -> list[str]:
    """Return the folders of a group and of those around it; the limit of each applies.

    Inside of a container the group may have a name that only the outside knows: its folder is then
    the root, which is always the last one.
    """
    parts = [part for part in group.split("/") if part and part != ".."]
    return ["/".join([root, *parts[:count]]) for count in range(len(parts), -1, -1)]


def _read_memory_limits(groups: dict[str, str], root: str) -> list[int | None]:
    files = [f"{folder}/memory.max" for folder in _folders(root, groups.get("", ""))]
    if "memory" in groups:
        folders = _folders(f"{root}/memory", groups["memory"])
        files += [f"{folder}/memory.limit_in_bytes" for folder in folders]
    return [_whole(_read(file).strip(), 1) for file in files]


def _read_core_limits(groups: dict[str, str], root: str) -> list[float]:
    quotas = [_read(f"{folder}/cpu.max").split() for folder in _folders(root, groups.get("", ""))]
    if "cpu" in groups:
        folders = [
            folder
            for controller in ("cpu", "cpu,cpuacct")
            for folder in _folders(f"{root}/{controller}", groups["cpu"])
        ]
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quotas += [[_read(f"{folder}/{name}").strip() for name in names] for folder in folders]
    found = []
    for quota in quotas:
        if len(quota) == 2 and all(word.isdigit() for word in quota) and int(quota[1]):
            found.append(int(quota[0]) / int(quota[1]))
    return [cores for cores in found if cores > 0]


def _whole(word: str, unit: int) -> int | None:
    return int(word) * unit if word.isdigit() and len(word) < 20 else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""
