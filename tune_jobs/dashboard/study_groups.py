"""Groups of studies that repeat each other with other seeds, and how studies are drawn."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tune_jobs.dashboard.drawing import SERIES, clean
from tune_jobs.dashboard.model import Study
from tune_jobs.errors import ComparisonError

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Lines beyond the number of colors are told apart by their dashes."""

NAME_LENGTH = 28
"""Characters that figures show of the name of a study."""

BY_NAME, BY_HAND, BY_ATTRIBUTE = "name", "hand", "attribute:"
_GROUPINGS = (
    ("", "each study by itself"),
    (BY_NAME, "same name up to a number"),
    (BY_HAND, "by hand"),
)
NO_LABELS: Mapping[str, str] = MappingProxyType({})

MAX_GROUP = 60
"""Characters of the name of a group."""

MAX_ATTRIBUTES = 20
"""User attributes that a page offers for grouping."""

_SEPARATORS = " -_.=#:"
_WORDS = ("seed", "replicate", "rep", "run")


@dataclass(frozen=True)
class Entry:
    """A study in a comparison, with what is the same for it in every figure.

    Args:
        study: The study with numbers that can be drawn.
        name: Its name, distinct from all others; short enough for figures.
        group: Name of its group; empty if it is in none.
        color, dash: How it is drawn: studies of a group have one color.
    """

    study: Study
    name: str
    group: str
    color: str
    dash: str


def strip_seed(name: str) -> str:
    """Return a study's name without a number at its end, and a word such as ``seed`` before it.

    ``digits-seed-3`` and ``digits-4`` are both ``digits``; a name that is only a number stays.
    """
    stem = name.rstrip(string.digits)
    if stem == name:
        return name
    stem = stem.rstrip(_SEPARATORS)
    for word in _WORDS:
        head = stem[: -len(word)]
        if stem.lower().endswith(word) and head[-1:] in tuple(_SEPARATORS) and head:
            stem = head.rstrip(_SEPARATORS)
            break
    return stem or name


def assign_groups(
    studies: Sequence[Study], how: str, labels: Mapping[str, str] = NO_LABELS
) -> list[str]:
    """Return the name of each study's group; empty for a study that is in none.

    Args:
        studies: The studies.
        how: ``name`` groups by `strip_seed`, ``attribute:NAME`` by the value of a user attribute of
            the studies, ``hand`` by the labels, and nothing not at all.
        labels: Names of groups by the studies' keys.

    Raises:
        ComparisonError: If no study has the user attribute, or ``how`` is none of these.
    """
    if how == BY_NAME:
        stems = [strip_seed(study.name) for study in studies]
        counts = Counter(stems)
        return [stem if counts[stem] > 1 else "" for stem in stems]
    if how.startswith(BY_ATTRIBUTE):
        return _read_attribute(studies, how.removeprefix(BY_ATTRIBUTE))
    if how not in ("", BY_HAND):
        raise ComparisonError(
            f"unknown grouping {how[:60]!r}: use {BY_NAME}, or {BY_ATTRIBUTE}NAME for the value of "
            "a user attribute"
        )
    return [labels.get(study.key, "") if how == BY_HAND else "" for study in studies]


def _read_attribute(studies: Sequence[Study], name: str) -> list[str]:
    if not any(name in study.attributes for study in studies):
        known = ", ".join(dict.fromkeys(key[:60] for s in studies for key in s.attributes))
        raise ComparisonError(
            f"no study has the user attribute {name[:60]!r}; there are: {known or 'none'}"
        )
    return [clean(study.attributes.get(name, ""), MAX_GROUP) for study in studies]


def list_groupings(studies: Sequence[Study]) -> list[tuple[str, str]]:
    """Return the ways to group studies that a page offers: value and label of each."""
    names = dict.fromkeys(name for study in studies for name in study.attributes)
    by_attribute = [
        (f"{BY_ATTRIBUTE}{name}", f"attribute {clean(name, NAME_LENGTH)}")
        for name in [*names][:MAX_ATTRIBUTES]
    ]
    return [*_GROUPINGS, *by_attribute]


def list_entries(studies: Sequence[Study], groups: Sequence[str] = ()) -> list[Entry]:
    """Return the studies of a comparison with their names, groups and colors.

    Args:
        studies: The studies.
        groups: The group of each, see `assign_groups`; by default none is in a group.
    """
    groups = groups or [""] * len(studies)
    names = _distinct_names([study.name for study in studies])
    of_its_own = [group or f"\0{i}" for i, group in enumerate(groups)]
    order = {group: i for i, group in enumerate(dict.fromkeys(of_its_own))}
    entries = []
    for study, name, group, own in zip(studies, names, groups, of_its_own, strict=True):
        color, dash = choose_style(order[own])
        entries.append(Entry(study.drawn, name, group, color, dash))
    return entries


def choose_style(position: int) -> tuple[str, str]:
    """Return color and dash of the line at this position of a legend."""
    return SERIES[position % len(SERIES)], DASHES[position // len(SERIES) % len(DASHES)]


def place_legend(names: int) -> dict[str, Any]:
    """Return what a layout needs for a legend above the figure that covers none of it.

    Args:
        names: Number of names in the legend; no legend is drawn of one, or of many.
    """
    if not 2 <= names <= len(SERIES):
        return {"showlegend": False}
    rows = -(-names // 2)
    return {
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 60, "r": 20, "t": 24 + 20 * rows, "b": 50},
    }


def _distinct_names(names: Sequence[str]) -> list[str]:
    """Return short names; those that are the same get a number."""
    shown = [shorten(name) or "(no name)" for name in names]
    counts, seen = Counter(shown), Counter[str]()
    distinct = []
    for name in shown:
        seen[name] += 1
        distinct.append(f"{name} [{seen[name]}]" if counts[name] > 1 else name)
    return distinct


def shorten(name: str) -> str:
    """Return a name as figures show it: short, with its beginning and its end."""
    plain = clean(name, 4 * NAME_LENGTH).replace("<", "\u2039").replace(">", "\u203a")
    if len(plain) <= NAME_LENGTH:
        return plain
    tail = NAME_LENGTH // 3
    return f"{plain[: NAME_LENGTH - tail - 1]}\u2026{plain[-tail:]}"
