"""One owner of a study at a time: a lease with a fencing token, in the study's database.

    free ──acquire──▶ owned (token n) ──release──▶ free
                        │   every turn: beat + 1, in the turn's transaction
                        └── silent for `TTL` seconds, or its process is dead: the next one takes
                            over with token n + 1

No clock is compared with another machine's. A challenger watches the owner's beat by its own clock:
one that does not move for `TTL` seconds belongs to somebody who is dead, suspended, or cut off from
the database. An owner on the same machine whose process is gone is replaced at once.

Everything that an owner writes goes with ``UPDATE ... beat = beat + 1 WHERE token = mine`` in one
transaction. So one who was suspended and wakes up writes nothing any more, and since nothing is
dispatched that was not written before, it dispatches nothing. The beat also tells, after a
connection was lost in the middle of a commit, whether the commit took effect.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tune_jobs.errors import StudyError
from tune_jobs.storage.schema import owners

TTL = 30.0
"""Seconds of silence after which an owner is taken for gone."""

RENEWAL = 5.0
"""Seconds after which an owner says that it is there, if it has nothing else to write."""

LOOK = 0.5
"""Seconds between two looks at another's beat."""


class StudyOwned(StudyError):
    """Somebody else is tuning this study."""


class LeaseLost(StudyError):
    """Somebody else has taken the study over; nothing more may be done to it."""


class Lease:
    """The right to tune one study.

    Args:
        engine: The ledger's database.
        study: The study's uid.
        sleep, clock: Seconds; monotonic.
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
        self._me = identity()
        self._token = 0
        self._beat = 0
        self._renewed = self._seen = 0.0

    @property
    def held(self) -> bool:
        """Whether this process is the owner, as far as it knows."""
        return self._token > 0

    def acquire(self, wait: float = 0.0) -> str | None:
        """Become the owner.

        Args:
            wait: Seconds to wait for an owner that is alive.

        Returns:
            Who was the owner and is gone; None if the study was free.

        Raises:
            StudyOwned: somebody else is, and is alive.
        """
        give_up = self._clock() + wait
        token, beat, owner = self._read()
        seen = self._clock()
        while owner is not None and not is_dead(owner):
            now = self._clock()
            if now - seen >= TTL:
                break
            self._sleep(LOOK)
            before = (token, beat)
            token, beat, owner = self._read()
            if (token, beat) != before:
                if self._clock() >= give_up:
                    raise StudyOwned(
                        f"{describe(owner)} is tuning this study. Wait until it has ended, stop it "
                        "with `tune-jobs stop`, or take it over with optimize(take_over=True)"
                    )
                seen = self._clock()
        if not self._take(token, beat):
            return self.acquire(wait)  # somebody else was faster: look again
        return owner

    def _take(self, token: int, beat: int) -> bool:
        """Become the owner, if nothing has changed since it was looked at."""
        values = {"token": token + 1, "beat": 0, "owner": self._me, "since": time.time()}
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
        """Say in a transaction that everything in it is written by the owner.

        Raises:
            LeaseLost: it is not; the transaction must not be committed.
        """
        written = connection.execute(
            _BEAT, {"of_study": self._study, "mine": self._token, "next": self._beat + 1}
        )
        if written.rowcount != 1:
            self._token = 0
            raise LeaseLost(
                "another tuner has taken this study over, because this one was silent for "
                f"{TTL:.0f} seconds (a suspended machine?); its job runs go on there"
            )

    def committed(self) -> None:
        """The transaction of the last `heartbeat` was committed."""
        self._beat += 1
        self._renewed, self._seen = self._clock(), _time_awake_or_asleep()

    def was_committed(self) -> bool:
        """Return whether the transaction of the last `heartbeat` was committed."""
        token, beat, _ = self._read()
        return token == self._token and beat == self._beat + 1

    def renew(self, *, at_once: bool = False) -> None:
        """Say that the owner is there, if it has not said so for a while.

        Raises:
            LeaseLost: it is the owner no more.
        """
        if at_once or self._clock() - self._renewed >= RENEWAL:
            with self._engine.begin() as connection:
                self.heartbeat(connection)
            self.committed()

    def verify(self) -> None:
        """Before something is done that cannot be taken back: look, if time has passed unseen.

        A process that was suspended between its commit and this finds out here.

        Raises:
            LeaseLost: it is the owner no more.
        """
        if _time_awake_or_asleep() - self._seen > TTL / 2:
            self.renew(at_once=True)

    def release(self) -> None:
        """Let go of the study."""
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
        """Token, beat and owner; a token of 0: nobody ever was."""
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


def _time_awake_or_asleep() -> float:
    """Seconds that pass while the machine sleeps, too, where there is such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def find_owner(engine: Engine, study: str) -> str | None:
    """Who is tuning a study, for people; None: nobody, or somebody who is known to be gone."""
    query = select(owners.c.owner).where(owners.c.study == study)
    with engine.connect() as connection:
        owner = connection.execute(query).scalar()
    return None if owner is None or is_dead(owner) else describe(owner)


def identity() -> str:
    """This process, so that another one on the same machine can tell whether it is alive.

    ``host|boot|pid|birth|random``
    """
    pid = os.getpid()
    return f"{socket.gethostname()[:64]}|{_boot()}|{pid}|{_birth(pid)}|{uuid.uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """Whether an owner is known to be dead; one on another machine never is."""
    host, boot, pid, birth, _ = owner.rsplit("|", 4)
    if host != socket.gethostname()[:64] or boot != _boot() or not boot:
        return False
    return _birth(int(pid)) != birth


def describe(owner: str | None) -> str:
    """An owner, for people."""
    if owner is None:
        return "somebody"
    host, _, pid, _, _ = owner.rsplit("|", 4)
    return f"process {pid} on {host}"


def _boot() -> str:
    """Which start of this machine it is; empty where nobody can tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return ""


def _birth(pid: int) -> str:
    """When a process was started, in ticks since the boot: numbers are given again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""
