"""Each folder of samplers is a self-contained OptunaHub package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "samplers"
FOLDERS = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def test_all_folders_are_tested() -> None:
    assert FOLDERS == ["job_sampler", "model_classes", "warm_start"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_optunahub_loads_a_copy_of_the_folder(folder: str, tmp_path: Path) -> None:
    copy = tmp_path / folder
    copy.mkdir()
    for path in (ROOT / folder).glob("*.py"):
        (copy / path.name).write_text(path.read_text())
    script = (
        "import optuna, optunahub, sys\n"
        f"module = optunahub.load_local_module({folder!r}, registry_root={str(tmp_path)!r})\n"
        "assert 'tune_jobs' not in sys.modules\n"
        "print(module.__all__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
    )
    assert "Sampler" in done.stdout, done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_readme_has_the_front_matter_of_optunahub(folder: str) -> None:
    _, front_matter, body = (ROOT / folder / "README.md").read_text().split("---\n", 2)
    fields: dict[str, Any] = yaml.safe_load(front_matter)
    assert fields.keys() == {
        *("author", "title", "description", "tags", "optuna_versions", "license"),
    }
    assert fields["license"] == "MIT License"
    assert "sampler" in fields["tags"]
    assert "| " in body, "a table of benchmark results"


@pytest.mark.parametrize("folder", FOLDERS)
def test_example_runs(folder: str, tmp_path: Path) -> None:
    code = (ROOT / folder / "example.py").read_text()
    # load_module would download the folder from the hub.
    local = code.replace("load_module(", "load_local_module(").replace(
        f'"samplers/{folder}")', f'"{folder}", registry_root={str(ROOT)!r})'
    )
    assert local != code
    (tmp_path / "example.py").write_text(local)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(tmp_path / "example.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
