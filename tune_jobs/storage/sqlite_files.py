"""The files of SQLite databases: where they are, who may use them, and private new ones."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tune_jobs.runtime.private_files import create_private, find_refusal


def find_file(url: str) -> Path | None:
    """Return the file of a database; None if it is none of SQLite's, or has no path of its own."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    name = parsed.database
    if parsed.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return None
    return None if name.startswith("file:") else Path(name)


def create_file(url: str) -> None:
    """Create the file of an SQLite database privately, if it is missing.

    SQLite gives its other files the same mode. Whatever prevents this also prevents that the
    database is opened, which explains it.
    """
    path = find_file(url)
    if path is not None:
        with suppress(OSError):
            create_private(path)


def create_file_first(engine: Engine) -> Engine:
    """Have an engine create its file privately before it connects; return the engine."""
    url = engine.url.render_as_string(hide_password=False)

    @event.listens_for(engine, "do_connect")
    def create(*args: Any) -> None:
        create_file(url)

    return engine


def find_file_refusal(url: str, *, write: bool) -> str:
    """Return why this user may not use the file of an SQLite database; empty if that is allowed.

    Args:
        url: URL of a database; only files are checked.
        write: Whether it is to be written.
    """
    path = find_file(url)
    return "" if path is None else find_refusal(path, write=write)
