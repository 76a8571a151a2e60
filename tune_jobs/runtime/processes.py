"""Identity of processes, independent of clocks. Python 3.8 on.

A process id is assigned again after its process has ended, and means another process in another PID
namespace (a container). Together with the boot of the machine, the namespace, and the start of the
process in clock ticks since the boot, it is unique. These are read from Linux's ``/proc``; without
it, the package ``psutil`` says when a process started.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Optional

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class ProcessIdentity(NamedTuple):
    """What identifies a process.

    Args:
        pid: Its id, in its PID namespace.
        ticks: Its start: clock ticks since the boot, or psutil's time in microseconds.
        boot: The random id of this boot of the machine; None without ``/proc``.
        namespace: The PID namespace; None without ``/proc``.
    """

    pid: int
    ticks: int
    boot: Optional[str] = None  # noqa: UP045
    namespace: Optional[str] = None  # noqa: UP045


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a process; None if there is none, or it cannot be identified."""
    ticks = read_start_ticks(pid)
    if ticks is None:
        return None
    return ProcessIdentity(pid, ticks, read_boot_id(), read_namespace("pid"))


def is_alive(identity: ProcessIdentity) -> bool:
    """Return whether a process of this machine and namespace has not ended."""
    return identify(identity.pid) == identity


def read_boot_id() -> str | None:
    """Return the random id of this boot of the machine; None where there is no ``/proc``."""
    try:
        return _read("/proc/sys/kernel/random/boot_id").strip()
    except OSError:
        return None


def read_namespace(kind: str) -> str | None:
    """Return the id of this process's namespace of a kind, such as ``pid:[4026531836]``.

    None where there is no ``/proc``, or the kernel has no such namespaces.
    """
    try:
        return os.readlink(f"/proc/self/ns/{kind}")
    except OSError:
        return None


def read_start_ticks(pid: int) -> int | None:
    """Return the clock ticks between the boot and the start of a process.

    None if there is no such process, or neither ``/proc`` nor psutil.
    """
    try:
        return int(_read_stat(pid)[19])
    except (OSError, IndexError, ValueError):
        return None if os.path.exists("/proc/self/stat") else _ask_psutil(pid)


def _ask_psutil(pid: int) -> int | None:
    try:
        import psutil  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    try:
        return int(psutil.Process(pid).create_time() * 1e6)
    except psutil.Error:
        return None


def find_by_environment(variable: str, value: str) -> list[int]:
    """Return the processes of this user that were started with a variable; none without ``/proc``.

    It finds what has left its process group, too.
    """
    found, needle = [], f"\0{variable}={value}\0".encode()
    for pid in _list_pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if needle in b"\0" + file.read() + b"\0":
                    found.append(pid)
        except OSError:
            continue  # it has ended, or belongs to another user
    return [pid for pid in found if pid != os.getpid()]


def kill_all(pids: Iterable[int], patience: float = 2.0) -> None:
    """Kill processes and wait until they have ended.

    Args:
        pids: Their ids.
        patience: Seconds to wait; the kernel delays the end of a process that waits for a disk.
    """
    handles = []
    for pid in pids:
        try:
            if hasattr(os, "pidfd_open"):  # Python 3.9
                handles.append(os.pidfd_open(pid))  # novm
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue  # it has ended
    deadline = time.monotonic() + patience
    for handle in handles:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll(max(0.0, deadline - time.monotonic()) * 1000.0)
        os.close(handle)


