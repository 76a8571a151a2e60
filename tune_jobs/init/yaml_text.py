"""YAML as people write it: one line for a parameter, comments behind values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_PLAIN = re.compile(
    r"[A-Za-z_][\w.\-]*(?: [A-Za-z0-9][\w.\-]*)*"  # val_acc, Average loss
    r"|[\w.\-]*/[\w./\-]+"  # data/train.csv
    r"|-{1,2}[A-Za-z][\w.\-]*(?:=[\w./\-]*)?"  # --epochs=10
    r"|[A-Za-z_][\w.]*=[\w./\-]+",  # optimizer.lr=0.1
    re.ASCII,
)
_SPECIAL = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|nan|inf|~")
_MAX_COMMENT = 90


def scalar(value: Any) -> str:
    """Return a number, a string, a boolean or None in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    string = str(value)
    if _PLAIN.fullmatch(string) and not _SPECIAL.fullmatch(string):
        return string
    return f'"{"".join(map(_escape, string))}"'


def _escape(character: str) -> str:
    """Return a character of a string in double quotes; what UTF-8 cannot encode is replaced."""
    if character in '"\\':
        return f"\\{character}"
    if "\ud800" <= character <= "\udfff":
        return "?"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    candidates = [f"{value:g}", repr(value)]
    if 0 < abs(value) < 1e-3:
        candidates.insert(0, f"{value:.0e}")
        candidates.insert(1, f"{value:.1e}")
    written = next(each for each in candidates if float(each) == value)
    # 1e-05 is 1e-5; a float without a point or an exponent would be an integer.
    written = re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].strip('+')}{m[2]}", written)
    return written if re.search(r"[.e]", written) else f"{written}.0"


def inline(value: Any) -> str:
    """Return a value in one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {inline(item)}" for k, item in value.items()) + "}"
    return scalar(value)


def comment(text: str, limit: int = _MAX_COMMENT) -> str:
    """Return a text as a comment of one line: printable, and cut if it is long."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(printable.encode("utf-8", "replace").decode().split())
    return f"# {line if len(line) <= limit else line[: limit - 3].rstrip() + '...'}"


def paragraph(text: str, width: int = 96) -> list[str]:
    """Return a text as comments of several lines."""
    lines: list[str] = []
    for word in comment(text, limit=100_000).removeprefix("# ").split(" "):
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"# {word}")
    return lines
