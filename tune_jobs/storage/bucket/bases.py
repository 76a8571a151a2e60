"""Bases: the whole database as an object, so that a study with a long log is opened fast.

A base is one line of JSON with the id of its last entry, and the SQLite file, compressed. It is
only an accelerator: any process may write one, and without any the whole log is executed.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path

from tune_jobs.core.strict_json import encode_json
from tune_jobs.storage.bucket.base_check import HEADER, check_database, read_size
from tune_jobs.storage.bucket.copy import Copy, read_number

FOLDER = "base"
MAX_BYTES = 1 << 30
"""Size of a base, compressed."""
_MAX_INFLATED = 4 << 30
_MAX_RATIO = 100
"""How many times larger it may become by inflation, beyond `_SMALL`; usual is 3."""
_SMALL = 64 << 20
_PIECE = 1 << 20
_LINE = 200


class InvalidBase(Exception):
    """An object that is not a base of a study, or is damaged."""


def name_base(number: int) -> str:
    """Return the name of a base's object."""
    return f"{FOLDER}/{number:010d}.z"


def build_base(copy: Copy, ids: Mapping[int, str]) -> tuple[int, bytes]:
    """Return the database as an object, and the number of its last entry.

    Args:
        copy: The copy of the database; others may write to it meanwhile.
        ids: The ids of entries, by number.
    """
    target = copy.path.with_name("base.db")
    target.unlink(missing_ok=True)
    connection = sqlite3.connect(copy.path, timeout=60.0, isolation_level=None)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()
    written = sqlite3.connect(target)
    try:
        number = read_number(written)
    finally:
        written.close()
    data = _deflate(target, ids[number])
    target.unlink()
    return number, data


def _deflate(file: Path, id: str) -> bytes:
    deflater = zlib.compressobj(3)
    pieces = [deflater.compress(encode_json({"id": id}).encode() + b"\n")]
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            pieces.append(deflater.compress(piece))
    return b"".join([*pieces, deflater.flush()])


def load_base(data: bytes, number: int, target: Path) -> str:
    """Write the database of a base into a file; return the id of its last entry.

    Raises:
        InvalidBase: If it is not one, or differs from those of our writers in more than rows.
    """
    try:
        id = _inflate(data, number, target)
        check_database(target, number)
    except (ValueError, KeyError, TypeError, zlib.error, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise InvalidBase(str(error)) from error
    return id


def _inflate(data: bytes, number: int, target: Path) -> str:
    inflater = zlib.decompressobj()
    piece = inflater.decompress(data, _PIECE)
    line, found, piece = piece.partition(b"\n")
    if not found or len(line) > _LINE:
        raise ValueError("it does not begin with the id of its last entry")
    id = json.loads(line)["id"]
    if not isinstance(id, str):
        raise TypeError("its id is not a string")
    expected = read_size(piece[:HEADER], number)
    if expected > min(_MAX_INFLATED, max(_SMALL, len(data) * _MAX_RATIO)):
        raise ValueError(f"it inflates to {expected >> 20} MB")
    size = 0
    with target.open("wb") as file:
        while piece and size <= expected:
            file.write(piece)
            size += len(piece)
            piece = inflater.decompress(inflater.unconsumed_tail, _PIECE)
    if size != expected or not inflater.eof:
        raise ValueError("it has another size than its header says, or is cut off")
    return id
