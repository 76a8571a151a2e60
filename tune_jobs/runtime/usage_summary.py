"""What a run used, from the lines of its ``usage.jsonl``. Python 3.8 on.

`tune_jobs.runtime.usage` writes the lines, and says what they have. Anybody who can write to the
metric store may have written them instead.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_BYTES = 1 << 18
"""Bytes at the end of a file that are read."""

NEARLY_FULL = 0.9
"""Share of the memory limit from which on a killed run was probably killed for its memory."""

_LIMITS = ("cores", "memory_limit", "gpus", "gpu_limit")
_MOST = 1e18


def parse_usage(data: bytes) -> list[dict[str, float]]:
    """Return the lines of a file as numbers; what is not as it should be is left out."""
    found = []
    for line in data[-MOST_BYTES:].splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(line)
            if isinstance(parsed, dict):
                found.append(select_numbers(parsed))
    return found


def select_numbers(found: Mapping[Any, Any]) -> dict[str, float]:
    """Return the entries that are numbers which a machine can have; others are left out."""
    return {
        name: value
        for name, value in found.items()
        if isinstance(name, str)
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 <= value <= _MOST
    }


def summarize(lines: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return what the lines of a run amount to; see `tune_jobs.core.resource_usage`.

    ``cpu_...`` are shares of the cores that the run may use, ``gpu_...`` of the time. Quantiles and
    means are weighted by time.
    """
    limits: dict[str, float] = {}
    samples: list[Mapping[str, float]] = []
    for line in lines:
        limits.update((name, line[name]) for name in _LIMITS if name in line)
        if "at" in line and (not samples or line["at"] >= samples[-1]["at"]):
            samples.append(line)
    summary = dict(limits)
    if not samples:
        return {}
    summary["seconds"] = samples[-1]["at"]
    _summarize_cpu(samples, limits.get("cores") or 1.0, summary)
    peaks = [s["peak"] for s in samples if "peak" in s]
    if peaks:
        summary["memory_peak"] = max(peaks)
        summary["memory_p95"] = _find_quantile(_weigh(samples, "peak"), 0.95)
    gpu = _weigh(samples, "gpu")
    if gpu:
        summary["gpu_mean"] = round(sum(v * w for v, w in gpu) / sum(w for _, w in gpu), 4)
        summary["gpu_peak"] = max(value for value, _ in gpu)
    used = [s["gpu_memory"] for s in samples if "gpu_memory" in s]
    if used:
        summary["gpu_memory_peak"] = max(used)
    names = (("disk_read", "read"), ("disk_written", "wrote"))
    for name, counter in (*names, ("network_in", "received"), ("network_out", "sent")):
        values = [s[counter] for s in samples if counter in s]
        if values:
            summary[name] = max(values)
    return summary


def _summarize_cpu(
    samples: Sequence[Mapping[str, float]], cores: float, summary: dict[str, float]
) -> None:
    at = cpu = 0.0
    shares = []
    for sample in samples:
        if "cpu" in sample and sample["at"] - at >= 1.0:
            shares.append((max(0.0, sample["cpu"] - cpu) / (sample["at"] - at), sample["at"] - at))
            at, cpu = sample["at"], max(cpu, sample["cpu"])
    total = max((s["cpu"] for s in samples if "cpu" in s), default=None)
    if total is None:
        return
    summary["cpu_seconds"] = total
    if summary["seconds"] > 0:
        mean = total / summary["seconds"]
        shares = shares or [(mean, 1.0)]
        summary["cpu_mean"] = round(mean / cores, 4)
        summary["cpu_p95"] = round(_find_quantile(shares, 0.95) / cores, 4)
        summary["cpu_peak"] = round(max(mean, *(value for value, _ in shares)) / cores, 4)


def _weigh(samples: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    """Return the values of a gauge with the seconds since the sample before."""
    at, found = 0.0, []
    for sample in samples:
        if name in sample:
            found.append((sample[name], max(sample["at"] - at, 0.001)))
        at = sample["at"]
    return found


def _find_quantile(weighed: Sequence[tuple[float, float]], share: float) -> float:
    """Return the smallest value that the given share of the time did not exceed."""
    left = share * sum(weight for _, weight in weighed)
    ordered = sorted(weighed)
    for value, weight in ordered:
        left -= weight
        if left <= 1e-9:
            return value
    return ordered[-1][0]


def describe_memory(peak: float, limit: float) -> str:
    """Return ``15.9 of 16 GB``, in units of 2**30 bytes, with the precision that tells them apart.

    Args:
        peak, limit: Bytes.
    """
    unit, size = ("GB", 1 << 30) if limit >= 1 << 30 else ("MB", 1 << 20)
    return f"{_shorten(peak / size)} of {_shorten(limit / size)} {unit}"


def _shorten(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def describe_peak(usage: Mapping[str, float]) -> str:
    """Return ``killed at 15.9 of 16 GB`` of a run that was killed; empty if that is not known."""
    peak, limit = usage.get("memory_peak"), usage.get("memory_limit")
    return f"killed at {describe_memory(min(peak, limit), limit)}" if peak and limit else ""


def is_nearly_full(usage: Mapping[str, float]) -> bool:
    """Return whether a run had nearly all the memory that it might use."""
    return usage.get("memory_peak", 0.0) >= NEARLY_FULL * usage.get("memory_limit", float("inf"))
