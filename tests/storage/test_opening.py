"""Open studies that exist; nothing is created, and the message has the fix."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import OperationalError

from tests.conftest import MakeTuner
from tests.recording_display import RecordingDisplay
from tune_jobs.cli.exit_codes import UNUSABLE
from tune_jobs.cli.main import main
from tune_jobs.dashboard.reading import open_source
from tune_jobs.errors import StudyError
from tune_jobs.storage.connecting import open_or_create_study, open_storage
from tune_jobs.storage.opening import find_missing_file, find_url_problem, open_existing_study
from tune_jobs.tuner import Tuner


@pytest.mark.parametrize(
    ("storage", "problem"),
    [
        ("sqlite:///nope.db", "the database nope.db does not exist"),
        ("sqlite:///nope.db?timeout=3", "the database nope.db does not exist"),
        ("sqlite+pysqlite:///deep/nope.db", "the database deep/nope.db does not exist"),
        ("mydb.db", "'mydb.db' is not the URL of a database: write sqlite:///mydb.db"),
        ("journal.log", "JournalStorage(JournalFileBackend('journal.log'))"),
        ("really-sqlite", "write sqlite:///really-sqlite"),
        ("foo://bar", "foo"),
        ("sqlite:///there.db", "has no study 's'; it has: 'other'"),
        ("postgresql://u:secret@127.0.0.1:1/x", "the storage postgresql://u:***@127.0.0.1:1/x"),
    ],
)
def test_what_cannot_be_opened(storage: str, problem: str, tmp_path: Path) -> None:
    optuna.create_study(study_name="other", storage="sqlite:///there.db")
    (tmp_path / "really-sqlite").write_bytes((tmp_path / "there.db").read_bytes())
    before = sorted(tmp_path.rglob("*"))
    for call in (open_existing_study, Tuner.attach):
        with pytest.raises(StudyError) as error:
            call("s", storage)
        assert problem in str(error.value)
        assert "secret" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_can_be_opened() -> None:
    journal = JournalStorage(JournalFileBackend("j.log"))
    for storage in ("sqlite:///s.db", "sqlite:///s2.db?timeout=5", journal):
        optuna.create_study(study_name="s", storage=storage)
        assert open_existing_study("s", storage).study_name == "s"
        if isinstance(storage, str):
            assert find_missing_file(storage) is None
            assert find_url_problem(storage) == ""
            assert [head.name for head in open_source(storage, "").heads()] == ["s"]
    assert find_missing_file("sqlite://") is None


def test_opening_waits_for_a_database_that_is_locked(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_jobs.storage.retry.CONTENTION", 0.0)
    optuna.create_study(study_name="s", storage="sqlite:///s.db", direction="maximize")
    study = optuna.load_study(study_name="s", storage="sqlite:///s.db?timeout=0.01")
    other = sqlite3.connect("s.db", isolation_level=None, check_same_thread=False)

    class Unlocks(RecordingDisplay):
        def say(self, line: str) -> None:
            super().say(line)
            if "does not answer" in line and other.in_transaction:
                other.execute("ROLLBACK")

    display = Unlocks()
    tuner = make_tuner(study=study, progress=display)
    assert tuner.left_behind() == []
    assert display.lines == []
    other.execute("BEGIN EXCLUSIVE")
    assert len(tuner.optimize(n_trials=1).trials) == 1
    assert len(display.show("database is locked")) == 1
    other.close()


def test_a_server_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr("tune_jobs.storage.connecting.OPENING_PATIENCE", 0.0)
    Path("train.sh").touch()
    Path("study.yaml").write_text(
        "study: s\ndirection: maximize\ncommand: [sh, train.sh]\nmetric: value\n"
        "parameters: {x: [1, 2]}\nn_trials: 1\nstorage: postgresql+psycopg://user:secret@127.0.0.1:1/db\n"
    )
    assert main(["run", "study.yaml"]) == UNUSABLE
    error = capsys.readouterr().err
    assert "Connection refused" in error
    assert "secret" not in error
    assert "Traceback" not in error


def test_a_study_that_another_process_creates_at_the_same_moment_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    storage, rival = open_storage(url), RDBStorage(url)
    refused = OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))
    errors: list[Exception] = [optuna.exceptions.StorageInternalError()]
    errors[0].__cause__ = refused
    create = RDBStorage.create_new_study

    def lose(storage: RDBStorage, **arguments: Any) -> int:
        if errors:
            create(rival, **arguments)
            raise errors.pop()
        return create(storage, **arguments)

    monkeypatch.setattr(RDBStorage, "create_new_study", lose)
    study = open_or_create_study("s", storage, url, ["maximize"])
    assert not errors
    assert [d.name for d in study.directions] == ["MAXIMIZE"]
    assert optuna.get_all_study_names(url) == ["s"]