def describe_signal(number: int) -> str:
    """Return the name of a signal, such as ``SIGKILL`` or ``SIGRTMIN+3``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        first = getattr(signal, "SIGRTMIN", 0)
        return f"SIGRTMIN+{number - first}" if first and number > first else str(number)


def _list_pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def read_state(pid: int) -> str:
    """Return the state of a process, such as ``T`` for stopped; empty if it is not known."""
    try:
        return _read_stat(pid)[0]
    except (OSError, IndexError):
        return ""


def read_cpu_seconds(pid: int) -> float | None:
    """Return the CPU seconds that a process has used; None if that is not known."""
    try:
        fields = _read_stat(pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


class ProcessStatus(NamedTuple):
    """What a process uses.

    Args:
        pid: Its id.
        parent: Id of its parent.
        session: Id of its session.
        cpu_seconds: CPU time of the process and of its children that have ended.
        memory: Resident bytes.
    """

    pid: int
    parent: int
    session: int
    cpu_seconds: float
    memory: int


def read_processes() -> dict[int, ProcessStatus]:
    """Return all processes by their ids; none without ``/proc``."""
    found = {}
    for pid in _list_pids():
        try:
            fields = _read_stat(pid)
            ticks = sum(map(int, fields[11:15]))
            memory = int(fields[21]) * _PAGE
            status = ProcessStatus(pid, int(fields[1]), int(fields[3]), ticks / _TICKS, memory)
        except (OSError, IndexError, ValueError):
            continue  # it has ended
        found[pid] = status
    return found


def select_tree(root: int, processes: dict[int, ProcessStatus]) -> list[ProcessStatus]:
    """Return a process, what it started, and what is in its session."""
    children: dict[int, list[int]] = {}
    for each in processes.values():
        children.setdefault(each.parent, []).append(each.pid)
    waiting = [each.pid for each in processes.values() if root in (each.pid, each.session)]
    found: dict[int, ProcessStatus] = {}
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = processes[pid]
            waiting += children.get(pid, ())
    return list(found.values())


def read_shared_memory(pid: int) -> int | None:
    """Return the resident bytes of a process, of shared pages only its part; None if unknown.

    The sum over processes is what they use together, as opposed to that of the resident bytes: a
    process and its forks share most of their pages.
    """
    try:
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return None


def read_disk_bytes(pid: int) -> tuple[int, int] | None:
    """Return the bytes that a process has read from and written to disks; None if unknown.

    Those of its children that have ended are among them.
    """
    try:
        lines = dict(line.split(": ", 1) for line in _read(f"/proc/{pid}/io").splitlines())
        return int(lines["read_bytes"]), int(lines["write_bytes"])
    except (OSError, KeyError, ValueError):
        return None


def read_network_bytes() -> tuple[int, int] | None:
    """Return the bytes that this network namespace has received and sent; None if unknown."""
    received = sent = 0
    try:
        for line in _read("/proc/net/dev").splitlines()[2:]:
            name, _, numbers = line.partition(":")
            if name.strip() != "lo":
                fields = numbers.split()
                received, sent = received + int(fields[0]), sent + int(fields[8])
    except (OSError, IndexError, ValueError):
        return None
    return received, sent


def count_oom_kills() -> int | None:
    """Return how many processes the kernel has killed because memory ran out; None if unknown."""
    try:
        for line in _read("/proc/vmstat").splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    except (OSError, ValueError):
        pass
    return None


def as_record(identity: ProcessIdentity | None) -> dict[str, Any]:
    """Return an identity as `from_record` reads it, without what is not known."""
    if identity is None:
        return {}
    return {key: value for key, value in identity._asdict().items() if value is not None}


def from_record(record: dict[str, Any]) -> ProcessIdentity | None:
    """Return the identity in a record; None if there is none, as of earlier versions."""
    pid, ticks = record.get("pid"), record.get("ticks")
    if not isinstance(pid, int) or not isinstance(ticks, int):
        return None
    return ProcessIdentity(pid, ticks, record.get("boot"), record.get("namespace"))


def _read_stat(pid: int) -> list[str]:
    """Return the fields of a process's ``stat`` file from its state on."""
    # The field before, the program's name in parentheses, may hold blanks and parentheses.
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def find_by_argument(word: str) -> dict[int, list[str]]:
    """Return the processes with a word among their arguments, with these; none without ``/proc``.

    Those of other users are among them, where ``/proc`` shows them.
    """
    found = {}
    for pid in _list_pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode("utf-8", "surrogateescape").split("\0")
        except OSError:
            continue  # it has ended
        if word in words and pid != os.getpid():
            found[pid] = words[:-1]
    return found
