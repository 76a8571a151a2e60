"""Which statements an entry of the log may have.

What is read from a bucket is a stranger's data, so the writers and the readers of the log apply
the same rules. Statements that change rows may name tables of Optuna and tune_jobs only, and call
no function, as the result of some depends on when and where they run. SQLite's authorizer enforces
it. Definitions of tables and indexes consist of names, types and constraints.
"""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache

_FIRST_WORD = re.compile(r"\s*(\w+)")
_NOW = re.compile(r"\bCURRENT_TIMESTAMP\b", re.IGNORECASE)
_NAME = r'(?:"\w+"|\w+)'
_TABLE = re.compile(
    rf'\s*CREATE\s+TABLE\s+(?P<table>{_NAME})\s*\((?:[\s,()\w]|"\w+")*\)\s*;?\s*', re.IGNORECASE
)
_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+{_NAME}\s+ON\s+(?P<table>{_NAME})\s*"
    rf"\(\s*{_NAME}(?:\s*,\s*{_NAME})*\s*\)\s*;?\s*",
    re.IGNORECASE,
)
_ADDITION = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?P<table>{_NAME})\s+ADD\s+COLUMN\s+{_NAME}\s+\w+(?:\s*\(\d+\))?\s*;?\s*",
    re.IGNORECASE,
)
_KNOWN_CHECK = re.compile(r"\bCHECK\s*\(version_info_id\s*=\s*1\)", re.IGNORECASE)
_FORBIDDEN = re.compile(
    r"\b(?:AS|AUTOINCREMENT|CHECK|COLLATE|DEFAULT|GENERATED|SELECT|VIRTUAL|WHERE)\b", re.IGNORECASE
)


FOR_UPDATE = " /* FOR UPDATE */"
"""End of a ``SELECT`` whose transaction is about to change what it reads. SQLite has no such
clause, so SQLAlchemy leaves it out there."""


class Kind(Enum):
    """What a statement does."""

    READ = "read"
    CHANGE = "change"
    DEFINITION = "definition"
    SAVEPOINT = "savepoint"
    OTHER = "other"


_KINDS = {
    **dict.fromkeys(("SELECT", "WITH", "PRAGMA", "EXPLAIN", "VALUES"), Kind.READ),
    **dict.fromkeys(("INSERT", "UPDATE", "DELETE", "REPLACE"), Kind.CHANGE),
    **dict.fromkeys(("CREATE", "ALTER", "DROP"), Kind.DEFINITION),
    **dict.fromkeys(("SAVEPOINT", "RELEASE", "ROLLBACK"), Kind.SAVEPOINT),
}


@lru_cache(1000)
def classify(statement: str) -> Kind:
    """Return what a statement does, by its first word."""
    found = _FIRST_WORD.match(statement)
    return _KINDS.get(found[1].upper(), Kind.OTHER) if found else Kind.OTHER


def is_for_update(statement: str) -> bool:
    """Return whether a statement reads what its transaction is about to change."""
    return statement.endswith(FOR_UPDATE)


def fix_time(statement: str) -> str:
    """Replace ``CURRENT_TIMESTAMP`` by the time, so that it is the same wherever it is executed."""
    if "CURRENT_TIMESTAMP" not in statement:
        return statement
    return _NOW.sub(f"'{datetime.now(UTC):%Y-%m-%d %H:%M:%S}'", statement)


@cache
def list_tables() -> frozenset[str]:
    """Return the names of the tables of Optuna and tune_jobs."""
    from optuna.storages._rdb.models import BaseModel

    from tune_jobs.storage.schema import metadata

    return frozenset({*BaseModel.metadata.tables, *metadata.tables, "alembic_version"})


def is_harmless_definition(statement: str) -> bool:
    """Return whether a statement defines a table or an index, or adds a column, and no more."""
    plain = _KNOWN_CHECK.sub("", statement)
    found = _TABLE.fullmatch(plain) or _INDEX.fullmatch(plain) or _ADDITION.fullmatch(plain)
    if found is None or _FORBIDDEN.search(plain):
        return False
    return found["table"].strip('"') in list_tables()


_ON_TABLES = (
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_READ,
)


class Guard:
    """An authorizer for SQLite, which checks statements while it is active.

    Attributes:
        is_active: Whether the statement that is executed changes rows, for the log.
    """

    def __init__(self) -> None:
        self.is_active = False

    def __call__(self, action: int, first: str | None, second: str | None, *more: object) -> int:
        """Return whether SQLite may do something; see ``sqlite3.Connection.set_authorizer``."""
        if not self.is_active or action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action in _ON_TABLES and more[0] in ("main", None) and first in list_tables():
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY
