"""Durations and small HTML tables for people."""

from __future__ import annotations

import html
from collections.abc import Iterable


def duration(seconds: float) -> str:
    """``95`` as ``1m35s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def html_table(rows: Iterable[tuple[str, str]]) -> str:
    """Labels and texts, a row each; rows without a text are left out."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for label, text in rows
        if text
    )
    return f"<table>{cells}</table>"
