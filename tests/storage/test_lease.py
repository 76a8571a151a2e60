"""Leases, with simulated clocks and real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from sqlalchemy import Engine, create_engine, select, update

from tune_jobs.storage.lease import (
    POLL_SECONDS,
    RENEWAL,
    TTL,
    Lease,
    LeaseLost,
    StudyOwned,
    describe,
    find_owner,
    identify_process,
    is_dead,
)
from tune_jobs.storage.schema import owners, prepare

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


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = create_engine(f"sqlite:///{tmp_path}/l.db")
    prepare(made)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


def test_a_free_study_is_acquired_at_once_and_released(engine: Engine, clock: Clock) -> None:
    first = lease(engine, clock)
    assert first.acquire() is None
    assert find_owner(engine, "s") is not None
    write(first, engine)
    first.release()
    assert not first.held
    assert find_owner(engine, "s") is None
    second = lease(engine, clock)
    assert second.acquire() is None
    assert clock.now == 100.0
    with pytest.raises(LeaseLost):
        write(first, engine)
    write(second, engine)


def test_an_owner_that_is_alive_keeps_the_study(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    clock.meanwhile = lambda: write(owner, engine) if clock.now > 103 else None
    with pytest.raises(StudyOwned, match=r"process .* is tuning this study"):
        lease(engine, clock).acquire()
    assert clock.now < 100 + RENEWAL + POLL_SECONDS


def test_an_owner_elsewhere_is_replaced_after_the_ttl(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    set_owner(engine, ELSEWHERE)
    challenger = lease(engine, clock)
    assert challenger.acquire() == ELSEWHERE
    assert TTL <= clock.now - 100 <= TTL + 2 * POLL_SECONDS
    with pytest.raises(LeaseLost, match="taken over this study"):
        write(owner, engine)
    assert not owner.held
    write(challenger, engine)


def test_acquire_waits_for_an_owner_to_release(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()

    def work_and_release() -> None:
        if clock.now > 110:
            owner.release()
        elif owner.held:
            write(owner, engine)

    clock.meanwhile = work_and_release
    challenger = lease(engine, clock)
    challenger.acquire(wait=60.0)
    assert clock.now < 112
    write(challenger, engine)


def test_of_two_challengers_one_wins(engine: Engine, clock: Clock) -> None:
    lease(engine, clock).acquire()
    set_owner(engine, ELSEWHERE)
    first, second = lease(engine, clock), Lease(engine, "s", lambda s: None, clock)
    seen = second._read()[:2]
    first.acquire()
    assert not second._take(*seen)
    write(first, engine)


def test_a_dead_process_on_this_machine_is_replaced_at_once(engine: Engine, clock: Clock) -> None:
    program = "from tune_jobs.storage.lease import identify_process; print(identify_process())"
    dead = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
    lease(engine, clock).acquire()
    set_owner(engine, dead)
    assert find_owner(engine, "s") is None
    assert lease(engine, clock).acquire() == dead
    assert clock.now == 100.0


def test_which_owners_are_dead() -> None:
    me = identify_process()
    assert not is_dead(me)
    assert not is_dead(ELSEWHERE)
    host, boot, pid, birth, rest = me.split("|")
    assert is_dead(f"{host}|{boot}|{pid}|1{birth}|{rest}")  # the pid was reused
    assert not is_dead(f"{host}|other|{pid}|1{birth}|{rest}")  # a container of the same name
    assert describe(ELSEWHERE) == "process 7 on another-machine"


def test_leases_of_studies_are_independent(engine: Engine, clock: Clock) -> None:
    first, second = lease(engine, clock, "a"), lease(engine, clock, "b")
    first.acquire()
    second.acquire()
    write(first, engine)
    write(second, engine)
    first.release()
    write(second, engine)


def test_the_heartbeat_shows_whether_a_commit_took_effect(engine: Engine, clock: Clock) -> None:
    held = lease(engine, clock)
    held.acquire()
    write(held, engine)
    assert not held.was_committed()
    with engine.begin() as connection:
        held.heartbeat(connection)  # but the response is lost
    assert held.was_committed()
    held.committed()
    with engine.connect() as connection:  # but never committed
        held.heartbeat(connection)
    assert not held.was_committed()


def test_an_idle_owner_renews_its_lease(engine: Engine, clock: Clock) -> None:
    held = lease(engine, clock)
    held.acquire()

    def beat() -> int:
        with engine.connect() as connection:
            return int(connection.execute(select(owners.c.beat)).scalar_one())

    held.renew()
    assert beat() == 0
    clock.now += RENEWAL
    held.renew()
    assert beat() == 1


def test_an_owner_that_was_suspended_notices_before_it_acts(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    owner.verify()
    set_owner(engine, ELSEWHERE)
    lease(engine, clock).acquire()
    owner.verify()  # its clock shows no time passed
    monkeypatch.setattr("tune_jobs.storage.lease._read_clock_with_suspend", lambda: 1e12)
    with pytest.raises(LeaseLost):
        owner.verify()


def test_two_studies_of_one_database_are_tuned_at_once(
    make_tuner: Callable[..., object], tmp_path: Path
) -> None:
    from tune_jobs.tuner import Tuner

    def study(name: str) -> optuna.Study:
        return optuna.create_study(study_name=name, storage=f"sqlite:///{tmp_path}/two.db")

    outer, inner = make_tuner(study=study("a")), make_tuner(study=study("b"))
    assert isinstance(outer, Tuner)
    assert isinstance(inner, Tuner)
    with outer._session(_Silent()):
        assert len(inner.optimize(n_trials=2).trials) == 2
        assert outer.owner() is not None
    assert outer.owner() is None


class _Silent:
    def update(self, *_: object, **__: object) -> None: ...
    def say(self, line: str) -> None: ...
    def close(self) -> None: ...
