"""Blocks of lines that share a step, which may stand below the metrics.

    | rollout/           |          |        Result for PPO_CartPole:        {
    |    ep_rew_mean     | 20.1     |          episode_reward_mean: 20.1       "accuracy": 0.9,
    | time/              |          |          training_iteration: 1           "epoch": 3
    |    total_timesteps | 2048     |          trial_id: 1d2f                }
    ---------------------------------

    - accuracy: 0.9             [result]                <result>
      epoch: 3                  accuracy = 0.9            <accuracy>0.9</accuracy>
    - accuracy: 0.91            epoch = 3                 <epoch>3</epoch>
      epoch: 4                                          </result>

Records of such a block are held until its step is found, or until it ends.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .lines import find_line_start
from .records import Record

_CODES = rb"(?:\x1b\[[0-9;]{0,16}m)*"
_MARGIN = rb"\s{0,40}" + _CODES
_BAR = rb"(?:\||\xe2\x94[\x82\x83]|\xe2\x95\x91)"
_BOX_ROW = re.compile(_MARGIN + _BAR + rb".*" + _BAR + _CODES + rb"\s*", re.DOTALL)
_DRAWN = rb"(?:[-+=]{3,}|(?:\xe2\x94[\x80-\xbf]|\xe2\x95[\x80-\xbf]|\s)+)"
_BOX_RULE = re.compile(_MARGIN + _DRAWN + _CODES + rb"\s*")
_CORNERS = rb"\xe2\x94\x94|\xe2\x94\x97|\xe2\x95\xb0|\xe2\x95\x9a"
_BOX_END = re.compile(_MARGIN + rb"(?:[-=]{3,}\s*\Z|" + _CORNERS + rb")")
_WORD = rb"[^:=\"'{}\[\]|,]"
_PAIR = re.compile(rb"[ \t]{1,40}[\"']?(?!\s)" + _WORD + rb"{1,80}[\"']?\s?[:=]\s{0,8}\S{1,60}\s*")
_INDENTED = re.compile(rb"[ \t]+\S")
_ITEM = re.compile(rb"\s{0,80}[{\[]{0,4}\s?[\"'][^\"']{1,256}[\"']\s?:.*[^}\s]\s*", re.DOTALL)
_IN_OBJECT = re.compile(rb"\s{0,80}(?:[\"'}\])]|[-+0-9.]+,?\s*\Z)")
_LIST_ITEM = re.compile(
    rb"[ \t]{0,40}-[ \t]{1,8}[\"']?[^\W\d][^:=\"'{}\[\]|,\n]{0,80}[\"']?:(?:\s|\Z)"
)
_SECTION = re.compile(rb"\s{0,8}\[[^\W\d][\w .:/-]{0,80}\]\s*")
_SETTING = re.compile(rb"\s{0,8}[^\W\d][\w .@/-]{0,80}\s?[=:]\s{0,8}\S{1,60}\s*")
_ELEMENT = re.compile(rb"\s{0,80}<([\w.:@-]{1,80})(?:\s[^<>]{0,200})?>[^<>]{0,200}</\1>\s*")
_TAG = re.compile(rb"\s{0,80}<[/\w!]")
_CLOSING_TAG = re.compile(rb"\s{0,80}</")
_MAX_LINES = 1000
_MAX_ABOVE = 20

BOX, INDENTED, OBJECT, ITEM, SECTION, XML = "box", "indented", "object", "item", "section", "xml"


def find_shape(line: bytes) -> str | None:
    """Return the shape of the block that a line with a metric may be in, or None."""
    if _BOX_ROW.fullmatch(line):
        return BOX
    if _is_item(line):
        return OBJECT
    if _PAIR.fullmatch(line):
        return INDENTED
    if _LIST_ITEM.match(line):
        return ITEM
    if _ELEMENT.fullmatch(line):
        return XML
    return SECTION if _SETTING.fullmatch(line) else None


def shape_below(line: bytes) -> str:
    """Return the shape of the block that a line with a step begins or continues."""
    if _BOX_ROW.fullmatch(line):
        return BOX
    if _ELEMENT.fullmatch(line):
        return XML
    if _LIST_ITEM.match(line):
        return ITEM
    return OBJECT if _is_item(line) else INDENTED


def find_indent(line: bytes) -> int:
    """Return the width of a line's indentation."""
    return len(line) - len(line.lstrip())


def _is_item(line: bytes) -> bool:
    """Return whether a line is a part of an object that it does not end."""
    is_whole = line.lstrip()[:1] in b"{[" and line.count(b"}") >= line.count(b"{")
    return not is_whole and _ITEM.fullmatch(line) is not None


def stands_in_section(above: bytes) -> bool:
    """Return whether lines like ``accuracy = 0.9`` stand in a section that begins ``[result]``.

    Args:
        above: What was printed before them; the end is enough.
    """
    end = len(above)
    for _ in range(_MAX_ABOVE):
        end -= above.endswith(b"\n", 0, end)
        end -= above.endswith(b"\r", 0, end)
        start = find_line_start(above, end)
        if _SECTION.fullmatch(above, start, end):
            return True
        if start == 0 or not _SETTING.fullmatch(above, start, end):
            return False
        end = start
    return False


def stands_below_title(above: bytes) -> bool:
    """Return whether indented lines stand below a line like ``Result for PPO_CartPole:``.

    The first line of an item of a list, ``- loss: 0.3``, is one as well.

    Args:
        above: What was printed before them; the end is enough.
    """
    end = len(above.rstrip(b"\r\n")) if above.endswith((b"\n", b"\r")) else len(above)
    if above[end:].count(b"\n") > 1:
        return False  # below an empty line
    while end > 0:
        start = find_line_start(above, end)
        line = above[start:end]
        if not _INDENTED.match(line):
            return line.rstrip().endswith(b":") or _LIST_ITEM.match(line) is not None
        end = start - 1
    return False


class Block:
    """Lines that belong together, and the records among them whose step is not known yet.

    Args:
        shape: ``BOX``, ``INDENTED`` and the like.
        first: Its first line, which has a metric or the step.
        step: The step, if it stood above.
        holds: Whether records without a step are held; if not, the step that was known before is
            theirs.
    """

    def __init__(
        self, shape: str, first: bytes, step: int | None = None, holds: bool = True
    ) -> None:
        self.shape = shape
        self._indent = find_indent(first)
        self._holds = holds
        self._is_titled = shape == INDENTED and holds and step is None
        self._step = step
        self._step_is_below = False
        self._held: list[Record] = []
        self._indents: dict[str, int] = {}
        self._lines = 0

    def add(self, record: Record, indent: int) -> list[Record]:
        """Return the records whose step is known now, given one of a line without a step.

        Args:
            record: Its metrics.
            indent: Width of the line's indentation. Of a metric that a titled block has several
                times, those that are nested deeper belong to something else.
        """
        values = dict(record.values)
        if self._is_titled:
            values = {n: v for n, v in values.items() if self._indents.get(n, indent) >= indent}
        repeated = self.shape != OBJECT and any(self._indents.get(n) == indent for n in values)
        released = self._start_group() if repeated else []
        self._indents.update(dict.fromkeys(values, indent))
        if not values:
            return released
        record = replace(record, values=values)
        if self._step is not None:
            return [*released, replace(record, step=self._step)]
        if not self._holds:
            return [*released, record]
        self._held.append(record)
        return released

    def set_step(self, step: int) -> list[Record]:
        """Return the records that were held, with the step of a line of this block."""
        released = self._start_group() if self._step is not None else []
        self._step = step
        self._step_is_below = bool(self._held)
        released += [replace(record, step=step) for record in self._held]
        self._held = []
        return released

    def close(self) -> list[Record]:
        """Return the records that are still held, with the step that was known before."""
        held, self._held = self._held, []
        return held

    def contains(self, line: bytes) -> bool:
        """Return whether the next line, which has no metric, still belongs to the block."""
        self._lines += 1
        if self._lines > _MAX_LINES:
            return False
        if self.shape == BOX:
            return bool(_BOX_ROW.fullmatch(line) or _BOX_RULE.fullmatch(line))
        if self.shape == OBJECT:
            return bool(_IN_OBJECT.match(line))
        if self.shape == SECTION:
            return bool(_SETTING.fullmatch(line))
        if self.shape == XML:
            return bool(_TAG.match(line))
        if not _INDENTED.match(line):
            return False
        if self.shape == ITEM:
            return find_indent(line) > self._indent
        return not (_LIST_ITEM.match(line) and find_indent(line) < self._indent)

    def ends_with(self, line: bytes) -> bool:
        """Return whether a line of the block is its last one."""
        if self.shape == BOX:
            return bool(_BOX_END.match(line)) and self._lines > 1
        if self.shape == XML:
            return bool(_CLOSING_TAG.match(line))
        return self.shape == OBJECT and line.rstrip().endswith(b"}")

    def _start_group(self) -> list[Record]:
        """Begin with another table that follows without a line between."""
        held = self.close()
        self._indents = {}
        if self.shape == BOX or self._step_is_below:
            self._step = None
        return held
