"""Copy a database from a bucket into a plain SQLite file, and back."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from tune_jobs.errors import StudyError
from tune_jobs.runtime.private_files import create_private
from tune_jobs.storage.bucket.dialect import settle
from tune_jobs.storage.bucket.opening import FORMS, has_log, is_bucket
from tune_jobs.storage.bucket.statements import list_tables
from tune_jobs.storage.database_errors import explain_database_error
from tune_jobs.storage.schema import prepare

_ROWS = 20_000
"""Rows that are put as one entry of the log."""

_LAST = "studies"
"""The table that makes the others visible, so its rows are put last."""


def pull(url: str, file: Path) -> None:
    """Write the database in a bucket into a new SQLite file.

    Args:
        url: URL of the database, such as ``oci://bucket@namespace/prefix``.
        file: The file, which must not exist.

    Raises:
        StudyError: If there is no such database, it cannot be read, or the file exists.
    """
    _check_bucket(url)
    if file.exists():
        raise StudyError(f"{file} exists: name another file, or remove it")
    if not _has_log(url):
        raise StudyError(f"there is no study in {url}: check the bucket and the prefix")
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            create_private(file)
            connection.connection.driver_connection.copy_to(file)  # type: ignore[union-attr]
    except (OSError, SQLAlchemyError, sqlite3.Error) as error:
        problem = explain_database_error(error)
        raise StudyError(f"{url} cannot be written to {file}: {problem}") from error
    finally:
        engine.dispose()


def push(file: Path, url: str) -> None:
    """Write an SQLite file of Optuna into a bucket, in which there is no database yet.

    The file is not changed. An interrupted call leaves a database without studies.

    Args:
        file: The file.
        url: URL of the new database, such as ``oci://bucket@namespace/prefix``.

    Raises:
        StudyError: If the file is not one of Optuna, or there is a database in the bucket.
    """
    _check_bucket(url)
    if not file.is_file():
        raise StudyError(f"file {file} does not exist: check the path")
    if _has_log(url):
        raise StudyError(f"there is a study in {url} already: choose another prefix")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "study.db"
        try:
            _copy_file(file, source)
            engine = create_engine(url)
            try:
                _put_rows(source, engine)
                settle(engine)
            finally:
                engine.dispose()
        except (RuntimeError, SQLAlchemyError, sqlite3.Error) as error:
            problem = explain_database_error(error)
            raise StudyError(f"{file} cannot be written to {url}: {problem}") from error


def _check_bucket(url: str) -> None:
    if not is_bucket(url):
        raise StudyError(f"{url!r} is not in a bucket: write {FORMS}")


def _has_log(url: str) -> bool:
    try:
        return has_log(url)
    except sqlite3.Error as error:
        raise StudyError(explain_database_error(error)) from error


def _copy_file(file: Path, target: Path) -> None:
    """Copy a database, and bring the copy's tables up to date.

    Raises:
        RuntimeError: If another version of Optuna made its tables.
        sqlite3.Error: If it is not a database.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.execute("VACUUM INTO ?", (str(target),))
    storage = RDBStorage(f"sqlite:///{target}")
    prepare(storage.engine)
    storage.remove_session()
    storage.engine.dispose()


def _put_rows(source: Path, engine: Engine) -> None:
    """Insert the rows of a database into a new one, which has its tables already."""
    tables = sorted(list_tables() - {_LAST})
    with engine.begin() as connection:
        for table in tables:
            connection.exec_driver_sql(f'DELETE FROM "{table}"')
    with closing(sqlite3.connect(source)) as read:
        for table in [*tables, _LAST]:
            for statement, rows in _read_rows(read, table):
                with engine.begin() as connection:
                    connection.exec_driver_sql(statement, rows)


def _read_rows(
    source: sqlite3.Connection, table: str
) -> Iterator[tuple[str, Sequence[tuple[Any, ...]]]]:
    cursor = source.execute(f'SELECT * FROM "{table}"')
    columns = ", ".join(f'"{column[0]}"' for column in cursor.description)
    places = ", ".join("?" for _ in cursor.description)
    statement = f'INSERT INTO "{table}" ({columns}) VALUES ({places})'
    while rows := cursor.fetchmany(_ROWS):
        yield statement, rows
