"""Explain why a metric was not found: the line that has its name, and a pattern that reads it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from .columns import suggest_column
from .extract import SEPARATOR, Extractor
from .lines import BLOCKS, LINE_END, clean, remove_progress
from .numerals import (
    ARROW,
    NUMBER,
    RANGE,
    SCALE,
    SPACED_GROUPS,
    TIMES,
    VALUE,
    parse_captured,
)
from .objects import remove_objects
from .patterns import UserPattern
from .records import MAX_LINE, check_name
from .steps import BEFORE_NAME

_SEARCHED = 1 << 20
_MAX_LINES = 2000
_MAX_QUOTED = 160
_NUMBERS = re.compile(
    r"(?<![\w.,'^])(?<![\w^][-+])(?<![0-9]:)(?!(?<=[0-9] )[0-9]{3}(?![0-9]))(?:"
    r"(?P<comma>[-+]?(?!0*[1-9][0-9]{0,2},[0-9]{3}(?![0-9]))"
    r"(?:[0-9]{1,3}(?:[. ][0-9]{3})+|[0-9]{1,9}),[0-9]+(?![\w.,]*[0-9]))"
    rf"|{SPACED_GROUPS}(?P<number>{NUMBER})(?![\w.,:'#-]{{0,8}}[0-9]|\.?\#\w|{TIMES}|{SCALE}))"
    r"(?P<percent>\s?%)?"
)
_ARROW = re.compile(rf"(?:\s?%)?{ARROW}|{RANGE}")
_SHAPE = re.compile(r"\b(?:shape|size)=[\[(][^\])]{0,100}")
_BAR = re.compile(
    rf"\W{{0,4}}?(?:[{BLOCKS}]{{3}}[{BLOCKS}\s]*|\|[{BLOCKS}][{BLOCKS}\s]*\|"
    r"|\[(?=[^\]]*[#=~*+>-]{2})[-=#>.~*+o_ ]{3,1000}\])"
    r"\s*\(?(?=[0-9.]+\s?(?:%|/[0-9]|of))"
)
_VALUES = (r"(?P<value>[-+\w.,']*\w)", r"(?P<value>[-+\d.eE]*\d)")
_COMMAS = (r"(?P<decimal_comma>[-+\d.]+,\d+)", r"(?P<decimal_comma>[-+\d. ]+,\d+)")


def explain_unread(
    log: bytes, name: str, pattern: str | None = None, step: str | None = None
) -> str:
    """Return why a metric was not found in a log, and how it would be.

    Args:
        log: The output, or its end; only the last MiB is searched.
        name: Name of the metric.
        pattern: Its pattern, if it has one.
        step: Name of the step.
    """
    log = log[-_SEARCHED:]
    if not log.strip():
        return "nothing was printed"
    if name.encode("utf-16-le") in log or name.encode("utf-16-be") in log:
        return "the output is in UTF-16, but UTF-8 is expected: set PYTHONIOENCODING=utf-8"
    if pattern is None:
        explanation = _explain_name(log, name, step)
    else:
        explanation = (
            f"the pattern {pattern!r} of {name!r} {_explain_pattern(log, name, pattern, step)}"
        )
    return "".join(c if c.isprintable() else " " for c in explanation)


def _explain_pattern(log: bytes, name: str, source: str, step: str | None) -> str:
    """Return what a pattern without a value captures, or why its metric is not found otherwise."""
    pattern = UserPattern(name, source)
    for data in LINE_END.split(log)[-_MAX_LINES:]:
        line = clean(data)
        captured = pattern.capture(line)
        if captured is not None:
            return (
                f"captures {captured[:40]!r} in {_quote(line)}, which is not a number: "
                "put its first group, or the group `value`, around the number"
            )
    extractor = Extractor([name], step=step)
    records = extractor.feed(log, 0.0) + extractor.finish(0.0)
    if records:
        value = records[-1].values[name]
        return (
            f"matches no number; without a pattern {name!r} is read, such as {value:g}: remove it"
        )
    return f"matches no number; {_explain_name(log, name, step)}"


def _explain_name(log: bytes, name: str, step: str | None) -> str:
    lines = list(_find_lines(log, name))
    spelled = _find_spelling(lines, name)
    if spelled is not None:
        line, other = spelled
        return f"the line {_quote(line)} has {other!r} instead: name the metric {other!r}"
    for line, below in lines:
        found = suggest_column(line, below, name, step)
        if found is not None:
            row, suggestion = found
            return (
                f"{name!r} is the header of a column in {_quote(line)}, above rows such as "
                f"{_quote(row)}: set its pattern to '{suggestion}'"
            )
    for line, _ in lines:
        explanation = _explain_line(line, name)
        if explanation:
            return explanation
    if any(len(line) > MAX_LINE and name.encode() in line for line in LINE_END.split(log)):
        return f"{name!r} is printed after the first {MAX_LINE} bytes of a line, which are not read"
    for line, below in lines:
        explanation = _explain_elsewhere(line, below, name)
        if explanation:
            return explanation
    if lines:
        rest = remove_progress(lines[0][0].partition(name)[2]).split(" ;")[0]
        alone = "alone " if re.search("[0-9]", rest) else ""
        return f"no number {alone}follows {name!r} in {_quote(lines[0][0])}"
    return _describe_other_names(log, name)


def _describe_other_names(log: bytes, name: str) -> str:
    names = metric_like_names(log, wanted=name)
    if names:
        return f"numbers were printed for: {', '.join(names)}"
    last = next(line for line in reversed(LINE_END.split(log)) if line.strip())
    return f"no name with a number was printed; the last line is {_quote(clean(last))}"


def _find_lines(log: bytes, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines that have the name in any case, the last one first, and those below each."""
    wanted = name.casefold()
    below: list[str] = []
    count = 0
    for data in reversed(LINE_END.split(log)):
        if not data.strip():
            continue
        line = clean(data)
        if wanted in line.casefold():
            yield line, below[::-1]
            count += 1
            if count >= _MAX_LINES:
                return
        below = [*below[-3:], line]


