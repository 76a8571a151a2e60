"""Whatever several copies execute, they equal one SQLite that executes the log in order."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.storage.bucket.conftest import dump, find_replica, names
from tests.storage.bucket.faulty_store import FAULTS, MemoryStore
from tune_jobs.storage.bucket.founding import list_schema_statements

Statement = tuple[str, tuple[Any, ...]]

_VALUE = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=3), st.none())
_SMALL = st.integers(1, 4)
_NAME = st.sampled_from("abcd")
_STATEMENTS: list[tuple[str, tuple[Any, ...]]] = [
    ("INSERT INTO studies (study_name) VALUES (?)", (_NAME,)),
    ("INSERT INTO trials (number, study_id, state) VALUES (?, ?, 'RUNNING')", (_SMALL, _SMALL)),
    (
        "INSERT OR REPLACE INTO trial_params (trial_id, param_name, param_value)"
        " VALUES (?, 'x', ?)",
        (_SMALL, _VALUE),
    ),
    ("UPDATE trials SET number = number + ? WHERE study_id = ?", (_SMALL, _SMALL)),
    (
        "UPDATE trials SET number = (SELECT study_id FROM studies WHERE study_name = ?)",
        (_NAME,),
    ),
    ("DELETE FROM trials WHERE trial_id = ?", (_SMALL,)),
    (
        "INSERT INTO trial_values (trial_id, objective, value, value_type)"
        " VALUES (?, 0, ?, 'FINITE')",
        (_SMALL, _SMALL),
    ),
    ("DELETE FROM trial_values WHERE trial_value_id = ?", (_SMALL,)),
    ("SELECT count(*) FROM trials WHERE number = ?", (_SMALL,)),
    ("SAVEPOINT s", ()),
    ("ROLLBACK TO s", ()),
]
_STATEMENT = st.one_of([st.tuples(st.just(sql), st.tuples(*values)) for sql, values in _STATEMENTS])
_TRANSACTION = st.tuples(
    st.integers(0, 1),
    st.lists(_STATEMENT, min_size=1, max_size=4),
    st.sampled_from([*FAULTS, None]),
)


class Reference:
    """One SQLite database, which executes each transaction when its entry is created."""

    def __init__(self) -> None:
        self.results: list[object] = []
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        for sql, _ in list_schema_statements()[1]:
            self._connection.execute(sql)

    def execute(self, statements: list[Statement], name: str) -> None:
        self._connection.execute("BEGIN")
        self.results = []
        for sql, row in statements:
            try:
                cursor = self._connection.execute(sql, row)
            except (sqlite3.IntegrityError, sqlite3.OperationalError) as error:
                self.results.append(type(error).__name__)
            else:
                self.results.append(cursor.fetchall() or cursor.rowcount)
        self._connection.execute("COMMIT")

    def dump(self) -> list[str]:
        return list(self._connection.iterdump())


def run(engine: Engine, statements: list[Statement]) -> list[object]:
    """Execute a transaction, which continues after statements that violate a constraint."""
    results: list[object] = []
    with engine.connect() as connection:
        for sql, row in statements:
            try:
                result = connection.exec_driver_sql(sql, row)
            except (IntegrityError, OperationalError) as error:
                if "database is locked" in str(error):
                    raise
                results.append(type(error.orig).__name__)
            else:
                rows = [tuple(each) for each in result] if result.returns_rows else []
                results.append(rows or result.rowcount)
        connection.commit()
    return results


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_TRANSACTION, max_size=12), st.integers(0, 12))
def test_copies_equal_one_database(
    transactions: list[tuple[int, list[Statement], str | None]], landing: int
) -> None:
    check_copies(transactions, landing)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(_TRANSACTION, max_size=40), st.integers(0, 40))
def test_copies_equal_one_database_at_length(
    transactions: list[tuple[int, list[Statement], str | None]], landing: int
) -> None:
    check_copies(transactions, landing)


def check_copies(transactions: list[tuple[int, list[Statement], str | None]], landing: int) -> None:
    store, reference = MemoryStore(), Reference()
    arguments = {"store": store, "max_age": 1e9, "patience": 0.0}
    engines = [create_engine("oci://b@n/p", connect_args=arguments) for _ in range(2)]
    names(engines[0])
    names(engines[1])
    for number, (index, statements, fault) in enumerate(transactions):
        store.faults = [fault]
        store.created = partial(reference.execute, statements)
        reference.results = []
        # Another copy was first, or the store did not answer.
        with suppress(OperationalError, IntegrityError):
            results = run(engines[index], statements)
            assert reference.results in ([], results), "as if it had been executed there"
        if number == landing:
            store.land()
    store.land()
    store.faults.clear()
    for engine in engines:
        find_replica(engine).look()
    find_replica(engines[0]).write_base()
    engines.append(create_engine("oci://b@n/p", connect_args=arguments))
    names(engines[-1])
    expected = reference.dump()
    for engine in engines:
        assert dump(engine) == expected
        engine.dispose()
