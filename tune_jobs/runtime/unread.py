"""Explain why a metric was not found."""

from __future__ import annotations

import difflib
import re

from .extract import SEPARATOR
from .lines import LINE_END, clean
from .numerals import VALUE
from .objects import remove_objects
from .records import check_name
from .steps import BEFORE_NAME


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
