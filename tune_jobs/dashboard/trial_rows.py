"""The table of trials: a page asks with a cursor, and gets only the rows that changed since.

The answer has the columns once, and rows as arrays of cells. The first answer has few rows, so that
a page has something to show; ``more`` says that another request will get further ones. Of a study
with more than `WINDOW` trials, only the newest come by themselves; others by their numbers.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.dashboard.best_fields import list_best_fields
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.recent import Recent
from tune_jobs.dashboard.trial_fields import Field, draw_cell, find_named_fields, list_study_fields
from tune_jobs.dashboard.trial_filter import (
    FilterError,
    TrialFilter,
    format_ranges,
    pair_with_runs,
    parse_filter,
    parse_ranges,
)

WINDOW = 20_000
FIRST_ROWS = 300
MAX_ROWS = 4000
"""Rows of one answer."""

MAX_STUDIES = 20
"""Studies whose changes are remembered."""


@dataclass(frozen=True)
class Cursor:
    """What a page has.

    Args:
        epoch: The history of changes that the numbers refer to.
        columns: Number of columns.
        since: Revision of which the page has all rows.
        until: Revision that is being sent; equal to ``since`` if all has been sent.
        below: Rows of ``until`` that are still to be sent have lower numbers.
    """

    epoch: str
    columns: int = 0
    since: int = 0
    until: int = 0
    below: int = 0

    @classmethod
    def parse(cls, text: str, epoch: str) -> Cursor:
        """Return the cursor of a page; that of an empty page if the text is of another epoch."""
        head, *numbers = text.split(".")
        if head != epoch or len(numbers) != 4 or not all(n.isdecimal() for n in numbers):
            return cls(epoch)
        return cls(epoch, *(int(n[:18]) for n in numbers))

    def __str__(self) -> str:
        return f"{self.epoch}.{self.columns}.{self.since}.{self.until}.{self.below}"


Row = tuple[Trial, Attempt | None]


@dataclass
class History:
    """Revisions of the rows of one study."""

    epoch: str = field(default_factory=lambda: secrets.token_hex(6))
    revision: int = 0
    fields: list[Field] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)
    revisions: dict[int, int] = field(default_factory=dict)
    removed: dict[int, int] = field(default_factory=dict)

    def update(self, study: Study) -> None:
        """Compare a new reading of the study with the one before."""
        rows = {trial.number: (trial, run) for trial, run in pair_with_runs(study)}
        changed = [n for n, row in rows.items() if not _is_same(self.rows.get(n), row)]
        gone = [n for n in self.rows if n not in rows]
        if not self.fields:
            self.fields = list_study_fields(study)
        if not changed and not gone:
            return
        self.revision += 1
        self.fields += find_named_fields((rows[n][0] for n in changed), self.fields)
        self.revisions.update(dict.fromkeys(changed, self.revision))
        self.removed.update(dict.fromkeys(gone, self.revision))
        for number in gone:
            del self.revisions[number]
        self.rows = rows


def _is_same(before: Row | None, now: Row) -> bool:
    """Return whether a row is unchanged; what has finished is often the same object."""
    if before is None:
        return False
    return all(old is new or old == new for old, new in zip(before, now, strict=True))


class TrialTables:
    """The tables of trials of all studies of a server."""

    def __init__(self) -> None:
        self._histories: Recent[tuple[Any, ...], History] = Recent(MAX_STUDIES)
        self._lock = threading.Lock()

    def answer(self, study: Study, query: Mapping[str, str]) -> dict[str, Any]:
        """Return what a page lacks.

        Args:
            study: A reading of the study.
            query: ``cursor`` of the last answer; ``where``, ``state`` and ``text``, see
                `parse_filter`; ``filtered`` if the page has the matches up to its cursor;
                ``numbers`` of trials whose rows are needed regardless of the cursor.

        Returns:
            ``columns`` if the page lacks some, ``rows``, numbers of ``removed`` trials, ``more``,
            the new ``cursor``, the ``total`` number of trials; with a filter, ``matching`` numbers
            as ranges, and whether they are ``filtered``: of the rows alone; or a ``problem``.

        Raises:
            ValueError: If ``numbers`` are no ranges.
        """
        with self._lock:
            history = self._histories.get((*study.identity, *study.metrics), History)
            history.update(study)
            return _answer(history, study, query)


def _answer(history: History, study: Study, query: Mapping[str, str]) -> dict[str, Any]:
    given = Cursor.parse(query.get("cursor", ""), history.epoch)
    if ranges := query.get("numbers", ""):
        wanted = sorted(parse_ranges(ranges, MAX_ROWS), reverse=True)
        numbers, cursor, more = [n for n in wanted if n in history.rows], given, False
    else:
        numbers, cursor, more = _choose_rows(history, given)
    view: dict[str, Any] = {
        "cursor": str(cursor),
        "reset": given.until == 0,
        "total": len(history.rows),
        "window": WINDOW,
        "rows": [_draw_row(history, number) for number in numbers],
        "removed": [n for n, at in history.removed.items() if at > given.since > 0],
        "more": more,
    }
    if given.columns < len(history.fields):
        view["columns"] = [each.describe() for each in history.fields]
    return {**view, **_filter(history, study, query, numbers)}


def _choose_rows(history: History, given: Cursor) -> tuple[list[int], Cursor, bool]:
    """Return the numbers of the next rows, the cursor after them, and whether there are more."""
    is_new = given.until == 0
    since = given.since
    until, below = (given.until, given.below) if since < given.until else (history.revision, 0)
    oldest = max(history.rows, default=0) - WINDOW if since == 0 else -1
    changed = sorted(
        (
            number
            for number, at in history.revisions.items()
            if at > since and number > oldest and (not below or number < below)
        ),
        reverse=True,
    )
    numbers = changed[: FIRST_ROWS if is_new else MAX_ROWS]
    columns = len(history.fields)
    if len(numbers) < len(changed):
        return numbers, Cursor(given.epoch, columns, since, until, numbers[-1]), True
    return numbers, Cursor(given.epoch, columns, until, until), until < history.revision


def _draw_row(history: History, number: int) -> list[Any]:
    trial, run = history.rows[number]
    cells = [draw_cell(each, trial, run) for each in history.fields]
    while cells and cells[-1] is None:
        cells.pop()
    return cells


def _filter(
    history: History, study: Study, query: Mapping[str, str], numbers: Sequence[int]
) -> dict[str, Any]:
    where, state, text = (query.get(name, "") for name in ("where", "state", "text"))
    if not (where.strip() or state or text):
        return {}
    fields = [*history.fields, *list_best_fields(study)]
    try:
        chosen = parse_filter(fields, where, state=state, text=text)
        filtered = bool(query.get("filtered")) and not chosen.depends_on_best
        rows = [history.rows[n] for n in sorted(numbers if filtered else history.rows)]
        matching = format_ranges(_select(chosen, rows, filtered))
        return {"matching": matching, "filtered": filtered}
    except FilterError as error:
        return {"problem": str(error)}


def _select(chosen: TrialFilter, rows: Sequence[Row], filtered: bool) -> list[int]:
    """Return the matching numbers; among a few changed rows, none may be comparable."""
    try:
        return chosen.select(rows)
    except FilterError:
        if filtered:
            return []
        raise
