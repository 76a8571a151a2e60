"""A replica of the log: a private copy that follows it, and appends to it."""

from __future__ import annotations

import logging
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tune_jobs.errors import StudyError
from tune_jobs.runtime.steady_time import read_uptime
from tune_jobs.storage.bucket import bases, entries
from tune_jobs.storage.bucket.copy import Copy, CopyBusy, CopyDiverged
from tune_jobs.storage.bucket.entries import (
    Entry,
    Statement,
    decode_entry,
    encode_entry,
    name_entry,
    read_number,
)
from tune_jobs.storage.bucket.founding import list_schema_statements
from tune_jobs.storage.bucket.requests import PATIENCE, Requests
from tune_jobs.storage.bucket.stores import ObjectStore

logger = logging.getLogger(__name__)

MAX_AGE = 1.0
"""Seconds for which a copy is taken to be up to date after a look at the log."""

PRESENCE_SECONDS = 60.0
"""Seconds after which a process that finds nothing new looks whether the log still exists."""

BASE_INTERVAL = 256
"""Number of entries after which a base is written."""

_MIN_BASE = 64 << 10
"""Bytes of entries below which a log is read about as fast as a base."""

_READERS = 8
_READ_AHEAD = 64
"""Number of entries in memory at a time."""
_BASES_KEPT = 2


