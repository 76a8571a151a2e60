"""Figures that show themselves wherever a notebook is opened.

Plotly's own figures are empty cells where its extension is missing, and in what GitHub shows. These
have an image as well.
"""

from __future__ import annotations

import base64
import html
import json
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tune_jobs.notebook.environment import in_notebook
from tune_jobs.notebook.svg import HEIGHT, WIDTH, draw_svg

IMAGE_BYTES = 500_000
"""Largest image of a figure in a notebook."""


def make_figure(figure: dict[str, Any], title: str) -> Any:
    """Return a figure of Plotly that shows itself as an image, too.

    Args:
        figure: Data and layout.
        title: Its title.
    """
    made = _figure_class()(figure)
    made.update_layout(title=title, height=HEIGHT, margin_t=90)
    return made


@cache
def _figure_class() -> Any:
    graph: Any = import_module("plotly.graph_objects")

    def show(figure: Any) -> None:
        if not in_notebook():
            raise NotImplementedError  # Plotly decides
        display: Any = import_module("IPython.display")
        display.display(build_bundle(figure), raw=True)

    def bundle(figure: Any, include: object = None, exclude: object = None) -> dict[str, Any]:
        return build_bundle(figure)

    methods = {"_ipython_display_": show, "_repr_mimebundle_": bundle, "__module__": __name__}
    return type("Figure", (graph.Figure,), methods)


def build_bundle(figure: Any) -> dict[str, Any]:
    """Return a figure for front ends with Plotly, and as an image in HTML for all others."""
    document = json.loads(figure.to_json())
    title = str(figure.layout.title.text or "Figure")
    shown = {
        "text/plain": f"Figure({title}, {len(document['data'])} traces)",
        "application/vnd.plotly.v1+json": {**document, "config": {"displaylogo": False}},
    }
    source = _find_image(figure, document, title)
    if source is None:
        note = "this figure is drawn by Plotly: install its extension, or 'tune_jobs[images]'"
        return {**shown, "text/html": f"<p>{html.escape(title)}: {html.escape(note)}</p>"}
    image = f"<img src='{source}' alt='{html.escape(title)}' width='{WIDTH}' height='{HEIGHT}'>"
    return {**shown, "text/html": image}


def _find_image(figure: Any, document: dict[str, Any], title: str) -> str | None:
    """Return an image as a data URL: an SVG of simple figures, Kaleido's PNG of others."""
    if svg := draw_svg(document, title):
        kind, content = "svg+xml", svg.encode()
    elif find_spec("kaleido") is not None:
        try:
            kind, content = "png", figure.to_image("png", width=WIDTH, height=HEIGHT)
        except Exception:  # of its browser, which may be missing
            return None
    else:
        return None
    if len(content) > IMAGE_BYTES:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
