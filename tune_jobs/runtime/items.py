"""Items of a JSON or YAML file: the text of each mapping, and its step.

- accuracy: 0.9          The step of an item may stand anywhere in it, so a pattern that finds a
  epoch: 1               metric in a line needs the item that the line belongs to.
- {accuracy: 0.91, epoch: 2}
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, Optional

from .records import MAX_STEP, number

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_VALUE = re.compile(r'\s*:\s*(?:"([^"\\]{1,40})"|([-+\w.]{1,40}))?')
_LINE = re.compile(r"[^\r\n]+")
_BETWEEN = re.compile(r"[\s,\-\[\]]*")


class Item(NamedTuple):
    """A mapping of a file that is not part of another one, but for lists between them.

    Args:
        start: Position of its first character.
        end: Position after its last one.
        step: Its step, if it has one.
    """

    start: int
    end: int
    step: Optional[int]  # noqa: UP045


class _Open:
    """An item, or a part of one, whose end was not seen yet.

    Attributes:
        start: Position of its first character.
        prefix: Names of its keys begin with this.
        item: The item that it is a part of; None if it is one itself.
    """

    def __init__(self, start: int, prefix: str = "", item: _Open | None = None) -> None:
        self.start = start
        self.prefix = prefix
        self.item = item
        self.step: int | None = None

    def note(self, name: str, value: object, names: Collection[str]) -> None:
        """Note the step if a key, whose name begins without the prefix, is the step's."""
        step = read_step(value) if self.prefix + name in names else None
        if step is not None:
            (self.item or self).step = step


def read_step(value: object) -> int | None:
    """Convert a value of a file to a step, rounded down; None if it is none."""
    try:
        step = number(value)
    except ValueError:
        return None
    return math.floor(step) if abs(step) <= MAX_STEP else None


def find_json_items(content: str, names: Collection[str]) -> list[Item]:
    """Return the items of a JSON document, which is valid.

    Args:
        content: The document.
        names: Spellings of the step's name.
    """
    found: list[Item] = []
    stack: list[_Open | None] = []  # None: a list
    key = ""
    for token in _TOKEN.finditer(content):
        inside = stack[-1] if stack else None
        mark = token[0]
        if mark == "{":
            part = None if inside is None else (inside.prefix + key + ".", inside.item or inside)
            stack.append(_Open(token.start(), *(part or ())))
        elif mark == "[":
            stack.append(None)
        elif mark in "]}":
            ended = stack.pop()
            if ended is not None and ended.item is None:
                found.append(Item(ended.start, token.end(), ended.step))
        elif inside is not None:
            value = _VALUE.match(content, token.end())
            if value is not None:
                key = json.loads(mark)
                inside.note(key, value[1] or value[2] or "", names)
    return found


def find_yaml_items(documents: Iterator[Any], content: str, names: Collection[str]) -> list[Item]:
    """Return the items of YAML documents.

    Args:
        documents: Their root nodes, as PyYAML composes them.
        content: The text.
        names: Spellings of the step's name.
    """
    found: list[Item] = []

    def visit(node: Any, owner: _Open | None = None) -> None:
        if node.id == "sequence":
            for child in node.value:
                visit(child)
        if node.id != "mapping":
            return
        opened = owner or _Open(node.start_mark.index)
        for key, value in node.value:
            name = str(key.value)
            if value.id == "scalar":
                opened.note(name, value.value, names)
            elif value.id == "mapping":
                part = _Open(0, opened.prefix + name + ".", opened.item or opened)
                visit(value, part)
            else:
                visit(value)
        if owner is None:
            text = content[opened.start : node.end_mark.index].rstrip()
            found.append(Item(opened.start, opened.start + len(text), opened.step))

    for node in documents:
        if node is not None:
            visit(node)
    return found


def split_by_item(content: str, items: Sequence[Item]) -> Iterator[tuple[str, int | None]]:
    """Yield the lines of a text, each with the step of the innermost item that it belongs to.

    A line with several items is split. What stands between items alone, such as a dash or a comma,
    stays with them.
    """
    changes = _find_changes(items)
    at = 0
    for line in _LINE.finditer(content):
        parts: list[tuple[str, int | None]] = []
        start = line.start()
        while start < line.end():
            while at + 1 < len(changes) and changes[at + 1][0] <= start:
                at += 1
            end = min(line.end(), changes[at + 1][0] if at + 1 < len(changes) else line.end())
            _append(parts, content[start:end], changes[at][1])
            start = end
        yield from parts


def _append(parts: list[tuple[str, int | None]], text: str, step: int | None) -> None:
    """Append a part of a line, joined with the one before if one of them is nothing alone."""
    if parts and (_BETWEEN.fullmatch(text) or _BETWEEN.fullmatch(parts[-1][0])):
        before, its_step = parts.pop()
        text, step = before + text, step if _BETWEEN.fullmatch(before) else its_step
    parts.append((text, step))


def _find_changes(items: Sequence[Item]) -> list[tuple[int, int | None]]:
    """Return the positions where an item starts or ends, each with the step from there on."""
    changes: list[tuple[int, int | None]] = [(0, None)]
    open_items: list[Item] = []
    for item in sorted(items, key=lambda each: (each.start, -each.end)):
        while open_items and open_items[-1].end <= item.start:
            ended = open_items.pop()
            changes.append((ended.end, open_items[-1].step if open_items else None))
        outer = open_items[-1].step if open_items else None
        open_items.append(item._replace(step=outer if item.step is None else item.step))
        changes.append((item.start, open_items[-1].step))
    while open_items:
        ended = open_items.pop()
        changes.append((ended.end, open_items[-1].step if open_items else None))
    return changes
