"""Fixtures: copies of a database in a folder, and in the emulator's bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.oci_emulator import Emulator
from tune_jobs.oci.connection import Connection
from tune_jobs.storage.bucket.dialect import BucketDialect
from tune_jobs.storage.bucket.folder_store import FolderStore
from tune_jobs.storage.bucket.replica import Replica

OpenCopy = Callable[..., Engine]

INSERT = "INSERT INTO studies (study_name) VALUES (?)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a log, which does not exist yet."""
    return tmp_path / "bucket"


@pytest.fixture
def open_copy(folder: Path) -> Iterator[OpenCopy]:
    """Open a copy of its own of the database in the folder; it looks at every transaction."""
    engines = []

    def open_copy(**options: object) -> Engine:
        arguments = {"store": FolderStore(str(folder)), "max_age": -1.0, **options}
        engines.append(create_engine(f"bucket+file://{folder}", connect_args=arguments))
        return engines[-1]

    yield open_copy
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Emulator with an empty bucket ``tune-jobs``."""
    with Emulator(tmp_path_factory.mktemp("oci")) as running:
        yield running


@pytest.fixture
def connection(emulator: Emulator) -> Connection:
    """Connection to the emulator."""
    return Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)


def find_replica(engine: Engine) -> Replica:
    """Return the replica behind an engine."""
    assert isinstance(engine.dialect, BucketDialect)
    assert engine.dialect.replica is not None
    return engine.dialect.replica


def insert(engine: Engine, name: str) -> None:
    """Insert a study."""
    with engine.begin() as connection:
        connection.exec_driver_sql(INSERT, (name,))


def names(engine: Engine) -> list[str]:
    """Return the names of the studies, in the order of their numbers."""
    with engine.connect() as connection:
        query = text("SELECT study_name FROM studies ORDER BY study_id")
        return list(connection.execute(query).scalars())


def dump(engine: Engine) -> list[str]:
    """Return all that is in a copy, as statements."""
    import sqlite3

    with sqlite3.connect(find_replica(engine).copy.path) as connection:
        return list(connection.iterdump())
