"""Fixtures: a copy of a script of ``tests/data/init``, and the command line in its folder."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_jobs.cli.main import main

DATA = Path(__file__).parent.parent / "data/init"
Copy = Callable[[str], Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Copy the files of one kind of script into the working directory."""

    def copy_files(kind: str) -> Path:
        shutil.copytree(DATA / kind, tmp_path, dirs_exist_ok=True)
        return tmp_path

    return copy_files


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return exit code, stdout and stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        before = signal.getsignal(signal.SIGTERM)
        try:
            code = main(words)
        finally:
            signal.signal(signal.SIGTERM, before)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
