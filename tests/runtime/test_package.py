"""The command that copies the runtime into an artifact, and its old name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["tune_jobs.runtime", "tune_jobs.run_side"])
def test_a_script_can_report_with_the_copy(module: str, tmp_path: Path) -> None:
    copied = run("-m", module, str(tmp_path / "artifact"))
    assert copied.returncode == 0, copied.stderr
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import tune_jobs\ntune_jobs.report(a=1)"],
        env={"PYTHONPATH": str(tmp_path / "artifact"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a=1.0\n"


def test_the_old_name_warns(tmp_path: Path) -> None:
    folder = str(tmp_path / "artifact")
    assert run("-m", "tune_jobs.runtime", folder).stderr == ""
    warned = run("-m", "tune_jobs.run_side", folder).stderr
    assert "DeprecationWarning: python -m tune_jobs.run_side is deprecated" in warned
    assert "use python -m tune_jobs.runtime" in warned


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_usage(arguments: list[str]) -> None:
    done = run("-m", "tune_jobs.runtime", *arguments)
    assert (done.returncode, done.stderr) == (1, "usage: python -m tune_jobs.runtime DIR\n")
