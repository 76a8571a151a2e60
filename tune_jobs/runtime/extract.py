"""Metrics out of what a script prints: an unmodified one, in whatever way it prints them.

Found by name, in any of these lines:

    accuracy: 0.91    accuracy=0.91    accuracy = 9.1e-1    accuracy 0.91    Test accuracy: 91.5%
    Epoch 3/10 - 5s - loss: 0.5234 - accuracy: 0.9123            several in a line
    Loss 0.5234 (0.6012)                                         the current value, not the average
    {'eval_accuracy': 0.91, 'epoch': 1.0}                        a Python dict
    INFO {"epoch": 3, "val": {"accuracy": 0.91}}                 JSON: ``val.accuracy``
    accuracy: tensor(0.91, device='cuda:0')                      numpy, torch, jax

What counts as found:

- A name is taken as it is written, capitals included, and whole: ``accuracy`` is not in
  ``val_accuracy``, ``val/accuracy`` or ``accuracy@5``. Words before it do not matter, so it is in
  ``Test accuracy``; a name with a blank, ``val accuracy``, goes before one that it ends with.
- A number is taken as it is written, ``91.5%`` as 91.5 and ``1,234.5`` as 1234.5, and whole:
  ``1.2.3``, ``2024-01-02``, ``12:30``, ``9905/10000``, ``0,91``, ``1,2`` and ``35ms`` are none.
- The last one in a line counts where a line has a name twice, but not a ``best accuracy`` after
  another. A progress bar that is redrawn (carriage returns) is one line; with a step in it, one
  line for each step.
- The step is the one in the same line, the first if there are two, or the last one printed before.
  It may be capitalised: ``epoch`` is in ``Epoch 3/10``, ``[EPOCH 3]`` and ``Epoch: [3][10/500]``.
  Of a fractional epoch the whole ones before it count: 1.5 is step 1.

Whatever is printed in another way needs a regular expression.

Run side: standard library only, Python 3.8 on.
"""

from __future__ import annotations

import difflib
import heapq
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from .records import MAX_LINE, MAX_NAME, MAX_STEP, Record, check_name, encode

_BEFORE = r"(?<![\w\-/.@\\$])"
_SIGN = r"\s*(?:[:=|│┃]|[-=]>)\s*"
_SEPARATOR = rf"""["']?(?P<separator>{_SIGN}|\s+)"""
_WRAPPER = r"(?:(?:\w+\.)?(?:u?int[0-9]+|float[0-9]+|[tT]ensor|[aA]rray|Decimal)\(\s*)?"
_NUMBER = (
    r"[-+]?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
    r"|[nN][aA][nN]|[iI][nN][fF](?:inity)?)"
)
# It is not whole if it goes on as a unit, version, date, path, list, fraction, or as a name
# (``mAP@0.5:0.95: 0.6``).
_WHOLE = r"(?!\w|[.:/\\@-]+\w|,[-+.]*[0-9]|\s*/\s*[0-9]|\s*[:=]\s*[-+]?\.?[0-9])"
_VALUE = rf"""{_WRAPPER}(?P<quote>["']?)(?P<number>{_NUMBER}){_WHOLE}(?:\s*%)?(?P=quote)"""
_STEP_VALUE = (
    rf"""["']?(?:{_SIGN}|\s+|(?=[\[(#]))["']?[\[(#]*\s*"""
    rf"{_WRAPPER}(?P<number>{_NUMBER})(?!\w|\.\w)"
)
_BEST = re.compile(r"\bbest\s+\Z", re.IGNORECASE)
_CAPTURED = re.compile(rf"\s*({_NUMBER})\s*%?\s*")

_STRING = r""""[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)|'[^'\\]*(?:\\.[^'\\]*)*(?:'|\Z)"""
_KEY = re.compile(rf"(?:\s*,)?\s*({_STRING})\s*:\s*", re.DOTALL)
_FIELD = re.compile(_VALUE)
_IN_FIELD = re.compile(rf"{_STRING}|[\[({{\])}},]", re.DOTALL)
_CLOSED = re.compile(r"(?:\s*,)?\s*\}")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_MAX_BROKEN_OBJECTS = 8
_LONGEST = -1.2345678901234567e-300  # no float is written with more characters

_LINE_END = re.compile(rb"[\r\n]")
_TERMINAL_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"
)


