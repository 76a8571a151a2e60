"""Requests without an answer, and owners that wake up: nothing is lost, doubled or overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tests.storage.bucket.conftest import OpenCopy, dump, insert, names
from tests.storage.bucket.unanswered_store import FaultyStore, Killed
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.lease import AlreadyCommitted, Lease, LeaseLost

Late = list[Callable[[], object]]


@pytest.fixture
def late() -> Late:
    """Requests that have not taken effect yet."""
    return []


@pytest.fixture
def store(folder: Path, late: Late) -> FaultyStore:
    """The store of the first copy."""
    return FaultyStore(folder, late)


@pytest.fixture
def first(open_copy: OpenCopy, store: FaultyStore) -> Engine:
    """A copy that looks at nothing, so that it learns of others by refusals."""
    engine = open_copy(store=store, max_age=1e9, sleep=lambda seconds: None)
    insert(engine, "a")
    return engine


@pytest.mark.parametrize("fault", ["before", "after", "twice", "throttled"])
@pytest.mark.parametrize("times", [1, 5])
def test_an_entry_is_repeated_and_written_once(
    first: Engine, store: FaultyStore, open_copy: OpenCopy, folder: Path, fault: str, times: int
) -> None:
    store.faults = [fault] * times
    insert(first, "b")
    assert names(open_copy()) == names(first) == ["a", "b"]
    assert len(os.listdir(folder / "log")) == 3


@pytest.mark.parametrize("is_taken", [False, True])
def test_an_entry_that_was_given_up_is_found_or_refused(
    first: Engine,
    store: FaultyStore,
    open_copy: OpenCopy,
    folder: Path,
    late: Late,
    is_taken: bool,
) -> None:
    second = open_copy()
    first.dialect.replica.requests.patience = 0.0  # type: ignore[attr-defined]
    store.faults = ["late"]
    with pytest.raises(OperationalError, match="database is locked"):
        insert(first, "late")
    if is_taken:
        insert(second, "b")
    late[0]()
    insert(second, "c")
    expected = ["a", "b", "c"] if is_taken else ["a", "late", "c"]
    assert names(second) == expected
    insert(first, "d")
    assert names(first) == [*expected, "d"]
    assert len(os.listdir(folder / "log")) == 5
    assert dump(first) == dump(open_copy_and_look(open_copy))


def open_copy_and_look(open_copy: OpenCopy) -> Engine:
    engine = open_copy()
    names(engine)
    return engine


@pytest.mark.parametrize(
    ("fault", "expected"), [("killed before", ["a"]), ("killed after", ["a", "b"])]
)
def test_a_process_that_is_killed_before_its_own_commit(
    first: Engine, store: FaultyStore, open_copy: OpenCopy, fault: str, expected: list[str]
) -> None:
    store.faults = [fault]
    with pytest.raises(Killed):
        insert(first, "b")
    assert names(open_copy()) == expected


@pytest.mark.parametrize("lands", ["never", "before the take-over", "after the take-over"])
@pytest.mark.parametrize("gives_up", [1, 4])
def test_an_owner_that_wakes_up_after_a_take_over_writes_nothing(
    first: Engine, store: FaultyStore, open_copy: OpenCopy, late: Late, lands: str, gives_up: int
) -> None:
    owner = Lease(first, "s")
    owner.acquire()
    first.dialect.replica.requests.patience = 0.0  # type: ignore[attr-defined]
    store.faults = ["late"] * gives_up
    for _ in range(gives_up):
        with pytest.raises(OperationalError, match="database is locked"):
            beat(owner, first, "zombie")
    if lands == "before the take-over":
        land(late)
    second = open_copy()
    successor = Lease(second, "s")
    assert successor.take(successor._read())
    if lands == "after the take-over":
        land(late)
    with pytest.raises(LeaseLost):
        beat_thrice(owner, first)
    beat(successor, second, "b")
    expected = ["a", "zombie", "b"] if lands == "before the take-over" else ["a", "b"]
    assert names(second) == expected
    assert Controls(second, "s").read_pending() == []


def land(late: Late) -> None:
    for request in late:
        request()


def beat(lease: Lease, engine: Engine, name: str) -> None:
    """Commit a turn."""
    with engine.begin() as connection:
        lease.heartbeat(connection)
        connection.exec_driver_sql("INSERT INTO studies (study_name) VALUES (?)", (name,))
    lease.committed()


def beat_thrice(lease: Lease, engine: Engine) -> None:
    """Try to commit a turn as the writer of a tuner does; the first try may only be refused."""
    for _ in range(3):
        try:
            beat(lease, engine, "too late")
        except OperationalError:
            continue
        except AlreadyCommitted:
            lease.committed()
