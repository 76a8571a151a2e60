"""Tables of tune_jobs, beside Optuna's in the study's database, and their migration.

    tune_jobs_schema       one row: the version of the other tables
    tune_jobs_studies      metric store and definition of each study
    tune_jobs_attempts     every job run of every trial
    tune_jobs_usage        what each of them used, as far as it is known
    tune_jobs_owners       the process that tunes a study, see `lease`
    tune_jobs_controls     commands to the owner, see `controls`
    tune_jobs_controllers  the detached controllers of a study, see `controllers`

Version 1 had no owners and controls, and no `accepted`, `shape` and `digest` of an attempt. Tables
of an earlier version are migrated when a tuner opens them. Tables that only readers of this version
know, such as those of the controllers and of the usage, are created when they are missing, without
a new version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.exc import DBAPIError

from tune_jobs.errors import StudyError

SCHEMA_VERSION = 2

metadata = MetaData()
_LONG = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")  # their TEXT holds 64 kB at most

schema = Table("tune_jobs_schema", metadata, Column("version", Integer, nullable=False))

studies = Table(
    "tune_jobs_studies",
    metadata,
    Column("uid", String(16), primary_key=True),
    Column("study_name", String(512), nullable=False),
    Column("store", String(1024), nullable=False),
    Column("definition", _LONG, nullable=False),
)

attempts = Table(
    "tune_jobs_attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", String(16), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("trial", Integer),
    Column("attempt", Integer, nullable=False),
    Column("backend", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("run_id", String(255)),
    Column("invocation", _LONG, nullable=False),
    Column("digest", String(64)),
    Column("shape", String(64)),
    Column("intended", Float(53), nullable=False),
    Column("accepted", Float(53)),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("told", Float(53)),
    Column("cause", Text),
    Column("exit_code", Integer),
    UniqueConstraint("study", "name"),
)

usage = Table(
    "tune_jobs_usage",
    metadata,
    Column("study", String(16), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("used", Text, nullable=False),
)

owners = Table(
    "tune_jobs_owners",
    metadata,
    Column("study", String(16), primary_key=True),
    Column("token", Integer, nullable=False),
    Column("beat", Integer, nullable=False),
    Column("owner", String(255)),
    Column("since", Float(53)),
)

controls = Table(
    "tune_jobs_controls",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", String(16), nullable=False, index=True),
    Column("command", String(32), nullable=False),
    Column("argument", _LONG, nullable=False),
    Column("issued", Float(53), nullable=False),
    Column("done", Float(53)),
)

controllers = Table(
    "tune_jobs_controllers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study", String(16), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("place", String(32), nullable=False),
    Column("user", String(255), nullable=False),
    Column("run_id", String(255)),
    Column("shape", String(64)),
    Column("log", String(1024), nullable=False),
    Column("launched", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    UniqueConstraint("study", "name"),
)

ADDED_TABLES = (controllers,)
"""Tables that a database of the present version may lack, as they are created when needed."""

_ADDED: Mapping[int, Sequence[tuple[str, str, str]]] = {
    # version: table, column, type
    2: [
        ("tune_jobs_attempts", "digest", "VARCHAR(64)"),
        ("tune_jobs_attempts", "shape", "VARCHAR(64)"),
        ("tune_jobs_attempts", "accepted", "FLOAT(53)"),
    ],
}


def prepare(engine: Engine) -> None:
    """Create the tables, or migrate those of an earlier version.

    Raises:
        StudyError: If a later version of tune_jobs wrote them.
    """
    existed = inspect(engine).has_table(attempts.name)
    _create_missing(engine)
    with engine.begin() as connection:
        found = connection.execute(select(schema.c.version)).scalar()
        if found is None and not existed:
            connection.execute(insert(schema), {"version": SCHEMA_VERSION})
            return
        found = found or 1
        if found > SCHEMA_VERSION:
            raise StudyError(
                f"the ledger in this database has schema version {found}, this tune_jobs knows "
                f"version {SCHEMA_VERSION}: install the newer tune_jobs that wrote it"
            )
    if found < SCHEMA_VERSION:
        _migrate(engine, found)


def _create_missing(engine: Engine) -> None:
    """Create the tables, perhaps at the same time as another process."""
    while True:
        missing = set(metadata.tables) - set(inspect(engine).get_table_names())
        if not missing:
            return
        try:
            metadata.create_all(engine)
        except DBAPIError:
            if missing <= set(metadata.tables) - set(inspect(engine).get_table_names()):
                raise  # no other process has created any of them, so this is another error


def _migrate(engine: Engine, found: int) -> None:
    """Add what is missing, in steps that may be interrupted and repeated."""
    for version in range(found + 1, SCHEMA_VERSION + 1):
        for table, column, kind in _ADDED.get(version, ()):
            existing = {c["name"] for c in inspect(engine).get_columns(table)}
            if column not in existing:
                _add_column(
                    engine, f"ALTER TABLE {table} ADD COLUMN {column} {kind}", table, column
                )
        with engine.begin() as connection:
            connection.execute(update(schema).values(version=version))


def _add_column(engine: Engine, statement: str, table: str, column: str) -> None:
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    except DBAPIError:
        existing = {c["name"] for c in inspect(engine).get_columns(table)}
        if column not in existing:  # otherwise another process has just added it
            raise