class Extractor:
    """Finds the metrics in a stream of bytes, however it is cut into chunks.

    A line without any of the names costs almost nothing; of a line that is longer than `MAX_LINE`
    bytes the rest is ignored, so memory is bounded.

    Args:
        names: Of the metrics, as the script prints them.
        patterns: Regular expressions for metrics that are not found by their name. The number is
            the group ``value``, or the first group; a group ``step`` is the step. Each is searched
            in every line.
        step: Name of the step, as the script prints it.

    Raises:
        ValueError: a name or a pattern cannot be used; the message says which, and why.
    """

    def __init__(
        self,
        names: Sequence[str],
        patterns: Mapping[str, str] | None = None,
        step: str | None = None,
    ) -> None:
        self._patterns = {n: _compiled(n, pattern) for n, pattern in (patterns or {}).items()}
        by_name = [check_name(name) for name in dict.fromkeys(names) if name not in self._patterns]
        every = dict.fromkeys([*by_name, *self._patterns], _LONGEST)
        if not every:
            raise ValueError("name at least one metric to find in what the script prints")
        encode(Record(_LONGEST, -MAX_STEP, every))  # raises if a record could not hold them all
        self._names = {" ".join(name.split()): name for name in by_name}
        self._pattern = _named(by_name, _SEPARATOR + _VALUE)
        self._needles = _needles(by_name)
        self._step_names = _spellings(step) if step is not None else []
        self._step_pattern = _named(self._step_names, _STEP_VALUE)
        self._step_hint = _step_hint(self._step_names)
        self._unfinished = b""
        self._step: int | None = None
        self._line: Record | None = None
        """What was found in the line that is not over yet."""

    def feed(self, data: bytes, time: float) -> list[Record]:
        """What is found in the lines that ``data`` completes, printed at ``time``, oldest first."""
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        complete, rest = data[:cut], data[cut:]
        if cut:
            complete, self._unfinished = self._unfinished + complete, b""
        # One byte more than counts, so that a line that is too long can be told.
        self._unfinished = (self._unfinished + rest)[: MAX_LINE + 1]
        return self._search(complete, time) if cut else []

    def finish(self, time: float) -> list[Record]:
        """What is found in a last line that has no newline."""
        return self.feed(b"\n", time)

    def _search(self, data: bytes, time: float) -> list[Record]:
        """Read complete lines, and complete redraws of a line that goes on."""
        found: list[Record] = []
        done = 0
        for start, end in self._candidates(data):
            values, step = self._read(data[start:end])
            if not values:
                continue
            self._step = _first(step, self._last_step(data[done:start]), self._step)
            before = self._line
            if before and (before.step != self._step or data.find(b"\n", done, start) >= 0):
                found.append(before)
                before = None
            self._line = Record(time, self._step, {**before.values, **values} if before else values)
            done = end
        self._step = _first(self._last_step(data[done:]), self._step)
        if self._line and data.find(b"\n", done) >= 0:
            found.append(self._line)
            self._line = None
        return found

    def _candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where the lines are that may have a metric in them."""
        if self._patterns:
            yield from self._lines_that_match(data)
            return
        end = 0
        for place in heapq.merge(*(_occurrences(needle, data) for needle in self._needles)):
            if place >= end:
                start, end = _line_around(data, place, end)
                yield start, end

    def _lines_that_match(self, data: bytes) -> Iterator[tuple[int, int]]:
        end = 0
        for line in data.splitlines(keepends=True):
            start, end = end, end + len(line)
            text = _cleaned(line)
            if any(pattern.search(text) for pattern in self._patterns.values()) or any(
                needle in line for needle in self._needles
            ):
                yield start, start + len(line.rstrip(b"\r\n"))

    def _read(self, line: bytes) -> tuple[dict[str, float], int | None]:
        """The metrics in one line, and its step."""
        text = _cleaned(line)
        values, step = self._match_patterns(text)
        numbers: dict[str, float] = {}
        if "{" in text:
            numbers, text = _take_objects(text)
            values.update((n, numbers[n]) for n in self._names.values() if n in numbers)
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                name = self._names[" ".join(match["name"].split())]
                before = text[max(0, match.start() - 8) : match.start()]
                if name not in values or not _BEST.search(before):
                    values[name] = _as_float(match["number"])
        return values, _first(step, self._find_step(text, numbers))

    def _match_patterns(self, text: str) -> tuple[dict[str, float], int | None]:
        values: dict[str, float] = {}
        step = None
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(text):
                number = _captured(match[_value_group(pattern)])
                if number is not None:
                    values[name] = number
                    if "step" in pattern.groupindex:
                        step = _whole(_captured(match["step"]))
        return values, step

    def _find_step(self, text: str, numbers: Mapping[str, float]) -> int | None:
        if self._step_pattern is None:
            return None
        for name in self._step_names:
            if name in numbers:
                return _whole(numbers[name])
        match = self._step_pattern.search(text)
        return _whole(_as_float(match["number"])) if match else None

    def _last_step(self, data: bytes) -> int | None:
        """The step in the last of these lines that has one."""
        if self._step_hint is None:
            return None
        places = [match.start() for match in self._step_hint.finditer(data)]
        for place in reversed(places):
            start, end = _line_around(data, place, max(0, place - MAX_LINE - 1))
            step = self._read(data[start:end])[1] if place - start <= MAX_LINE else None
            if step is not None:
                return step
        return None


def metric_like_names(text: bytes, limit: int = 20, wanted: str = "") -> list[str]:
    """Names that are printed with a number, for telling what might have been meant.

    Args:
        text: The end of a log; of a longer one the last MiB is looked at.
        limit: How many names at most.
        wanted: The name that was not found; those most like it come first.
    """
    names: dict[str, None] = {}
    for line in reversed(_LINE_END.split(text[-(1 << 20) :])):
        numbers, rest = _take_objects(_cleaned(line))
        names.update(dict.fromkeys(numbers))
        names.update(
            (match["name"], None) for match in _ANY_NAME.finditer(rest) if _is_telling(match)
        )
        if len(names) > 1000:
            break
    return sorted(filter(_is_name, names), key=lambda n: _unlikeness(n, wanted))[:limit]


def _is_telling(match: re.Match[str]) -> bool:
    """``loss: 3`` is and ``loss 0.3`` is; ``line 3`` is not."""
    return bool(match["separator"].strip()) or "." in match["number"]


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name))
    except ValueError:
        return False


def _unlikeness(name: str, wanted: str) -> tuple[float, ...]:
    lower, wanted = name.lower(), wanted.lower()
    alike = difflib.SequenceMatcher(None, wanted, lower).ratio() if wanted else 0.0
    contained = len(min(lower, wanted, key=len)) > 2 and (wanted in lower or lower in wanted)
    noise, metric = bool(_NOT_METRIC.fullmatch(lower)), bool(_METRIC.search(lower))
    return -(contained or alike > 0.6), noise, -metric, -alike


_ANY_NAME = re.compile(rf"{_BEFORE}(?P<name>[^\W\d][\w@/.-]*){_SEPARATOR}{_VALUE}")
_METRIC = re.compile(
    "acc|auc|f1|prec|recall|loss|err|score|mse|mae|mape|r2|map|iou|dice|bleu|rouge|ppl|reward|val|test"
)
_NOT_METRIC = re.compile(
    r"(?:.*_)?(?:epochs?|steps?|iter(?:ation)?s?|batch(?:_?size)?|time|runtime|samples|version)|eta|s|"
    r"elapsed|seconds?|line|pid|port|seed|lr|learning_rate|took|at|in|of|to|by|is|now|using|"
    r".*\.(?:py|cc|cpp|h)|.*_per_second"
)


# -- names and patterns ---------------------------------------------------------------------------


def _named(names: Sequence[str], number: str) -> re.Pattern[str] | None:
    """Finds any of the names, the longest that fits, where ``number`` follows it."""
    if not names:
        return None
    longest_first = sorted(names, key=len, reverse=True)
    alternatives = "|".join(r"[ \t]+".join(map(re.escape, n.split())) for n in longest_first)
    return re.compile(rf"{_BEFORE}(?P<name>{alternatives}){number}")


def _spellings(step: str) -> list[str]:
    """How a script may write it: ``epoch``, ``Epoch``, ``EPOCH``."""
    check_name(step)
    return list(dict.fromkeys([step, step.lower(), step[0].upper() + step[1:], step.upper()]))


def _needles(names: Sequence[str]) -> list[bytes]:
    """For each name a text that is in every line with the name.

    ``val.accuracy`` may be nested in JSON and ``val accuracy`` have more blanks: a part of it is
    there in any case; in JSON perhaps in its escaped spelling.
    """
    needles: dict[bytes, None] = {}
    for name in names:
        part = max(re.split(r"[.\s]+", name), key=len) or name
        needles[part.encode("utf-8")] = None
        needles[json.dumps(part)[1:-1].encode("ascii")] = None
    return [n for n in needles if not any(other in n and other != n for other in needles)]


def _step_hint(names: Sequence[str]) -> re.Pattern[bytes] | None:
    """Finds what looks like a step in many lines at once: the end of the name, then a number."""
    if not names:
        return None
    ends = b"|".join(map(re.escape, _needles([re.split(r"[.\s]+", n)[-1] or n for n in names])))
    return re.compile(rb"(?:" + ends + rb")[^\w\r\n]+(?:\w[\w.]*\(\s*)?[0-9]")


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"metric {name!r}: the pattern {pattern!r} is not valid: {error}"
        ) from None
    if _value_group(compiled) > compiled.groups:
        raise ValueError(
            f"metric {name!r}: the pattern {pattern!r} needs a group around the number, "
            r"for example 'accuracy is (\S+)'"
        )
    return compiled


def _value_group(pattern: re.Pattern[str]) -> int:
    """The group ``value``, or the first that is not ``step``."""
    return pattern.groupindex.get("value") or 1 + (pattern.groupindex.get("step") == 1)


# -- lines ----------------------------------------------------------------------------------------


def _occurrences(needle: bytes, data: bytes) -> Iterator[int]:
    """Where it is; ``bytes.find`` passes over what lies between at the speed of memory."""
    place = data.find(needle)
    while place >= 0:
        yield place
        place = data.find(needle, place + len(needle))


def _line_around(data: bytes, place: int, first: int) -> tuple[int, int]:
    """Where the line with ``place`` in it begins, not before ``first``, and where it ends."""
    start = max(data.rfind(b"\n", first, place), data.rfind(b"\r", first, place), first - 1) + 1
    end = _LINE_END.search(data, place)
    return start, end.start() if end else len(data)


def _cleaned(line: bytes) -> str:
    """The text of a line, without colours and without the end of a line that is too long."""
    line = line.rstrip(b"\r\n")
    if len(line) > MAX_LINE:
        line = line[:MAX_LINE] + b"_"  # a number that is cut through is none
    text = line.decode("utf-8", "replace")
    return _TERMINAL_CODES.sub("", text) if "\x1b" in text else text


def _first(*steps: int | None) -> int | None:
    return next((step for step in steps if step is not None), None)


# -- numbers --------------------------------------------------------------------------------------


def _as_float(text: str) -> float:
    value = float(text.replace(",", ""))
    return math.nan if value != value else value


def _captured(text: str | None) -> float | None:
    """What a user's group has matched, if that is a number."""
    match = _CAPTURED.fullmatch(text) if text is not None else None
    return _as_float(match[1]) if match else None


