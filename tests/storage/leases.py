"""Leases with a simulated clock."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, update

from tune_jobs.storage.lease import (
    Lease,
)
from tune_jobs.storage.schema import owners

ELSEWHERE = "another-machine|0badcafe|7|123|00000000"


class Clock:
    """A clock that advances when it is slept on, and a callback for what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 100.0
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


def lease(engine: Engine, clock: Clock, study: str = "s") -> Lease:
    return Lease(engine, study, clock.sleep, clock)


def set_owner(engine: Engine, owner: str) -> None:
    """Make another process the owner."""
    with engine.begin() as connection:
        connection.execute(update(owners).values(owner=owner))


def write(held: Lease, engine: Engine) -> None:
    """Commit an empty turn."""
    with engine.begin() as connection:
        held.heartbeat(connection)
    held.committed()
