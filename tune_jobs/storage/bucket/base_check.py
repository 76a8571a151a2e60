"""Check a database that a stranger may have written: it is as our writers make one, or not used.

Its header, its size and its schema are compared with those of a new database, so nothing has to be
known about what a file of SQLite can contain beside that. The rows may be any.

Source: the database file format, https://www.sqlite.org/fileformat.html
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from tune_jobs.storage.bucket.copy import read_number
from tune_jobs.storage.bucket.founding import list_known_schemas

HEADER = 100
"""Bytes of the header of a file."""

_PAGE = 4096
_USER_VERSION = 60
_PAGES = 28
_FIELDS = (
    (0, 16, b"SQLite format 3\0", "a magic string"),
    (16, 2, _PAGE.to_bytes(2), "a page size"),
    (18, 2, b"\1\1", "a journal mode"),
    (20, 4, b"\0\x40\x20\x20", "a payload"),
    (32, 8, bytes(8), "a list of free pages"),
    (44, 4, (4).to_bytes(4), "a schema format"),
    (48, 8, bytes(8), "a cache size or vacuum mode"),
    (56, 4, (1).to_bytes(4), "a text encoding"),
    (64, 8, bytes(8), "a vacuum mode or application id"),
    (72, 20, bytes(20), "a reserved space"),
)
"""Offset, length, value and name of fields of the header, as ``VACUUM INTO`` writes them."""

_SPACE = re.compile(r"\s+")
_AROUND = re.compile(r"\s*([(),=])\s*")
_QUOTES = re.compile(r'"(\w+)"')


def read_size(header: bytes, number: int) -> int:
    """Return the size of a database's file, in bytes.

    Args:
        header: Its first bytes.
        number: The number of the entry after which it was written.

    Raises:
        ValueError: If our writers do not write such a header.
    """
    if len(header) < HEADER:
        raise ValueError("it is shorter than the header of a database")
    for offset, length, expected, name in _FIELDS:
        if header[offset : offset + length] != expected:
            raise ValueError(f"its header has {name} that no tuner writes")
    if int.from_bytes(header[_USER_VERSION : _USER_VERSION + 4]) != number:
        raise ValueError("it has another number")
    return int.from_bytes(header[_PAGES : _PAGES + 4]) * _PAGE


def check_database(file: Path, number: int) -> None:
    """Check a database, whose header `read_size` has accepted.

    Raises:
        ValueError: If it is damaged, or its schema is not one of ours.
        sqlite3.Error: If it cannot be read.
    """
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
        _check_schema(connection.execute(query).fetchall())
        if read_number(connection) != number:
            raise ValueError("it has another number")
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise ValueError("it is damaged")


def _check_schema(objects: Iterable[tuple[Any, ...]]) -> None:
    found = normalize_schema(objects)
    known = [normalize_schema(each) for each in list_known_schemas()]
    if found in known:
        return
    if more := sorted(found - frozenset.union(*known)):
        raise ValueError(f"it has {more[0][0]} {more[0][1]!r}, which no tuner makes")
    missing = min((sorted(each - found) for each in known), key=len)
    raise ValueError(
        f"it lacks {missing[0][0]} {missing[0][1]!r}"
        if missing
        else "it has tables of several versions of tune_jobs"
    )


def normalize_schema(objects: Iterable[tuple[Any, ...]]) -> frozenset[tuple[str, ...]]:
    """Return the objects of a schema with their definitions in one notation.

    Args:
        objects: Type, name, table and definition of each.
    """
    return frozenset(
        (str(kind), str(name), str(table), _normalize(sql or ""))
        for kind, name, table, sql in objects
    )


def _normalize(sql: str) -> str:
    plain = _QUOTES.sub(r"\1", _SPACE.sub(" ", str(sql).strip()))
    return _AROUND.sub(r"\1", plain).lower()
