"""The step that a line belongs to: ``Epoch 3/10``, ``[EPOCH 3]``, ``Epoch(val) [5][80/80]``.

Not every number after a step's name is the current step: ``best epoch: 2``, ``batches per epoch:
500``, ``max step = 9`` and ``accuracy 0.9 (best 0.92 at epoch 2)`` are not, nor is the progress of
a validation in ``Iter(val) [500/500]``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from .lines import find_line, normalize
from .numerals import COUNT, parse_number
from .records import MAX_STEP, check_name

BEFORE_NAME = r"(?<![\w\-/.@\\$])"
_BEFORE_STEP_NAME = r"(?<![\w\-.@\\$])(?<![^0-9]/)"  # ``epoch=0/step=10``
SIGN = (
    r"\s{0,64}(?:[:=|\u2502\u2503]|[-=]>|(?<=\s)[-\u2013](?=\s)"
    r"|>(?=[^<>\n]{1,40}</))\s{0,64}"  # <epoch>3</epoch>
)
_PHASE = r"(?:\s?\((?P<phase>[A-Za-z_ ]{1,20})\))?"
_TO_STEP = rf"(?:{SIGN}|\s{{1,64}}|-(?=[0-9])|(?=[\[(#]))"
_STEP_VALUE = rf"""{_PHASE}["']?{_TO_STEP}["']?[\[(#]{{0,4}}\s{{0,16}}{COUNT}"""

_OTHER_BEFORE = re.compile(
    r"(?:^|\W)(?:best|optimal|per|total|overall|max|maximum|min|minimum|num|number|number of|last|"
    r"previous|prev|next|every|each|from|until|till|to|remaining|left|warm-?up|warm up|decay|"
    r"patience|target|planned)[.:]?\s{1,4}\Z",
    re.IGNORECASE,
)
_BEST = re.compile(r"(?<!\w)best(?!\w)", re.IGNORECASE)
_LOADED = re.compile(
    r"(?<!\w)(?:(?:(?:re)?load(?:ed|ing|s)?|restore[ds]?|restoring)[^0-9]*\Z"
    r"|(?:resume[ds]?|resuming)(?!\w))",
    re.IGNORECASE,
)
_LOADED_AFTER = re.compile(
    r"[\"')]{0,2}\s{1,4}"
    r"(?:(?:best|model|checkpoint|weights?|state|snapshot|params|parameters)\s{1,4}){0,3}"
    r"(?:(?:is|are|was|were|has been|have been|been|successfully|being)\s{1,4}){0,3}"
    r"(?:(?:re)?load(?:ed|ing)|restored|restoring)(?!\w)",
    re.IGNORECASE,
)
_ANY_VALUE = re.compile(r"[A-Za-z_]\w{0,40}\s{0,2}[:=]?\s{0,2}[-+]?\.?[0-9]")
_STRONG = re.compile(r"[|;\t\u2502\u2503]|\s-\s|\([^()]{0,80}\)|\s{3}")
_WEAK = re.compile(r"[,()\[\]{}]")
_OWN_PROGRESS = re.compile(r"\s{0,4}/\s{0,4}[0-9]{1,12}\s{0,4}\](?!\s{0,4}\[)")
_FILE_NAME = re.compile(
    r"-[\w=.+-]{1,160}\.(?:ckpt|pth?|h5|hdf5|keras|safetensors|bin|pkl|npz|onnx|tar|zip)(?!\w)"
)
_SECONDS = re.compile(r"\s(?:m?s|secs?|seconds)(?!\w|\s?[=:]?\s?[0-9])")
_LOOK_BACK = 160


class StepFinder:
    """Reader of steps.

    Args:
        name: Name of the step, as the script prints it; its case may differ.

    Raises:
        ValueError: If the name is invalid.
    """

    def __init__(self, name: str) -> None:
        self._names = spell(name)
        longest_first = sorted(map(normalize, self._names), key=len, reverse=True)
        self._pattern = compile_names(longest_first, _STEP_VALUE, _BEFORE_STEP_NAME)
        self._hint = _compile_hint(self._names)

    def find(
        self, line: str, numbers: Mapping[str, float], value_at: int | None = None
    ) -> int | None:
        """Return the step of a line.

        Args:
            line: The line without its JSON objects.
            numbers: Numbers of its JSON objects, by dotted name.
            value_at: Position of a value. Of several steps in the line, its is the last one before.
        """
        for name in self._names:
            if name in numbers:
                return round_down(numbers[name])
        chosen = None
        for match in self._pattern.finditer(line):
            if chosen is not None and (value_at is None or match.start() > value_at):
                break
            if _is_current(line, match):
                chosen = match
        return None if chosen is None else round_down(parse_number(chosen["number"]))

    def find_other(self, line: str) -> int | None:
        """Return where a line names the step of the best result or of a checkpoint, if it does."""
        if not _may_be_of_another(line):
            return None
        for match in self._pattern.finditer(line):
            before = line[max(0, match.start() - _LOOK_BACK) : match.start()]
            if _is_of_another(before, line, match.end()):
                return match.start()
        return None

    def may_match(self, line: bytes) -> bool:
        """Return whether a line may have a step; fast."""
        return self._hint.search(line) is not None

    def find_lines(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield start and end of the lines that may have a step, the last one first."""
        last = len(data) + 1
        for place in reversed([match.start() for match in self._hint.finditer(data)]):
            if place >= last:
                continue
            start, end = find_line(data, place)
            yield start, end
            last = start


def _is_current(line: str, match: re.Match[str]) -> bool:
    """Return whether a match is the current step, and not the best, the last or the number of."""
    start = match.start()
    before = line[max(0, start - _LOOK_BACK) : start]
    if _OTHER_BEFORE.search(before[-24:]):
        return False
    phase = (match["phase"] or "train").strip().lower()
    if "best" in phase:
        return False
    if not phase.startswith("train") and _OWN_PROGRESS.match(line, match.end()):
        return False
    if _FILE_NAME.match(line, match.end()):  # epoch=05-acc=0.91.ckpt
        return False
    if "." in match["number"] and _SECONDS.match(line, match.end()):  # Epoch: 12.3 s
        return False
    return not _is_of_another(before, line, match.end())


def _may_be_of_another(line: str) -> bool:
    """Return whether a line has a word of `_is_of_another`; fast."""
    lower = line.lower()
    return "best" in lower or "load" in lower or "rest" in lower or "resu" in lower


def _is_of_another(before: str, line: str, end: int) -> bool:
    """Return whether the text around a step speaks of the best one, or of a checkpoint.

    Args:
        before: The text before the step.
        line: The line.
        end: Position after the step.

    In ``loss 0.3, best 0.2, epoch 3`` the step is the current one, since a value of its own comes
    first; in ``best: loss 0.2, epoch 2`` and ``loss 0.3 (best 0.2, epoch 2)`` it is not.
    """
    if _LOADED_AFTER.match(line, end):
        return True
    if not _may_be_of_another(before):
        return False
    clause = _STRONG.split(before)[-1]
    if _LOADED.search(clause):
        return True
    places = [match.span() for match in _BEST.finditer(clause)]
    if not places:
        return False
    start, end = places[-1]
    if not _WEAK.search(clause, end):
        return True
    in_brackets = max(clause.rfind("(", 0, start), clause.rfind("[", 0, start)) > max(
        clause.rfind(")"), clause.rfind("]")
    )
    return in_brackets or not _ANY_VALUE.search(clause[:start])


def round_down(step: float | None) -> int | None:
    """Round a step down to an integer; None if it is NaN or too large."""
    return math.floor(step) if step is not None and abs(step) <= MAX_STEP else None


def compile_names(names: Sequence[str], number: str, before: str = BEFORE_NAME) -> re.Pattern[str]:
    """Compile a pattern for the longest of the names that ``number`` follows."""
    longest_first = sorted(names, key=len, reverse=True)
    alternatives = "|".join(r"[ \t]{1,64}".join(map(re.escape, n.split())) for n in longest_first)
    return re.compile(rf"{before}(?P<name>{alternatives}){number}")


def find_needles(names: Sequence[str]) -> list[bytes]:
    """Return substrings of which every line with one of the names contains at least one.

    ``val.accuracy`` may be nested in JSON, and ``val accuracy`` may have more spaces, so the
    longest part of each name is used, also as JSON escapes it.
    """
    needles: dict[bytes, None] = {}
    for name in names:
        part = max(re.split(r"[.\s]+", name), key=len) or name
        needles[part.encode("utf-8")] = None
        needles[json.dumps(part)[1:-1].encode("ascii")] = None
    return [n for n in needles if not any(other in n and other != n for other in needles)]


def spell(step: str) -> list[str]:
    """Return the spellings of a step's name: ``epoch``, ``Epoch``, ``EPOCH``."""
    check_name(step)
    return list(dict.fromkeys([step, step.lower(), step[0].upper() + step[1:], step.upper()]))


def _compile_hint(names: Sequence[str]) -> re.Pattern[bytes]:
    """Compile a fast search for candidates of a step: the end of its name, then a number."""
    last_parts = [re.split(r"[.\s]+", name)[-1] or name for name in names]
    ends = b"|".join(map(re.escape, find_needles(last_parts)))
    return re.compile(
        rb"(?:" + ends + rb")(?:\s?\([A-Za-z_ ]{1,20}\))?(?:[^\w\r\n]|\x1b\[[0-9;]{0,16}m){1,80}"
        rb"(?:\w[\w.]{0,40}\(\s?)?(?:[0-9]|\xef\xbc[\x90-\x99])"
    )
