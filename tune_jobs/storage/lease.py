"""One owner of a study at a time: a lease with a fencing token, in the study's database.

    free ──acquire──▶ owned (token n) ──release──▶ free
                        │   each turn writes a heartbeat (beat + 1) in its transaction
                        └── no heartbeat for the TTL, or the owner's process is dead:
                            the next tuner takes over with token n + 1

Clocks of different machines are never compared. A challenger watches the owner's heartbeat by its
own clock: if it does not change for the TTL, the owner is dead, suspended, or cut off from
the database. An owner on the same machine whose process is dead is replaced at once.

Everything that an owner writes shares a transaction with
``UPDATE ... SET beat = beat + 1 WHERE token = mine``. An owner that wakes up after a suspension can
therefore write nothing more, and as nothing is submitted before it is written, it submits nothing.

The heartbeat also shows whether a commit took effect during which the connection broke. The server
may still be executing it; then the next transaction waits for it at this UPDATE, finds no row with
the expected heartbeat, but one that is ahead by one: the commit took effect.

While its owner works without writing, as during a slow sampler, a thread renews the lease
(`storage.heartbeat`). A child that the owner's process forks is not the owner. How long the TTL is,
and how often a lease is renewed, depends on the storage (`storage.intervals`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tune_jobs.errors import StudyError
from tune_jobs.runtime.steady_time import read_uptime
from tune_jobs.storage.intervals import find_intervals
from tune_jobs.storage.owner_identity import (
    describe,
    identify_process,
    is_dead,
    is_elsewhere,
    is_this_process,
    measure_cpu,
)
from tune_jobs.storage.schema import owners


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
        if self.owner is None or is_dead(self.owner):
            return False
        return not is_this_process(self.owner) or _is_in_use(self.owner)


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
        self.intervals = find_intervals(engine)
        self._sleep, self._clock = sleep, clock
        self.notice: Callable[[str], None] = lambda message: None
        """Called with a message while the life of an owner is in doubt."""
        self.lock = threading.RLock()
        """Held during a transaction with a heartbeat: threads write one after another."""
        self._identity, self._pid = identify_process(), os.getpid()
        self._token = 0
        self._is_lost = False
        self._beat = 0
        self._renewed = self._verified = 0.0
        self._is_taking = False
        with _leases_lock:
            _leases.add(self)

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
        self._notice_doubt(claim)
        while claim.is_contested:
            if self._clock() - seen >= self.intervals.ttl:
                _check_busy(claim.owner, cpu, self.intervals.ttl)
                break
            self._sleep(self.intervals.rival)
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

    def await_owner(self) -> str | None:
        """Describe the owner, once one on another machine has shown life; changes nothing.

        Returns:
            None if the study has no owner, one that is dead, or one that has been silent for so
            long that it may be replaced.
        """
        claim = self._read()
        seen = self._clock()
        self._notice_doubt(claim)
        while claim.is_contested and self._clock() - seen < self.intervals.ttl:
            assert claim.owner is not None
            if not is_elsewhere(claim.owner):
                return describe(claim.owner)
            self._sleep(self.intervals.rival)
            now = self._read()
            if now != claim:
                return describe(now.owner) if now.is_contested else None
        return None

    def _notice_doubt(self, claim: Claim) -> None:
        if claim.is_contested and is_elsewhere(str(claim.owner)):
            self.notice(
                f"waiting for a heartbeat of {describe(claim.owner)}, which tunes the study; after "
                f"{self.intervals.ttl:.0f} seconds without one it is replaced"
            )

    def take(self, claim: Claim) -> bool:
        """Become the owner unless the study has changed hands, or shown life, since the claim.

        If this fails with an error, it may have taken effect: then the study is owned by an
        identity of this process that no lease uses, which the next claim does not wait for.
        """
        self._is_taking = True
        try:
            if not self._write_owner(claim):
                return False
            self._token, self._beat, self._is_lost = claim.token + 1, -1, False
            self.committed()
            return True
        finally:
            self._is_taking = False

    def _write_owner(self, claim: Claim) -> bool:
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
        return True

    def uses(self, owner: str) -> bool:
        """Return whether an owner is this lease, which is held or being taken."""
        return owner == self._identity and (self.held or self._is_taking)

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
                f"{self.intervals.ttl:.0f} seconds (a suspended machine?); its job runs continue "
                "there"
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
        self._renewed, self._verified = self._clock(), read_uptime()

    def renew(self, *, at_once: bool = False) -> None:
        """Write a heartbeat if one is due.

        Raises:
            LeaseLost: If another process is the owner.
        """
        self.check()
        if at_once or self._clock() - self._renewed >= self.intervals.renewal:
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
        if read_uptime() - self._verified > self.intervals.ttl / 2:
            self.renew(at_once=True)

    def release(self, retry: Callable[[Callable[[], None]], object] | None = None) -> None:
        """Free the study.

        Args:
            retry: Calls a function, and again if others were faster; by default once.
        """
        if not self.held:  # a lock that a child inherits may be held for ever
            return
        with self.lock:
            token, self._token = self._token, 0
            if retry is None:
                self._free(token)
            else:
                retry(lambda: self._free(token))

    def _free(self, token: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(owners)
                .where(owners.c.study == self._study, owners.c.token == token)
                .values(owner=None)
            )

    def _read(self) -> Claim:
        return _read_claim(self._engine, self._study)

    def _select(self, connection: Connection) -> Claim:
        return _select_claim(connection, self._study)


def _read_claim(engine: Engine, study: str) -> Claim:
    with engine.connect() as connection:
        return _select_claim(connection, study)


def _select_claim(connection: Connection, study: str) -> Claim:
    query = select(owners.c.token, owners.c.beat, owners.c.owner).where(owners.c.study == study)
    row = connection.execute(query).first()
    return Claim(0, 0, None) if row is None else Claim(row.token, row.beat, row.owner)


def _check_busy(owner: str | None, cpu: float | None, ttl: float) -> None:
    """Check that an owner without heartbeats does not compute, as in code that holds the GIL.

    Args:
        owner: The owner.
        cpu: The CPU seconds that it had used ``ttl`` seconds ago.
        ttl: See `Intervals`.

    Raises:
        StudyOwned: If it does.
    """
    now = measure_cpu(owner)
    if cpu is not None and now is not None and now - cpu >= ttl / 2:
        raise StudyOwned(
            f"{describe(owner)} is tuning this study. It has written no heartbeat for {ttl:.0f} "
            "seconds, but is computing, such as in a sampler: wait until it has ended, or end it"
        )


_leases: WeakSet[Lease] = WeakSet()
"""The leases of this process."""

_leases_lock = threading.Lock()


def _is_in_use(owner: str) -> bool:
    """Return whether a lease of this process is an owner.

    None is if its release, or the answer to its acquisition, was lost in an outage.
    """
    with _leases_lock:
        return any(lease.uses(owner) for lease in _leases)


_BEAT: Any = (
    update(owners)
    .where(owners.c.study == bindparam("of_study"), owners.c.token == bindparam("mine"))
    .where(owners.c.owner.is_not(None), owners.c.beat == bindparam("last"))
    .values(beat=bindparam("next"))
)


_seen: WeakKeyDictionary[Engine, dict[str, tuple[Claim, float]]] = WeakKeyDictionary()
"""Last heartbeat of each study's owner that `find_owner` has seen, and when it was new."""


def find_owner(
    engine: Engine, study: str, clock: Callable[[], float] = time.monotonic
) -> str | None:
    """Describe the owner of a study.

    An owner on another machine counts as gone once this process has seen no heartbeat of it for
    `Intervals.ttl`: a reader that looks once takes it for alive, and `Lease.await_owner` finds out.

    Returns:
        None if the study has no owner, or one that is dead or gone.
    """
    claim = _read_claim(engine, study)
    if claim.owner is None or is_dead(claim.owner):
        return None
    with _leases_lock:
        seen = _seen.setdefault(engine, {})
        last, since = seen.get(study, (None, 0.0))
        if last != claim:
            since = clock()
            seen[study] = (claim, since)
    is_gone = is_elsewhere(claim.owner) and clock() - since >= find_intervals(engine).ttl
    return None if is_gone else describe(claim.owner)
