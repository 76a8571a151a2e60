"""``tune-jobs check --log``: what would be read from a log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tune_jobs.cli.main import main

LOG = """\
Epoch 1/2
loss: 0.7:  50%|\u2588\u2588   | 1/2 [00:01<00:01]\r\
loss: 0.5: 100%|\u2588\u2588\u2588\u2588| 2/2 [00:02<00:00]
validation accuracy is 0.81 (35ms)
Epoch 2/2
loss: 0.25: 100%|\u2588\u2588\u2588\u2588| 2/2 [00:02<00:00]
validation accuracy is 0.84 (35ms)
"""
STUDY = """\
study: digits
storage: sqlite:///s.db
metric: {name: accuracy, pattern: 'accuracy is (\\S+)'}
direction: maximize
step: epoch
parameters: {lr: {type: float, low: 0.1, high: 1.0}}
script: train.py
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("train.log").write_text(LOG, encoding="utf-8")
    return "train.log"


def test_values_are_shown_with_their_lines(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--log", log, "--metric", "loss", "--step", "epoch"]) == 0
    out = capsys.readouterr().out
    assert "train.log: 6 lines" in out
    assert "loss: 2 values, 2 steps; the last is 0.25" in out
    assert [line.split()[:3] for line in out.splitlines()[4:6]] == [
        ["2", "1", "0.5"],
        ["5", "2", "0.25"],
    ]


def test_an_unread_metric_is_explained(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--log", log, "--metric", "accuracy", "--json"]) == 1
    metric = json.loads(capsys.readouterr().out)["metrics"]["accuracy"]
    assert metric["values"] == []
    pattern = metric["problem"].split("set its pattern to '")[1].rstrip("'")
    arguments = ["check", "--log", log, "--metric", "accuracy", "--pattern", pattern, "--json"]
    assert main([*arguments, "--step", "epoch"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["metrics"]["accuracy"]["values"] == [
        {"line": 3, "step": 1, "value": 0.81},
        {"line": 6, "step": 2, "value": 0.84},
    ]


def test_a_log_from_standard_input(log: str) -> None:
    command = [sys.executable, "-m", "tune_jobs.cli", "check", "--log", "-", "--metric", "loss"]
    done = subprocess.run(command, input=LOG.encode(), capture_output=True, check=True)
    out = done.stdout.decode()
    assert out.startswith("standard input: 6 lines")
    assert "The values have no steps; the log has some: add --step epoch." in out


def test_the_metric_of_a_study(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("study.yaml").write_text(STUDY)
    Path("train.py").write_text("raise SystemExit('never run')")
    assert main(["check", "study.yaml", "--log", log, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["metrics"]["accuracy"]["values"]
    assert [(found["step"], found["value"]) for found in values] == [(1, 0.81), (2, 0.84)]
    assert not Path("s.db").exists()


def test_several_metrics_and_patterns(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--log", log, "--metric", "loss", "--metric", "accuracy"]
    assert main([*arguments, "--pattern", r"accuracy=accuracy is (\S+)"]) == 0
    assert "accuracy: 2 values" in capsys.readouterr().out
    assert main([*arguments, "--pattern", r"is (\S+)"]) == 2
    assert "write NAME=REGEX" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "check needs a study.yaml, or a log"),
        (["--log", "train.log"], "add --metric NAME"),
        (["--log", "none.log", "--metric", "loss"], "the log none.log cannot be read: No such"),
        (["--log", ".", "--metric", "loss"], "the log . cannot be read: Is a directory"),
        (["--log", "train.log", "--metric", "loss", "--pattern", "(("], "invalid pattern '(('"),
        (["--log", "train.log", "--metric", " "], "non-empty string"),
    ],
)
def test_mistakes(
    arguments: list[str], message: str, log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_values_that_are_not_finite_are_strict_json(
    log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(log).write_text("loss: nan\nloss: inf\n")
    assert main(["check", "--log", log, "--metric", "loss", "--json"]) == 0
    out = capsys.readouterr().out
    assert [v["value"] for v in json.loads(out)["metrics"]["loss"]["values"]] == ["nan", "inf"]
