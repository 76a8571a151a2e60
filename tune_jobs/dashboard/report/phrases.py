"""Numbers, names and counts as a report writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tune_jobs.core.formatting import count as count
from tune_jobs.core.formatting import format_parameter
from tune_jobs.dashboard.drawing import clean

NAME_LENGTH = 60
"""Characters of a name, or of a parameter's value."""

SENTENCE_LENGTH = 400
DIGITS = 6
"""Significant digits of a float."""


def name(value: object) -> str:
    """Return a name of the user as a line of bounded length."""
    return clean(value, NAME_LENGTH)


def sentence(value: object) -> str:
    """Return a sentence that contains texts of a study, as a line of bounded length."""
    return clean(value, SENTENCE_LENGTH)


def value(value: object) -> str:
    """Return a value of a parameter or an objective; a float with six digits."""
    return name(format_parameter(value, DIGITS))


def percent(share: float) -> str:
    """Return a share as a percentage, with one digit below 10 %."""
    digits = 1 if abs(share) < 0.0995 else 0
    return f"{round(100 * share, digits):g} %"


def parameters(params: Mapping[str, Any], most: int = 12) -> str:
    """Return parameters with their values; of many the first ones."""
    shown = [f"{name(k)} = {value(v)}" for k, v in list(params.items())[:most]]
    left = len(params) - len(shown)
    return ", ".join([*shown, *([f"and {left} more"] if left else [])])


def enumerate_words(words: list[str], most: int = 6) -> str:
    """Return words as "a, b and c"; of many the first ones."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def moment(seconds: float | None) -> str:
    """Return a time in UTC, which is named; a dash if it is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
