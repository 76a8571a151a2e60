"""What a run uses: CPU, memory, GPUs, disk and network of a process and all that it starts.

Python 3.8 on. `UsageMeter` writes a line now and then, as ``runs/NAME/usage.jsonl``, and at the end
returns a summary, which the run's history has. `summarize` makes it, so that a run whose history is
missing has the same one. The numbers of a line:

    at             seconds since the run's start
    cpu            CPU seconds since the start
    memory, peak   resident bytes now, and the most since the last line
    read, wrote    bytes from and to disks since the start
    received, sent bytes over the network of the run's container since the start
    gpu, gpu_memory  mean share of the time in which its GPUs were busy, and bytes in use on the
                   fullest one, by all of its users

The first line has ``cores``, ``memory_limit``, ``gpus`` and ``gpu_limit``: what the run may use.
What cannot be measured is absent; without ``/proc`` only CPU time and memory at the end are known.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Mapping, Sequence

from .container_limits import Limits, read_limits
from .gpus import Gpu, GpuProbe, select_visible
from .processes import (
    ProcessStatus,
    read_disk_bytes,
    read_network_bytes,
    read_processes,
    read_shared_memory,
    select_tree,
)
from .regular_files import append
from .usage_summary import describe_peak, is_nearly_full, summarize

FIRST_LOOK = 1.0
"""Seconds after the start of a run at which it is looked at first; shorter runs are not."""

LONGEST_PAUSE = 5.0
"""Seconds between two looks, at most, unless they are expensive."""

COST_SHARE = 400.0
"""The pause between two looks, as a multiple of the CPU time of the first one: 0.25 % of a core."""

LINE_SECONDS = 15.0
"""Seconds between two lines, at least."""

LINES_SHARE = 200.0
"""A line covers this part of the run so far, so that a run of a week has 1,600 lines."""

_LARGE = 1 << 25
_COUNTERS = ("cpu", "read", "wrote", "received", "sent")
_GAUGES = ("memory", "peak", "gpu", "gpu_memory")


class Machine:
    """What the runs of a machine share: one look at all processes, and one at the GPUs.

    Args:
        probe: Calls of ``nvidia-smi``.
    """

    def __init__(self, probe: GpuProbe | None = None) -> None:
        self.probe = probe or GpuProbe()
        self._limits: Limits | None = None
        self._processes: dict[int, ProcessStatus] = {}
        self._seen = float("-inf")

    @property
    def limits(self) -> Limits:
        """What the runs may use, as of the first one."""
        if self._limits is None:
            self._limits = read_limits()
        return self._limits

    def list_processes(self, now: float) -> dict[int, ProcessStatus]:
        """Return all processes, as they were at most half a second ago."""
        if now - self._seen > 0.5:
            self._processes, self._seen = read_processes(), now
        return self._processes


class UsageMeter:
    """Measures one run; see the head of this module.

    Args:
        pid: Its first process, which leads a session.
        path: The file to append to; what goes wrong with it is ignored.
        machine: Shared by the runs of this process.
        has_network: Whether it has the network of this process's container for itself.
        visible: The run's ``CUDA_VISIBLE_DEVICES``.
    """

    def __init__(
        self,
        pid: int,
        path: str,
        machine: Machine,
        *,
        has_network: bool = False,
        visible: str | None = None,
    ) -> None:
        self._pid, self._path, self._machine, self._visible = pid, path, machine, visible
        self._has_network = has_network
        self._start = time.monotonic()
        self._next_look = self._start + FIRST_LOOK
        self._next_line = self._start + LINE_SECONDS
        self._network = read_network_bytes() if has_network else None
        self._lines: list[dict[str, float]] = []
        self._now: dict[str, float] = {}
        self._gpu_answers = machine.probe.answers

    def look(self) -> None:
        """Look at the run if it is time to; does not wait, and costs little otherwise.

        An error ends the measuring and nothing else.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        try:
            self._look(now)
        except Exception:  # no run may be lost since it was measured
            self._next_look = float("inf")

    def _look(self, now: float) -> None:
        began = time.thread_time()
        self._measure(now)
        if now >= self._next_line:
            self._write(now)
        age, cost = now - self._start, time.thread_time() - began
        self._next_look = now + max(min(age, LONGEST_PAUSE), COST_SHARE * cost)

    def finish(self, cpu_seconds: float, max_rss: int, least_rss: int = 0) -> dict[str, float]:
        """Return the summary of the run, which has ended.

        Args:
            cpu_seconds: What the kernel says it has used in all.
            max_rss: The most bytes that one of its processes had.
            least_rss: Bytes that the kernel may report for any process, since this one had them
                when it started it.
        """
        at = time.monotonic() - self._start
        last = {**self._now, "at": round(at, 2), "cpu": round(cpu_seconds, 3)}
        last["peak"] = max(last.get("peak", 0), max_rss if max_rss > least_rss else 0) or max_rss
        last.pop("memory", None)
        if self._lines:
            self._append(last)
        return summarize([self._describe_limits(), *self._lines, last])

    def _measure(self, now: float) -> None:
        tree = select_tree(self._pid, self._machine.list_processes(now))
        if not tree:
            return
        found = self._now
        found["cpu"] = max(found.get("cpu", 0.0), round(sum(p.cpu_seconds for p in tree), 2))
        found["memory"] = memory = _measure_memory(tree)
        found["peak"] = max(found.get("peak", 0), memory)
        disk = [each for each in (read_disk_bytes(p.pid) for p in tree) if each is not None]
        if disk:
            for place, name in enumerate(("read", "wrote")):
                found[name] = max(found.get(name, 0), sum(each[place] for each in disk))
        if self._network is not None:
            numbers = read_network_bytes() or self._network
            for name, new, old in zip(("received", "sent"), numbers, self._network):
                found[name] = max(found.get(name, 0), new - old)
        self._measure_gpus(now)

    def _measure_gpus(self, now: float) -> None:
        probe = self._machine.probe
        probe.poll(now)
        if probe.answers != self._gpu_answers:
            self._gpu_answers = probe.answers
            gpus = self._select_gpus()
            if gpus:
                self._now["gpu"] = round(sum(gpu.busy for gpu in gpus) / len(gpus), 3)
                self._now["gpu_memory"] = max(gpu.memory for gpu in gpus)

    def _select_gpus(self) -> list[Gpu]:
        return select_visible(self._machine.probe.latest or (), self._visible)

    def _describe_limits(self) -> dict[str, float]:
        limits, gpus = self._machine.limits, self._select_gpus()
        found = {"cores": limits.cores, "memory_limit": limits.memory}
        if gpus:
            found.update(gpus=len(gpus), gpu_limit=max(gpu.total for gpu in gpus))
        return {name: value for name, value in found.items() if value is not None}

    def _write(self, now: float) -> None:
        age = now - self._start
        self._next_line = now + max(LINE_SECONDS, age / LINES_SHARE)
        if not self._lines:
            self._append(self._describe_limits())
        line = {"at": round(age, 1), **self._now}
        self._append(line)
        self._lines.append(line)
        self._now = {name: self._now[name] for name in _COUNTERS if name in self._now}

    def _append(self, line: Mapping[str, float]) -> None:
        with contextlib.suppress(OSError):
            append(self._path, (json.dumps(line, separators=(",", ":")) + "\n").encode())


