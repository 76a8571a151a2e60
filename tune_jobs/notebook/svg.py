"""Figures of Plotly's JSON as SVG images: lines, points and horizontal bars.

What a saved notebook shows where Plotly is not at hand. Strings of a study are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.dashboard.drawing import Figure, clean, thin
from tune_jobs.dashboard.parallel_lines import VIRIDIS
from tune_jobs.notebook.svg_axes import Axis, make_axis, read_number

WIDTH, HEIGHT = 800, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 60, 50
CATEGORIES_LEFT = 170
"""Left margin of an axis of names."""

POINTS = 1000
"""Points of a trace that are drawn."""

TRACES = 40
"""Traces that are drawn."""

LEGEND = 6
_COLORS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2")
_DASHES = {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}


@dataclass(frozen=True)
class _Panel:
    """A part of a figure with axes of its own, and its traces with their positions among all."""

    x: Axis
    y: Axis
    traces: Sequence[tuple[int, Mapping[str, Any]]]


def draw_svg(figure: Figure, title: str) -> str | None:
    """Return a figure as an SVG image; None if it has other traces or axes."""
    traces, layout = figure["data"][:TRACES], figure["layout"]
    if not traces or not all(_can_draw(trace, layout) for trace in traces):
        return None
    panels = _make_panels(traces, layout)
    if not panels:
        return None
    parts = [_text(LEFT, 20, title, "font-size='15'")]
    parts += [_draw_grid(panel, is_first=i == 0) for i, panel in enumerate(panels)]
    for panel in panels:
        parts += [_draw(trace, panel, number) for number, trace in panel.traces]
    parts += [_draw_shape(shape, panels[0]) for shape in layout.get("shapes", ())]
    parts += [_draw_note(note, panels[0]) for note in layout.get("annotations", ())]
    parts.append(_draw_legend(traces))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"width='{WIDTH}' height='{HEIGHT}' font-family='sans-serif' font-size='12'>"
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>{''.join(parts)}</svg>"
    )


# -- what is where ------------------------------------------------------------------------------


def _can_draw(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> bool:
    if trace.get("yaxis", "y") != "y" or _axis_key(trace) not in {"xaxis", *layout}:
        return False
    if trace.get("type", "scatter") == "bar":
        return trace.get("orientation") == "h"
    return trace.get("type", "scatter") in ("scatter", "scattergl")


def _axis_key(trace: Mapping[str, Any]) -> str:
    return "xaxis" + str(trace.get("xaxis", "x"))[1:]


def _make_panels(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> list[_Panel]:
    """Return the panels; none if there is nothing to show."""
    ys = [y for trace in traces for y in trace.get("y", ())]
    y_layout = layout.get("yaxis", {})
    y = make_axis(y_layout, ys, HEIGHT - BOTTOM, TOP)
    if y is None:
        return []
    left = CATEGORIES_LEFT if y.categories else LEFT
    panels = []
    for key in dict.fromkeys(map(_axis_key, traces)):
        members = [(i, trace) for i, trace in enumerate(traces) if _axis_key(trace) == key]
        x_layout = layout.get(key, {})
        begin, end = x_layout.get("domain", (0.0, 1.0))
        width = WIDTH - RIGHT - left
        xs = [x for _, trace in members for x in _list_xs(trace)]
        x = make_axis(x_layout, xs, left + begin * width, left + end * width)
        if x is not None:
            panels.append(_Panel(x, y, members))
    return panels


def _list_xs(trace: Mapping[str, Any]) -> list[Any]:
    """Return the values on the axis: of bars, both ends."""
    xs = list(trace.get("x", ()))
    if trace.get("type") != "bar":
        return xs
    bases = list(trace.get("base", ())) or [0.0] * len(xs)
    return [*bases, *(b + x for b, x in zip(bases, xs, strict=True))]


def _read_lines(trace: Mapping[str, Any], panel: _Panel) -> list[list[tuple[float, float]]]:
    """Return the points of a trace in pixels; what is missing between two of them parts them."""
    lines: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(trace.get("x", ()), trace.get("y", ()), strict=False):
        at_x, at_y = panel.x.read(x), panel.y.read(y)
        if at_x is not None and at_y is not None:
            lines[-1].append((panel.x.place(at_x), panel.y.place(at_y)))
        elif lines[-1]:
            lines.append([])
    shown = [points for points in lines if points]
    most = max(2, POINTS // max(1, len(shown)))
    return [thin(points, most) for points in shown]


# -- axes ---------------------------------------------------------------------------------------


def _draw_grid(panel: _Panel, *, is_first: bool) -> str:
    """Return rules and labels; panels side by side share the labels of the vertical axis."""
    x, y = panel.x, panel.y
    left, right = min(x.begin, x.end), max(x.begin, x.end)
    is_above = x.layout.get("side") == "top"
    height = TOP - 8 if is_above else HEIGHT - BOTTOM + 16
    parts = []
    for position, label in x.list_ticks():
        at = x.place(position)
        if x.layout.get("showgrid", True):
            parts.append(f"<path d='M{at} {TOP}V{HEIGHT - BOTTOM}' stroke='#e5e7eb'/>")
        parts.append(_text(at, height, label, "text-anchor='middle'"))
    if y.layout.get("visible", True):
        for position, label in y.list_ticks():
            at = y.place(position)
            parts.append(f"<path d='M{left:.0f} {at}H{right:.0f}' stroke='#e5e7eb'/>")
            if is_first:
                shown = clean(label, 22)
                parts.append(_text(left - 6, at + 4, shown, "text-anchor='end'"))
    parts.append(_text((left + right) / 2, HEIGHT - 12, x.title, "text-anchor='middle'"))
    if is_first:
        parts.append(_text(left, TOP - 8, y.title, "fill='#555'"))
    return "".join(parts)


# -- traces -------------------------------------------------------------------------------------


def _draw(trace: Mapping[str, Any], panel: _Panel, number: int) -> str:
    color = html.escape(_find_color(trace, number))
    if trace.get("type") == "bar":
        drawn = _draw_bars(trace, panel, color)
    else:
        mode = str(trace.get("mode", "lines+markers"))
        drawn = _draw_lines(trace, panel, color) if "lines" in mode else ""
        drawn += _draw_markers(trace, panel, color) if "markers" in mode else ""
    opacity = read_number(trace.get("opacity"))
    return drawn if opacity is None or not drawn else f"<g opacity='{opacity:.3g}'>{drawn}</g>"


def _draw_lines(trace: Mapping[str, Any], panel: _Panel, color: str) -> str:
    line = trace.get("line", {})
    separator = "H{x}V{y}" if line.get("shape") == "hv" else "L{x} {y}"
    floor, drawn = HEIGHT - BOTTOM, ""
    for (x, y), *rest in _read_lines(trace, panel):
        path = f"M{x} {y}" + "".join(separator.format(x=x, y=y) for x, y in rest)
        if trace.get("fill") == "tozeroy" and rest:
            drawn += f"<path d='{path}V{floor}H{x}Z' fill='{color}' fill-opacity='0.12'/>"
        drawn += f"<path d='{path}' fill='none' stroke='{color}'{_stroke(line)}/>"
    return drawn


def _stroke(line: Mapping[str, Any]) -> str:
    width = read_number(line.get("width"))
    dash = _DASHES.get(str(line.get("dash")))
    dashes = f" stroke-dasharray='{dash}'" if dash else ""
    return f" stroke-width='{1.5 if width is None else width:.3g}'{dashes}"


def _draw_markers(trace: Mapping[str, Any], panel: _Panel, color: str) -> str:
    """Return points; those of one color are one path."""
    marker = trace.get("marker", {})
    placed: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    points = list(zip(trace.get("x", ()), trace.get("y", ()), strict=False))
    colors = _scale_colors(marker, color, len(points))
    symbols = marker.get("symbol", "")
    for i in thin(range(len(points)), POINTS):
        x, y = panel.x.read(points[i][0]), panel.y.read(points[i][1])
        if x is None or y is None:
            continue
        symbol = symbols if isinstance(symbols, str) else symbols[i]
        place = panel.x.place(x), panel.y.place(y)
        placed.setdefault((colors[i], "open" in str(symbol)), []).append(place)
    return "".join(
        _draw_circles(members, shade)
        if is_open
        else f"<path d='{''.join(f'M{x} {y}h0' for x, y in members)}' stroke='{shade}' "
        "stroke-width='6' stroke-linecap='round'/>"
        for (shade, is_open), members in placed.items()
    )


def _draw_circles(points: Sequence[tuple[float, float]], color: str) -> str:
    circles = "".join(f"<circle cx='{x}' cy='{y}' r='2.5'/>" for x, y in points)
    return f"<g fill='none' stroke='{color}'>{circles}</g>"


def _scale_colors(marker: Mapping[str, Any], color: str, count: int) -> list[str]:
    """Return a color for each point: that of the trace, or by its number on a scale."""
    given = marker.get("color")
    if not isinstance(given, list | tuple) or len(given) != count:
        return [color] * count
    numbers = [read_number(value) for value in given]
    known = [number for number in numbers if number is not None]
    if not known:
        return [html.escape(str(value)) for value in given]
    low, span = min(known), (max(known) - min(known)) or 1.0
    scale = VIRIDIS[::-1] if marker.get("reversescale") else VIRIDIS
    last = len(scale) - 1
    return [
        color if n is None else scale[min(last, int((n - low) / span * len(scale)))]
        for n in numbers
    ]


def _draw_bars(trace: Mapping[str, Any], panel: _Panel, color: str) -> str:
    xs, count = _list_xs(trace), len(trace.get("x", ()))
    height = abs(panel.y.place(1.0) - panel.y.place(0.0)) * float(trace.get("width", 0.8))
    drawn = ""
    for begin, end, name in zip(xs[:count], xs[count:], trace.get("y", ()), strict=True):
        y = panel.y.read(name)
        places = [panel.x.read(begin), panel.x.read(end)]
        if y is None or places[0] is None or places[1] is None:
            continue
        left, right = sorted(panel.x.place(place) for place in places if place is not None)
        top = panel.y.place(y) - height / 2
        drawn += f"M{left} {top:.1f}H{right}V{top + height:.1f}H{left}Z"
    return f"<path d='{drawn}' fill='{color}'/>" if drawn else ""


def _draw_shape(shape: Mapping[str, Any], panel: _Panel) -> str:
    """Return a line; across the panel if it is not placed by values."""
    line = shape.get("line", {})
    y0, y1 = panel.y.read(shape.get("y0")), panel.y.read(shape.get("y1"))
    if shape.get("xref") == "paper":
        x0, x1 = panel.x.begin, panel.x.end
    else:
        positions = [panel.x.read(shape.get(name)) for name in ("x0", "x1")]
        x0, x1 = (panel.x.begin if p is None else panel.x.place(p) for p in positions)
    if shape.get("type") != "line" or y0 is None or y1 is None:
        return ""
    color = html.escape(str(line.get("color", "#555")))
    path = f"M{x0} {panel.y.place(y0)}L{x1} {panel.y.place(y1)}"
    return f"<path d='{path}' stroke='{color}'{_stroke(line)}/>"


def _draw_note(note: Mapping[str, Any], panel: _Panel) -> str:
    x, y = panel.x.read(note.get("x")), panel.y.read(note.get("y"))
    if x is None or y is None:
        return ""
    halo = "font-size='10' text-anchor='end' stroke='#fff' stroke-width='3' paint-order='stroke'"
    return _text(panel.x.place(x) - 4, panel.y.place(y) + 4, str(note.get("text", "")), halo)


# -- names --------------------------------------------------------------------------------------


def _find_color(trace: Mapping[str, Any], index: int) -> str:
    for part in ("line", "marker"):
        color = trace.get(part, {}).get("color")
        if isinstance(color, str):
            return color
    return _COLORS[index % len(_COLORS)]


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
