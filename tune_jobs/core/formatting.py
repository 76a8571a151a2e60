"""Durations, sizes, values and small HTML tables for people."""

from __future__ import annotations

import html
from collections.abc import Iterable


def duration(seconds: float) -> str:
    """Format seconds: 95 becomes ``1m35s``, 0.2 becomes ``0.2s``."""
    whole = round(seconds)
    if whole == 0 and seconds >= 0.05:
        return f"{seconds:.1f}s"
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 trial", "2 trials"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def byte_size(size: int) -> str:
    """Format a number of bytes: 1234567 becomes ``1.2 MB``."""
    number, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 999.5 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 99.5 else f"{number:.3g} {unit}"


def abbreviate(value: object) -> str:
    """Return the value's repr, cut if it is long."""
    try:
        written = repr(value)
    except Exception:  # an integer of too many digits, or a class whose repr fails
        return f"a value of type {type(value).__name__}"
    return written if len(written) <= 80 else f"{written[:60]}... ({len(written)} characters)"


def format_parameter(value: object, digits: int | None = None) -> str:
    """Return the value of a parameter such that different values look different.

    A string is quoted if it looks like a value of another type (``'1'``, ``'None'``) or cannot be
    seen as it is, and only then.

    Args:
        value: The value.
        digits: Significant digits of a float; None for all.
    """
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    if not isinstance(value, str):
        return str(value)
    return repr(value) if _is_misleading(value) else value


def _is_misleading(string: str) -> bool:
    is_visible = string == string.strip() != "" and string.isprintable()
    if not is_visible or string[0] in "\"'[{(" or string in _CONSTANTS:
        return True
    try:
        float(string)
    except ValueError:
        return False
    return True


_CONSTANTS = ("None", "True", "False")


def html_table(rows: Iterable[tuple[str, str]]) -> str:
    """Return an escaped HTML table of labels and values; rows without a value are left out."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for label, value in rows
        if value
    )
    return f"<table>{cells}</table>"
