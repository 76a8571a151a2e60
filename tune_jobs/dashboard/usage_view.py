"""What a job run uses, as curves for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.formatting import byte_size
from tune_jobs.core.resource_usage import ResourceUsage, describe_usage
from tune_jobs.runtime.usage_summary import summarize

_RATES = {
    "disk read": "read",
    "disk written": "wrote",
    "network in": "received",
    "network out": "sent",
}
"""Curves of bytes per second, with the counter of each."""

POINTS = 120
"""Points of a curve, at most."""


def usage_view(run: Attempt, lines: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return a sentence on what a run used, and its curves.

    Args:
        run: The run; one that has ended has its summary.
        lines: Its samples, see `tune_jobs.runtime.usage`.

    Returns:
        ``summary``, empty if nothing is known; ``curves``: by name, the points of which each is a
        time in seconds and a share of what the run might use, or, of a rate, of its peak; and
        ``peaks``: by name, the peak of the curve in words.
    """
    summary = summarize(lines)
    usage = run.usage or ResourceUsage.from_summary(summary)
    samples = [line for line in lines if "at" in line]
    curves = {
        "CPU": _cpu_shares(samples, summary.get("cores") or 1.0),
        "memory": _shares(samples, "peak", summary.get("memory_limit")),
        "GPU": _shares(samples, "gpu", 1.0),
    }
    peaks = {name: f"{max(share for _, share in p):.0%}" for name, p in curves.items() if p}
    for name, counter in _RATES.items():
        rates = _rates(samples, counter)
        peak = max((rate for _, rate in rates), default=0.0)
        if peak > 0.0:
            curves[name] = [(at, rate / peak) for at, rate in rates]
            peaks[name] = f"{byte_size(round(peak))}/s"
    shown = {name: _thin(points) for name, points in curves.items() if len(points) > 1}
    return {
        "run": run.name,
        "summary": "" if usage is None else describe_usage(usage),
        "curves": shown,
        "peaks": {name: peaks[name] for name in shown},
    }


def _rates(samples: Sequence[Mapping[str, float]], counter: str) -> list[tuple[float, float]]:
    """Return the bytes per second by which a counter grows."""
    known = [(s["at"], s[counter]) for s in samples if counter in s]
    return [
        (at, max(0.0, count - before) / (at - since))
        for (since, before), (at, count) in pairwise(known)
        if at > since
    ]


def _cpu_shares(samples: Sequence[Mapping[str, float]], cores: float) -> list[tuple[float, float]]:
    points, at, cpu = list[tuple[float, float]](), 0.0, 0.0
    for sample in samples:
        if "cpu" in sample and sample["at"] > at:
            share = (sample["cpu"] - cpu) / (sample["at"] - at) / cores
            points.append((sample["at"], min(1.0, max(0.0, share))))
            at, cpu = sample["at"], sample["cpu"]
    return points


def _shares(
    samples: Sequence[Mapping[str, float]], name: str, limit: float | None
) -> list[tuple[float, float]]:
    if not limit:
        return []
    return [(s["at"], min(1.0, s[name] / limit)) for s in samples if name in s]


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `POINTS` points; each is the highest of those that it stands for."""
    step = -(-len(points) // POINTS)
    parts = [points[start : start + step] for start in range(0, len(points), step)]
    return [(round(part[-1][0], 1), round(max(p[1] for p in part), 4)) for part in parts]
