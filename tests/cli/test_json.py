"""Commands, files and rows are strict JSON, whatever numbers a run reports."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import sign_in
from tune_jobs.cli.main import build_parser, main

STUDY = """\
study: wild
direction: maximize
command: [sh, train.sh]
metric: value
step: epoch
extra_metrics: [loss, gain]
parameters:
  x: {type: int, low: 1, high: 100}
metric_constraints: {memory: <= 2}
n_trials: 12
max_parallel: 2
sampler: {name: random, seed: 1}
"""

# The metric itself, further metrics and a constrained one are nan or infinite at some step.
TRAIN = """\
x=${1#--x=}
echo "epoch 0 value: nan loss: inf gain: -inf memory: nan"
echo "epoch 1 value: inf loss: nan gain: nan memory: inf"
case $x in *[02468]) m=inf;; *5) m=nan;; *) m=1;; esac
echo "epoch 2 value: $x loss: nan gain: -inf memory: $m"
"""

Printed = Callable[..., Any]


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Run a command with ``--json``; return what it prints, parsed strictly."""
    (tmp_path / "train.sh").write_text(TRAIN)
    (tmp_path / "study.yaml").write_text(STUDY)

    def call(command: str, *arguments: str, study: str = "study.yaml") -> Any:
        code = main([command, study, *arguments, "--json"])
        assert code == 0 or (command, code) == ("check", 1), capsys.readouterr().err
        return strict(capsys.readouterr().out)

    return call


def test_every_command_and_file_and_row_is_strict(printed: Printed, tmp_path: Path) -> None:
    printed("init", "--force", "--no-run", "-o", "other.yaml", study="train.sh")
    printed("check")
    printed("preview")
    done = printed("run")
    assert done["trials"]["COMPLETE"] >= 2
    best = str(done["best"][0]["trial"])
    shown = printed("show", best)
    assert shown["intermediate_values"]["0"] == "nan"
    assert shown["user_attrs"]["tune_jobs:metrics"]["loss"] == "nan"
    assert printed("outputs", best)["files"] == []
    final = printed("train-best")
    assert (final["metrics"]["loss"], final["metrics"]["gain"]) == ("nan", "-inf")
    assert printed("train-best") == final, "as its provenance says it"
    for command in ("status", "advise", "replay", "watch"):
        printed(command)
    queued = printed("enqueue", "--param", "x=50", "--again")
    assert printed("withdraw", str(queued["trial"])) == {"withdrawn": queued["trial"]}
    printed("note", "--text", "wild")
    printed("ps")
    database = f"sqlite:///{tmp_path}/wild.db"
    printed("compare", study=database)
    chosen = printed("compare", "--objective=value", "--group=name", study=database)
    assert (chosen["objective"], chosen["winners"][0]["group"]) == ("max:value", "")
    printed("report", study=database)
    for page in ("", "/s0-1", "/s0-1/trials"):
        answer = sign_in([database]).get(f"/api/studies{page}", base_url="http://localhost")
        strict(answer.text)
    _check_files(tmp_path)
    _check_rows(tmp_path / "wild.db")
    assert printed("delete", "--yes")["runs"] >= 12


def _check_files(folder: Path) -> None:
    names = set()
    for path in folder.rglob("*.json*"):
        names.add(path.name)
        text = path.read_text()
        for document in text.splitlines() if path.suffix == ".jsonl" else [text]:
            strict(document)
    assert {"provenance.json", "run.jsonl", "trial-000000-1.jsonl"} <= names


def _check_rows(path: Path) -> None:
    database = sqlite3.connect(path)
    rows = database.execute(
        "SELECT value_json FROM trial_user_attributes UNION SELECT value_json FROM "
        "study_user_attributes UNION SELECT value_json FROM trial_system_attributes UNION "
        "SELECT invocation FROM tune_jobs_attempts UNION SELECT definition FROM tune_jobs_studies"
    ).fetchall()
    assert len(rows) > 10
    for (text,) in rows:
        strict(text)


COVERED = {"advise", "check", "preview", "run", "show", "train-best", "status", "replay", "watch"}
COVERED |= {"compare", "report", "init", "outputs", "ps", "delete", "enqueue", "withdraw", "note"}
ELSEWHERE = {"doctor"}  # in tests/backends/data_science/doctor, as it needs services
WITHOUT_NUMBERS = {"pause", "resume", "stop", "cancel", "set", "logs", "dashboard", "pull", "push"}


def test_no_command_is_forgotten() -> None:
    (subparsers,) = (
        a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)
    )
    assert set(subparsers.choices) == COVERED | ELSEWHERE | WITHOUT_NUMBERS
