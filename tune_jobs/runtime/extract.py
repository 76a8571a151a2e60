"""Extract metrics from the output of unmodified scripts.

Metrics are found by name in lines such as:

    accuracy: 0.91    accuracy=0.91    accuracy = 9.1e-1    accuracy 0.91    Test accuracy: 91.5%
    Epoch 3/10 - 5s - loss: 0.5234 - accuracy: 0.9123            several per line
    Loss 0.5234 (0.6012)                                         current value, not the average
    {'eval_accuracy': 0.91, 'epoch': 1.0}                        a Python dict
    INFO {"epoch": 3, "val": {"accuracy": 0.91}}                 JSON: ``val.accuracy``
    accuracy: tensor(0.91, device='cuda:0')                      NumPy, PyTorch, JAX

The rules:

- A name matches exactly, including case, and as a whole: ``accuracy`` does not match in
  ``val_accuracy``, ``val/accuracy`` or ``accuracy@5``. Words may precede it, as in
  ``Test accuracy``; a longer name, such as ``val accuracy``, has priority over one it ends with.
- A number is read as it is written, ``91.5%`` as 91.5 and ``1,234.5`` as 1234.5, and as a whole:
  ``1.2.3``, ``2024-01-02``, ``12:30``, ``9905/10000``, ``0,91``, ``1,2`` and ``35ms`` do not match.
- If a line has a name several times, the last value counts, except for ``best accuracy`` after
  another one. A progress bar that is redrawn with carriage returns is one line, or one line per
  step if it contains a step.
- The step is the first one in the same line, or else the last one printed before. Its name may be
  capitalized: ``epoch`` matches in ``Epoch 3/10``, ``[EPOCH 3]`` and ``Epoch: [3][10/500]``.
  Fractional steps are rounded down: epoch 1.5 is step 1.

Other formats need a regular expression.
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
# A number must not continue as a unit, version, date, path, list, fraction or name
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
_LONGEST = -1.2345678901234567e-300  # a float whose repr has the maximum length

_LINE_END = re.compile(rb"[\r\n]")
_TERMINAL_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"
)


class Extractor:
    """Incremental extractor of metrics from a stream of bytes.

    Lines without any of the names cost almost nothing. Lines are cut after `MAX_LINE` bytes, so
    memory is bounded.

    Args:
        names: Names of the metrics, as the script prints them.
        patterns: Regular expressions, by metric, for metrics that are not found by name. The group
            ``value``, or else the first group, is the number; a group ``step`` is the step. Every
            line is searched.
        step: Name of the step, as the script prints it.

    Raises:
        ValueError: If a name or a pattern is invalid; the message says which one and why.
    """

    def __init__(
        self,
        names: Sequence[str],
        patterns: Mapping[str, str] | None = None,
        step: str | None = None,
    ) -> None:
        self._patterns = {
            n: _compile_pattern(n, pattern) for n, pattern in (patterns or {}).items()
        }
        by_name = [check_name(name) for name in dict.fromkeys(names) if name not in self._patterns]
        every = dict.fromkeys([*by_name, *self._patterns], _LONGEST)
        if not every:
            raise ValueError("name at least one metric to find in what the script prints")
        encode(Record(_LONGEST, -MAX_STEP, every))  # raises if a record could not hold them all
        self._names = {" ".join(name.split()): name for name in by_name}
        self._pattern = _compile_names(by_name, _SEPARATOR + _VALUE)
        self._needles = _find_needles(by_name)
        self._step_names = _spell(step) if step is not None else []
        self._step_pattern = _compile_names(self._step_names, _STEP_VALUE)
        self._step_hint = _compile_step_hint(self._step_names)
        self._unfinished = b""
        self._step: int | None = None
        self._line: Record | None = None
        """Metrics found in the unfinished line."""

    def feed(self, data: bytes, time: float) -> list[Record]:
        """Return the metrics in the lines that ``data`` completes, oldest first.

        Args:
            data: Output that follows the previous one.
            time: Time of the output in seconds since the epoch.
        """
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        complete, rest = data[:cut], data[cut:]
        if cut:
            complete, self._unfinished = self._unfinished + complete, b""
        # One byte more than is used, so that a line that is too long can be recognized.
        self._unfinished = (self._unfinished + rest)[: MAX_LINE + 1]
        return self._search(complete, time) if cut else []

    def finish(self, time: float) -> list[Record]:
        """Return the metrics in the last line, which may lack a newline."""
        return self.feed(b"\n", time)

    def _search(self, data: bytes, time: float) -> list[Record]:
        """Read complete lines, and complete redraws of an unfinished line."""
        found: list[Record] = []
        done = 0
        for start, end in self._find_candidates(data):
            values, step = self._read(data[start:end])
            if not values:
                continue
            self._step = _first(step, self._find_last_step(data[done:start]), self._step)
            before = self._line
            if before and (before.step != self._step or data.find(b"\n", done, start) >= 0):
                found.append(before)
                before = None
            self._line = Record(time, self._step, {**before.values, **values} if before else values)
            done = end
        self._step = _first(self._find_last_step(data[done:]), self._step)
        if self._line and data.find(b"\n", done) >= 0:
            found.append(self._line)
            self._line = None
        return found

    def _find_candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield start and end of the lines that may contain a metric."""
        if self._patterns:
            yield from self._find_matching_lines(data)
            return
        end = 0
        for place in heapq.merge(*(_find_all(needle, data) for needle in self._needles)):
            if place >= end:
                start, end = _find_line(data, place, end)
                yield start, end

    def _find_matching_lines(self, data: bytes) -> Iterator[tuple[int, int]]:
        end = 0
        for line in data.splitlines(keepends=True):
            start, end = end, end + len(line)
            string = _clean(line)
            if any(pattern.search(string) for pattern in self._patterns.values()) or any(
                needle in line for needle in self._needles
            ):
                yield start, start + len(line.rstrip(b"\r\n"))

    def _read(self, line: bytes) -> tuple[dict[str, float], int | None]:
        """Return the metrics of one line and its step."""
        string = _clean(line)
        values, step = self._match_patterns(string)
        numbers: dict[str, float] = {}
        if "{" in string:
            numbers, string = _remove_objects(string)
            values.update((n, numbers[n]) for n in self._names.values() if n in numbers)
        if self._pattern is not None:
            for match in self._pattern.finditer(string):
                name = self._names[" ".join(match["name"].split())]
                before = string[max(0, match.start() - 8) : match.start()]
                if name not in values or not _BEST.search(before):
                    values[name] = _parse_number(match["number"])
        return values, _first(step, self._find_step(string, numbers))

    def _match_patterns(self, line: str) -> tuple[dict[str, float], int | None]:
        values: dict[str, float] = {}
        step = None
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(line):
                number = _parse_captured(match[_value_group(pattern)])
                if number is not None:
                    values[name] = number
                    if "step" in pattern.groupindex:
                        step = _round_down(_parse_captured(match["step"]))
        return values, step

    def _find_step(self, line: str, numbers: Mapping[str, float]) -> int | None:
        if self._step_pattern is None:
            return None
        for name in self._step_names:
            if name in numbers:
                return _round_down(numbers[name])
        match = self._step_pattern.search(line)
        return _round_down(_parse_number(match["number"])) if match else None

    def _find_last_step(self, data: bytes) -> int | None:
        """Return the step of the last line that has one."""
        if self._step_hint is None:
            return None
        places = [match.start() for match in self._step_hint.finditer(data)]
        for place in reversed(places):
            start, end = _find_line(data, place, max(0, place - MAX_LINE - 1))
            step = self._read(data[start:end])[1] if place - start <= MAX_LINE else None
            if step is not None:
                return step
        return None


