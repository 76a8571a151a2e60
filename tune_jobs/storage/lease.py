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

The heartbeat also shows whether a commit took effect during which the connection broke. The server
may still be executing it; then the next transaction waits for it at this UPDATE, finds no row with
the expected heartbeat, but one that is ahead by one: the commit took effect.

While its owner works without writing, as during a slow sampler, a thread renews the lease
(`storage.heartbeat`). A child that the owner's process forks is not the owner.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tune_jobs.errors import StudyError
from tune_jobs.storage.owner_identity import describe, identify_process, is_dead, measure_cpu
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


@dataclass(frozen=True)
class Claim:
    """What a challenger has read about a study.

    Args:
        token: Number of its owners so far.
        beat: Heartbeat of the last one.
        owner: The last one's identity; None if it has released the study.
    """

    token: int
    beat: int
    owner: str | None

    @property
    def is_contested(self) -> bool:
        """Whether there is an owner that may be alive, such as a suspended one."""
        return self.owner is not None and not is_dead(self.owner)


class AlreadyCommitted(Exception):
    """The transaction before this one, whose commit was in doubt, has taken effect."""


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
        self._identity, self._pid = identify_process(), os.getpid()
        self._token = 0
        self._is_lost = False
        self._beat = 0
        self._renewed = self._verified = 0.0

    @property
    def held(self) -> bool:
        """Whether this process is the owner, as far as it knows."""
        return self._token > 0 and not self._is_lost and not self.is_inherited

    @property
    def was_acquired(self) -> bool:
        """Whether this process became the owner, and has not released the study since."""
        return self._token > 0

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one that made the lease, and has no share."""
        return self._pid != os.getpid()

    def acquire(self, wait: float = 0.0) -> str | None:
        """Become the owner; see `await_claim`.

        Returns:
            The previous owner if it is dead; None if the study was free.
        """
        while True:
            claim = self.await_claim(wait)
            if self.take(claim):
                return claim.owner

    def await_claim(self, wait: float = 0.0) -> Claim:
        """Wait until the study has no owner, or one that is dead or silent; changes nothing.

        Args:
            wait: Seconds to wait for an owner that is alive.

        Raises:
            StudyOwned: If another process is the owner and alive.
        """
        deadline = self._clock() + wait
        claim = self._read()
        seen, cpu = self._clock(), measure_cpu(claim.owner)
        while claim.is_contested:
            if self._clock() - seen >= TTL:
                _check_busy(claim.owner, cpu)
                break
            self._sleep(POLL_SECONDS)
            before, claim = claim, self._read()
            if (claim.token, claim.beat) != (before.token, before.beat):
                if self._clock() >= deadline:
                    raise StudyOwned(
                        f"{describe(claim.owner)} is tuning this study. Wait until it has ended, "
                        "stop it with `tune-jobs stop`, or take it over with "
                        "optimize(take_over=True)"
                    )
                seen, cpu = self._clock(), measure_cpu(claim.owner)
        return claim

    def take(self, claim: Claim) -> bool:
        """Become the owner unless the study has changed hands, or shown life, since the claim."""
        values = {"token": claim.token + 1, "beat": 0, "owner": self._identity}
        values["since"] = time.time()
        try:
            with self._engine.begin() as connection:
                if claim.token == 0:
                    connection.execute(insert(owners), {"study": self._study, **values})
                else:
                    taken = connection.execute(
                        update(owners)
                        .where(owners.c.study == self._study)
                        .where(owners.c.token == claim.token, owners.c.beat == claim.beat)
                        .values(**values)
                    )
                    now = self._select(connection)
                    if taken.rowcount != 1 and now.owner != self._identity:
                        return False  # its own identity: a commit whose answer was lost
        except IntegrityError:
            if self._read().owner != self._identity:
                return False
        self._token, self._beat, self._is_lost = claim.token + 1, -1, False
        self.committed()
        return True

    def heartbeat(self, connection: Connection) -> None:
        """Prove within a transaction that the owner writes it.

        Raises:
            LeaseLost: If another process is the owner; the transaction must not be committed.
            AlreadyCommitted: If the last transaction took effect although its commit failed. Call
                `committed`; this transaction must not be committed.
        """
        self.check()
        written = connection.execute(
            _BEAT,
            {
                "of_study": self._study,
                "mine": self._token,
                "last": self._beat,
                "next": self._beat + 1,
            },
        )
        if written.rowcount == 1:
            return
        now = self._select(connection)
        if now.owner is not None and (now.token, now.beat) == (self._token, self._beat + 1):
            raise AlreadyCommitted
        self._is_lost = True
        self.check()

    def check(self) -> None:
        """Check that this process is the owner, as far as it knows.

        Raises:
            LeaseLost: If it is not.
        """
        if self._is_lost:
            raise LeaseLost(
                "another tuner has taken over this study, because this one wrote no heartbeat for "
                f"{TTL:.0f} seconds (a suspended machine?); its job runs continue there"
            )
        if not self.held:
            raise LeaseLost(
                "this process was forked from the one that tunes the study, and must not change it"
                if self.is_inherited
                else "this tuner has released the study"
            )

    def committed(self) -> None:
        """Record that the transaction of the last `heartbeat` was committed."""
        self._beat += 1
        self._renewed, self._verified = self._clock(), _read_clock_with_suspend()

    def renew(self, *, at_once: bool = False) -> None:
        """Write a heartbeat if the last one is `RENEWAL` seconds old.

        Raises:
            LeaseLost: If another process is the owner.
        """
        self.check()
        if at_once or self._clock() - self._renewed >= RENEWAL:
            with self.lock:
                with (
                    contextlib.suppress(AlreadyCommitted),
                    self._engine.begin() as connection,
                ):
                    self.heartbeat(connection)
                self.committed()

    def verify(self) -> None:
        """Write a heartbeat if the last one is old, before an action that cannot be undone.

        A process that was suspended between its commit and the action finds out here.

        Raises:
            LeaseLost: If another process is the owner.
        """
        self.check()
        if _read_clock_with_suspend() - self._verified > TTL / 2:
            self.renew(at_once=True)

    def release(self) -> None:
        """Free the study."""
        if not self.held:  # a lock that a child inherits may be held for ever
            return
        with self.lock:
            token, self._token = self._token, 0
            with self._engine.begin() as connection:
                connection.execute(
                    update(owners)
                    .where(owners.c.study == self._study, owners.c.token == token)
                    .values(owner=None)
                )

    def _read(self) -> Claim:
        with self._engine.connect() as connection:
            return self._select(connection)

    def _select(self, connection: Connection) -> Claim:
        query = select(owners.c.token, owners.c.beat, owners.c.owner).where(
            owners.c.study == self._study
        )
        row = connection.execute(query).first()
        return Claim(0, 0, None) if row is None else Claim(row.token, row.beat, row.owner)


def _check_busy(owner: str | None, cpu: float | None) -> None:
    """Check that an owner without heartbeats does not compute, as in code that holds the GIL.

    Args:
        owner: The owner.
        cpu: The CPU seconds that it had used `TTL` seconds ago.

    Raises:
        StudyOwned: If it does.
    """
    now = measure_cpu(owner)
    if cpu is not None and now is not None and now - cpu >= TTL / 2:
        raise StudyOwned(
            f"{describe(owner)} is tuning this study. It has written no heartbeat for {TTL:.0f} "
            "seconds, but is computing, such as in a sampler: wait until it has ended, or end it"
        )


_BEAT: Any = (
    update(owners)
    .where(owners.c.study == bindparam("of_study"), owners.c.token == bindparam("mine"))
    .where(owners.c.owner.is_not(None), owners.c.beat == bindparam("last"))
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
