"""JSON objects and Python dicts in a line of output."""

from __future__ import annotations

import re

from .numerals import VALUE, parse_number
from .records import MAX_NAME

# Neither expression can fail after it has consumed more than it keeps, so both are linear.
_STRING = re.compile(r""""(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?""", re.DOTALL)
_IN_FIELD = re.compile(rf"{_STRING.pattern}|[\[({{\])}},]", re.DOTALL)
_BEFORE_KEY = re.compile(r"\s*(?:,\s*)?")
_COLON = re.compile(r"\s*:\s*")
_CLOSED = re.compile(r"\s*(?:,\s*)?\}")
_FIELD = re.compile(VALUE)
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_MAX_BROKEN_OBJECTS = 8


def remove_objects(line: str) -> tuple[dict[str, float], str]:
    """Remove the JSON objects and Python dicts from a line.

    Returns:
        Their numbers by dotted name, and the rest of the line, to which their strings are added:
        loggers that write JSON have the metrics in a message.
    """
    numbers: dict[str, float] = {}
    strings: list[str] = []
    done = broken = 0
    start = line.find("{")
    while start >= 0 and broken < _MAX_BROKEN_OBJECTS:
        inside: tuple[dict[str, float], list[str]] = ({}, [])
        end = _read_object(line, start + 1, "", *inside)
        if end < 0:
            broken += 1
            start = line.find("{", start + 1)
            continue
        numbers.update(inside[0])
        strings += [line[done:start], *inside[1]]
        done, start = end, line.find("{", end)
    return numbers, " ; ".join([*strings, line[done:]])


def _read_object(
    line: str, position: int, prefix: str, numbers: dict[str, float], strings: list[str]
) -> int:
    """Read an object, starting after its brace; return its end, or -1 if it is not an object.

    Values that are neither JSON nor literals, such as ``tensor(0.91)`` and ``nan``, are accepted.
    """
    while position >= 0:
        closed = _CLOSED.match(line, position)
        if closed:
            return closed.end()
        key, start = _read_key(line, position)
        name = prefix + key
        if start < 0 or len(name) > MAX_NAME:
            return -1
        if line.startswith("{", start):
            position = _read_object(line, start + 1, name + ".", numbers, strings)
        else:
            position = _find_field_end(line, start)
            value = _FIELD.match(line, start)
            if value:
                numbers[name] = parse_number(value["number"])
            elif line.startswith(('"', "'"), start):
                strings.append(_unquote(line[start:position].rstrip()))
    return -1


def _read_key(line: str, position: int) -> tuple[str, int]:
    """Return a key and the position of its value, which is -1 if there is no key."""
    before = _BEFORE_KEY.match(line, position)
    string = _STRING.match(line, before.end() if before else position)
    colon = _COLON.match(line, string.end()) if string else None
    return (_unquote(string[0]), colon.end()) if string and colon else ("", -1)


def _find_field_end(line: str, position: int) -> int:
    """Return the end of the value at ``position``: a comma or brace outside of brackets."""
    depth = 0
    for token in _IN_FIELD.finditer(line, position):
        mark = token[0]
        if mark in "[({":
            depth += 1
        elif mark in "])},":
            if depth == 0:
                return token.start() if mark in ",}" else -1
            depth -= mark != ","
    return -1


def _unquote(token: str) -> str:
    """Return the content of a string in single or double quotes."""
    body = token[1:-1]
    return _ESCAPED.sub(_unescape, body) if "\\" in body else body


def _unescape(match: re.Match[str]) -> str:
    code, character = match[1], match[2]
    if code:
        return chr(int(code, 16))
    return {"n": "\n", "r": "\r", "t": "\t"}.get(character, character)
