r"""Regular expressions of users: bounded in length and time.

A pattern sees the first `MAX_SEARCHED` characters of a line. Since ``(a+)+b`` may take years for
fifty characters, a pattern that could be slow is tried on growing parts of a line, and one that
takes longer than `TIME_LIMIT` is not searched any more.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator

from .numerals import parse_captured
from .records import check_name
from .steps import round_down

MAX_SEARCHED = 4096
"""Number of characters at the start of a line that patterns see."""

TIME_LIMIT = 0.1
"""Maximum CPU seconds for one line."""

_COMMA = "decimal_comma"
_MAX_CHOICES = 16  # a search with n of ``?`` or ``|`` takes up to 2**n steps
_STEPS = 1e7  # of a backtracking search, in well under a second


class UserPattern:
    """Pattern of one metric.

    Args:
        name: Name of the metric.
        source: Regular expression. The group ``value``, or else the first group, is the number; a
            group ``step`` is the step; a group ``decimal_comma`` is a number such as ``0,91``.

    Raises:
        ValueError: If the name or the expression is invalid, or has no group.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name = check_name(name)
        self.source = source
        self.problem = ""
        """Why the pattern is not searched any more; empty if it is."""
        try:
            self._compiled = re.compile(source)
        except re.error as error:
            raise ValueError(f"metric {name!r}: invalid pattern {source!r}: {error}") from None
        self._group = _find_value_group(self._compiled)
        if isinstance(self._group, int) and self._group > self._compiled.groups:
            raise ValueError(
                f"metric {name!r}: the pattern {source!r} needs a group around the number, "
                r"as in 'accuracy is (\S+)'"
            )
        self._has_step = "step" in self._compiled.groupindex
        self._first_length = _find_safe_length(source)

    def search(self, line: str) -> tuple[float | None, int | None]:
        """Return the value of the last match in a line that is a number, and its step."""
        value = step = None
        for match in self._find(line[:MAX_SEARCHED]):
            number = parse_captured(match[self._group], self._group == _COMMA)
            if number is not None:
                value = number
                if self._has_step:
                    step = round_down(parse_captured(match["step"]))
        return value, step

    def _find(self, line: str) -> list[re.Match[str]]:
        found: list[re.Match[str]] = []
        if self.problem:
            return found
        for length in _grow(self._first_length, len(line)):
            start = time.thread_time()
            found = list(self._compiled.finditer(line[:length]))
            taken = time.thread_time() - start
            if taken > TIME_LIMIT:
                self.problem = (
                    f"metric {self.name!r}: the pattern {self.source!r} is not searched "
                    f"any more, since it took {taken:.1f} s for {length} characters of the line "
                    f"{line[:60]!r}: avoid nested repetitions such as (a+)+ and (.*)*"
                )
                return []
        return found


def _find_value_group(pattern: re.Pattern[str]) -> int | str:
    """Return ``value`` or ``decimal_comma``, or the index of the first group but ``step``."""
    for name in ("value", _COMMA):
        if name in pattern.groupindex:
            return name
    return 1 + (pattern.groupindex.get("step") == 1)


def _grow(first: int, last: int) -> Iterator[int]:
    """Yield lengths from ``first`` to ``last``, in steps that no search can grow much within."""
    length = first
    while length < last:
        yield length
        length += 1 if length < 16 else 2 if length < 64 else length // 4
    yield last


def _find_safe_length(source: str) -> int:
    """Return the length of a line for which a search with a pattern cannot take long.

    A search with k repetitions in a row takes a number of steps of the order of n**k / k!; with
    repetitions or alternatives inside of a repetition, or references, it grows exponentially.
    """
    plain = re.sub(r"\\[0-9]|\(\?P=", "(|)*", source)  # a reference counts as nested
    plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", plain, flags=re.DOTALL)
    count = len(re.findall(r"[*+]|\{[0-9]*,[0-9]*\}", plain))
    choices = len(re.findall(r"(?<![(*+?}])\?|\|", plain))
    if _is_nested(plain) or choices > _MAX_CHOICES:
        return 1
    return int((_STEPS * math.factorial(count + 1)) ** (1 / (count + 1)))


def _is_nested(plain: str) -> bool:
    """Return whether a repeated group contains a repetition or alternatives."""
    inside = [False]
    for i, character in enumerate(plain):
        if character == "(":
            inside.append(False)
        elif character == ")" and len(inside) > 1:
            complex_group = inside.pop()
            repeated = plain[i + 1 : i + 2] in ("*", "+", "{")
            if complex_group and repeated:
                return True
            inside[-1] = inside[-1] or complex_group or repeated
        elif character in "*+|{" or (character == "?" and plain[i - 1] != "("):
            inside[-1] = True
    return False