def _find_spelling(lines: list[tuple[str, list[str]]], name: str) -> tuple[str, str] | None:
    """Return a line with a number for a longer name, or for one in other case, and that name."""
    wanted = name.casefold()
    longer = None
    for line, _ in lines:
        for other in metric_like_names(line.encode("utf-8", "replace"), wanted=name):
            if other.casefold() == wanted and other != name:
                return line, other
            is_longer = wanted in other.casefold() and name not in _split_words(line)
            if longer is None and (is_longer or other.endswith("." + name)):
                longer = line, other
    return longer


def _split_words(line: str) -> list[str]:
    words = re.split(r"[\s:=|,;()\[\]{}\"']+", line)
    return [stripped for word in words for stripped in (word, word.rstrip(".-_"))]


def _explain_line(line: str, name: str) -> str | None:
    """Return why the number after a name is not read, and the pattern that reads it."""
    match = re.search(rf"{BEFORE_NAME}{re.escape(name)}(?!\w)", line, re.IGNORECASE)
    if match is None:
        return None
    rest = remove_progress(line[match.end() :])
    shapes = [shape.span() for shape in _SHAPE.finditer(rest[:400])]
    numbers = [
        number
        for number in _NUMBERS.finditer(rest[:400])
        if not any(start < number.start() < end for start, end in shapes)
    ]
    if not numbers:
        return None
    bar = _BAR.match(rest)
    if bar is not None and bar.end() >= numbers[0].start():
        return f"only a progress bar follows {name!r} in {_quote(line)}, whose numbers are not read"
    chosen = max(numbers, key=lambda n: (n["percent"] is not None, _is_decimal(n), -n.start()))
    for number in numbers:
        arrow = _ARROW.match(rest, chosen.end())
        if arrow and number.start() < arrow.end() <= number.end():
            chosen = number
    suggestion = _suggest(line, name, match[0], rest[: chosen.start()], chosen)
    if suggestion is None:
        return None
    reason = _find_reason(rest, numbers[0])
    return f"{_quote(line)} is not read, since {reason}: set its pattern to '{suggestion}'"


