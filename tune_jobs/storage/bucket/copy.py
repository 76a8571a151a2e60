"""The private copy: an SQLite file of this process, in which the log is executed.

It is in a temporary folder of its own, which ends with the process. The folders that killed
processes left are removed by the next one: a lock on a file in them shows that they are in use.
``PRAGMA user_version`` is the number of the last entry that was executed, so it is part of each
transaction.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import weakref
from pathlib import Path
from typing import TypeVar

from tune_jobs.runtime.trouble import is_trouble_message
from tune_jobs.storage.bucket.entries import Entry
from tune_jobs.storage.bucket.statements import Guard, Kind, classify, is_harmless_definition

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = "tune_jobs-bucket-"
_LOCK = "in-use"
_STEPS = 1_000_000
_MOST_STEPS = 2000
"""Millions of steps of SQLite that an entry may take; a turn takes less than one."""

_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


class CopyDiverged(Exception):
    """An entry cannot be executed on this copy, or changes other rows than it did originally."""


class CopyBusy(Exception):
    """Another thread of this process is writing to the copy."""


class Copy:
    """A private SQLite file. It is empty first, see `path`.

    Attributes:
        path: The file.
    """

    def __init__(self) -> None:
        _remove_left_folders()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.path = folder / "study.db"
        lock = _lock(folder)
        self._finalizer = weakref.finalize(self, _remove, folder, lock, os.getpid())
        self._own: sqlite3.Connection | None = None
        self._guard = Guard()

    def connect(self, factory: type[_Connection], timeout: float) -> _Connection:
        """Return a connection; ``timeout`` is how long it waits for other threads, in seconds."""
        connection = sqlite3.connect(
            self.path,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=factory,
        )
        raw = sqlite3.Cursor(connection)
        for setting in ("journal_mode=WAL", "synchronous=OFF", "trusted_schema=OFF"):
            raw.execute(f"PRAGMA {setting}").fetchall()
        return connection

    @property
    def number(self) -> int:
        """Number of the last entry that was executed."""
        return read_number(self._connection)

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._own is None:
            self._own = self.connect(sqlite3.Connection, timeout=0.0)
            self._own.set_authorizer(self._guard)
        return self._own

    def execute(self, number: int, entry: Entry) -> bool:
        """Execute an entry; return False if it was executed before.

        Raises:
            CopyBusy: If another thread writes to the copy.
            CopyDiverged: If it cannot be executed here.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise CopyBusy from error
            raise
        try:
            if read_number(connection) >= number:
                return False
            self._execute(connection, entry)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if is_trouble_message(str(error)):
                raise type(error)(
                    f"{error}: the private copy of the study in {self.path.parent} cannot grow; "
                    "free space there, or set TMPDIR to another folder"
                ) from error
            raise CopyDiverged(str(error)) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return True

    def _execute(self, connection: sqlite3.Connection, entry: Entry) -> None:
        before = connection.total_changes
        steps = iter(range(_MOST_STEPS))
        connection.set_progress_handler(lambda: next(steps, None) is None, _STEPS)
        try:
            for sql, rows in entry.statements:
                self._execute_statement(connection, sql, rows)
        finally:
            self._guard.is_active = False
            connection.set_progress_handler(None, 0)
        if (changed := connection.total_changes - before) != entry.rows:
            raise CopyDiverged(f"it changes {changed} rows here, and changed {entry.rows} rows")

    def _execute_statement(self, connection: sqlite3.Connection, sql: str, rows: object) -> None:
        kind = classify(sql)
        is_known = kind is Kind.CHANGE or (kind is Kind.DEFINITION and is_harmless_definition(sql))
        if not is_known:
            raise CopyDiverged(f"it has a statement that no tuner makes: {sql[:100]!r}")
        self._guard.is_active = kind is Kind.CHANGE
        for row in rows:  # type: ignore[attr-defined]
            connection.execute(sql, row).fetchall()
        self._guard.is_active = False

    def close(self) -> None:
        """Remove the file."""
        if self._own is not None:
            self._own.close()
        self._finalizer()


def read_number(connection: sqlite3.Connection) -> int:
    """Return the number of the last entry that was executed, as a connection sees it."""
    return int(sqlite3.Cursor(connection).execute("PRAGMA user_version").fetchone()[0])


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection holds the lock."""
    return "locked" in str(error)


def _lock(folder: Path) -> int | None:
    """Lock a folder until its process ends; return the descriptor, None if it is in use."""
    if fcntl is None:
        return None
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_left_folders() -> None:
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            # One without its lock is being created.
            is_own = status.st_uid == os.getuid() and (folder / _LOCK).exists()
            if is_own and (descriptor := _lock(folder)) is not None:
                _remove(folder, descriptor, os.getpid())


def _remove(folder: Path, lock: int | None, pid: int) -> None:
    if pid != os.getpid():  # a forked child: it is its parent's
        return
    shutil.rmtree(folder, ignore_errors=True)
    if lock is not None:
        os.close(lock)
