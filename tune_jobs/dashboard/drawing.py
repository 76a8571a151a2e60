"""What all figures have in common. A figure is Plotly's own JSON: data and layout."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

Figure = dict[str, Any]

MANY_POINTS = 2000
"""Points from which on WebGL draws, and lines of parallel coordinates."""

MANY_CURVES = 300
MANY_RUNS = 3000
LONG = 60
"""Characters of a name or a choice that figures show."""

# Control characters become blanks; embeddings, overrides and isolates of bidirectional text a mark.
_DISTURBING = {
    **dict.fromkeys([*map(chr, range(32)), *"\x7f\u2028\u2029\u200e\u200f\u061c"], " "),
    **dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "\ufffd"),
}

COLORS = {
    "COMPLETE": "#2563eb",
    "PRUNED": "#d97706",
    "FAIL": "#dc2626",
    "RUNNING": "#16a34a",
    "best": "#059669",
    "provisioning": "#94a3b8",
    "running": "#2563eb",
}
SERIES = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#db2777")


def short(text: object) -> str:
    """A text of bounded length, without markup of Plotly's own."""
    return tame(text, LONG).replace("<", "\u2039").replace(">", "\u203a")


def tame(text: object, most: int) -> str:
    """A text on one line, of bounded length, that cannot turn the direction of others around."""
    plain = "".join(_DISTURBING.get(c, c) for c in str(text)[: 4 * most])
    return plain if len(plain) <= most else plain[: most - 1] + "\u2026"


def thinned(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the items, in their order, always the same ones."""
    if len(items) <= most:
        return list(items)
    kept = sorted(random.Random(0).sample(range(len(items)), most))
    return [items[i] for i in kept]


def layout(x: str, y: str, **more: Any) -> Figure:
    """What all figures have in common."""
    return {
        "xaxis": {"title": {"text": short(x)}, "automargin": True, **more.pop("xaxis", {})},
        "yaxis": {"title": {"text": short(y)}, "automargin": True, **more.pop("yaxis", {})},
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "legend": {"orientation": "h", "y": 1.12},
        "hovermode": "closest",
        **more,
    }


def scatter(points: Sequence[Any]) -> str:
    """The kind of trace for so many points."""
    return "scattergl" if len(points) > MANY_POINTS else "scatter"


def bars(pairs: Sequence[tuple[str, float]], label: str) -> Figure:
    """Horizontal bars, the first pair on top."""
    upwards = list(reversed(pairs))
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [value for _, value in upwards],
                "y": [short(name) for name, _ in upwards],
                "marker": {"color": COLORS["COMPLETE"]},
                "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
            }
        ],
        "layout": layout(label, ""),
    }


def finite(value: Any) -> Any:
    """The same without numbers that JSON has none for."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
