"""Studies are copied between a bucket and a plain SQLite file."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from tune_jobs.cli.exit_codes import UNUSABLE
from tune_jobs.cli.main import main
from tune_jobs.storage.bucket import transfer


def build_study(url: str, trials: int = 2) -> optuna.Study:
    study = optuna.create_study(study_name="s", storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=trials)
    study.set_user_attr("note", "ä")
    return study


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def test_there_and_back(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "_ROWS", 2)
    url, file, back = f"bucket+file://{folder}", tmp_path / "study.db", tmp_path / "back.db"
    original = tmp_path / "original.db"
    trials = build_study(f"sqlite:///{original}").trials
    before = original.read_bytes()
    assert main(["push", str(original), url]) == 0
    assert original.read_bytes() == before
    assert optuna.load_study(study_name="s", storage=url).trials == trials
    assert main(["pull", url, str(file)]) == 0
    assert capsys.readouterr().out == f"written: {url}\nwritten: {file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pulled = optuna.load_study(study_name="s", storage=f"sqlite:///{file}")
    assert pulled.trials == trials
    assert pulled.user_attrs == {"note": "ä"}
    pulled.add_trial(optuna.trial.create_trial(value=1.0))
    transfer.push(file, f"{url}/other")
    transfer.pull(f"{url}/other", back)
    assert dump(back) == dump(file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "{url}", "new.db"], "there is no study in bucket+file:///"),
        (["pull", "{full}", "study.db"], "study.db exists: name another file"),
        (
            ["pull", "sqlite:///study.db", "new.db"],
            "'sqlite:///study.db' is not in a bucket: write",
        ),
        (["push", "nope.db", "{url}"], "file nope.db does not exist"),
        (["push", "text.db", "{url}"], "text.db cannot be written to bucket+file:///"),
        (["push", "study.db", "{full}"], "there is a study in bucket+file:///"),
        (["push", "study.db", "study2.db"], "'study2.db' is not in a bucket: write oci://"),
        (["pull", "{full}?max_age=x", "new.db"], "max_age=x is not a number of seconds"),
        (["pull", "bucket+file://here/x", "new.db"], "invalid storage bucket+file://here/x: write"),
    ],
)
def test_what_is_refused(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    urls = {"{url}": f"bucket+file://{folder}", "{full}": f"bucket+file://{folder}-full"}
    urls["{full}?max_age=x"] = f"{urls['{full}']}?max_age=x"
    (tmp_path / "text.db").write_text("not a database, but text")
    if "study.db" in arguments:
        build_study("sqlite:///study.db", 1)
    if any(argument.startswith("{full}") for argument in arguments):
        build_study(urls["{full}"], 1)
    assert main([urls.get(word, word) for word in arguments]) == UNUSABLE
    assert message in capsys.readouterr().err
    assert not folder.exists()
    assert not (tmp_path / "new.db").exists()