def metric_like_names(log: bytes, limit: int = 20, wanted: str = "") -> list[str]:
    """Return names that are printed with a number, to suggest what a metric may be called.

    Args:
        log: The end of a log; only the last MiB is searched.
        limit: Maximum number of names.
        wanted: Name that was not found; the most similar names come first.
    """
    names: dict[str, None] = {}
    for line in reversed(_LINE_END.split(log[-(1 << 20) :])):
        numbers, rest = _remove_objects(_clean(line))
        names.update(dict.fromkeys(numbers))
        names.update(
            (match["name"], None) for match in _ANY_NAME.finditer(rest) if _is_metric_like(match)
        )
        if len(names) > 1000:
            break
    return sorted(filter(_is_name, names), key=lambda n: _rank(n, wanted))[:limit]


def _is_metric_like(match: re.Match[str]) -> bool:
    """Return whether a match looks like a metric: ``loss: 3`` or ``loss 0.3``, not ``line 3``."""
    return bool(match["separator"].strip()) or "." in match["number"]


def _is_name(name: str) -> bool:
    try:
        return bool(check_name(name))
    except ValueError:
        return False


def _rank(name: str, wanted: str) -> tuple[float, ...]:
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


def _compile_names(names: Sequence[str], number: str) -> re.Pattern[str] | None:
    """Compile a pattern for the longest of the names that ``number`` follows."""
    if not names:
        return None
    longest_first = sorted(names, key=len, reverse=True)
    alternatives = "|".join(r"[ \t]+".join(map(re.escape, n.split())) for n in longest_first)
    return re.compile(rf"{_BEFORE}(?P<name>{alternatives}){number}")


