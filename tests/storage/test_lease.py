"""Leases, with simulated clocks and real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from sqlalchemy import Engine, create_engine, select, update

from tune_jobs.storage.heartbeat import STUCK, Heartbeat
from tune_jobs.storage.lease import (
    POLL_SECONDS,
    RENEWAL,
    TTL,
    AlreadyCommitted,
    Lease,
    LeaseLost,
    StudyOwned,
    find_owner,
)
from tune_jobs.storage.owner_identity import describe, identify_process, is_dead, measure_cpu
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
    seen = second._read()
    first.acquire()
    assert not second.take(seen)
    write(first, engine)


def test_a_dead_process_on_this_machine_is_replaced_at_once(engine: Engine, clock: Clock) -> None:
    program = (
        "from tune_jobs.storage.owner_identity import identify_process; print(identify_process())"
    )
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


def test_owners_in_other_namespaces_are_not_known_to_be_dead() -> None:
    host, boot, _, birth, rest = identify_process().split("|")
    random, _, namespaces = rest.partition("@")
    unused_pid = 2**22 + 1  # above the highest process id
    assert is_dead(f"{host}|{boot}|{unused_pid}|{birth}|{rest}")
    assert is_dead(f"{host}|{boot}|{unused_pid}|{birth}|{random}"), (
        "an identity written by an earlier version"
    )
    assert not is_dead(f"{host}|{boot}|{unused_pid}|{birth}|{random}@1{namespaces}")


def test_an_owner_that_cannot_be_read_is_not_known_to_be_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me = identify_process()
    monkeypatch.setattr("tune_jobs.storage.owner_identity.read_start_ticks", lambda pid: None)
    assert not is_dead(me)


def test_an_owner_that_computes_without_heartbeats_is_not_replaced(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lease(engine, clock)
    first.acquire()
    monkeypatch.setattr("tune_jobs.storage.lease.measure_cpu", lambda owner: clock.now)
    with pytest.raises(StudyOwned, match="but is computing"):
        lease(engine, clock).acquire()
    write(first, engine)
    monkeypatch.setattr("tune_jobs.storage.lease.measure_cpu", lambda owner: 1.0)
    assert lease(engine, clock).acquire() is not None


def test_the_cpu_time_of_another_process_is_measured() -> None:
    program = (
        "from tune_jobs.storage import owner_identity as o\n"
        "print(o.identify_process(), flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert (measure_cpu(other.stdout.readline().strip()) or 0.0) > 0.0
        other.communicate("\n")
    assert measure_cpu(identify_process()) is None
    assert measure_cpu(ELSEWHERE) is None


def test_a_forked_child_neither_writes_nor_releases(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    with owner.lock:  # as if another thread wrote while the process was forked
        child = os.fork()
        if child == 0:
            status = 1
            try:
                owner.release()
                owner.renew(at_once=True)
            except LeaseLost as error:
                status = 0 if "forked" in str(error) else 2
            finally:
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert owner.held
    write(owner, engine)


def test_a_busy_owner_is_renewed_while_it_works(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    at_work, idle = [True], []
    heartbeat = Heartbeat(owner, lambda: at_work[0], lambda: idle.append(clock.now), clock=clock)
    challenger = Lease(engine, "s", clock.sleep, clock)
    clock.meanwhile = heartbeat.look
    with pytest.raises(StudyOwned):
        challenger.acquire()
    assert not idle
    at_work[0] = False
    assert challenger.acquire() is not None
    assert idle


def test_an_owner_that_hangs_is_renewed_for_a_limited_time(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    heartbeat = Heartbeat(owner, lambda: True, clock=clock)
    clock.now += STUCK + RENEWAL
    before = owner._read()
    heartbeat.look()
    assert owner._read() == before
    heartbeat.sign_of_life()
    heartbeat.look()
    assert owner._read().beat == before.beat + 1


def test_a_heartbeat_that_finds_the_study_lost_does_not_hide_it(
    engine: Engine, clock: Clock
) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    set_owner(engine, ELSEWHERE)
    lease(engine, clock).acquire()
    clock.now += RENEWAL
    Heartbeat(owner, lambda: True, clock=clock).look()
    assert not owner.held
    with pytest.raises(LeaseLost):
        owner.verify()  # although the last heartbeat is recent


def test_a_heartbeat_thread_ends_with_stop(engine: Engine, clock: Clock) -> None:
    owner = lease(engine, clock)
    owner.acquire()
    looked = threading.Event()

    def is_working() -> bool:
        looked.set()
        return True

    heartbeat = Heartbeat(owner, is_working, interval=0.001)
    heartbeat.start()
    assert looked.wait(10)
    heartbeat.stop()
    heartbeat._thread.join(10)
    assert not heartbeat._thread.is_alive()


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
    monkeypatch.setattr("tune_jobs.storage.lease._read_clock_with_suspend", lambda: now)
    owner, successor = lease(engine, clock), lease(engine, clock)
    owner.acquire()
    assert successor.take(successor._read())
    now = TTL
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
