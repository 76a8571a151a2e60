"""Entries of the log: a transaction as an object, which is compressed JSON.

    {"id": "…", "previous": "…", "rows": 3, "statements": [["INSERT INTO …", [[1, "x"], …]], …]}

``previous`` is the id of the entry before. ``rows`` is the number of rows that SQLite changed,
which is compared wherever the entry is executed. Bytes are ``{"b": "base64"}``, and
numbers that are not finite ``{"f": "inf"}``.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import StudyError

FOLDER = "log"
MAX_BYTES = 64 << 20
"""Size of an entry, compressed and inflated."""
MAX_ROWS = 1_000_000
"""Number of lists of parameters in an entry, and of parameters in a list."""

_NOT_FINITE = ("nan", "inf", "-inf")

Statement = tuple[str, Sequence[Sequence[Any]]]
"""A statement, and the parameters of each of its executions."""


@dataclass(frozen=True)
class Entry:
    """A transaction.

    Args:
        id: Unique identifier of the entry.
        previous: That of the entry before; empty for the first one.
        rows: Number of rows that it changes.
        statements: What it executes.
    """

    id: str
    previous: str
    rows: int
    statements: Sequence[Statement]


def name_entry(number: int) -> str:
    """Return the name of an entry's object."""
    return f"{FOLDER}/{number:010d}.z"


def read_number(name: str) -> int | None:
    """Return the number in the name of an entry or a base; None if it has another name."""
    digits = name.rpartition("/")[2].removesuffix(".z")
    is_ours = len(digits) == 10 and digits.isdecimal() and digits.isascii() and name.endswith(".z")
    return int(digits) if is_ours else None


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as an object.

    Raises:
        ValueError: If it is larger than readers accept.
    """
    facts = {
        "id": entry.id,
        "previous": entry.previous,
        "rows": entry.rows,
        "statements": [
            (sql, [[_encode_value(value) for value in row] for row in rows])
            for sql, rows in entry.statements
        ],
    }
    text = encode_json(facts).encode()
    if len(text) > MAX_BYTES:
        raise ValueError(f"the transaction has {len(text) >> 20} MB, more than {MAX_BYTES >> 20}")
    return zlib.compress(text)


def decode_entry(data: bytes, name: str) -> Entry:
    """Return the entry in an object.

    Raises:
        StudyError: If it is none.
    """
    try:
        facts = json.loads(_inflate(data))
        statements = [_decode_statement(*each) for each in facts["statements"]]
        entry = Entry(facts["id"], facts["previous"], facts["rows"], statements)
        _check(entry)
    except (ValueError, TypeError, KeyError, zlib.error, RecursionError) as error:
        raise StudyError(
            f"{name} is not an entry of a study's log: {error}. Restore it from a backup"
        ) from error
    return entry


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, MAX_BYTES + 1)
    if len(text) > MAX_BYTES or inflater.unconsumed_tail:
        raise ValueError(f"it inflates to more than {MAX_BYTES >> 20} MB")
    if not inflater.eof:
        raise ValueError("it is cut off")
    return text


def _check(entry: Entry) -> None:
    strings = (entry.id, entry.previous)
    if not all(isinstance(each, str) and len(each) <= 64 for each in strings):
        raise ValueError("its id is not a string")
    if not isinstance(entry.rows, int) or entry.rows < 0:
        raise ValueError("its number of rows is invalid")
    if sum(max(1, len(rows)) for _, rows in entry.statements) > MAX_ROWS:
        raise ValueError(f"it has more than {MAX_ROWS} executions")


def _decode_statement(sql: object, rows: object) -> Statement:
    if not isinstance(sql, str) or not isinstance(rows, list):
        raise TypeError("a statement is not a text with lists of parameters")
    return sql, [_decode_row(row) for row in rows]


def _decode_row(row: object) -> Sequence[Any]:
    if not isinstance(row, list):
        raise TypeError("parameters are not a list")
    return [_decode_value(value) if isinstance(value, list | dict) else value for value in row]


def _decode_value(value: object) -> bytes | float:
    if isinstance(value, dict) and set(value) == {"b"}:
        return base64.b64decode(value["b"], validate=True)
    if isinstance(value, dict) and value.get("f") in _NOT_FINITE:
        return float(value["f"])
    raise TypeError("a parameter is neither a number, nor text, nor bytes")


def _encode_value(value: object) -> object:
    """Return what stands for a parameter in JSON."""
    if isinstance(value, float):
        return value if isfinite(value) else {"f": repr(float(value))}
    if value is None or isinstance(value, str | int):
        return value
    return {"b": base64.b64encode(value).decode()}  # type: ignore[arg-type]