def _explain_elsewhere(line: str, below: list[str], name: str) -> str | None:
    """Return where the number of a name is, if not after the name in its line."""
    match = re.search(rf"{BEFORE_NAME}{re.escape(name)}(?!\w)", line, re.IGNORECASE)
    if match is None:
        return None
    if (
        below
        and re.fullmatch(r"\W*", line[match.end() :])
        and re.fullmatch(VALUE, below[0].strip())
    ):
        return (
            f"the number of {name!r} is in the line below it, {_quote(below[0])}: "
            "print both in one line"
        )
    before = list(_NUMBERS.finditer(line[max(0, match.start() - 100) : match.start()] + "\0"))
    if not before or not (before[-1]["percent"] or _is_decimal(before[-1])):
        return None
    between = line[: match.start()].rpartition(before[-1][0])[2]
    if not re.fullmatch(r"\s{1,8}(?:of\s)?", between):
        return None
    percent = r"\s?%" if before[-1]["percent"] else ""
    suggestion = rf"(?P<value>[-+\w.,']*\w){percent}{_generalize(between + match[0])}"
    if UserPattern(name, suggestion).search(line)[0] is None:
        return None
    return f"the number is before the name in {_quote(line)}: set its pattern to '{suggestion}'"


def _is_decimal(match: re.Match[str]) -> bool:
    return match["comma"] is not None or "." in match[0]


def _find_reason(rest: str, first: re.Match[str]) -> str:
    """Return why the first number after a name is not its value."""
    between = rest[: first.start()]
    if not re.fullmatch(rf"""["']?(?:{SEPARATOR})["']?""", between):
        return f"{between.strip()[:40]!r} is between the name and the number"
    if first["comma"] is not None:
        return f"the number {first[0]!r} has a decimal comma"
    after = rest[first.start() :].split()[0][:40] if rest[first.start() :].split() else ""
    return f"{after!r} is not a number alone"


def _suggest(line: str, name: str, spelled: str, between: str, number: re.Match[str]) -> str | None:
    """Return a pattern that reads, in a line, a number that follows a name and other text."""
    before = _generalize(spelled) + (_generalize(between) if len(between) <= 60 else ".*?")
    wanted = parse_captured(number["comma"] or number["number"], bool(number["comma"]))
    for value in _COMMAS if number["comma"] else _VALUES:
        found = UserPattern(name, before + value).search(line)[0]
        if found is not None and (found == wanted or (found != found and wanted != wanted)):
            return before + value
    return None


def _generalize(text: str) -> str:
    """Return a pattern for a text in which spaces and numbers vary."""
    parts = re.finditer(r"\s+|[0-9]+|(?P<leader>[^\s\w])(?P=leader){2,}|\w+|.", text, re.DOTALL)
    return "".join(map(_generalize_part, parts))


def _generalize_part(part: re.Match[str]) -> str:
    if part["leader"]:
        return re.escape(part["leader"]) + "+"
    return r"\s+" if part[0].isspace() else r"\d+" if part[0].isdigit() else re.escape(part[0])


def _quote(line: str) -> str:
    """Return a line as it can be shown, not too long."""
    shown = "".join(c if c.isprintable() else " " for c in line.strip())
    return repr(shown if len(shown) <= _MAX_QUOTED else shown[:_MAX_QUOTED] + "...")


def metric_like_names(log: bytes, limit: int = 20, wanted: str = "") -> list[str]:
    """Return names that are printed with a number, to suggest what a metric may be called.

    Args:
        log: The end of a log; only the last MiB is searched.
        limit: Maximum number of names.
        wanted: Name that was not found; the most similar names come first.
    """
    names: dict[str, None] = {}
    for line in reversed(LINE_END.split(log[-(1 << 20) :])):
        numbers, rest = remove_objects(clean(line))
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


_ANY_NAME = re.compile(rf"{BEFORE_NAME}(?P<name>[^\W\d][\w@/.-]*){SEPARATOR}{VALUE}")
_METRIC = re.compile(
    "acc|auc|f1|prec|recall|loss|err|score|mse|mae|mape|r2|map|iou|dice|bleu|rouge|ppl|reward|val|test"
)
_NOT_METRIC = re.compile(
    r"(?:.*_)?(?:epochs?|steps?|iter(?:ation)?s?|batch(?:_?size)?|time|runtime|samples|version)|eta|s|"
    r"elapsed|seconds?|line|pid|port|seed|lr|learning_rate|took|at|in|of|to|by|is|now|using|"
    r".*\.(?:py|cc|cpp|h)|.*_per_second"
)
