"""The example script alone: what the notebooks, the tutorial and the README rely on."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="needs tune_jobs[example]"
)
SCRIPT = Path(__file__).parent.parent / "notebooks" / "train_digits.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_prints_its_metrics_and_writes_its_model(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    done = run("--epochs=2", "--hidden=8", "--batch-size=32", f"--output-dir={folder}")
    assert (done.returncode, done.stderr) == (0, "")
    number = r"(\d+\.\d{4})"
    epochs = re.findall(rf"^epoch (\d+): loss={number} val_accuracy={number}$", done.stdout, re.M)
    assert [epoch for epoch, _, _ in epochs] == ["1", "2"]
    last = done.stdout.splitlines()[-1]
    measured = re.fullmatch(rf"val_accuracy={number} test_accuracy={number}", last)
    assert measured is not None
    # The tuner takes the last printed value, that of the saved model.
    assert measured[1] == max(accuracy for _, _, accuracy in epochs)
    assert (folder / "model.joblib").stat().st_size > 0


@pytest.mark.slow
def test_its_seed_repeats_a_run() -> None:
    first, again = (run("--epochs=2", "--seed=1").stdout for _ in range(2))
    assert first == again != run("--epochs=2", "--seed=2").stdout


@pytest.mark.parametrize("argument", ["--batch-size=201", "--learning-rate=nan"])
def test_a_bad_argument_is_a_usage_error(argument: str) -> None:
    done = run(argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert argument.partition("=")[0] in done.stderr
