"""A thread that renews a lease while its owner is busy and writes nothing.

A sampler may think for minutes, and a callback of the user's do anything: the study still has its
owner. A process that is suspended renews nothing, as its threads are suspended, too. The thread
stops when the owner is not at work any more, and `STUCK` seconds after the owner's last sign of
life, so that a study is not owned for ever by a tuner that hangs.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from tune_jobs.storage.lease import Lease, LeaseLost

STUCK = 1800.0
"""Seconds without a sign of life after which a tuner is taken to hang, and its lease expires."""


class Heartbeat:
    """Renews a lease from `start` to `stop`.

    Args:
        lease: The lease, which is held.
        is_working: Whether its owner is at work; if not, the lease is not renewed.
        on_idle: Called regularly while it is not.
        interval: Seconds between two looks; by default half the time between two heartbeats.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        lease: Lease,
        is_working: Callable[[], bool],
        on_idle: Callable[[], None] = lambda: None,
        interval: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease, self._is_working, self._on_idle = lease, is_working, on_idle
        self._interval = lease.intervals.renewal / 2 if interval is None else interval
        self._clock = clock
        self._seen_alive = clock()
        self._was_idle = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tune_jobs-heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def sign_of_life(self) -> None:
        """Note that the owner has just done something."""
        self._seen_alive = self._clock()

    def stop(self) -> None:
        """End the thread; does not wait for it, as it may wait for the database."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            self.look()

    def look(self) -> None:
        """Renew the lease if its owner is at work and it is due."""
        was_idle, self._was_idle = self._was_idle, not self._is_working()
        if self._was_idle:
            if was_idle:  # and not only between two trials
                self._on_idle()
        elif self._clock() - self._seen_alive <= STUCK:
            # The owner itself notices with its next write that it has lost the study, and retries
            # while the database does not answer.
            with contextlib.suppress(LeaseLost, SQLAlchemyError):
                self._lease.renew()
