"""Colors, layout and limits that all figures share. A figure is Plotly's JSON: data and layout."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.runtime.lines import remove_terminal_codes

Figure = dict[str, Any]

MANY_POINTS = 2000
"""Points above which WebGL draws a figure; also the most lines of parallel coordinates."""

LARGEST = 1e300
SMALLEST = 1e-300
"""Numbers beyond these limits are drawn at them, or as 0: the span of an axis, and the number of
its ticks, must be numbers, too."""

MANY_CURVES = 300
MANY_RUNS = 3000
LONG = 60
"""Characters that figures show of a name or a choice."""

# Control characters become spaces; bidirectional embeddings, overrides and isolates become U+FFFD.
_REPLACEMENTS = {
    **dict.fromkeys([*map(chr, range(32)), *"\x7f\u2028\u2029\u200e\u200f\u061c"], " "),
    **dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "\ufffd"),
}

# Distinct with red-green blindness, too: by hue and by lightness (Okabe and Ito 2008, darkened
# where they would be too pale on white).
COLORS = {
    "COMPLETE": "#2563eb",
    "PRUNED": "#d97706",
    "FAIL": "#c2410c",
    "RUNNING": "#0d9488",
    "best": "#059669",
    "excluded": "#a8a29e",
    "provisioning": "#94a3b8",
    "running": "#14b8a6",
    "canceled": "#a855f7",
    "lost": "#db2777",
    "limit": "#dc2626",
}
SERIES = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#db2777")


def short(value: object, max_length: int = LONG) -> str:
    """Return a value as a short string without characters that Plotly takes for markup."""
    return clean(value, max_length).replace("<", "\u2039").replace(">", "\u203a")


def clean(value: object, max_length: int) -> str:
    """Return a value as one line of at most ``max_length`` characters.

    Terminal codes are removed, and characters that change the direction of the surrounding text
    replaced.
    """
    written = remove_terminal_codes(str(value)[: 4 * max_length])
    plain = "".join(_REPLACEMENTS.get(c, c) for c in written)
    return plain if len(plain) <= max_length else plain[: max_length - 1] + "\u2026"


def thin(items: Sequence[Any], max_items: int) -> list[Any]:
    """Return a sample of at most ``max_items`` items in their order; the same sample every time.

    An item that is added at the end changes at most one item of the sample, so that a figure that
    is drawn again is nearly the same.
    """
    if len(items) <= max_items:
        return list(items)
    numbers = random.Random(0)
    ranks = [numbers.random() for _ in items]
    kept = sorted(heapq.nsmallest(max_items, range(len(items)), key=ranks.__getitem__))
    return [items[i] for i in kept]


def layout(x: str, y: str, **more: Any) -> Figure:
    """Return the layout of a figure with these axis titles; ``more`` is added to it."""
    return {
        "xaxis": {"title": {"text": short(x)}, "automargin": True, **more.pop("xaxis", {})},
        "yaxis": {"title": {"text": short(y)}, "automargin": True, **more.pop("yaxis", {})},
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        **more,
    }


@dataclass(frozen=True)
class Clock:
    """The clock of a study, and where its times are on an axis.

    Times are milliseconds since the epoch, which the page shows in the time zone of its reader, and
    what is drawn elsewhere in UTC. Those of a virtual clock, which begins at 0, are hours.

    Args:
        is_virtual: Whether it is that of a simulation.
    """

    is_virtual: bool = False

    def place(self, seconds: float) -> float:
        """Return the position of a time or of a length, in seconds."""
        return round(seconds / 3600.0, 6) if self.is_virtual else round(seconds * 1000.0)

    def axis(self) -> Figure:
        """Return the axis."""
        if self.is_virtual:
            return {"title": {"text": "hours of virtual time"}}
        return {"type": "date", "title": {"text": "time (UTC)"}}


def level(value: float, name: str, color: str, dash: str) -> Figure:
    """Return a trace that adds a horizontal line to the legend; `level_shape` draws it."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": short(name),
        "x": [None],
        "y": [value],
        "line": {"color": color, "dash": dash, "width": 2},
    }


def level_shape(value: float, color: str, dash: str) -> Figure:
    """Return a horizontal line across a figure."""
    line = {"color": color, "dash": dash, "width": 2}
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1}
    return {**across, "y0": value, "y1": value, "line": line}


def scatter_type(points: Sequence[Any]) -> str:
    """Return the type of a trace with these points: WebGL for many."""
    return "scattergl" if len(points) > MANY_POINTS else "scatter"


def bound(value: float) -> float:
    """Return a number as it is drawn: within the limits, or not finite."""
    if abs(value) < SMALLEST:
        return 0.0
    return float(max(-LARGEST, min(LARGEST, value)) if abs(value) < math.inf else value)


def name_positions(names: Sequence[str]) -> Figure:
    """Return an axis on which the names are at 0, 1, 2...

    Plotly's own axes of categories merge those of the same name, and lose some, as ``__proto__``.
    """
    positions = list(range(len(names)))
    return {"type": "linear", "tickvals": positions, "ticktext": [short(name) for name in names]}


def bars(pairs: Sequence[tuple[str, float | None]], label: str) -> Figure:
    """Return a figure of horizontal bars; the first pair is on top."""
    names = [short(name) for name, _ in pairs]
    axis = {**name_positions(names), "range": [len(names) - 0.4, -0.6], "zeroline": False}
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [value for _, value in pairs],
                "y": list(range(len(pairs))),
                "text": names,
                "textposition": "none",
                "marker": {"color": COLORS["COMPLETE"]},
                "hovertemplate": "%{text}: %{x:.3f}<extra></extra>",
            }
        ],
        "layout": layout(label, "", yaxis=axis),
    }


def finite(value: Any) -> Any:
    """Return JSON data with None in place of numbers that are not finite, as JSON has none."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
