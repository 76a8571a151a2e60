"""Leases, with simulated clocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import OperationalError

from tests.storage.leases import ELSEWHERE, Clock, lease, set_owner, write
from tune_jobs.storage.intervals import DATABASE
from tune_jobs.storage.lease import (
    AlreadyCommitted,
    Claim,
    Lease,
    LeaseLost,
    StudyOwned,
    find_owner,
)
from tune_jobs.storage.schema import owners


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
    assert clock.now < 100 + DATABASE.renewal + DATABASE.rival


def test_an_owner_elsewhere_is_replaced_after_the_ttl(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    set_owner(engine, ELSEWHERE)
    challenger = lease(engine, clock)
    assert challenger.acquire() == ELSEWHERE
    assert DATABASE.ttl <= clock.now - 100 <= DATABASE.ttl + 2 * DATABASE.rival
    with pytest.raises(LeaseLost, match="taken over this study"):
        write(owner, engine)
    assert not owner.held
    write(challenger, engine)


def test_an_owner_elsewhere_is_gone_for_who_looks_on(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    set_owner(engine, ELSEWHERE)
    assert find_owner(engine, "s", clock) == "process 7 on another-machine"
    clock.now += DATABASE.ttl - 1.0
    write(owner, engine)
    clock.now += 2.0
    assert find_owner(engine, "s", clock) is not None
    clock.now += DATABASE.ttl
    assert find_owner(engine, "s", clock) is None
    write(owner, engine)
    assert find_owner(engine, "s", clock) is not None


def test_the_life_of_an_owner_is_awaited(engine: Engine, clock: Clock) -> None:
    owner, other = lease(engine, clock), lease(engine, clock)
    said: list[str] = []
    other.notice = said.append
    assert other.await_owner() is None
    owner.acquire()
    assert other.await_owner() is not None
    assert (clock.now, said) == (100.0, [])
    set_owner(engine, ELSEWHERE)
    clock.meanwhile = lambda: write(owner, engine) if clock.now > 103 else None
    assert other.await_owner() == "process 7 on another-machine"
    assert said == [
        "waiting for a heartbeat of process 7 on another-machine, which tunes the study; after 30 "
        "seconds without one it is replaced"
    ]
    clock.meanwhile = lambda: owner.release() if clock.now > 106 else None
    assert other.await_owner() is None
    assert clock.now < 107
    owner.acquire()
    set_owner(engine, ELSEWHERE)
    clock.meanwhile = lambda: None
    assert other.await_owner() is None
    assert clock.now > 106 + DATABASE.ttl


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
    seen = second._read()
    first.acquire()
    assert not second.take(seen)
    write(first, engine)


def test_taking_a_study_is_recognized_if_the_answer_was_lost(engine: Engine, clock: Clock) -> None:
    first = lease(engine, clock)
    claim = first.await_claim()
    assert first.take(claim)
    assert first.take(claim), "the insert is repeated"
    first.release()
    again = first.await_claim()
    assert first.take(again)
    assert first.take(again), "the update is repeated"
    assert not lease(engine, clock).take(again)
    write(first, engine)


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
    with engine.begin() as connection:
        held.heartbeat(connection)  # but the response is lost
    with engine.connect() as connection, pytest.raises(AlreadyCommitted):
        held.heartbeat(connection)
    held.committed()
    with engine.connect() as connection:  # but never committed
        held.heartbeat(connection)
    write(held, engine)
    assert held.held


def test_an_idle_owner_renews_its_lease(engine: Engine, clock: Clock) -> None:
    held = lease(engine, clock)
    held.acquire()

    def beat() -> int:
        with engine.connect() as connection:
            return int(connection.execute(select(owners.c.beat)).scalar_one())

    held.renew()
    assert beat() == 0
    clock.now += DATABASE.renewal
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
    monkeypatch.setattr("tune_jobs.storage.lease.read_uptime", lambda: 1e12)
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


def test_an_owner_that_shows_life_before_it_is_replaced_keeps_the_study(
    engine: Engine, clock: Clock
) -> None:
    owner, challenger = lease(engine, clock), lease(engine, clock)
    owner.acquire()
    set_owner(engine, ELSEWHERE)
    claim = challenger.await_claim()
    write(owner, engine)
    assert not challenger.take(claim)
    assert not challenger.held
    write(owner, engine)


def test_an_owner_that_was_replaced_does_not_free_the_study(engine: Engine, clock: Clock) -> None:
    owner, successor = lease(engine, clock), lease(engine, clock)
    owner.acquire()
    assert successor.take(successor._read())
    owner.release()
    write(successor, engine)


def test_the_lease_is_verified_before_others_may_have_taken_it(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("tune_jobs.storage.lease.read_uptime", lambda: now)
    owner, successor = lease(engine, clock), lease(engine, clock)
    owner.acquire()
    assert successor.take(successor._read())
    now = DATABASE.ttl
    with pytest.raises(LeaseLost):
        owner.verify()


def test_the_heartbeat_of_a_successor_is_no_answer_to_ones_own_commit(
    engine: Engine, clock: Clock
) -> None:
    owner, successor = lease(engine, clock), lease(engine, clock)
    owner.acquire()
    assert successor.take(successor._read())
    write(successor, engine)
    with pytest.raises(LeaseLost):
        write(owner, engine)


# -- outages --------------------------------------------------------------------------------------


def lose_answers(engine: Engine) -> None:
    """Let every commit from now on take effect, and fail."""

    @event.listens_for(engine, "commit")
    def lose(connection: Any) -> None:
        connection.connection.commit()
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))


def test_a_take_whose_answer_was_lost_is_not_waited_for(engine: Engine, clock: Clock) -> None:
    flaky = create_engine(engine.url)
    lose_answers(flaky)
    first = lease(flaky, clock)
    with pytest.raises(OperationalError):
        first.acquire()
    assert find_owner(engine, "s") is not None
    assert not first.held
    again = lease(engine, clock)
    again.acquire()
    write(again, engine)
    assert clock.now == 100.0


def test_a_release_that_failed_is_not_waited_for(engine: Engine, clock: Clock) -> None:
    flaky = create_engine(engine.url)
    first = lease(flaky, clock)
    first.acquire()

    @event.listens_for(flaky, "before_cursor_execute")
    def fail(*_: Any) -> None:
        raise OperationalError("UPDATE", {}, sqlite3.OperationalError("disk I/O error"))

    with pytest.raises(OperationalError):
        first.release()
    assert find_owner(engine, "s") is not None
    lease(engine, clock).acquire()
    assert clock.now == 100.0


def test_a_lease_that_is_being_taken_is_waited_for(engine: Engine, clock: Clock) -> None:
    slow = create_engine(engine.url)
    claims: list[Claim] = []

    @event.listens_for(slow, "commit")
    def look(connection: Any) -> None:
        connection.connection.commit()
        claims.append(lease(engine, clock)._read())
        assert claims[-1].is_contested

    assert lease(slow, clock).acquire() is None
    assert len(claims) == 1
