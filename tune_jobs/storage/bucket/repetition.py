"""Repeat a transaction after those of others, if it has seen nothing that they changed.

A transaction that lost the race for its number is executed again on the newer database. If every
statement has the same result as before, it might as well have been executed there in the first
place, and the caller need not know. Otherwise the caller has to decide again.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.storage.bucket.statements import Kind

_INSERT = re.compile(r'\s*INSERT\s+INTO\s+"?(\w+)', re.IGNORECASE)

_ANONYMOUS = frozenset(
    {
        "study_system_attributes",
        "study_user_attributes",
        "trial_heartbeats",
        "trial_intermediate_values",
        "trial_params",
        "trial_system_attributes",
        "trial_user_attributes",
        "trial_values",
    }
)
"""Tables of Optuna whose rows are not referred to by their ids."""


@dataclass(frozen=True)
class Step:
    """A statement of a transaction.

    Args:
        kind: What it does.
        sql: The statement.
        rows: Parameters of each execution.
        many: Whether it was executed with several lists of parameters at once.
    """

    kind: Kind
    sql: str
    rows: Sequence[Sequence[Any]]
    many: bool


@dataclass(frozen=True)
class Result:
    """What the caller can see of a step.

    Args:
        rows: Rows that it returned.
        count: Number of rows that it changed.
        id: Id of the row that it inserted.
    """

    rows: Sequence[Any]
    count: int
    id: int | None


def execute(connection: sqlite3.Connection, steps: Sequence[Step]) -> list[Result]:
    """Execute the steps of a transaction, and return their results.

    Raises:
        sqlite3.Error: If one of them fails.
    """
    return [_execute_step(sqlite3.Cursor(connection), step) for step in steps]


def _execute_step(cursor: sqlite3.Cursor, step: Step) -> Result:
    if step.many:
        sqlite3.Cursor.executemany(cursor, step.sql, step.rows)
    else:
        sqlite3.Cursor.execute(cursor, step.sql, step.rows[0])
    rows = cursor.fetchall()
    return Result(rows, cursor.rowcount, None if step.many else cursor.lastrowid)


def are_equal(steps: Sequence[Step], before: Sequence[Result], after: Sequence[Result]) -> bool:
    """Return whether the results of two executions are the same to the caller."""
    return all(
        old == new or (_is_same_but_id(old, new) and _is_id_unused(steps, index, old.id))
        for index, (old, new) in enumerate(zip(before, after, strict=True))
    )


def _is_same_but_id(old: Result, new: Result) -> bool:
    return (old.rows, old.count) == (new.rows, new.count)


def _is_id_unused(steps: Sequence[Step], index: int, id: int | None) -> bool:
    """Return whether nothing refers to the row that a step inserted."""
    found = _INSERT.match(steps[index].sql)
    if found is None or found[1] not in _ANONYMOUS:
        return False
    return not any(id in row for step in steps[index + 1 :] for row in step.rows)