def _spell(step: str) -> list[str]:
    """Return the spellings of a step's name: ``epoch``, ``Epoch``, ``EPOCH``."""
    check_name(step)
    return list(dict.fromkeys([step, step.lower(), step[0].upper() + step[1:], step.upper()]))


def _find_needles(names: Sequence[str]) -> list[bytes]:
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


def _compile_step_hint(names: Sequence[str]) -> re.Pattern[bytes] | None:
    """Compile a fast search for candidates of a step: the end of its name, then a number."""
    if not names:
        return None
    ends = b"|".join(
        map(re.escape, _find_needles([re.split(r"[.\s]+", n)[-1] or n for n in names]))
    )
    return re.compile(rb"(?:" + ends + rb")[^\w\r\n]+(?:\w[\w.]*\(\s*)?[0-9]")


def _compile_pattern(name: str, pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"metric {name!r}: invalid pattern {pattern!r}: {error}") from None
    if _value_group(compiled) > compiled.groups:
        raise ValueError(
            f"metric {name!r}: the pattern {pattern!r} needs a group around the number, "
            r"as in 'accuracy is (\S+)'"
        )
    return compiled


def _value_group(pattern: re.Pattern[str]) -> int:
    """Return the index or name of the group ``value``, or of the first that is not ``step``."""
    return pattern.groupindex.get("value") or 1 + (pattern.groupindex.get("step") == 1)


# -- lines ----------------------------------------------------------------------------------------


def _find_all(needle: bytes, data: bytes) -> Iterator[int]:
    """Yield the positions of a substring; ``bytes.find`` is as fast as memory."""
    place = data.find(needle)
    while place >= 0:
        yield place
        place = data.find(needle, place + len(needle))


def _find_line(data: bytes, place: int, first: int) -> tuple[int, int]:
    """Return start (at least ``first``) and end of the line that contains ``place``."""
    start = max(data.rfind(b"\n", first, place), data.rfind(b"\r", first, place), first - 1) + 1
    end = _LINE_END.search(data, place)
    return start, end.start() if end else len(data)


def _clean(line: bytes) -> str:
    """Decode a line, without terminal codes, and cut if it is too long."""
    line = line.rstrip(b"\r\n")
    if len(line) > MAX_LINE:
        line = line[:MAX_LINE] + b"_"  # so that a number at the cut does not match
    string = line.decode("utf-8", "replace")
    return _TERMINAL_CODES.sub("", string) if "\x1b" in string else string


def _first(*steps: int | None) -> int | None:
    return next((step for step in steps if step is not None), None)


# -- numbers --------------------------------------------------------------------------------------


def _parse_number(string: str) -> float:
    value = float(string.replace(",", ""))
    return math.nan if value != value else value


def _parse_captured(string: str | None) -> float | None:
    """Convert the match of a user's group, if it is a number."""
    match = _CAPTURED.fullmatch(string) if string is not None else None
    return _parse_number(match[1]) if match else None


def _round_down(step: float | None) -> int | None:
    """Round a step down to an integer; None if it is NaN or too large."""
    return math.floor(step) if step is not None and abs(step) <= MAX_STEP else None


# -- JSON objects and Python dicts ----------------------------------------------------------------


def _remove_objects(line: str) -> tuple[dict[str, float], str]:
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
        key = _KEY.match(line, position)
        if key is None:
            closed = _CLOSED.match(line, position)
            return closed.end() if closed else -1
        name = prefix + _unquote(key[1])
        start = key.end()
        if len(name) > MAX_NAME:
            return -1
        if line.startswith("{", start):
            position = _read_object(line, start + 1, name + ".", numbers, strings)
        else:
            position = _find_field_end(line, start)
            value = _FIELD.match(line, start)
            if value:
                numbers[name] = _parse_number(value["number"])
            elif line.startswith(('"', "'"), start):
                strings.append(_unquote(line[start:position].rstrip()))
    return -1


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
