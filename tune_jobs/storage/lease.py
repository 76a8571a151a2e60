"""One owner of a study at a time: a lease with a fencing token, in the study's database.

    free ──acquire──▶ owned (token n) ──release──▶ free
                        │   each turn writes a heartbeat (beat + 1) in its transaction
                        └── no heartbeat for `TTL` seconds, or the owner's process is dead:
                            the next tuner takes over with token n + 1

Clocks of different machines are never compared. A challenger watches the owner's heartbeat by its
own clock: if it does not change for `TTL` seconds, the owner is dead, suspended, or cut off from
the database. An owner on the same machine whose process is dead is replaced at once.

Everything that an owner writes shares a transaction with
``UPDATE ... SET beat = beat + 1 WHERE token = mine``. An owner that wakes up after a suspension can
therefore write nothing more, and as nothing is submitted before it is written, it submits nothing.
The heartbeat also shows, after a connection broke during a commit, whether the commit took effect.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tune_jobs.errors import StudyError
from tune_jobs.runtime.processes import read_boot_id, read_start_ticks
from tune_jobs.storage.schema import owners

TTL = 30.0
"""Seconds without a heartbeat after which a challenger takes over."""

RENEWAL = 5.0
"""Seconds between two heartbeats of an owner that has nothing else to write."""

POLL_SECONDS = 0.5
"""Seconds between two reads of another owner's heartbeat."""


class StudyOwned(StudyError):
    """Another process is tuning this study."""


class LeaseLost(StudyError):
    """Another process has taken over the study; this one must not change it any more."""


