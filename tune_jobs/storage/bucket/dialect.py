"""The dialects of SQLAlchemy whose databases are in buckets.

    oci://bucket@namespace/prefix     OCI Object Storage
    bucket+s3://bucket/prefix         Amazon S3, and what is compatible with it
    bucket+az://container/prefix      Azure Blob Storage; also bucket+abfs://
    bucket+gs://bucket/prefix         Google Cloud Storage
    bucket+file:///folder/prefix      a folder, which may be shared

They are found by entry points, so every program that knows SQLAlchemy's URLs can use them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool, QueuePool

from tune_jobs.errors import StudyError
from tune_jobs.storage.bucket.connection import REPLACED, BucketConnection, connect
from tune_jobs.storage.bucket.opening import open_store
from tune_jobs.storage.bucket.replica import Replica
from tune_jobs.storage.bucket.statements import FOR_UPDATE
from tune_jobs.storage.bucket.stores import ObjectStore


class BucketCompiler(SQLiteCompiler):
    """SQLite's compiler, which also marks what is read in order to change it."""

    def for_update_clause(self, select: Any, **options: Any) -> str:
        """Return the end of ``SELECT … FOR UPDATE``."""
        return FOR_UPDATE


class BucketDialect(SQLiteDialect_pysqlite):
    """SQLite's dialect, with connections to a private copy of the database in a bucket.

    ``connect_args`` are those of `Replica` and of `open_store`; ``store`` is an `ObjectStore` in
    place of that of the URL.
    """

    driver = "bucket"
    statement_compiler = BucketCompiler
    supports_statement_cache = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._replicas: dict[int, Replica] = {}  # by process: a forked one has its own
        self._locks: dict[int, threading.Lock] = {}

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """Return the kind of pool: connections are used by one thread after another."""
        return QueuePool

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Have the pool drop connections of other processes, and of copies that were replaced."""

        @event.listens_for(engine, "checkout")
        def check(connection: BucketConnection, record: object, proxy: object) -> None:
            if not connection.is_usable:
                raise DisconnectionError(REPLACED)

    def create_connect_args(self, url: URL) -> Any:
        """Return the arguments of `connect`."""
        options: dict[str, Any] = {}
        if unknown := set(url.query) - {"max_age"}:
            raise StudyError(
                f"{url.render_as_string()}: unknown option {sorted(unknown)[0]!r} "
                "(there is max_age=SECONDS)"
            )
        if "max_age" in url.query:
            options["max_age"] = _read_seconds(url, str(url.query["max_age"]))
        return (url,), options

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Open the database, if this process has not done so, and return a connection."""
        return connect(self._find_replica(*arguments, **options))

    @property
    def replica(self) -> Replica | None:
        """This process's replica; None before the first connection."""
        return self._replicas.get(os.getpid())

    def _find_replica(
        self,
        url: URL,
        connection: Any = None,
        storage_options: Any = None,
        store: ObjectStore | None = None,
        **options: Any,
    ) -> Replica:
        pid = os.getpid()
        with self._locks.setdefault(pid, threading.Lock()):
            if pid not in self._replicas:
                store = store or open_store(url, connection, storage_options)
                self._replicas[pid] = Replica(store, **options)
            return self._replicas[pid]

    def get_default_isolation_level(self, dbapi_connection: Any) -> Any:
        """Return the only isolation level that there is."""
        return "SERIALIZABLE"

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Return whether an error means that connections have to be made anew."""
        return isinstance(e, sqlite3.OperationalError) and REPLACED in str(e)


def _read_seconds(url: URL, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise StudyError(
            f"invalid storage {url}: max_age={text} is not a number of seconds"
        ) from None


def relax(engine: Engine, seconds: float) -> None:
    """Have a database in a bucket be looked at less often; does nothing for other databases.

    It is called when a tuner begins.
    """
    if isinstance(engine.dialect, BucketDialect) and engine.dialect.replica is not None:
        engine.dialect.replica.relax(seconds)


def settle(engine: Engine) -> None:
    """Have a database in a bucket be opened fast the next time; does nothing for other databases.

    It is called when a tuner ends.
    """
    if isinstance(engine.dialect, BucketDialect) and engine.dialect.replica is not None:
        engine.dialect.replica.relax()
        engine.dialect.replica.settle()
