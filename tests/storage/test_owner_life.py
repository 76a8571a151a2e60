"""Whether an owner is alive, with real processes and threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from sqlalchemy import Engine

from tests.storage.leases import ELSEWHERE, Clock, lease, set_owner, write
from tune_jobs.storage.heartbeat import STUCK, Heartbeat
from tune_jobs.storage.intervals import DATABASE
from tune_jobs.storage.lease import (
    Lease,
    LeaseLost,
    StudyOwned,
    find_owner,
)
from tune_jobs.storage.owner_identity import describe, identify_process, is_dead, measure_cpu


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
    clock.now += STUCK + DATABASE.renewal
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
    clock.now += DATABASE.renewal
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
