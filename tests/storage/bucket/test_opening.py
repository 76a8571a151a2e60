"""Who opens a log, how, and what they leave there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import NotSupportedError, OperationalError

from tests.oci_emulator import Emulator
from tests.other_user import COLLEAGUE, GROUP, USER, call_as, needs_root, open_folder
from tests.storage.bucket.conftest import INSERT, OpenCopy, dump, find_replica, insert, names
from tests.storage.bucket.faulty_store import MemoryStore
from tune_jobs.dashboard.reading import open_source
from tune_jobs.errors import StudyError
from tune_jobs.runtime.oci_answers import PERMISSION, Meaning
from tune_jobs.storage.bucket import bases, requests
from tune_jobs.storage.bucket.opening import open_store
from tune_jobs.storage.bucket.stores import BucketTrouble
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.opening import open_existing_study
from tune_jobs.storage.retry import write_beside_owner

OLD = Path(__file__).parent / "data"
"""A log that tune_jobs 0.2 and Optuna 5.0 wrote."""
OLD_VALUES = [0.40157674526914533, 0.693645808499856, 0.00011013871299877972]


def in_processes(count: int, function: Callable[[], object]) -> list[int]:
    """Call a function in several processes at the same moment; return their exit codes."""
    waiting, starting = os.pipe()
    children = []
    for _ in range(count):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads
            child = os.fork()
        if child == 0:
            try:
                os.close(starting)
                os.read(waiting, 1)
                function()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    os.close(waiting)
    os.close(starting)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_processes_open_an_empty_prefix(folder: Path) -> None:
    names(create_engine(f"bucket+file://{folder}-warm-up"))
    codes = in_processes(3, lambda: RDBStorage(f"bucket+file://{folder}"))
    assert codes == [0, 0, 0]
    assert os.listdir(folder / "log") == ["0000000001.z"]


def test_a_log_of_an_earlier_version(folder: Path) -> None:
    shutil.copytree(OLD, folder)
    study = open_existing_study("old", f"bucket+file://{folder}")
    assert [trial.value for trial in study.trials] == OLD_VALUES
    assert study.user_attrs["note"] == "ä"
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert len(os.listdir(folder / "log")) > len(os.listdir(OLD / "log"))


def test_who_looks_on_writes_nothing() -> None:
    store = MemoryStore()
    arguments = {"connect_args": {"store": store}}
    study = optuna.create_study(storage=RDBStorage("oci://b@n/p", arguments), study_name="s")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    sent = store.sent
    other = RDBStorage("oci://b@n/p", arguments)
    assert len(optuna.load_study(study_name="s", storage=other).trials) == 1
    assert store.sent == sent


@pytest.fixture
def read_only_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A study ``s`` in a bucket from which this user may only read."""
    with Emulator(tmp_path / "oci") as emulator:
        monkeypatch.setenv("OCI_CONFIG_LOCATION", str(emulator.config_file))
        monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
        url = f"oci://tune-jobs@{emulator.namespace}/x"
        study = optuna.create_study(study_name="s", storage=url)
        study.add_trial(optuna.trial.create_trial(value=1.0))
        emulator.access.groups["tuners"] = {emulator.world.user}
        emulator.access.permit("allow group tuners to read objects in tenancy")
        yield url


def test_who_looks_on_needs_no_right_to_write(
    read_only_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "READABLE_PATIENCE", 0.0)
    never = SimpleNamespace(sleep=refuse_to_wait)
    monkeypatch.setattr("optuna.storages._rdb.storage.time", never)
    study = optuna.load_study(study_name="s", storage=read_only_url)
    assert study.best_value == 1.0
    assert [head.name for head in open_source(read_only_url, "").heads()] == ["s"]
    refusal = r"/x can be read, but cannot be written: 404 .* to manage objects in .*'tune-jobs'"
    for write in (
        lambda: study.enqueue_trial({"x": 1.0}),
        lambda: study.set_user_attr("a", 1),
        lambda: optuna.create_study(study_name="t", storage=read_only_url),
        lambda: write_beside_owner(find_ledger_engine(study), pause),
    ):
        with pytest.raises(StudyError, match=refusal) as caught:
            write()
        assert "create it" not in str(caught.value)  # since the bucket exists
    assert len(study.trials) == 1


def pause(connection: Connection) -> None:
    connection.exec_driver_sql(INSERT, ("pause",))


def refuse_to_wait(seconds: float) -> None:
    raise AssertionError("Optuna repeats what was refused")


def test_a_lost_race_is_no_permission_to_write() -> None:
    """A store that says that an entry exists need not let this user create one."""

    class ReadOnly(MemoryStore):
        def put_if_absent(self, name: str, data: bytes) -> bool:
            if name in self.objects:
                return False
            raise BucketTrouble("403", Meaning(PERMISSION, 600.0))

    store, read_only = MemoryStore(), ReadOnly()
    read_only.objects = store.objects
    first, second = (
        create_engine("oci://b@n/p", connect_args={"store": each, "max_age": 1e9})
        for each in (store, read_only)
    )
    insert(first, "a")
    assert names(second) == ["a"]
    insert(first, "b")
    find_replica(second).requests._sleep = lambda seconds: None
    find_replica(second).requests._clock = iter(range(100)).__next__
    with pytest.raises(OperationalError, match="changed in this moment"):
        insert(second, "c")
    with pytest.raises(StudyError, match="cannot be written: 403"):
        insert(second, "c")


