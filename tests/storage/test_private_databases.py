"""New databases are private, and a database of another user is refused with the fix."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import create_engine, text

from tests.conftest import MakeTuner
from tests.other_user import COLLEAGUE, GROUP, USER, call_as, needs_root, open_folder
from tune_jobs.dashboard.reading import open_source
from tune_jobs.errors import StudyError
from tune_jobs.storage.connecting import open_storage
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.opening import find_missing_file, open_existing_study
from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.sqlite_files import create_file, find_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_databases_are_private(tmp_path: Path) -> None:
    open_storage(f"sqlite:///{tmp_path}/by-url.db")
    journal = JournalStorage(JournalFileBackend(f"{tmp_path}/journal.log"))
    study = optuna.create_study(storage=journal)
    with find_ledger_engine(study).begin() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    for name in ("by-url.db", "journal.log.tune_jobs.db"):
        assert mode(tmp_path / name) == 0o600, name


def test_the_study_of_a_name_is_private(make_tuner: MakeTuner, tmp_path: Path) -> None:
    make_tuner(study="mine", direction="maximize")
    assert mode(tmp_path / "mine.db") == 0o600


def test_the_store_of_a_study_is_private(make_tuner: MakeTuner, tmp_path: Path) -> None:
    make_tuner().optimize(n_trials=1)
    (study,) = (tmp_path / "runs").iterdir()
    assert (mode(tmp_path / "runs"), mode(study)) == (0o700, 0o700)


def test_local_runs_follow_a_shared_store(make_tuner: MakeTuner, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o2770)
    make_tuner().optimize(n_trials=1)
    (run,) = tmp_path.glob("runs/*/runs/*")
    (metrics,) = tmp_path.glob("runs/*/metrics/*")
    for folder in (run.parent.parent, run.parent, run, run / "work", metrics.parent):
        assert oct(mode(folder)) == oct(0o2770), folder
    for file in (run / "log.txt", run / "run.jsonl", metrics):
        assert oct(mode(file)) == oct(0o660), file


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x.db?uri=true", "mysql://h/x", "nonsense"],
)
def test_no_file_is_created_for_what_is_no_path(url: str, tmp_path: Path) -> None:
    assert find_file(url) is None
    assert find_missing_file(url) is None
    create_file(url)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def database() -> Iterator[Path]:
    """A study in a database that only root may use, in a folder that everybody may enter."""
    with open_folder() as folder:
        path = folder / "s.db"
        storage = open_storage(f"sqlite:///{path}")
        optuna.create_study(study_name="s", storage=storage)
        yield path


def use(path: Path, user: int = USER, groups: tuple[int, ...] = ()) -> dict[str, str]:
    """Return what another user gets for each way to use a database."""
    url = f"sqlite:///{path}"

    def load() -> object:
        return open_existing_study("s", url).study_name

    def read() -> object:
        return [head.name for head in open_source(str(path), "").heads()]

    def write() -> object:
        engine = create_engine(url)

        def insert() -> None:
            with engine.begin() as connection:
                connection.execute(text(f"CREATE TABLE written_{user} (x)"))

        return DatabaseRetry(url, patience=0.0).call(insert)

    read(), load()  # as root, which may import what these need
    return {f.__name__: call_as(user, f, groups=groups) for f in (load, read, write)}


@needs_root
def test_a_private_database_is_refused_with_its_owner(database: Path) -> None:
    for answer in use(database).values():
        assert StudyError.__name__ in answer
        assert f"{database} cannot be read by user {USER}: it belongs to root" in answer


@needs_root
def test_a_readable_database_is_read_and_not_written(database: Path) -> None:
    database.chmod(0o644)
    answers = use(database)
    assert (answers["load"], answers["read"]) == ("s", "['s']")
    assert f"{database} cannot be written by user {USER}: it belongs to root" in answers["write"]


@needs_root
def test_members_of_a_group_share_a_database() -> None:
    with open_folder() as folder:
        shared = folder / "shared"
        shared.mkdir()
        os.chown(shared, 0, GROUP)
        shared.chmod(0o2770)
        url = f"sqlite:///{shared}/s.db"
        optuna.create_study(study_name="s", storage=open_storage(url))
        for user in (USER, COLLEAGUE):
            answers = use(shared / "s.db", user, (GROUP,))
            assert answers == {"load": "s", "read": "['s']", "write": "None"}
