"""The time from the request of a job run to the start of its script, by compute shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune_jobs.core.attempts import Attempt
from tune_jobs.dashboard.drawing import MANY_POINTS, SERIES, Figure, layout, short, thin
from tune_jobs.dashboard.model import Study

MAX_SHAPES = 12
NOTICEABLE = 1.0
"""Shortest time to start, in seconds, for which the figure is offered."""


def provisioning_info(runs: Sequence[Attempt]) -> Mapping[str, Sequence[tuple[int | None, float]]]:
    """Return trial and seconds from request to start of each run that started, by shape.

    A backend without shapes counts as one. The most frequent shapes come first.
    """
    found: dict[str, list[tuple[int | None, float]]] = {}
    for run in runs:
        if run.started is not None:
            seconds = max(0.0, run.started - run.intended)
            found.setdefault(run.shape or run.backend, []).append((run.trial, seconds))
    ordered = sorted(found, key=lambda shape: (-len(found[shape]), shape))
    return {shape: found[shape] for shape in ordered[:MAX_SHAPES]}


def provisioning_figure(study: Study) -> Figure:
    """Return a figure of the distribution of the time to start: a box for each shape."""
    info = provisioning_info(study.runs)
    data = []
    for i, (shape, starts) in enumerate(info.items()):
        kept = thin(starts, MANY_POINTS // len(info))
        name = f"{short(shape, 30)} ({len(starts)})"
        data.append(
            {
                "type": "box",
                "orientation": "h",
                "name": name,
                "x": [seconds for _, seconds in kept],
                "y": [name] * len(kept),
                "customdata": [trial for trial, _ in kept],
                "boxpoints": "all" if len(kept) <= 200 else "outliers",
                "jitter": 0.4,
                "pointpos": 0,
                "marker": {"color": SERIES[i % len(SERIES)], "size": 4, "opacity": 0.6},
                "hovertemplate": "trial %{customdata}: %{x:.4g} s<extra></extra>",
                "showlegend": False,
            }
        )
    shown = layout("seconds from request to start", "", xaxis={"rangemode": "tozero"})
    return {"data": data, "layout": shown}


def has_provisioning(study: Study) -> bool:
    """Return whether any run took noticeable time to start."""
    return any(r.started is not None and r.started - r.intended >= NOTICEABLE for r in study.runs)
