"""Which job run occupied which slot, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.formatting import duration
from tune_jobs.dashboard.drawing import (
    COLORS,
    MANY_RUNS,
    Clock,
    Figure,
    layout,
)
from tune_jobs.dashboard.model import Study

_STATES = {
    "complete": "COMPLETE",
    "pruned": "PRUNED",
    "failed": "FAIL",
    "canceled": "canceled",
    "lost": "lost",
    "running": "running",
}
"""What a run is called in the figure, and the name of its color."""


@dataclass(frozen=True)
class Bar:
    """The time that a run occupied a slot, in seconds since the epoch."""

    slot: int
    trial: int | None
    name: str
    state: str
    requested: float
    started: float
    ended: float


@dataclass(frozen=True)
class Timeline:
    """Which run occupied which slot.

    Args:
        bars: By time.
        slots: Number of slots.
        utilization: Share of the slots' time in which a script ran.
        provisioning: Share of the slots' time in which a run waited for its script to start.
    """

    bars: Sequence[Bar]
    slots: int
    utilization: float
    provisioning: float


def timeline_info(runs: Sequence[Attempt], now: float) -> Timeline:
    """Assign each run the lowest slot that is free when the run is requested."""
    free_at: list[float] = []
    bars = []
    for run in sorted((r for r in runs if not r.is_final), key=lambda r: r.intended):
        end = run.ended if run.ended is not None else now
        start = run.started if run.started is not None else end
        requested = min(run.intended, start)
        slot = next((i for i, t in enumerate(free_at) if t <= requested + 1e-6), len(free_at))
        if slot == len(free_at):
            free_at.append(0.0)
        free_at[slot] = end = max(end, start)
        state = describe_state(run)
        bars.append(Bar(slot, run.trial, run.name, state, requested, start, end))
    if not bars:
        return Timeline([], 0, 0.0, 0.0)
    span = max(b.ended for b in bars) - min(b.requested for b in bars)
    whole = span * len(free_at) or 1.0
    return Timeline(
        bars,
        len(free_at),
        sum(b.ended - b.started for b in bars) / whole,
        sum(b.started - b.requested for b in bars) / whole,
    )


def describe_state(run: Attempt) -> str:
    """Return what a run that started is called in the figure."""
    match run.state:
        case AttemptState.SUCCEEDED:
            return "complete"
        case AttemptState.CANCELED if (run.cause or "").startswith("pruned"):
            return "pruned"
        case AttemptState.FAILED | AttemptState.CANCELED | AttemptState.LOST:
            return run.state.lower()
    return "running"


def timeline_figure(study: Study, now: float) -> Figure:
    """Return a figure of the slots over time: provisioning, then the state of the run.

    Gaps are idle time. What is live in a study that is not tuned any more ends with the last event.
    """
    info, clock = timeline_info(study.runs, study.known_until(now)), Clock(study.is_virtual)
    bars = list(info.bars)[-MANY_RUNS:]
    waiting = [(b, b.requested, b.started) for b in bars if b.started > b.requested]
    running = [(b, b.started, b.ended) for b in bars if b.ended > b.started]
    data = [_trace("provisioning", COLORS["provisioning"], waiting, clock)] if waiting else []
    for name, color in _STATES.items():
        parts = [part for part in running if part[0].state == name]
        if parts:
            data.append(_trace(name, COLORS[color], parts, clock))
    return {
        "data": data,
        "layout": layout(
            "",
            "slot",
            barmode="overlay",
            xaxis=clock.axis(),
            yaxis={"dtick": max(1, info.slots // 8), "autorange": "reversed"},
        ),
    }


def _trace(
    name: str, color: str, parts: Sequence[tuple[Bar, float, float]], clock: Clock
) -> Figure:
    """Return a trace of bars, each with its start and end in seconds since the epoch."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "base": [clock.place(start) for _, start, _ in parts],
        "x": [clock.place(end - start) for _, start, end in parts],
        "y": [bar.slot + 1 for bar, _, _ in parts],
        "text": [f"{b.name}, {name} for {duration(end - start)}" for b, start, end in parts],
        "textposition": "none",
        "width": 0.85,  # by default each trace has its own, by the distance of its bars
        "customdata": [bar.trial for bar, _, _ in parts],
        "marker": {"color": color, "line": {"width": 0}},
        "hovertemplate": "%{text}<extra></extra>",
    }
