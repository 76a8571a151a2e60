"""Mistakes on the command line: each is one line that names the thing, its value and the fix."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator

import pytest

from tests.dashboard.conftest import sign_in
from tune_jobs.cli.main import main
from tune_jobs.dashboard import server

WORDS: dict[str, str] = {
    "run nope.yaml": "nope.yaml: cannot be read",
    "run folder": "folder: cannot be read",
    "run train.py": "train.py is a script, and this command reads a study.yaml: `tune-jobs init",
    "status s.db::s": "s.db::s is a storage, and this command reads a study.yaml: give",
    "check train.py": "train.py is a script, and this command reads a study.yaml: `tune-jobs init",
    "show s.db 0": "s.db is a storage, and this command reads a study.yaml: give that, or",
    "dashboard nope.db": "no storage 'nope.db': give a database URL or an existing file",
    "dashboard folder": "no storage 'folder': it is a folder",
    "dashboard train.py": "'train.py' is neither an SQLite database nor a journal of Optuna",
    "dashboard s.db --port 99999": "port 99999 does not exist: choose one from 1024 to 65535",
    "dashboard s.db --port -1": "port -1 does not exist",
    "compare folder": "no storage 'folder': it is a folder",
    "compare s.db::zz": "s.db has no study 'zz'; it has: 's'",
    "report s.db -o nowhere/r.html": "nowhere/r.html cannot be written: No such file or directory",
    "report s.db --images train.py": "images cannot be written to train.py: File exists",
    "show study.yaml 9": "study 's' has no trial 9",
    "logs study.yaml zz": "the study has no job run for 'zz': give a trial number",
    "outputs study.yaml 9": "the study has no job run for '9': give a trial number",
    "run study.yaml --n-trials -3": "n_trials=-3: must be an integer of at least 0",
    "preview study.yaml -n 0": "n=0: must be an integer of at least 1",
    "check study.yaml --set epochs": "invalid --set 'epochs': write NAME=VALUE",
    "check study.yaml --set =3": "invalid --set '=3': write NAME=VALUE",
    "check study.yaml --set a=[1": "--set a:1: invalid YAML",
    "set study.yaml --max-parallel 0": "max_parallel=0: must be an integer of at least 1",
    "replay study.yaml --pruner zz": "--pruner:1: 'zz' is unknown",
    "replay study.yaml --pruner {": "--pruner:1: invalid YAML",
    "replay study.yaml --max-parallel 0": "max_parallel=0: must be an integer of at least 1",
    "pause study.yaml": "no process is tuning study 's'",
}


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("words", WORDS)
def test_commands(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(words.split(" ")) in (2, 3)
    printed = capsys.readouterr().err
    assert printed.startswith("tune-jobs: ")
    assert WORDS[words] in printed


@pytest.mark.usefixtures("tuned")
def test_nothing_has_a_rate_if_nothing_is_tuned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "study.yaml"]) == 0
    printed = "".join(capsys.readouterr())
    assert "no process is tuning this study" in printed
    assert "1 done" in printed
    assert "rate" not in printed


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("shown", [1, 500])
def test_a_pager_that_has_ended(shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["preview", "study.yaml", "-n", str(shown)]) == 128 + signal.SIGPIPE


@pytest.fixture
def locked() -> Iterator[sqlite3.Connection]:
    """Lock the database of the study."""
    connection = sqlite3.connect("s.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield connection
    connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let drivers of databases wait for a moment only."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.05}))
    monkeypatch.setattr(sqlite3.dbapi2, "connect", sqlite3.connect)
    monkeypatch.setattr(server, "READ_PATIENCE", 0.2)


@pytest.mark.usefixtures("tuned", "impatient")
def test_the_page_of_a_database_that_is_locked() -> None:
    client = sign_in(["s.db"])
    assert client.get("/api/studies", base_url="http://localhost").status_code == 200
    lock = sqlite3.connect("s.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    answer = client.get("/api/studies/s0-1", base_url="http://localhost")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"] == (
        "the database does not answer: database is locked: another process holds it: wait until it "
        "has ended, or end it"
    )
    lock.close()
    assert client.get("/api/studies/s0-1", base_url="http://localhost").status_code == 200


@pytest.mark.usefixtures("tuned", "impatient", "locked")
@pytest.mark.parametrize("words", ["status study.yaml", "compare s.db", "show study.yaml 0"])
def test_commands_on_a_database_that_is_locked(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(words.split()) == 3
    printed = capsys.readouterr().err
    assert "database is locked: another process holds it" in printed
    assert "SQL" not in printed
