"""Reports of scripts, on every interpreter that jobs may use."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_jobs.runtime import records
from tune_jobs.runtime import report as module
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import Record, decode
from tune_jobs.runtime.report import checkpoint_dir, outputs_dir, report

METRICS = Path(module.__file__).parent


@pytest.fixture(autouse=True)
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run outside of a job run, wherever the tests are run."""
    for name in list(os.environ):
        if name.startswith("TUNE_JOBS_") or name in (
            "RANK",
            "NODE_RANK",
            "LOCAL_RANK",
            "WORLD_SIZE",
        ):
            monkeypatch.delenv(name)


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File for the reports of a job run."""
    path = tmp_path / "reported.jsonl"
    monkeypatch.setenv("TUNE_JOBS_METRICS_FILE", str(path))
    return path


class Scalar:
    """Scalar like those of PyTorch and JAX."""

    def __init__(self, value: object) -> None:
        self.value = value

    def item(self) -> object:
        """Return the value; raise as PyTorch does for several."""
        if isinstance(self.value, list):
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.value


# -- in a job run ---------------------------------------------------------------------------------


def test_a_report_is_one_line_that_records_reads(
    reported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.time", lambda: 1763000000.1234)
    report(accuracy=0.91, loss=math.nan, step=3)
    report({"mAP@0.5": 0.3, "précision": -math.inf}, f1=1)
    assert reported.read_text().splitlines() == [
        '{"time": 1763000000.123, "step": 3, "metrics": {"accuracy": 0.91, "loss": "nan"}}',
        '{"time": 1763000000.123, "metrics": {"mAP@0.5": 0.3, "précision": "-inf", "f1": 1.0}}',
    ]
    decoded = decode(reported.read_bytes())
    assert (decoded.bad, decoded.consumed) == (0, reported.stat().st_size)
    assert decoded.records == [
        Record(1763000000.123, 3, {"accuracy": 0.91, "loss": math.nan}),
        Record(1763000000.123, None, {"mAP@0.5": 0.3, "précision": -math.inf, "f1": 1.0}),
    ]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "value",
    [
        *(0.5, Decimal("0.5"), Fraction(1, 2), np.float64(0.5), np.float32(0.5), np.float16(0.5)),
        *(np.array(0.5), np.array([0.5]), Scalar(0.5)),
    ],
)
def test_whatever_is_a_number_is_reported(reported: Path, value: Any) -> None:
    report(a=value)
    assert decode(reported.read_bytes()).records[0].values == {"a": 0.5}


@pytest.mark.parametrize("step", [3, 3.0, np.int64(3), np.array(3), Scalar(3), np.float32(3.0)])
def test_whatever_is_whole_is_a_step(reported: Path, step: Any) -> None:
    report(a=1, step=step)
    assert decode(reported.read_bytes()).records[0].step == 3


def test_names_that_are_also_arguments(reported: Path) -> None:
    report({"step": 1.0}, metrics=2.0)
    assert decode(reported.read_bytes()).records[0].values == {"step": 1.0, "metrics": 2.0}


@pytest.mark.parametrize(
    ("arguments", "named", "error", "message"),
    [
        ([], {}, ValueError, "no metric"),
        ([{}], {}, ValueError, "no metric"),
        ([], {"step": 3}, ValueError, "no metric"),
        ([0.9], {}, TypeError, r"a dict or name=number, not '0.9' \(float\)"),
        ([{"a": 1}], {"a": 1}, ValueError, "'a' twice"),
        ([{1: 1}], {}, TypeError, r"not '1' \(int\)"),
        ([{"": 1}], {}, ValueError, "invalid metric name ''"),
        ([{"a\n": 1}], {}, ValueError, "control character"),
        ([{"a" * 257: 1}], {}, ValueError, "1 to 256 characters"),
        ([{str(i): 1 for i in range(257)}], {}, ValueError, "257 metrics: pass at most 256"),
        ([{f"{i:0250}": 1 for i in range(256)}], {}, ValueError, "65536 bytes"),
        ([], {"a": "0.9"}, TypeError, r"metric 'a' must be one number, not '0.9' \(str\)"),
        ([], {"a": True}, TypeError, r"metric 'a' must be one number, not 'True' \(bool\)"),
        ([], {"a": np.True_}, TypeError, "'a' must be one number"),
        ([], {"a": np.str_("0.9")}, TypeError, "'a' must be one number"),
        ([], {"a": None}, TypeError, "'None'"),
        ([], {"a": [0.9]}, TypeError, "'a' must be one number"),
        ([], {"a": {"b": 1}}, TypeError, "'a' must be one number"),
        ([], {"a": 1j}, TypeError, "'a' must be one number"),
        ([], {"a": np.array([1, 2])}, TypeError, "'a' must be one number"),
        ([], {"a": Scalar([1, 2])}, TypeError, "'a' must be one number"),
        ([], {"a": 10**400}, ValueError, "'a' is too large"),
        ([], {"a": 1, "step": 1.5}, TypeError, "step must be an integer, not '1.5'"),
        ([], {"a": 1, "step": "3"}, TypeError, "step must be an integer"),
        ([], {"a": 1, "step": True}, TypeError, "step must be an integer"),
        ([], {"a": 1, "step": math.nan}, TypeError, "step must be an integer"),
        ([], {"a": 1, "step": 2**53 + 1}, ValueError, "2\\*\\*53"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    reported: Path, arguments: list[Any], named: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        report(*arguments, **named)
    assert not reported.exists()


def test_a_report_that_cannot_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_JOBS_METRICS_FILE", "/nowhere/reported.jsonl")
    with pytest.raises(FileNotFoundError, match="/nowhere/reported"):
        report(a=1)


def test_what_the_system_did_not_take_is_written_again(
    reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    report(a=1.5)
    assert decode(reported.read_bytes()).records[0].values == {"a": 1.5}


def test_a_report_is_one_write(reported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    report({f"name_{i}": 0.5 for i in range(200)})
    assert sizes == [reported.stat().st_size]


def test_threads_do_not_come_between_each_other(reported: Path) -> None:
    def report_often() -> None:
        for i in range(100):
            report(a=i, step=i)

    threads = [threading.Thread(target=report_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decoded = decode(reported.read_bytes())
    assert (decoded.bad, len(decoded.records)) == (0, 800)


# -- outside of a job run -------------------------------------------------------------------------


@pytest.mark.parametrize("variable", [None, ""])
def test_by_hand_a_report_is_printed(
    variable: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if variable is not None:
        monkeypatch.setenv("TUNE_JOBS_METRICS_FILE", variable)
    report(accuracy=0.91, loss=math.nan, step=3)
    report({"mAP@0.5": np.float32(0.5)})
    assert capsys.readouterr() == ("accuracy=0.91 loss=nan step=3\nmAP@0.5=0.5\n", "")
    assert list(Path().iterdir()) == []


def test_what_is_printed_by_hand_can_be_found(capsys: pytest.CaptureFixture[str]) -> None:
    report({"accuracy": 0.91, "mAP@0.5": -math.inf}, step=3)
    extractor = Extractor(["accuracy", "mAP@0.5"], step="step")
    assert extractor.feed(capsys.readouterr().out.encode(), 1.0) == [
        Record(1.0, 3, {"accuracy": 0.91, "mAP@0.5": -math.inf})
    ]


def test_by_hand_what_is_wrong_is_refused_too() -> None:
    with pytest.raises(TypeError, match="'a' must be one number"):
        report(a="high")


# -- distributed runs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "reports"),
    [
        ({}, True),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, True),  # RANK has priority
        ({"RANK": "8"}, True),  # a hyperparameter
        ({"NODE_RANK": "1"}, False),
        ({"NODE_RANK": "0", "LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "0", "LOCAL_RANK": "0"}, True),
    ],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_only_the_first_process_reports(
    environment: dict[str, str],
    reports: bool,
    by_hand: bool,
    reported: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if by_hand:
        monkeypatch.delenv("TUNE_JOBS_METRICS_FILE")
    report(a=1)
    assert (bool(capsys.readouterr().out), reported.exists()) == (
        reports and by_hand,
        reports and not by_hand,
    )


# -- folders --------------------------------------------------------------------------------------


def test_folders_of_a_job_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_JOBS_OUTPUTS_DIR", str(tmp_path / "a" / "outputs"))
    monkeypatch.setenv("TUNE_JOBS_CHECKPOINT_DIR", str(tmp_path / "a" / "checkpoints"))
    assert outputs_dir() == outputs_dir() == tmp_path / "a" / "outputs"
    assert checkpoint_dir() == tmp_path / "a" / "checkpoints"
    assert outputs_dir().is_dir()
    assert checkpoint_dir().is_dir()


def test_folders_by_hand(tmp_path: Path) -> None:
    assert outputs_dir() == Path("outputs")
    assert checkpoint_dir() == Path("checkpoints")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoints", "outputs"]


# -- interpreters of jobs -------------------------------------------------------------------------


def test_the_limits_are_those_of_records() -> None:
    for name in ("MAX_LINE", "MAX_METRICS", "MAX_NAME", "MAX_STEP"):
        assert getattr(module, name) == getattr(records, name)
    assert module._NOT_IN_NAMES.pattern == records._NOT_IN_NAMES.pattern


def old_python() -> str:
    """Return a Python 3.8, the oldest supported one; skip the test if there is none."""
    candidates = [
        shutil.which("python3.8"),
        *map(str, sorted(Path.home().glob(".pyenv/versions/3.8*/bin/python3.8"))),
    ]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    pytest.skip("no Python 3.8 found (python3.8 on PATH, or in ~/.pyenv/versions)")


@pytest.fixture(params=["this Python", "Python 3.8"])
def python(request: pytest.FixtureRequest) -> str:
    """Interpreter without site-packages, in a folder of its own."""
    return sys.executable if request.param == "this Python" else old_python()


def run(python: str, *arguments: str, **environment: str) -> str:
    """Return the output of the interpreter; warnings are errors."""
    command = [python, "-W", "error", "-S", "-B", *arguments]
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


SCRIPT = """
from tune_jobs import checkpoint_dir, outputs_dir, report
report(accuracy=0.91, loss=float("nan"), step=3)
report({"mAP@0.5": 0.3})
outputs_dir().joinpath("model").write_text("x")
"""


def test_one_file_is_all_that_a_script_needs(python: str, tmp_path: Path) -> None:
    shutil.copy(METRICS / "report.py", tmp_path / "tune_jobs.py")
    Path("train.py").write_text(SCRIPT)
    assert run(python, "train.py") == "accuracy=0.91 loss=nan step=3\nmAP@0.5=0.3\n"
    reported = tmp_path / "reported.jsonl"
    outputs = tmp_path / "elsewhere"
    inside = {"TUNE_JOBS_METRICS_FILE": str(reported), "TUNE_JOBS_OUTPUTS_DIR": str(outputs)}
    assert run(python, "train.py", **inside) == ""
    found = [(r.step, dict(r.values)) for r in decode(reported.read_bytes()).records]
    assert found == [(3, {"accuracy": 0.91, "loss": math.nan}), (None, {"mAP@0.5": 0.3})]
    assert (outputs / "model").read_text() == "x"


PROGRAM = """
import json, sys
from anywhere.extract import Extractor
from anywhere.unread import metric_like_names
from anywhere.files import read_metrics_file
from anywhere.records import decode, encode

