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

SVG, PNG = "image/svg+xml", "image/png"

IMAGE_BYTES = 500_000
"""Largest image of a figure in a notebook."""


def make_figure(figure: dict[str, Any], title: str, printed: dict[str, Any] | None = None) -> Any:
    """Return a figure of Plotly that shows itself as an image, too.

    Args:
        figure: Data and layout.
        title: Its title.
        printed: What its image shows, if that is another figure, see `draw_printed`.
    """
    made = _figure_class()(figure)
    made.printed = printed
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

    members: dict[str, Any] = {
        "_ipython_display_": show,
        "_repr_mimebundle_": bundle,
        "__module__": __name__,
        "printed": None,
    }
    return type("Figure", (graph.Figure,), members)


def build_bundle(figure: Any) -> dict[str, Any]:
    """Return a figure for front ends with Plotly, and as an image for all others.

    The image is in HTML, which most front ends prefer, and by itself for those that take no HTML.
    """
    document = json.loads(figure.to_json())
    title = str(figure.layout.title.text or "Figure")
    shown = {
        "text/plain": f"Figure({title}, {len(document['data'])} traces)",
        "application/vnd.plotly.v1+json": {**document, "config": {"displaylogo": False}},
    }
    image = _find_image(figure, document, title)
    if image is None:
        note = "this figure is drawn by Plotly: install its extension, or 'tune_jobs[images]'"
        return {**shown, "text/html": f"<p>{html.escape(title)}: {html.escape(note)}</p>"}
    kind, content = image
    encoded = base64.b64encode(content).decode()
    source = f"data:{kind};base64,{encoded}"
    page = f"<img src='{source}' alt='{html.escape(title)}' width='{WIDTH}' height='{HEIGHT}'>"
    return {
        **shown,
        "text/html": page,
        kind: content.decode() if kind == SVG else encoded,
    }


def _find_image(figure: Any, document: dict[str, Any], title: str) -> tuple[str, bytes] | None:
    """Return an image with its type: our SVG, or Kaleido's PNG of what that cannot draw.

    Kaleido starts a browser for each image. Its server would keep one, but waits forever if that
    browser is missing or dies.
    """
    drawn = getattr(figure, "printed", None) or document
    kind, content = SVG, (draw_svg(drawn, title) or "").encode()
    if not content and find_spec("kaleido") is not None:
        try:
            kind, content = PNG, figure.to_image("png", width=WIDTH, height=HEIGHT)
        except Exception:  # of its browser, which may be missing
            return None
    return (kind, content) if 0 < len(content) <= IMAGE_BYTES else None
