"""What runs where, and the removal of studies."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import create_engine, update

from tests.study_files import SMALL_STUDY
from tune_jobs.cli.main import main
from tune_jobs.config.study_config import load_study
from tune_jobs.config.study_file import build_tuner
from tune_jobs.core.controllers import ControllerRecord
from tune_jobs.storage import intervals
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.owner_identity import identify_process
from tune_jobs.storage.schema import owners
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.session import Session

STUDY = SMALL_STUDY + "n_trials: 2\n"


def write(folder: Path, storage: str) -> str:
    (folder / "train.sh").write_text("echo value: 1\n")
    (folder / "study.yaml").write_text(f"{STUDY}storage: {storage}\n")
    return storage


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def launched(**more: Any) -> ControllerRecord:
    return ControllerRecord("", "local", "me@there", time.time(), **more)


def test_owners_and_controllers_of_a_storage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = write(tmp_path, f"sqlite:///{tmp_path}/s.db")
    tuner = build_tuner(load_study("study.yaml"), Path("study.yaml"))
    with Session(tuner.definition) as session:
        rows = ControllerRows(session.ledger.engine, session.ledger.uid)
        rows.add(launched(run_id=identify_process(), started=time.time()))
        ended = identify_process().replace(f"|{os.getpid()}|", "|4194304|")
        rows.add(launched(run_id=ended, started=time.time()))
        rows.add(launched(run_id="x", finished=1.0))
        session.own()
        here = f"process {os.getpid()} on {os.uname().nodename[:64]}"
        for where in ("study.yaml", storage, "s.db"):
            shown = printed(capsys, "ps", where)
            assert [(each["what"], each["where"]) for each in shown] == [
                ("controller-1", here),
                ("tuner", here),
            ]
            assert {each["storage"] for each in shown} == {storage}
            assert shown[1]["by"] == "controller-1"
            assert time.time() - shown[1]["since"] < 60
        assert main(["delete", "study.yaml", "--yes"]) == 3
        assert f"{here} is tuning study 's'" in capsys.readouterr().err
    assert [each["what"] for each in printed(capsys, "ps", "study.yaml")] == ["controller-1"]


@pytest.mark.parametrize("storage", ["sqlite:///{}/s.db", "bucket+file://{}/bucket"])
def test_a_study_is_removed_and_others_stay(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = write(tmp_path, storage.format(tmp_path))
    assert main(["run", "study.yaml", "-q"]) == 0
    optuna.create_study(study_name="other", storage=url)
    capsys.readouterr()
    assert main(["delete", "study.yaml"]) == 2
    assert "delete asks before it removes study 's': 2 trials" in capsys.readouterr().err
    assert len(list(Path("runs").iterdir())) == 1
    assert printed(capsys, "delete", "study.yaml", "--yes")["whole"] is False
    assert optuna.get_all_study_names(url) == ["other"]
    assert list(Path("runs").iterdir()) == []
    assert main(["run", "study.yaml", "-q"]) == 0, "it can be made again"


def test_a_study_whose_owner_broke_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = write(tmp_path, f"sqlite:///{tmp_path}/s.db")
    short = replace(intervals.DATABASE, ttl=0.2, rival=0.02, progress=0.02, answer=0.02)
    monkeypatch.setattr(intervals, "DATABASE", short)
    assert main(["run", "study.yaml", "-q"]) == 0
    with create_engine(url).begin() as connection:
        connection.execute(update(owners).values(owner="elsewhere|0badcafe|7|123|00000000"))
    assert Tuner.attach("s", url).wait(60.0)
    assert main(["watch", "study.yaml"]) == 0
    assert main(["delete", "study.yaml", "--yes"]) == 0
    assert "waiting for a heartbeat of process 7 on elsewhere" in capsys.readouterr().err
    assert optuna.get_all_study_names(url) == []


def test_the_database_of_one_study_goes_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, f"bucket+file://{tmp_path}/bucket")
    assert main(["run", "study.yaml", "-q"]) == 0
    assert list(Path("bucket/log").iterdir())
    capsys.readouterr()
    assert printed(capsys, "delete", "study.yaml", "--yes")["whole"] is True
    assert [path for path in Path("bucket").rglob("*") if path.is_file()] == []
    assert main(["delete", "study.yaml", "--yes"]) == 3
    assert "there is no study 's' yet" in capsys.readouterr().err
