"""The first entry of a log: the tables of Optuna and tune_jobs; and those of earlier versions."""

from __future__ import annotations

from functools import cache

from sqlalchemy import create_engine

from tune_jobs.storage.bucket.entries import Statement
from tune_jobs.storage.schema import ADDED_TABLES, metadata, prepare

Schema = tuple[tuple[str | None, ...], ...]

_ALEMBIC = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
"""The table of Alembic, with which Optuna migrates its own."""


@cache
def list_schema_statements() -> tuple[int, tuple[Statement, ...]]:
    """Return the number of rows that the statements insert, and statements that make the tables.

    They are those of a new SQLite database of Optuna.
    """
    from optuna.storages import RDBStorage

    storage = RDBStorage("sqlite://")
    prepare(storage.engine)
    with storage.engine.connect() as connection:
        dump = list(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    storage.remove_session()
    storage.engine.dispose()
    statements = [line.rstrip(";") for line in dump if line.startswith(("CREATE", "INSERT"))]
    rows = sum(line.startswith("INSERT") for line in statements)
    return rows, tuple((statement, [[]]) for statement in statements)


@cache
def list_known_schemas() -> tuple[Schema, ...]:
    """Return the schemas of the databases of this version and of earlier ones.

    Each has type, name, table and definition of each object, as in ``sqlite_master``. They are
    made without Optuna's migrations, which take a hundred times longer.
    """
    from optuna.storages._rdb.models import BaseModel

    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql(_ALEMBIC)
        BaseModel.metadata.create_all(connection)
        metadata.create_all(connection)
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
        present = tuple(tuple(row) for row in connection.exec_driver_sql(query))
    engine.dispose()
    added = {table.name for table in ADDED_TABLES}
    return present, tuple(row for row in present if row[2] not in added)
