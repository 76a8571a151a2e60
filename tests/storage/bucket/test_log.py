"""The log: what one copy commits, the others have, in the same order."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import optuna
import pytest
from optuna.storages._rdb.models import StudyModel
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.storage.bucket.conftest import INSERT, OpenCopy, dump, find_replica, insert, names
from tests.storage.bucket.faulty_store import MemoryStore
from tune_jobs.errors import StudyError
from tune_jobs.storage.bucket import bases, entries
from tune_jobs.storage.bucket.dialect import relax, settle


def test_copies_have_the_same(open_copy: OpenCopy) -> None:
    first, second = open_copy(), open_copy()
    insert(first, "a")
    insert(second, "b")
    insert(first, "c")
    assert names(second) == ["a", "b", "c"]
    assert names(first) == ["a", "b", "c"]
    assert dump(first) == dump(second)


def test_the_first_of_two_transactions_wins(open_copy: OpenCopy) -> None:
    first, second = open_copy(), open_copy()
    names(second)
    with second.connect() as late:
        late.exec_driver_sql(INSERT, ("late",))
        insert(first, "early")
        with pytest.raises(OperationalError, match="database is locked"):
            late.commit()
    assert names(second) == ["early"]
    insert(second, "late")
    assert names(first) == ["early", "late"]


PARAM = "INSERT INTO trial_params (trial_id, param_name, param_value) VALUES (?, ?, 1)"


def test_a_transaction_that_saw_no_change_is_repeated(open_copy: OpenCopy) -> None:
    first, second = open_copy(), open_copy()
    insert(first, "a")
    names(second)
    with second.connect() as late:
        assert late.execute(text("SELECT study_name FROM studies")).scalars().all() == ["a"]
        late.exec_driver_sql(PARAM, (2, "late"))
        with first.begin() as early:
            early.exec_driver_sql(PARAM, (1, "early"))
        late.commit()
    query = text("SELECT param_name FROM trial_params ORDER BY param_id")
    with first.connect() as connection:
        assert connection.execute(query).scalars().all() == ["early", "late"]
    assert dump(first) == dump(second)


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE trial_params SET param_value = 2 WHERE param_id = ?", (1,)),
        ("INSERT INTO trials (number, state) VALUES (?, 'RUNNING')", (0,)),
        ("UPDATE trial_params SET param_value = 2 WHERE param_name = ?", ("early",)),
    ],
)
def test_a_transaction_that_saw_a_change_is_not_repeated(
    open_copy: OpenCopy, statement: str, row: tuple[object, ...]
) -> None:
    first, second = open_copy(), open_copy()
    names(second)
    with second.connect() as late:
        late.exec_driver_sql(PARAM, (2, "late"))
        late.exec_driver_sql(statement, row)
        with first.begin() as early:
            early.exec_driver_sql(PARAM, (1, "early"))
            early.exec_driver_sql("INSERT INTO trials (number, state) VALUES (0, 'RUNNING')")
        with pytest.raises(OperationalError, match="database is locked"):
            late.commit()
    assert dump(first)[-1] == "COMMIT;"
    find_replica(first).look()
    assert dump(first) == dump(second)


def test_a_constraint_that_others_made_violated(open_copy: OpenCopy) -> None:
    first, second = open_copy(), open_copy()
    names(second)
    with second.connect() as late:
        late.exec_driver_sql(INSERT, ("a",))
        insert(first, "a")
        with pytest.raises(IntegrityError):
            late.commit()
    assert names(second) == ["a"]


def test_what_a_transaction_read_is_still_so_when_it_commits(open_copy: OpenCopy) -> None:
    first, second = open_copy(), open_copy()
    names(second)
    with second.connect() as late:
        assert late.execute(text("SELECT count(*) FROM studies")).scalar() == 0
        insert(first, "early")
        late.exec_driver_sql(INSERT, ("the only one",))
        with pytest.raises(OperationalError, match="database is locked"):
            late.commit()
    assert names(second) == ["early"]


@pytest.mark.parametrize("changes_what_was_read", [True, False])
def test_a_thread_that_read_before_another_wrote(
    open_copy: OpenCopy, changes_what_was_read: bool
) -> None:
    engine = open_copy()
    insert(engine, "a")
    with engine.connect() as late:
        query = "SELECT count(*) FROM studies WHERE study_name != 'b'"
        assert late.execute(text(query)).scalar() == 1
        thread = threading.Thread(
            target=insert, args=(engine, "c" if changes_what_was_read else "b")
        )
        thread.start()
        thread.join()
        if changes_what_was_read:
            with pytest.raises(OperationalError, match="database is locked"):
                late.exec_driver_sql(INSERT, ("d",))
            late.rollback()
        else:
            late.exec_driver_sql(INSERT, ("d",))
            late.commit()
    assert names(engine) == (["a", "c"] if changes_what_was_read else ["a", "b", "d"])


def test_what_is_read_for_an_update_is_new_and_locked(open_copy: OpenCopy, folder: Path) -> None:
    first, second = open_copy(), open_copy(max_age=1e9)
    names(second)
    insert(first, "a")
    query = select(StudyModel.study_name)
    with second.connect() as reading:
        assert reading.execute(query).scalars().all() == []
    with second.connect() as changing:
        assert changing.execute(query.with_for_update()).scalars().all() == ["a"]
        other = sqlite3.connect(find_replica(second).copy.path, timeout=0.0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        changing.commit()
        other.execute("BEGIN IMMEDIATE")
        other.close()
    assert len(os.listdir(folder / "log")) == 2


def test_what_is_rolled_back_is_not_in_the_log(open_copy: OpenCopy, folder: Path) -> None:
    first = open_copy()
    insert(first, "a")
    before = os.listdir(folder / "log")
    with first.connect() as connection:
        connection.exec_driver_sql(INSERT, ("b",))
        connection.rollback()
    with first.begin() as connection, pytest.raises(IntegrityError):
        connection.exec_driver_sql(INSERT, ("a",))
    with first.begin() as connection:
        connection.execute(text("DELETE FROM studies WHERE study_name = 'missing'"))
    assert os.listdir(folder / "log") == before
    with first.begin() as connection:
        connection.exec_driver_sql(INSERT, ("c",))
        inner = connection.begin_nested()
        connection.exec_driver_sql(INSERT, ("d",))
        inner.rollback()
        with connection.begin_nested():
            connection.exec_driver_sql(INSERT, ("e",))
    second = open_copy()
    assert names(second) == ["a", "c", "e"]
    assert dump(first) == dump(second)


def test_rows_of_which_one_fails(open_copy: OpenCopy) -> None:
    engine = open_copy()
    with engine.connect() as connection:
        with pytest.raises(IntegrityError):
            connection.exec_driver_sql(INSERT, [("a",), ("a",)])
        with pytest.raises(OperationalError, match="failed halfway"):
            connection.commit()
    assert names(engine) == names(open_copy()) == []


def test_values_of_all_types(open_copy: OpenCopy) -> None:
    values = ["ä\0\U0001f600'", 2**63 - 1, -0.0, float("inf"), 1e-308, None, b"\0\xff", True]
    first = open_copy()
    with first.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO trial_params (trial_id, param_value) VALUES (?, ?)",
            list(enumerate(values)),
        )
    second = open_copy()
    query = text("SELECT param_value, typeof(param_value) FROM trial_params ORDER BY trial_id")
    with first.connect() as one, second.connect() as other:
        rows = one.execute(query).all()
        assert other.execute(query).all() == rows
    assert len(rows) == len(values)


def test_a_base_stands_for_the_log_before_it(open_copy: OpenCopy, folder: Path) -> None:
    first = open_copy()
    for name in "abc":
        insert(first, name)
        find_replica(first).write_base()
    insert(first, "d")
    kept = sorted(os.listdir(folder / "base"))
    assert kept == ["0000000003.z", "0000000004.z"]
    for number in (1, 2, 3):
        (folder / entries.name_entry(number)).unlink()
    second = open_copy()
    assert names(second) == ["a", "b", "c", "d"]
    assert dump(second) == dump(first)


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_a_damaged_base_is_not_used(
    open_copy: OpenCopy, folder: Path, damage: bytes | None
) -> None:
    first = open_copy()
    insert(first, "a")
    find_replica(first).write_base()
    base = folder / bases.name_base(2)
    base.write_bytes(base.read_bytes()[:-20] if damage is None else damage)
    insert(first, "b")
    assert names(open_copy()) == ["a", "b"]


def test_a_missing_entry_is_named(open_copy: OpenCopy, folder: Path) -> None:
    first = open_copy()
    for name in "ab":
        insert(first, name)
    (folder / entries.name_entry(2)).unlink()
    with pytest.raises(StudyError, match=r"log/0000000002\.z is missing, but later entries exist"):
        names(open_copy())


def test_a_log_that_was_begun_anew(open_copy: OpenCopy, folder: Path) -> None:
    first = open_copy()
    insert(first, "a")
    for each in (folder / "log").iterdir():
        each.unlink()
    second = open_copy()
    for name in "bcd":
        insert(second, name)
    with pytest.raises(StudyError, match="begun anew"):
        names(first)
    assert names(second) == ["b", "c", "d"]


def test_a_copy_that_is_wrong_is_made_anew(open_copy: OpenCopy) -> None:
    first, second = open_copy(), open_copy()
    insert(first, "a")
    assert names(second) == ["a"]
    with sqlite3.connect(find_replica(second).copy.path) as behind:
        behind.execute("DELETE FROM studies")
    behind.close()
    with first.begin() as connection:
        connection.execute(text("UPDATE studies SET study_name = 'b' WHERE study_name = 'a'"))
    find_replica(second).look()
    assert names(second) == ["b"]
    insert(second, "c")
    assert names(first) == ["b", "c"]


def test_a_forked_process_has_a_copy_of_its_own(open_copy: OpenCopy) -> None:
    engine = open_copy()
    insert(engine, "a")
    child = os.fork()
    if child == 0:
        try:
            insert(engine, "child")
            os._exit(0 if names(engine) == ["a", "child"] else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert names(engine) == ["a", "child"]


def test_copies_that_are_opened_at_once_found_one_log(open_copy: OpenCopy, folder: Path) -> None:
    engines = [open_copy() for _ in range(4)]
    threads = [threading.Thread(target=names, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(folder / "log") == ["0000000001.z"]
    assert len({tuple(dump(engine)) for engine in engines}) == 1


def test_optuna_by_url(folder: Path) -> None:
    url = f"bucket+file://{folder}?max_age=0"
    study = optuna.create_study(study_name="s", storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=4, n_jobs=2)
    other = optuna.load_study(study_name="s", storage=url)
    assert [t.number for t in other.trials] == [0, 1, 2, 3]
    other.enqueue_trial({"x": 0.5})
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=1)
    assert other.trials[4].params == {"x": 0.5}


def test_a_file_that_is_no_entry_of_the_log_is_named_at_once(
    open_copy: OpenCopy, folder: Path
) -> None:
    insert(open_copy(), "a")
    (folder / "log/9999999999.z").write_bytes(b"")
    with pytest.raises(StudyError, match=r"0000000003.z is missing, .* last one is .*9999999999"):
        names(open_copy())


def test_an_entry_that_cannot_be_executed_is_an_error_of_the_study(
    open_copy: OpenCopy, folder: Path
) -> None:
    insert(open_copy(), "a")
    last = entries.decode_entry((folder / "log/0000000002.z").read_bytes(), "2")
    hostile = entries.Entry("x", last.id, 0, [("DROP TABLE trials", ())])
    (folder / "log/0000000003.z").write_bytes(entries.encode_entry(hostile))
    with pytest.raises(StudyError, match=r"an entry that cannot be executed: .*0000000003"):
        names(open_copy())


@pytest.mark.parametrize("name", ["x" * 300, "file/below", "self/below"])
def test_a_folder_that_can_never_be_one_is_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "self").symlink_to("self")

    def sleep(seconds: float) -> None:
        raise AssertionError("there is nothing to wait for")

    engine = create_engine(f"bucket+file://{tmp_path}/{name}", connect_args={"sleep": sleep})
    with pytest.raises(StudyError) as caught:
        names(engine)
    assert "database is locked" not in str(caught.value)


def test_a_folder_that_vanished_is_said(
    open_copy: OpenCopy, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = iter(range(10_000))
    engine = open_copy(clock=lambda: float(next(now)), sleep=lambda seconds: None)
    insert(engine, "a")
    shutil.rmtree(folder)
    with pytest.raises(OperationalError, match="is not there"):
        insert(engine, "b")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "is not there" in said[0]


def test_an_unknown_option_of_a_url_is_refused(folder: Path) -> None:
    with pytest.raises(StudyError, match="unknown option 'timeout'"):
        names(create_engine(f"bucket+file://{folder}?timeout=3"))


def test_a_suspended_writer_finds_that_the_log_was_removed(
    open_copy: OpenCopy, folder: Path
) -> None:
    now = 0.0
    engine = open_copy(clock=lambda: now)
    insert(engine, "a")
    shutil.rmtree(folder / "log")
    now = 3600.0
    with pytest.raises(StudyError, match="was removed while this process had it open"):
        insert(engine, "b")
    assert not list(folder.rglob("*.z")), "a new log may begin there"


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_heartbeats_of_optuna_have_one_time_everywhere(folder: Path, open_copy: OpenCopy) -> None:
    storage = optuna.storages.RDBStorage(f"bucket+file://{folder}", heartbeat_interval=60)
    study = optuna.create_study(storage=storage)
    trial_id = storage.create_new_trial(study._study_id)
    for _ in range(2):
        storage.record_heartbeat(trial_id)
    other = open_copy()
    query = text("SELECT heartbeat FROM trial_heartbeats")
    with storage.engine.connect() as one, other.connect() as another:
        first = one.execute(query).scalar_one()
        assert another.execute(query).scalar_one() == first
    assert dump(other) == dump(storage.engine)


def test_an_owner_looks_less_often(open_copy: OpenCopy) -> None:
    now = 0.0
    store = MemoryStore()
    engine = open_copy(store=store, max_age=None, clock=lambda: now)
    insert(engine, "a")
    relax(engine, 4.0)
    before = store.requests
    now = 2.0
    names(engine)
    now = 3.9
    names(engine)
    assert store.requests == before
    now = 4.1
    names(engine)
    assert store.requests == before + 1
    settle(engine)
    before, now = store.requests, 5.2
    names(engine)
    assert store.requests == before + 1
    exact = open_copy(store=store, max_age=-1.0)
    relax(exact, 4.0)
    before = store.requests
    names(exact)
    assert store.requests > before, "what was given explicitly is kept"
