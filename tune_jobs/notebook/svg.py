"""Figures of Plotly's JSON as SVG images: lines and points on one pair of linear axes.

What a saved notebook shows where Plotly is not at hand. Strings of a study are escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.dashboard.drawing import Figure, clean, thin

WIDTH, HEIGHT = 800, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 60, 50
POINTS = 1000
"""Points of a trace that are drawn."""

TRACES = 40
"""Traces that are drawn."""

LEGEND = 6
TICKS = 5
_COLORS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2")


@dataclass(frozen=True)
class _Axis:
    """Where numbers are on an axis: from ``low`` at ``begin`` to ``high`` at ``end``, in pixels."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)


def draw_svg(figure: Figure, title: str) -> str | None:
    """Return a figure as an SVG image; None if it has other traces or axes."""
    traces = figure["data"][:TRACES]
    layout = figure["layout"]
    if not traces or not all(map(_can_draw, traces)) or not _has_plain_axes(layout):
        return None
    lines = [_read_lines(trace) for trace in traces]
    xs = [x for parts in lines for points in parts for x, _ in points]
    ys = [y for parts in lines for points in parts for _, y in points]
    if not xs:
        return None
    x_axis = _Axis(*_widen(xs), LEFT, WIDTH - RIGHT)
    y_axis = _Axis(*_widen(ys), HEIGHT - BOTTOM, TOP)
    parts = [_text(LEFT, 20, title, "font-size='15'"), _axes(x_axis, y_axis, layout)]
    for i, (trace, drawn) in enumerate(zip(traces, lines, strict=True)):
        color = _find_color(trace, i)
        for points in drawn:
            placed = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
            parts.append(_draw(trace, placed, color))
    parts.append(_draw_legend(traces))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"width='{WIDTH}' height='{HEIGHT}' font-family='sans-serif' font-size='12'>"
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>{''.join(parts)}</svg>"
    )


def _can_draw(trace: Mapping[str, Any]) -> bool:
    is_plain = not ({"xaxis", "yaxis"} & trace.keys())
    return is_plain and trace.get("type", "scatter") in ("scatter", "scattergl")


def _has_plain_axes(layout: Mapping[str, Any]) -> bool:
    axes = [value for name, value in layout.items() if name[1:].startswith("axis")]
    return len(axes) <= 2 and all(each.get("type", "linear") == "linear" for each in axes)


def _read_lines(trace: Mapping[str, Any]) -> list[list[tuple[float, float]]]:
    """Return the points of a trace; what is missing between two of them parts them."""
    lines: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(trace.get("x", ()), trace.get("y", ()), strict=False):
        if _is_finite(x) and _is_finite(y):
            lines[-1].append((float(x), float(y)))
        elif lines[-1]:
            lines.append([])
    shown = [points for points in lines if points]
    most = max(2, POINTS // max(1, len(shown)))
    return [thin(points, most) for points in shown]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _widen(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis with these values on it."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _axes(x_axis: _Axis, y_axis: _Axis, layout: Mapping[str, Any]) -> str:
    parts = []
    for tick in _ticks(x_axis):
        x = x_axis.place(tick)
        parts.append(f"<path d='M{x} {TOP}V{HEIGHT - BOTTOM}' stroke='#e5e7eb'/>")
        parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{tick:.6g}", "text-anchor='middle'"))
    for tick in _ticks(y_axis):
        y = y_axis.place(tick)
        parts.append(f"<path d='M{LEFT} {y}H{WIDTH - RIGHT}' stroke='#e5e7eb'/>")
        parts.append(_text(LEFT - 6, y + 4, f"{tick:.6g}", "text-anchor='end'"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, HEIGHT - 12, _axis_title(layout, "xaxis"), "text-anchor='middle'"))
    parts.append(_text(LEFT, TOP - 8, _axis_title(layout, "yaxis"), "fill='#555'"))
    return "".join(parts)


def _axis_title(layout: Mapping[str, Any], axis: str) -> str:
    return str(layout.get(axis, {}).get("title", {}).get("text", ""))


def _ticks(axis: _Axis) -> list[float]:
    """Return round numbers on an axis."""
    rough = (axis.high - axis.low) / TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= rough)
    first, last = math.ceil(axis.low / step), math.floor(axis.high / step)
    return [n * step for n in range(first, last + 1)]


def _find_color(trace: Mapping[str, Any], index: int) -> str:
    for part in ("line", "marker"):
        color = trace.get(part, {}).get("color")
        if isinstance(color, str):
            return color
    return _COLORS[index % len(_COLORS)]


def _draw(trace: Mapping[str, Any], points: Sequence[tuple[float, float]], color: str) -> str:
    mode, paint = str(trace.get("mode", "lines+markers")), html.escape(color)
    drawn = ""
    if "lines" in mode and points:
        separator = "H{x}V{y}" if trace.get("line", {}).get("shape") == "hv" else "L{x} {y}"
        (x, y), rest = points[0], points[1:]
        path = f"M{x} {y}" + "".join(separator.format(x=x, y=y) for x, y in rest)
        drawn = f"<path d='{path}' fill='none' stroke='{paint}' stroke-width='1.5'/>"
    if "markers" in mode:
        dots = "".join(f"M{x} {y}h0" for x, y in points)
        drawn += f"<path d='{dots}' stroke='{paint}' stroke-width='6' stroke-linecap='round'/>"
    return drawn


def _draw_legend(traces: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        (str(trace["name"]), _find_color(trace, i))
        for i, trace in enumerate(traces)
        if trace.get("name") and trace.get("showlegend", True)
    ]
    if len(shown) < 2:
        return ""
    width = (WIDTH - LEFT - RIGHT) / LEGEND
    return "".join(
        f"<circle cx='{LEFT + i * width + 4:.0f}' cy='34' r='4' fill='{html.escape(color)}'/>"
        + _text(LEFT + i * width + 12, 38, clean(name, 18), "fill='#555'")
        for i, (name, color) in enumerate(shown[:LEGEND])
    )


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f"<text x='{x:.0f}' y='{y:.0f}' {attributes}>{html.escape(clean(text, 80))}</text>"