class Replica:
    """A copy of the database, and the log in the store.

    Args:
        store: Where the log is.
        max_age: Seconds for which it is up to date after a look; by default `MAX_AGE`, or longer
            while this process owns a study, see `relax`.
        patience: Seconds for which a request is repeated.
        sleep, clock: In seconds; the clock is monotonic, also while the machine is suspended.

    Attributes:
        copy: The private copy; another one after it had to be replaced.

    Raises:
        StudyError: If the log cannot be followed, or the store refuses.
        sqlite3.OperationalError: If it does not answer.
    """

    def __init__(
        self,
        store: ObjectStore,
        max_age: float | None = None,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = read_uptime,
    ) -> None:
        self.requests = Requests(store, patience, sleep, clock)
        self.url, self._clock = store.url, clock
        self.max_age, self._is_default = MAX_AGE if max_age is None else max_age, max_age is None
        self._lock = threading.RLock()
        self._looked = self._seen = clock()
        self._base_number, self._base_bytes, self._bytes_since = 0, 0, 0
        self._base_thread: threading.Thread | None = None
        self._base_lock = threading.Lock()
        self._open_anew()
        if self.copy.number == 0:
            self._found()

    # -- following the log ------------------------------------------------------------------------

    def _open(self) -> Copy:
        self._ids: dict[int, str] = {0: ""}
        try:
            copy = Copy()
            self._load_base(copy)
        except OSError as error:
            raise sqlite3.OperationalError(f"no copy of {self.url} can be made: {error}") from error
        self.copy = copy
        self._follow_listed()
        return copy

    def _load_base(self, copy: Copy) -> None:
        for name in reversed(self.requests.list(bases.FOLDER)):
            number = read_number(name)
            try:
                data = number and self.requests.get(name, bases.MAX_BYTES)
                if not number or not data:
                    continue
                self._ids = {number: bases.load_base(data, number, copy.path)}
            except (bases.InvalidBase, StudyError) as error:
                logger.warning("%s/%s is not used: %s", self.url, name, error)
            else:
                self._base_number, self._base_bytes, self._bytes_since = number, len(data), 0
                return

    def refresh(self) -> None:
        """Look for new entries if the last look is older than `max_age`."""
        if self._clock() - self._looked > self.max_age:
            self.look()

    def relax(self, seconds: float = MAX_AGE) -> None:
        """Look for new entries less often than by default, unless `max_age` was given.

        An owner of a study learns from its own entries, which no other may precede, that nothing
        is new; so it looks only to find commands.
        """
        if self._is_default:
            self.max_age = seconds

    def look(self) -> None:
        """Execute the entries that are new in the log.

        Raises:
            StudyError: If one is missing, or cannot be executed, or the store refuses.
            sqlite3.OperationalError: If it does not answer.
        """
        with self._lock:
            try:
                number = self.copy.number + 1
                data = self.requests.get(name_entry(number), entries.MAX_BYTES)
                if data is not None:
                    self._execute(number, data)
                    self._follow_listed()
                else:
                    self._check_presence()
            except CopyBusy:
                return  # the thread that writes finds out itself
            except CopyDiverged as error:
                logger.warning("the copy of %s is made anew: %s", self.url, error)
                self._open_anew()
            self._looked = self._clock()

    def _check_presence(self) -> None:
        """Check now and then that the log was not removed, as nothing new would come then.

        Raises:
            StudyError: If it was.
        """
        if self._clock() - self._seen <= PRESENCE_SECONDS:
            return
        if self._read(self.copy.number) is None:
            raise StudyError(
                f"{self.url} was removed while this process had it open: nothing is written there "
                "any more; open it anew to begin another study"
            )
        self._seen = self._clock()

    def _open_anew(self) -> None:
        """Make the copy.

        Raises:
            StudyError: If an entry cannot be executed even then.
        """
        try:
            self.copy = self._open()
        except CopyDiverged as error:
            raise StudyError(f"{self.url} has an entry that cannot be executed: {error}") from error

    def _follow_listed(self) -> None:
        """Execute all entries after the last one, which are read several at a time."""
        following = self.copy.number + 1
        names = self.requests.list(entries.FOLDER, name_entry(following))
        numbers = sorted(n for name in names if (n := read_number(name)) is not None)
        if not numbers:
            return
        with ThreadPoolExecutor(_READERS) as pool:
            for first in range(following, numbers[-1] + 1, _READ_AHEAD):
                # All numbers, as a listing may lack what is being created.
                wanted = range(first, min(first + _READ_AHEAD, numbers[-1] + 1))
                for number, data in zip(wanted, pool.map(self._read, wanted), strict=True):
                    if data is None:
                        raise self._build_gap_error(number, numbers[-1])
                    self._execute(number, data)

    def _build_gap_error(self, number: int, last: int) -> StudyError:
        return StudyError(
            f"{self.url}/{name_entry(number)} is missing, but later entries exist, the last one "
            f"is {name_entry(last)}: restore it from a backup, and let no rule delete objects "
            "there; or remove the later ones, if they are not of this log"
        )

    def _read(self, number: int) -> bytes | None:
        return self.requests.get(name_entry(number), entries.MAX_BYTES)

    def _execute(self, number: int, data: bytes) -> None:
        where = f"{self.url}/{name_entry(number)}"
        entry = decode_entry(data, where)
        previous = self._ids.get(number - 1)
        if previous is not None and entry.previous != previous:
            raise StudyError(
                f"{where} does not follow the entry before it. If the log was removed and begun "
                "anew meanwhile, open the study again; else an object of another log was put "
                "there: restore it from a backup, or remove what was added"
            )
        self._ids[number] = entry.id  # before others can see the number in the copy
        try:
            self.copy.execute(number, entry)
        except CopyDiverged as error:
            raise CopyDiverged(f"{where}: {error}") from error
        self._bytes_since += len(data)
        self._seen = self._clock()

    # -- appending to it --------------------------------------------------------------------------

    def _found(self) -> None:
        """Put the schema as the first entry, unless another process does so."""
        entry = Entry(secrets.token_hex(16), "", *list_schema_statements())
        body = encode_entry(entry)
        if self.requests.put_if_absent(name_entry(1), body) and self.requests.put_if_absent(
            name_entry(1), body
        ):
            raise StudyError(
                f"{self.url} cannot hold a study: the store replaced an object that was to be "
                "created only if absent, so tuners could overwrite each other; use another store"
            )
        self._follow_listed()

    def append(self, number: int, rows: int, statements: Sequence[Statement]) -> bool:
        """Put a transaction that was executed on the copy; return False if another was first.

        Args:
            number: Number of the entry.
            rows: Number of rows that it changed.
            statements: What was executed.
        """
        entry = Entry(secrets.token_hex(16), self._ids[number - 1], rows, statements)
        body = encode_entry(entry)
        name = name_entry(number)
        self._looked = -math.inf  # if this fails, it may have taken effect
        if not self.requests.put_if_absent(name, body):
            existing = self.requests.get(name, entries.MAX_BYTES)
            if existing is None:
                raise sqlite3.OperationalError(
                    f"database is locked: {self.url}/{name} exists, and cannot be read"
                )
            if decode_entry(existing, f"{self.url}/{name}").id != entry.id:
                return False
        self._ids[number] = entry.id
        self._ids.pop(number - 2 * BASE_INTERVAL, None)
        self._bytes_since += len(body)
        return True

    # -- bases ------------------------------------------------------------------------------------

    def note_commit(self, number: int) -> None:
        """Note that an entry of this process is in the copy; write a base in a thread if it is due.

        It is due when the log has grown enough since the last one.
        """
        self._looked = self._seen = self._clock()
        worth = max(self._base_bytes, _MIN_BASE)
        is_due = number - self._base_number >= BASE_INTERVAL or self._bytes_since > worth
        if not is_due or (self._base_thread is not None and self._base_thread.is_alive()):
            return
        self._base_number, self._bytes_since = number, 0
        self._base_thread = threading.Thread(
            target=self._try_base, name="tune_jobs-base", daemon=True
        )
        self._base_thread.start()

    def _try_base(self) -> None:
        try:
            self.write_base()
        except Exception as error:  # without a base, opening takes longer, and that is all
            logger.debug("no base of %s was written: %s", self.url, error)

    def write_base(self) -> None:
        """Put the database as a base, and delete all but the last two."""
        with self._base_lock:
            self._write_base()

    def _write_base(self) -> None:
        number, data = bases.build_base(self.copy, self._ids)
        self.requests.put(bases.name_base(number), data)
        self._base_number, self._base_bytes = number, len(data)
        names = [n for n in self.requests.list(bases.FOLDER) if read_number(n) is not None]
        for name in names[:-_BASES_KEPT]:
            self.requests.delete(name)

    def settle(self) -> None:
        """Write a base if there are entries after the last one; called when a tuner ends."""
        if self._base_thread is not None:
            self._base_thread.join()
        if self.copy.number > self._base_number:
            self._try_base()

    def close(self) -> None:
        """Remove the copy."""
        if self._base_thread is not None:
            self._base_thread.join()
        self.copy.close()
