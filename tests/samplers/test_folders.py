"""Each folder of samplers stands on its own, as OptunaHub takes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "samplers"
FOLDERS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def test_there_are_folders() -> None:
    assert FOLDERS == ["job_sampler", "model_classes", "warm_start"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_optunahub_loads_it_from_anywhere(folder: str, tmp_path: Path) -> None:
    copy = tmp_path / folder
    copy.mkdir()
    for path in (ROOT / folder).glob("*.py"):
        (copy / path.name).write_text(path.read_text())
    script = (
        "import optuna, optunahub, sys\n"
        f"made = optunahub.load_local_module({folder!r}, registry_root={str(tmp_path)!r})\n"
        "assert 'tune_jobs' not in sys.modules\n"
        "print(made.__all__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
    )
    assert "Sampler" in done.stdout, done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_its_front_matter_is_complete(folder: str) -> None:
    _, front, text = (ROOT / folder / "README.md").read_text().split("---\n", 2)
    fields: dict[str, Any] = yaml.safe_load(front)
    assert fields.keys() == {
        *("author", "title", "description", "tags", "optuna_versions", "license"),
    }
    assert fields["license"] == "MIT License"
    assert "sampler" in fields["tags"]
    assert "| " in text, "a table of what it is worth"


@pytest.mark.parametrize("folder", FOLDERS)
def test_its_example_runs(folder: str, tmp_path: Path) -> None:
    code = (ROOT / folder / "example.py").read_text()
    # From the hub it would be downloaded; this is the same folder.
    ours = code.replace("load_module(", "load_local_module(").replace(
        f'"samplers/{folder}")', f'"{folder}", registry_root={str(ROOT)!r})'
    )
    assert ours != code
    (tmp_path / "example.py").write_text(ours)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(tmp_path / "example.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