def _whole(step: float | None) -> int | None:
    """A step as Optuna has them; NaN, and what is too large to be one, is none."""
    return math.floor(step) if step is not None and abs(step) <= MAX_STEP else None


# -- JSON objects and Python dicts ----------------------------------------------------------------


def _take_objects(text: str) -> tuple[dict[str, float], str]:
    """Take the JSON objects and Python dicts out of a line.

    Returns their numbers by dotted name, and the text that is left, with the texts in the objects:
    those of a logger that writes JSON have the metrics in a message.
    """
    numbers: dict[str, float] = {}
    texts: list[str] = []
    done = broken = 0
    start = text.find("{")
    while start >= 0 and broken < _MAX_BROKEN_OBJECTS:
        inside: tuple[dict[str, float], list[str]] = ({}, [])
        end = _read_object(text, start + 1, "", *inside)
        if end < 0:
            broken += 1
            start = text.find("{", start + 1)
            continue
        numbers.update(inside[0])
        texts += [text[done:start], *inside[1]]
        done, start = end, text.find("{", end)
    return numbers, " ; ".join([*texts, text[done:]])


def _read_object(
    text: str, position: int, prefix: str, numbers: dict[str, float], texts: list[str]
) -> int:
    """Read an object from after its brace on; returns where it ends, or -1 if it is none.

    It is tolerant of what is neither JSON nor a literal, such as ``tensor(0.91)`` and ``nan``.
    """
    while position >= 0:
        key = _KEY.match(text, position)
        if key is None:
            closed = _CLOSED.match(text, position)
            return closed.end() if closed else -1
        name = prefix + _unquoted(key[1])
        start = key.end()
        if len(name) > MAX_NAME:
            return -1
        if text.startswith("{", start):
            position = _read_object(text, start + 1, name + ".", numbers, texts)
        else:
            position = _field_end(text, start)
            value = _FIELD.match(text, start)
            if value:
                numbers[name] = _as_float(value["number"])
            elif text.startswith(('"', "'"), start):
                texts.append(_unquoted(text[start:position].rstrip()))
    return -1


def _field_end(text: str, position: int) -> int:
    """Where the value that begins at ``position`` ends: at a comma or brace outside of brackets."""
    depth = 0
    for token in _IN_FIELD.finditer(text, position):
        mark = token[0]
        if mark in "[({":
            depth += 1
        elif mark in "])},":
            if depth == 0:
                return token.start() if mark in ",}" else -1
            depth -= mark != ","
    return -1


def _unquoted(token: str) -> str:
    """What a quoted text says; also one in quotes of the other kind."""
    body = token[1:-1]
    return _ESCAPED.sub(_unescaped, body) if "\\" in body else body


def _unescaped(match: re.Match[str]) -> str:
    code, character = match[1], match[2]
    if code:
        return chr(int(code, 16))
    return {"n": "\n", "r": "\r", "t": "\t"}.get(character, character)
