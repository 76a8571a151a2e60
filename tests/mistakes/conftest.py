"""A folder for each mistake."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.mistakes.documents import SCRIPT, STUDY
from tune_jobs.cli.main import main
from tune_jobs.storage import connecting


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write what the mistakes are about; restore the signal handler that commands replace."""
    monkeypatch.setattr(connecting, "OPENING_PATIENCE", 0.0)
    Path("train.py").write_text(SCRIPT)
    Path("folder").mkdir()
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def tuned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study that was tuned."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "folder").mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    assert main(["run", str(folder / "study.yaml")]) == 0
    return folder


@pytest.fixture
def tuned(tuned_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to the folder of a study that was tuned; tests do not change it."""
    monkeypatch.chdir(tuned_once)