def _measure_memory(tree: Sequence[ProcessStatus]) -> int:
    """Return the bytes of processes, pages that they share counted once if that matters."""
    large = [each for each in tree if each.memory > _LARGE]
    if len(large) < 2:
        return sum(each.memory for each in tree)
    small = sum(each.memory for each in tree if each.memory <= _LARGE)
    shared = [read_shared_memory(each.pid) for each in large]
    return small + sum(each.memory if pss is None else pss for each, pss in zip(large, shared))


def measure_container(pid: int, path: str, env: Mapping[str, str]) -> UsageMeter:
    """Return the meter of the only run in this container; see `UsageMeter`."""
    visible = env.get("CUDA_VISIBLE_DEVICES")
    return UsageMeter(pid, path, Machine(), has_network=True, visible=visible)


def summarize_child(meter: UsageMeter | None, usage: resource.struct_rusage) -> dict[str, float]:
    """Return what a child used that has ended; empty without a meter."""
    if meter is None:
        return {}
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # see getrusage(2) of either
    cpu_seconds = usage.ru_utime + usage.ru_stime
    try:
        return meter.finish(cpu_seconds, usage.ru_maxrss * unit, own * unit)
    except Exception:  # no run may be lost since it was measured
        return {}


def explain_kill(cause: str, usage: Mapping[str, float]) -> str:
    """Return the cause of a failure, with the memory that a run had when the kernel killed it."""
    killed, question, _ = cause.partition(" (out of memory?)")
    if question and is_nearly_full(usage):
        return f"{killed} (out of memory: {describe_peak(usage)})"
    return cause