class Lease:
    """The right to tune one study.

    Args:
        engine: The ledger's database.
        study: The study's uid.
        sleep, clock: In seconds; the clock is monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        study: str,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._study = engine, study
        self._sleep, self._clock = sleep, clock
        self.lock = threading.RLock()
        """Held during a transaction with a heartbeat: threads write one after another."""
        self._identity = identify_process()
        self._token = 0
        self._beat = 0
        self._renewed = self._verified = 0.0

    @property
    def held(self) -> bool:
        """Whether this process is the owner, as far as it knows."""
        return self._token > 0

    def acquire(self, wait: float = 0.0) -> str | None:
        """Become the owner.

        Args:
            wait: Seconds to wait for an owner that is alive.

        Returns:
            The previous owner if it is dead; None if the study was free.

        Raises:
            StudyOwned: If another process is the owner and alive.
        """
        deadline = self._clock() + wait
        token, beat, owner = self._read()
        seen = self._clock()
        while owner is not None and not is_dead(owner):
            now = self._clock()
            if now - seen >= TTL:
                break
            self._sleep(POLL_SECONDS)
            before = (token, beat)
            token, beat, owner = self._read()
            if (token, beat) != before:
                if self._clock() >= deadline:
                    raise StudyOwned(
                        f"{describe(owner)} is tuning this study. Wait until it has ended, stop it "
                        "with `tune-jobs stop`, or take it over with optimize(take_over=True)"
                    )
                seen = self._clock()
        if not self._take(token, beat):
            return self.acquire(wait)  # another challenger was faster
        return owner

    def _take(self, token: int, beat: int) -> bool:
        """Become the owner unless the row has changed since it was read."""
        values = {"token": token + 1, "beat": 0, "owner": self._identity, "since": time.time()}
        try:
            with self._engine.begin() as connection:
                if token == 0:
                    connection.execute(insert(owners), {"study": self._study, **values})
                else:
                    taken = connection.execute(
                        update(owners)
                        .where(owners.c.study == self._study)
                        .where(owners.c.token == token, owners.c.beat == beat)
                        .values(**values)
                    )
                    if taken.rowcount != 1:
                        return False
        except IntegrityError:
            return False
        self._token, self._beat = token + 1, -1
        self.committed()
        return True

    def heartbeat(self, connection: Connection) -> None:
        """Prove within a transaction that the owner writes it.

        Raises:
            LeaseLost: If another process is the owner; the transaction must not be committed.
        """
        written = connection.execute(
            _BEAT, {"of_study": self._study, "mine": self._token, "next": self._beat + 1}
        )
        if written.rowcount != 1:
            self._token = 0
            raise LeaseLost(
                "another tuner has taken over this study, because this one wrote no heartbeat for "
                f"{TTL:.0f} seconds (a suspended machine?); its job runs continue there"
            )

    def committed(self) -> None:
        """Record that the transaction of the last `heartbeat` was committed."""
        self._beat += 1
        self._renewed, self._verified = self._clock(), _read_clock_with_suspend()

    def was_committed(self) -> bool:
        """Return whether the transaction of the last `heartbeat` was committed."""
        token, beat, _ = self._read()
        return token == self._token and beat == self._beat + 1

    def renew(self, *, at_once: bool = False) -> None:
        """Write a heartbeat if the last one is `RENEWAL` seconds old.

        Raises:
            LeaseLost: If another process is the owner.
        """
        if at_once or self._clock() - self._renewed >= RENEWAL:
            with self.lock:
                with self._engine.begin() as connection:
                    self.heartbeat(connection)
                self.committed()

    def verify(self) -> None:
        """Write a heartbeat if the last one is old, before an action that cannot be undone.

        A process that was suspended between its commit and the action finds out here.

        Raises:
            LeaseLost: If another process is the owner.
        """
        if _read_clock_with_suspend() - self._verified > TTL / 2:
            self.renew(at_once=True)

    def release(self) -> None:
        """Free the study."""
        if not self.held:
            return
        with self._engine.begin() as connection:
            connection.execute(
                update(owners)
                .where(owners.c.study == self._study, owners.c.token == self._token)
                .values(owner=None)
            )
        self._token = 0

    def _read(self) -> tuple[int, int, str | None]:
        """Return token, beat and owner; a study that never had an owner has token 0."""
        query = select(owners.c.token, owners.c.beat, owners.c.owner).where(
            owners.c.study == self._study
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return (0, 0, None) if row is None else (row.token, row.beat, row.owner)


_BEAT: Any = (
    update(owners)
    .where(owners.c.study == bindparam("of_study"), owners.c.token == bindparam("mine"))
    .where(owners.c.owner.is_not(None))
    .values(beat=bindparam("next"))
)


def _read_clock_with_suspend() -> float:
    """Return monotonic seconds; where possible they advance while the machine is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def find_owner(engine: Engine, study: str) -> str | None:
    """Describe the owner of a study; return None if it has none, or one known to be dead."""
    query = select(owners.c.owner).where(owners.c.study == study)
    with engine.connect() as connection:
        owner = connection.execute(query).scalar()
    return None if owner is None or is_dead(owner) else describe(owner)


def identify_process() -> str:
    """Return an identity of this process by which others on this machine know if it is alive.

    ``host|boot|pid|start|random``
    """
    pid = os.getpid()
    random = uuid.uuid4().hex[:8]
    return f"{socket.gethostname()[:64]}|{_read_boot()}|{pid}|{_read_start(pid)}|{random}"


def is_dead(owner: str) -> bool:
    """Return whether an owner is known to be dead; of other machines' owners that is unknown."""
    host, boot, pid, start, _ = owner.rsplit("|", 4)
    if host != socket.gethostname()[:64] or boot != _read_boot() or not boot:
        return False
    return _read_start(int(pid)) != start


def describe(owner: str | None) -> str:
    """Return an owner's process and host for messages."""
    if owner is None:
        return "another process"
    host, _, pid, _, _ = owner.rsplit("|", 4)
    return f"process {pid} on {host}"


def _read_boot() -> str:
    return (read_boot_id() or "")[:8]


def _read_start(pid: int) -> str:
    ticks = read_start_ticks(pid)
    return "" if ticks is None else str(ticks)
