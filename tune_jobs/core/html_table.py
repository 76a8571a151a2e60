"""A small table for notebooks; everything in it is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable


def html_table(rows: Iterable[tuple[str, str]]) -> str:
    """Labels and texts, a row each; rows without a text are left out."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for label, text in rows
        if text
    )
    return f"<table>{cells}</table>"
