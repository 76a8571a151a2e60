r"""Regular expressions of users: bounded in length and time.

A pattern sees the first `MAX_SEARCHED` characters of a line. Since ``(a+)+b`` may take years for
fifty characters, and cannot be interrupted, a search is only started where its cost is bounded
(`backtracking`): by the structure of the pattern, or by what a slightly shorter part of the line
has cost if all ways to match were tried. A pattern that takes longer than `TIME_LIMIT`, or could
take much longer for one more character, is not searched any more.
"""

from __future__ import annotations

import re
import time

from .backtracking import Analysis, analyze
from .numerals import parse_captured
from .records import check_name
from .steps import round_down

MAX_SEARCHED = 4096
"""Number of characters at the start of a line that patterns see."""

TIME_LIMIT = 0.1
"""Maximum CPU seconds for one line."""

_COMMA = "decimal_comma"
_STEPS = 5e6  # of a backtracking search, in well under a second
_WORST = 0.5  # seconds that a search may take at most
_SHORTEST = 1e-6  # seconds, which no measurement is below
_USUAL_DEGREE = 3.0


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
        self._analysis: Analysis = analyze(source)
        self._safe_length = self._analysis.find_safe_length(_STEPS)

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

    def capture(self, line: str) -> str | None:
        """Return what the last match in a line captures as the value, a number or not."""
        matches = self._find(line[:MAX_SEARCHED])
        captured: str | None = matches[-1][self._group] if matches else None
        return captured

    def _find(self, line: str) -> list[re.Match[str]]:
        if self.problem or self._analysis.literal not in line:
            return []
        length = self._find_length(line)
        return [] if self.problem else list(self._compiled.finditer(line[:length]))

    def _find_length(self, line: str) -> int:
        """Return how much of a line can be searched within the limit, or note a problem."""
        length, spent = min(self._safe_length, len(line)), 0.0
        if self._safe_length == 0:  # not even an empty text
            self._complain(line, 0)
            return 0
        while length < len(line):
            start = time.thread_time()
            self._analysis.probe.search(line[:length])
            taken = max(_SHORTEST, time.thread_time() - start)
            spent += taken
            growth = self._analysis.find_growth(_WORST / taken)
            if spent > TIME_LIMIT and taken < TIME_LIMIT and self._is_usual:
                break
            if spent > TIME_LIMIT or growth == 0:
                self._complain(line, length)
                break
            length = min(length + growth, len(line))
        return length

    @property
    def _is_usual(self) -> bool:
        """Whether the pattern may see less of a line without being a problem."""
        return self._analysis.degree <= _USUAL_DEGREE

    def _complain(self, line: str, length: int) -> None:
        self.problem = (
            f"metric {self.name!r}: the pattern {self.source!r} is not searched any more, since it "
            f"takes too long for more than {length} characters of the line {line[:60]!r}: avoid "
            "nested repetitions such as (a+)+ and (.*)*, and optional parts in a row"
        )


def _find_value_group(pattern: re.Pattern[str]) -> int | str:
    """Return ``value`` or ``decimal_comma``, or the index of the first group but ``step``."""
    for name in ("value", _COMMA):
        if name in pattern.groupindex:
            return name
    return 1 + (pattern.groupindex.get("step") == 1)