@contextmanager
def open_shared_folder(mode: int) -> Iterator[Path]:
    """Yield a folder of another user and group, with these permissions."""
    with open_folder() as around:
        folder = around / "shared"
        folder.mkdir()
        os.chown(folder, USER, GROUP)
        folder.chmod(mode)
        names(create_engine(f"bucket+file://{around}/warm-up"))  # a user cannot import everything
        yield folder


@needs_root
def test_who_looks_on_needs_no_right_to_write_in_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "READABLE_PATIENCE", 0.0)
    with open_shared_folder(0o2750) as folder:
        url = f"bucket+file://{folder}/study"

        def write() -> object:
            engine = create_engine(url)
            insert(engine, "a")
            for path in (folder / "study", *(folder / "study").iterdir()):
                path.chmod(0o2750)
                for file in path.glob("*.z"):
                    file.chmod(0o640)
            return names(engine)

        def look_on() -> object:
            engine = create_engine(url)
            found = names(engine)
            with pytest.raises(
                StudyError, match=r"can be read, but cannot be written: .*"
            ) as error:
                insert(engine, "b")
            return found, str(error.value)

        assert call_as(USER, write, groups=[GROUP]) == "['a']"
        answer = call_as(COLLEAGUE, look_on, groups=[GROUP])
        assert answer.startswith("(['a'], ")
        assert f"{folder}/study/log cannot be written to by" in answer
        assert "chgrp GROUP" in answer


def test_nothing_is_created_by_looking_for_it(folder: Path) -> None:
    url = f"bucket+file://{folder}"
    with pytest.raises(StudyError, match="there is no study in bucket"):
        open_existing_study("s", url)
    with pytest.raises(StudyError, match="no storage 'bucket"):
        open_source(url, "")
    assert not folder.exists()


def test_a_url_with_escapes_is_decoded_once() -> None:
    from sqlalchemy.engine import make_url

    assert open_store(make_url("bucket+file:///x/a%2Fb%20c")).url == "bucket+file:///x/a/b c"
    for url in ("bucket+file:///x/a%252Fb", "oci://bucket@namespace/100%25", "oci://b@n/a%3Fb"):
        with pytest.raises(StudyError, match=r"invalid storage .*'[%?]' in a prefix \(%2F is"):
            open_store(make_url(url))


def test_a_migration_of_optuna_is_refused_with_the_commands(folder: Path) -> None:
    url = f"bucket+file://{folder}"
    storage = RDBStorage(url)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    commands = rf"pull {re.escape(url)} study\.db`.*`optuna storage upgrade.*`tune-jobs push study"
    with pytest.raises(NotSupportedError, match=commands):
        storage.upgrade()


@pytest.mark.parametrize(
    "url", ["oci:///x", "bucket+file://here/x", "bucket+file://", "bucket+s3:///x"]
)
def test_urls_that_are_none(url: str) -> None:
    from sqlalchemy.engine import make_url

    with pytest.raises(StudyError, match=r"invalid storage .*: write oci://bucket@namespace"):
        open_store(make_url(url))


def test_a_base_that_is_replaced_while_it_is_opened() -> None:
    store = MemoryStore()
    first = create_engine("oci://b@n/p", connect_args={"store": store})
    for name in "abc":
        insert(first, name)
        find_replica(first).write_base()

    class Replacing(MemoryStore):
        """A store in which the listed bases are gone when they are read."""

        def get(self, name: str, limit: int) -> bytes | None:
            if name.startswith(bases.FOLDER) and name in store.objects:
                insert(first, name)
                find_replica(first).write_base()
                store.delete(name)
            return store.get(name, limit)

        def list(self, folder: str, start: str = "") -> list[str]:
            return store.list(folder, start)

    second = create_engine("oci://b@n/p", connect_args={"store": Replacing()})
    assert names(second) == names(first)
    assert dump(second) == dump(first)


def test_every_base_equals_the_log(open_copy: OpenCopy, folder: Path) -> None:
    first = open_copy()
    for number in range(4):
        insert(first, str(number))
        find_replica(first).write_base()
        opened = open_copy()
        names(opened)
        shutil.rmtree(folder / "base")
        replayed = open_copy()
        names(replayed)
        assert dump(opened) == dump(replayed) == dump(first)


@needs_root
def test_two_users_share_a_folder() -> None:
    with open_shared_folder(0o2770) as folder:
        url = f"bucket+file://{folder}/study"

        def write(name: str) -> Callable[[], object]:
            def call() -> object:
                os.umask(0o077)
                engine = create_engine(url)
                insert(engine, name)
                find_replica(engine).write_base()
                return names(engine)

            return call

        assert call_as(USER, write("a"), groups=[GROUP]) == "['a']"
        assert call_as(COLLEAGUE, write("b"), groups=[GROUP]) == "['a', 'b']"
        assert call_as(USER, write("c"), groups=[GROUP]) == "['a', 'b', 'c']"
        modes = {stat.S_IMODE(p.stat().st_mode) for p in (folder / "study").rglob("*.z")}
        assert modes == {0o660}
        refused = call_as(COLLEAGUE + 10, lambda: names(create_engine(url)))
        assert "Permission denied" in refused
        assert "cannot be entered by" in refused
