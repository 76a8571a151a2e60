"""Numbers as scripts print them: read as a whole, or not at all.

`VALUE` is the source of a regular expression for a metric's value and `COUNT` of one for a step's.
Both have the group ``number``, which `parse_number` converts. A number that continues as something
else does not match: ``1.2.3``, ``2024-01-02``, ``12:30``, ``9905/10000``, ``0,91``, ``35ms``,
``1 234.5``, ``5 x 10^-3``, ``1.5 E-03``, ``0.5 -> 0.4``, ``50% -> 40%``, ``0.9 to 0.95``,
``1.2 million``, ``1.2 M``.
"""

from __future__ import annotations

import math
import re

_GROUPING = ",'\u2019\u00a0\u2009\u202f"
"""Characters between groups of three digits: comma, apostrophes and non-breaking or thin spaces."""

NUMBER = (
    rf"[-+]?(?:[1-9][0-9]{{0,2}}(?:[{_GROUPING}][0-9]{{3}})+(?:\.[0-9]+)?"
    r"|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eEf][-+]?[0-9]+)?"  # Julia prints 1.5f-3
    r"|[nN][aA][nN]|[iI][nN][fF](?:inity|INITY)?)"
)
SPACED_GROUPS = r"(?![-+]?[1-9][0-9]{0,2} [0-9]{3}(?![0-9]))"
_RIGHT_ARROWS = "\u2192\u21a6\u21d2\u21e8\u2794\u279c-\u279e\u27a1\u27f6\u27f9"
ARROW = rf"\s?(?:[-=]{{1,3}}>|[{_RIGHT_ARROWS}])\s?[-+.]?[0-9]"
TIMES = (  # ``1.5 x 10^-3`` and the like
    r"(?:\s?(?:[\u00d7\u00b7\u00f7^]|\*\*?|[xX]\s?(?=10))\s?[-+]?[0-9]"
    r"|\s?\\(?:times|cdot)|[\u207a\u207b]|\s[eEdD][-+][0-9])"
)
SCALE = (  # ``1.2 million`` and ``1.2 k``, but not a name of one letter with a value of its own
    r"\s{1,4}(?:(?i:hundred|thousand|million|billion|trillion|mln|bln|mio|mrd)(?![\w-])"
    r"|[kKMGTB](?=\s{0,4}(?:[,;|)\]}]|\Z)|\s{1,4}[^\s\w:=(-]))"
)
RANGE = r"(?:\s?%)?\s{1,8}(?:(?:up\s)?to|till|until|through|thru)\s{1,8}[-+]?\.?[0-9]"
_WHOLE = (
    r"(?!\w"
    r"|[.:/\\@#\u2026\u2044\u066b\u066c-]{1,8}\w"  # units, versions, dates, paths, ``1.#INF``
    rf"|[{_GROUPING}][-+.]{{0,3}}[0-9]"
    r"|\s{0,8}[:=]\s{0,8}[-+]?\.?[0-9]"  # names with numbers, ``mAP@0.5:0.95: 0.6``
    r"|\s{1,8}(?:out\s)?of\s{1,8}[0-9]"
    rf"|{TIMES}|{SCALE}|{RANGE}"
    rf"|(?:\s?%)?(?:\s{{0,8}}/\s{{0,8}}[0-9]|\s?[~\u301c\u2013\u2014]\s?[0-9]|-[0-9]|{ARROW}))"
)
WRAPPER = (
    r"(?:(?:\w{1,32}\.)?(?:u?int[0-9]+|float[0-9]+|[tT]ensor|(?:Device)?[aA]rray|Decimal)\(\s?"
    r"|<tf\.Tensor: shape=\(\), dtype=\w{1,32}, numpy=)?"
)
VALUE = (
    rf"""{WRAPPER}(?P<quote>["']?){SPACED_GROUPS}(?P<number>{NUMBER}){_WHOLE}"""
    r"(?:\s?%)?(?P=quote)"
)
COUNT = rf"{WRAPPER}(?P<number>{NUMBER})(?!\w|\.\w|{SCALE}|{RANGE})"

_CAPTURED = re.compile(rf"\s*({NUMBER})\s*%?\s*")
_DECIMAL_COMMA = re.compile(r"\s*([-+]?[0-9]+(?:[. \u00a0\u202f][0-9]{3})*,[0-9]+)\s*%?\s*")
_NOT_DIGITS = re.compile(rf"[{_GROUPING}]")


def parse_number(string: str) -> float:
    """Convert a match of ``number``; NaN is always the object ``math.nan``."""
    plain = _NOT_DIGITS.sub("", string)
    try:
        value = float(plain)
    except ValueError:
        value = float(plain.replace("f", "e"))
    return math.nan if value != value else value


def parse_captured(string: str | None, decimal_comma: bool = False) -> float | None:
    """Convert what a user's pattern captured; None if it is not a number.

    Args:
        string: Content of the group, or None if the group did not take part in the match.
        decimal_comma: Whether the number is written like ``0,91`` or ``1.234,5``.
    """
    if string is None or len(string) > 1000:
        return None
    if decimal_comma:
        match = _DECIMAL_COMMA.fullmatch(string)
        if match:
            return float(re.sub(r"[^0-9,+-]", "", match[1]).replace(",", "."))
    match = _CAPTURED.fullmatch(string)
    return parse_number(match[1]) if match else None
