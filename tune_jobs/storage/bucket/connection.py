"""Connections of the database driver whose transactions are entries of the log.

A transaction is executed on the private copy, put as the next entry of the log, and committed to
the copy if the store accepted it. Otherwise it is rolled back, the entries of others are executed,
and it is executed again. If its results are not the same as before (`repetition`), it fails with
"database is locked", so that the caller can decide again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tune_jobs.storage.bucket import repetition
from tune_jobs.storage.bucket.copy import Copy, is_busy, read_number
from tune_jobs.storage.bucket.repetition import Result, Step
from tune_jobs.storage.bucket.replica import Replica
from tune_jobs.storage.bucket.statements import (
    Guard,
    Kind,
    classify,
    fix_time,
    is_for_update,
    is_harmless_definition,
)

LOCK_TIMEOUT = 60.0
"""Seconds to wait for other threads, each of which may wait for the store."""

_ATTEMPTS = 5
"""How often a transaction is put that has seen nothing of what others changed meanwhile."""

_BEGIN = "tune_jobs_begin"

_VALUES = (type(None), int, float, str, bytes, bytearray, memoryview)

_TYPES = frozenset(_VALUES)

_inherited: list[sqlite3.Connection] = []
"""Connections of the process that this one was forked from: closing them would disturb it."""


class BucketConnection(sqlite3.Connection):
    """A connection to a private copy. Made by `connect`."""

    replica: Replica
    _copy: Copy
    _guard: Guard

    def bind(self, replica: Replica) -> None:
        """Set which replica it belongs to; called once."""
        self.replica, self._copy, self._pid = replica, replica.copy, os.getpid()
        self._guard = Guard()
        self.set_authorizer(self._guard)
        self._reset()

    def _reset(self) -> None:
        self._number = 0  # of the entry that this transaction will be; 0 while it only reads
        self._steps: list[Step] = []
        self._savepoints: list[tuple[str, int, int]] = []
        self._is_torn = False
        self._is_repeatable = True
        self._changes = self.total_changes

    @property
    def is_usable(self) -> bool:
        """Whether this process made it, from the copy that is in use."""
        return self._pid == os.getpid() and self._copy is self.replica.copy

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that records what it executes."""
        return super().cursor(BucketCursor)

    # -- statements -------------------------------------------------------------------------------

    def run(self, cursor: sqlite3.Cursor, sql: str, rows: Sequence[Any], *, many: bool) -> None:
        """Execute a statement, and note it if it changes something."""
        kind = classify(sql)
        if kind is Kind.SAVEPOINT:
            self._mark(sql)
        elif kind is Kind.READ and is_for_update(sql):
            self._begin_writing(is_stale=True)
        elif kind is Kind.READ:
            self._begin()
        else:
            self._check(sql, kind, rows)
            self._begin_writing()
        self._guard.is_active = kind is Kind.CHANGE
        try:
            if many:
                sqlite3.Cursor.executemany(cursor, sql, rows)
            else:
                sqlite3.Cursor.execute(cursor, sql, rows[0])
        except sqlite3.DatabaseError as error:
            self._is_torn |= many
            self._is_repeatable = False
            if "not authorized" in str(error) or "prohibited" in str(error):
                raise self.build_refusal(sql) from error
            raise
        finally:
            self._guard.is_active = False
        if kind is not Kind.SAVEPOINT:
            self._steps.append(Step(kind, sql, rows, many))

    def _check(self, sql: str, kind: Kind, rows: Sequence[Any]) -> None:
        """Check that a statement can be an entry of the log."""
        if kind is Kind.OTHER or (kind is Kind.DEFINITION and not is_harmless_definition(sql)):
            raise self.build_refusal(sql)
        for row in rows:
            if not isinstance(row, tuple | list) or not all(
                type(value) in _TYPES or isinstance(value, _VALUES) for value in row
            ):
                raise sqlite3.ProgrammingError(
                    f"parameters have to be numbers, strings or bytes in a sequence: {row!r}"
                )

    def _mark(self, sql: str) -> None:
        """Follow savepoints: what is rolled back is not noted."""
        self._begin_writing()
        words = sql.replace(";", " ").split()
        name = words[-1]
        if words[0].upper() == "SAVEPOINT":
            self._savepoints.append((name, len(self._steps), self.total_changes))
            return
        while self._savepoints and self._savepoints[-1][0] != name:
            self._savepoints.pop()
        if not self._savepoints:
            raise sqlite3.OperationalError(f"no such savepoint: {name}")
        _, steps, changes = self._savepoints[-1]
        if words[0].upper() == "RELEASE":
            self._savepoints.pop()
            return
        del self._steps[steps:]
        self._changes += self.total_changes - changes
        self._is_torn = self._is_repeatable = False

    # -- transactions -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin a transaction that sees one state of the database, unless there is one."""
        if self.in_transaction:
            return
        self._require_usable()
        self.replica.refresh()
        self._execute("BEGIN")
        self._reset()

    def _begin_writing(self, *, is_stale: bool = False) -> None:
        """Begin to write: on the state that was read, and that no other thread changes.

        Args:
            is_stale: Whether to look at the log first, even if the last look was a moment ago.
        """
        if self.in_transaction:
            if not self._number:
                self._upgrade()
            return
        self._require_usable()
        if is_stale:
            self.replica.look()
        else:
            self.replica.refresh()
        self._lock()

    def _lock(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        steps = self._steps
        self._reset()
        self._steps = steps
        self._set_number()

    def _set_number(self) -> None:
        number = read_number(self) + 1
        self._execute(f"PRAGMA user_version = {number}")
        self._execute(f"SAVEPOINT {_BEGIN}")
        self._number = number

    def _upgrade(self) -> None:
        """Begin to write in a transaction that has read.

        If another thread writes, or has written, this transaction begins anew after it, provided
        that what it has read is still the same.
        """
        try:
            self._set_number()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
        else:
            return
        before = repetition.execute(self, self._steps)
        self._execute("ROLLBACK")
        self._lock()
        self._execute_again(before)

    def _execute_again(self, before: Sequence[Result]) -> list[Result]:
        """Execute the steps so far on the present database; return their results.

        Raises:
            sqlite3.IntegrityError: If one of them violates a constraint now.
            sqlite3.OperationalError: "database is locked" if their results differ.
        """
        after = repetition.execute(self, self._steps)
        if not repetition.are_equal(self._steps, before, after):
            self.rollback()
            raise sqlite3.OperationalError(
                "database is locked: what this transaction has read was changed in this moment"
            )
        return after

    def commit(self) -> None:
        """Publish the transaction, and commit it to the copy.

        Raises:
            sqlite3.OperationalError: "database is locked" if another process was first, or the
                store does not answer.
        """
        if not self.in_transaction:
            return
        try:
            if not self._changes_something:
                return
            if self._is_torn:
                raise sqlite3.OperationalError("a statement of this transaction failed halfway")
            self._publish()
        finally:
            self.rollback()  # does nothing after a commit

    @property
    def _changes_something(self) -> bool:
        if self._number == 0:
            return False
        has_definition = any(step.kind is Kind.DEFINITION for step in self._steps)
        return has_definition or self._is_torn or self.total_changes > self._changes

    def _publish(self) -> None:
        before: Sequence[Result] = ()
        for attempt in range(_ATTEMPTS):
            self._require_usable()
            if self._append():
                number = self._number
                self._execute("COMMIT")
                self.replica.note_commit(number)
                return
            if attempt == 0 and self._is_repeatable:
                self._execute(f"ROLLBACK TO {_BEGIN}")
                before = repetition.execute(self, self._steps)
            self._execute("ROLLBACK")
            self.replica.look()
            if not self._is_repeatable:
                break
            self._lock()
            before = self._execute_again(before)
        raise sqlite3.OperationalError(
            "database is locked: another process has written to the study in this moment"
        )

    def _append(self) -> bool:
        """Put the transaction as the next entry; return False if another process was first."""
        statements = [
            (s.sql, s.rows) for s in self._steps if s.kind in (Kind.CHANGE, Kind.DEFINITION)
        ]
        rows = self.total_changes - self._changes
        try:
            return self.replica.append(self._number, rows, statements)
        except ValueError as error:
            raise sqlite3.DataError(str(error)) from error

    def rollback(self) -> None:
        """Forget the transaction."""
        if self.in_transaction:
            self._execute("ROLLBACK")
        self._reset()

    def copy_to(self, file: Path) -> None:
        """Look at the log, and write the database into an empty file.

        Raises:
            sqlite3.Error: If it cannot be written.
        """
        self.replica.look()
        sqlite3.Cursor(self).execute("VACUUM INTO ?", (str(file),))
        with closing(sqlite3.connect(file)) as written:
            written.execute("PRAGMA user_version = 0")  # it is the number of an entry here

    def close(self) -> None:
        """Close the connection."""
        if self._pid == os.getpid():
            super().close()
        else:
            _inherited.append(self)

    def _require_usable(self) -> None:
        if not self.is_usable:
            raise sqlite3.OperationalError(f"database is locked: {REPLACED}")

    def build_refusal(self, sql: str) -> sqlite3.NotSupportedError:
        """Return the error of a statement that cannot be an entry of the log."""
        url = self.replica.url
        return sqlite3.NotSupportedError(
            "a study in a bucket records statements that change rows of Optuna's tables and those "
            f"of tune_jobs, without functions, and not this one: {' '.join(sql.split())[:200]}. "
            f"Make other changes in a file: `tune-jobs pull {url} study.db`, change it (such as "
            "by `optuna storage upgrade --storage sqlite:///study.db`), and `tune-jobs push "
            f"study.db` to another prefix than {url}"
        )

    def _execute(self, sql: str) -> None:
        sqlite3.Cursor(self).execute(sql)


REPLACED = "this connection's copy was replaced"
"""Part of the message of a connection that cannot be used any more."""


class BucketCursor(sqlite3.Cursor):
    """A cursor that has its connection record what it executes."""

    connection: BucketConnection

    def execute(self, sql: str, parameters: Any = (), /) -> BucketCursor:
        """Execute a statement."""
        self.connection.run(self, fix_time(sql), [parameters], many=False)
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> BucketCursor:
        """Execute a statement with several lists of parameters."""
        self.connection.run(self, fix_time(sql), list(parameters), many=True)
        return self

    def executescript(self, script: str, /) -> BucketCursor:
        """Refuse: a script commits by itself."""
        raise self.connection.build_refusal(script)


def connect(replica: Replica) -> BucketConnection:
    """Return a connection to the copy of a replica."""
    connection = replica.copy.connect(BucketConnection, LOCK_TIMEOUT)
    connection.bind(replica)
    return connection