extractor = Extractor(["accuracy", "a"], {"a": r"a is (\\S+)"}, "epoch")
found = extractor.feed(b"Epoch 1/2\\n{'accuracy': 0.5} a is 2\\raccuracy=0.6\\n", 1.0)
found += extractor.finish(2.0)
with open("metrics.yaml", "w") as file:
    file.write("- epoch: 1\\n  accuracy: 0.7\\n- accuracy: 0.8\\n")
rows, problem = read_metrics_file("metrics.yaml", ["accuracy"], step="epoch")
decoded = decode("".join(map(encode, found + rows)).encode() + b"oops\\n")
foreign = sorted(m for m in sys.modules if m.split(".")[0] in ("yaml", "tune_jobs"))
print(json.dumps([
    [[r.step, r.values] for r in decoded.records],
    decoded.bad, decoded.first_bad, problem, metric_like_names(b"loss: 1"), foreign,
]))
"""


def test_the_runtime_works_as_a_folder_of_any_name(python: str, tmp_path: Path) -> None:
    shutil.copytree(METRICS, tmp_path / "anywhere")
    Path("main.py").write_text(PROGRAM)
    assert json.loads(run(python, "main.py")) == [
        [[1, {"a": 2.0, "accuracy": 0.6}], [1, {"accuracy": 0.7}], [None, {"accuracy": 0.8}]],
        1,
        "not a JSON object: b'oops'",
        None,
        ["loss"],
        [],
    ]
