"""What the API answers about comparisons of studies (types: ``static/comparison_api.js``)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import NotFound

from tune_jobs.dashboard.comparable import Comparable, choose_comparable
from tune_jobs.dashboard.comparing import Comparison, Winner, compare, show_parameter
from tune_jobs.dashboard.comparison_figures import (
    FIGURES,
    Importances,
    compute_importance,
    importance_trials,
    importances_figure,
)
from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, clean
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.races import X_AXES, list_axes, race_figure
from tune_jobs.dashboard.recent import Recent
from tune_jobs.dashboard.study_groups import Entry, assign_groups, list_entries, list_groupings
from tune_jobs.dashboard.views import bounded, json_number

MAX_COMPARED = 100
"""Studies in one comparison; more are refused, not left out."""

MAX_STATEMENT = 1000
"""Characters of the sentence that says which study is better."""


@dataclass(frozen=True)
class ComparisonQuery:
    """What is compared, and how.

    Args:
        keys: Keys of the studies.
        axis: What races are drawn against, see `X_AXES`.
        objective: The objective that is compared, see `choose_comparable`; empty for the most
            frequent one.
        grouping: How groups are recognized, see `assign_groups`.
        labels: Names of groups by the keys of studies.
        known: Version of the comparison that the page shows already; empty for none.
    """

    keys: Sequence[str]
    axis: str = "trials"
    objective: str = ""
    grouping: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    known: str = ""


def parse_query(arguments: Mapping[str, Sequence[str]]) -> ComparisonQuery:
    """Return the query in the arguments of a request.

    Args:
        arguments: ``study``, once for each; ``x``, ``objective``, ``group`` and ``version``; and
            ``group.KEY``, the name of a study's group.

    Raises:
        ValueError: If there is no study, or there are too many.
    """
    keys = list(dict.fromkeys(arguments.get("study", ())))
    if not keys:
        raise ValueError("nothing to compare: select at least one study")
    if len(keys) > MAX_COMPARED:
        raise ValueError(
            f"{len(keys)} studies are selected: at most {MAX_COMPARED} are compared at once"
        )
    first = {name: values[0] for name, values in arguments.items() if values}
    prefix = "group."
    labels = {
        name.removeprefix(prefix): label.strip()
        for name, label in first.items()
        if name.startswith(prefix)
    }
    return ComparisonQuery(
        keys,
        axis=first.get("x", "trials"),
        objective=first.get("objective", ""),
        grouping=first.get("group", ""),
        labels=labels,
        known=first.get("version", ""),
    )


@dataclass(frozen=True)
class _Prepared:
    """Studies that are ready to be compared."""

    comparable: Comparable
    entries: Sequence[Entry]


def _prepare(studies: Sequence[Study], query: ComparisonQuery) -> _Prepared:
    comparable = choose_comparable(studies, query.objective)
    groups = assign_groups(comparable.studies, query.grouping, query.labels)
    return _Prepared(comparable, list_entries(comparable.studies, groups))


def comparison_version(studies: Sequence[Study]) -> str:
    """Return a string that changes whenever a comparison of these studies does."""
    versions = [(study.key, study.version()) for study in studies]
    return hashlib.sha256(repr(versions).encode()).hexdigest()[:16]


def comparison_view(studies: Sequence[Study], query: ComparisonQuery) -> dict[str, Any]:
    """Return a comparison without its figures; only its version if the page knows it already."""
    version = comparison_version(studies)
    if version == query.known:
        return {"version": version, "unchanged": True}
    prepared = _prepare(studies, query)
    comparable, entries = prepared.comparable, prepared.entries
    result = compare(comparable.studies, [entry.group for entry in entries])
    by_key = {entry.study.key: entry for entry in entries}
    axes = list_axes(comparable.studies)
    return {
        "version": version,
        "unchanged": False,
        "winners": [_winner(w, result, by_key[w.key]) for w in result.winners],
        "differing": [bounded(n) for n in result.differing],
        "statement": clean(result.statement, MAX_STATEMENT),
        "outcome": result.outcome,
        "objective": _describe(comparable, comparable.objective),
        "objectives": [_describe(comparable, each) for each in comparable.offered],
        "groupings": [
            {"value": value, "label": label} for value, label in list_groupings(comparable.studies)
        ],
        "axes": [{"name": name, "label": X_AXES[name][0]} for name in axes],
        "axis": query.axis if query.axis in axes else axes[0],
        "without_best": [bounded(line) for line in result.without_best],
        "notes": [bounded(note) for note in comparable.notes],
        "warnings": [bounded(w) for w in result.warnings],
        "figures": _list_figures(entries) if comparable.studies else [],
    }


def _describe(comparable: Comparable, objective: Any) -> dict[str, Any]:
    return {"key": objective.key, "label": bounded(objective)}


def _list_figures(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """Return name, title and what is left out of each figure that has something to show."""
    candidates = [len(entry.study.candidates()) for entry in entries]
    notes = {
        "race": _note_race(entries),
        "distribution": "Boxes show the quartiles, diamonds the best values. Values beyond 1.5 "
        "times the height of a box are not drawn.",
        "together": _note_thinned(candidates, max(1, MANY_POINTS // max(1, len(entries))), "shows"),
        "importances": _note_thinned(candidates, importance_trials(len(entries)), "uses"),
    }
    titles = {"race": "Best value so far", **{name: title for name, (title, _) in FIGURES.items()}}
    return [
        {"name": name, "title": title, "note": notes[name]}
        for name, title in titles.items()
        if name == "race" or any(candidates)
    ]


def _note_race(entries: Sequence[Entry]) -> str:
    if not any(entry.group for entry in entries):
        return ""
    return "Groups: the median and the quartiles of the studies, and each study as a thin line."


def _note_thinned(candidates: Sequence[int], most: int, verb: str) -> str:
    if max(candidates, default=0) <= most:
        return ""
    return f"Of each study it {verb} a sample of at most {most} trials."


def _winner(winner: Winner, result: Comparison, entry: Entry) -> dict[str, Any]:
    return {
        "key": winner.key,
        "study": bounded(winner.study),
        "name": entry.name,
        "group": bounded(winner.group),
        "color": entry.color,
        "dash": entry.dash,
        "trial": winner.trial,
        "value": json_number(winner.value),
        "replicates": [json_number(v) for v in winner.replicates],
        "trials": winner.trials,
        "run_hours": winner.run_hours,
        "money": winner.money,
        "hours": winner.hours,
        "live": entry.study.owner is not None,
        "params": [bounded(show_parameter(winner.params, n)) for n in result.differing],
    }


class ComparisonFigures:
    """Draws figures of comparisons; importance, which takes long, once for each study's version."""

    def __init__(self) -> None:
        self._importances: Recent[tuple[Any, ...], Importances] = Recent(MAX_COMPARED)

    def draw(self, name: str, studies: Sequence[Study], query: ComparisonQuery) -> Figure:
        """Return a figure.

        Raises:
            NotFound: If there is no such figure.
        """
        prepared = _prepare(studies, query)
        entries = prepared.entries
        if not entries:
            raise NotFound("these studies have no objective in common")
        if name == "race":
            axes = list_axes(prepared.comparable.studies)
            return race_figure(entries, query.axis if query.axis in axes else axes[0])
        if name == "importances":
            key = prepared.comparable.objective.key
            known = {e.study.key: self._find(e.study, key, len(entries)) for e in entries}
            return importances_figure(entries, known)
        if name not in FIGURES:
            raise NotFound
        draw: Callable[[Sequence[Entry]], Figure] = FIGURES[name][1]
        return draw(entries)

    def _find(self, study: Study, objective: str, studies: int) -> Importances:
        """Return the importance of a study's parameters for an objective."""
        key = (*study.identity, study.version(), objective, importance_trials(studies))
        return self._importances.get(key, lambda: compute_importance(study, studies))
