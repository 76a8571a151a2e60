"""Tables whose header names the columns: where a metric stands in the rows."""

from __future__ import annotations

import re

from .lines import remove_progress
from .numerals import parse_captured
from .patterns import UserPattern

_DECORATION = " :;()[]*"
_DELIMITERS = (",", ";", "\t")


def suggest_column(
    header: str, below: list[str], name: str, step: str | None
) -> tuple[str, str] | None:
    """Return a row below a header, and a pattern that reads a metric from such rows.

    Args:
        header: Line that may be a header with the name.
        below: The lines that follow it.
        name: Name of the metric.
        step: Name of the step, which may be a column, too.
    """
    for separator in ("|", ",", ";", "\t", r"\s{2,}", r"\s+"):
        names = _split(remove_progress(header).split(" ;")[0], separator)
        if name not in names or len(names) < 2:
            continue
        for row in below:
            cells = _split(
                remove_progress(row), r"\s+" if separator.startswith(r"\s") else separator
            )
            labels = names
            if separator.startswith(r"\s") and header[:1].isspace():
                labels = [""] * (len(cells) - len(names) == 1) + names  # pandas' index
            if len(cells) != len(labels) or parse_captured(cells[labels.index(name)]) is None:
                continue
            suggestion = _build_pattern(labels, cells, name, step, separator)
            if UserPattern(name, suggestion).search(row)[0] is not None:
                return row, suggestion
    return None


def _split(line: str, separator: str) -> list[str]:
    """Return the cells of a line."""
    if separator == "|":
        line = re.sub("[\u2502\u2503]", "|", line).strip().strip("|")
        return [cell.strip() for cell in line.split("|")] if "|" in line else []
    if separator in _DELIMITERS:
        return [cell.strip(' "') for cell in line.split(separator)] if separator in line else []
    return [cell.strip(_DECORATION) or cell for cell in re.split(separator, line.strip(" ;"))]


def _build_pattern(
    names: list[str], cells: list[str], name: str, step: str | None, separator: str
) -> str:
    """Return a pattern for rows with as many cells as there are names."""
    bar, delimited = separator == "|", separator in _DELIMITERS
    cell, between = (r"[^|]*", r"\|") if bar else (r"\S+", r"\s+")
    if delimited:
        between = r"\t" if separator == "\t" else separator
        cell = f"[^{between}]*"
    fields = [cell] * len(names)
    steps = [i for i, n in enumerate(names) if step is not None and n.casefold() == step.casefold()]
    space = r"\s*" if bar or delimited else ""
    if steps:
        fields[steps[0]] = rf"{space}(?P<step>\d+){space}"
    elif parse_captured(cells[0]) is None and re.fullmatch(r"[\w-]+", cells[0]):
        fields[0] = space + re.escape(cells[0]) + space
    fields[names.index(name)] = rf"{space}(?P<value>[-+\w.]+){space}"
    start, end = (r"\|", r"\|") if bar else ("^", "$") if delimited else (r"^\s*", r"\s*$")
    return start + _repeat(fields, between) + end


def _repeat(fields: list[str], between: str) -> str:
    """Join fields, with a repetition for those in a row that are the same."""
    parts: list[str] = []
    i = 0
    while i < len(fields):
        count = 1
        while i + count < len(fields) and fields[i + count] == fields[i]:
            count += 1
        repeated = count > 2
        parts.append(
            rf"{fields[i]}(?:{between}{fields[i]}){{{count - 1}}}" if repeated else fields[i]
        )
        i += count if repeated else 1
    return between.join(parts)
