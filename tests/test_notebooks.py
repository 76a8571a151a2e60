"""The notebooks run from top to bottom and are stored without outputs."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient

nbformat: Any = import_module("nbformat")  # it has no types
pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def read(path: Path) -> Any:
    """Return a notebook."""
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    for cell in read(path).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def execute(name: str, folder: Path, *changes: tuple[str, str]) -> list[str]:
    """Run a notebook in a folder and return what its cells show."""
    for script in NOTEBOOKS.glob("train_*.py"):
        shutil.copy(script, folder)
    notebook = read(NOTEBOOKS / name)
    for cell in notebook.cells:
        for change in changes:
            cell.source = cell.source.replace(*change)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=180, resources=resources).execute()
    return [
        str(output.get("text") or output.get("data"))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    ]


@pytest.mark.filterwarnings("ignore")  # from the notebook machinery
def test_quick_start_runs_from_top_to_bottom(tmp_path: Path) -> None:
    printed = execute("quick_start.ipynb", tmp_path, ("n_trials=40", "n_trials=3"))
    assert any("3 of 3 done" in text for text in printed)
    assert any("model.joblib" in text for text in printed)
    assert any("the script&#x27;s" in text or "the script's defaults" in text for text in printed)
    assert not any("Traceback" in text for text in printed)


@pytest.mark.filterwarnings("ignore")  # from the notebook machinery
def test_oci_data_science_runs_from_top_to_bottom_on_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    printed = execute("oci_data_science.ipynb", tmp_path, ("n_trials=12", "n_trials=4"))
    assert any("4 of 4 done" in text for text in printed)
    assert any("ocid1.datasciencejobrun" in text for text in printed)
    assert any("model.joblib" in text for text in printed)
    assert not any("Traceback" in text or "FAIL" in text for text in printed)


@pytest.mark.filterwarnings("ignore")  # from the notebook machinery
def test_model_classes_runs_from_top_to_bottom(tmp_path: Path) -> None:
    printed = execute("model_classes.ipynb", tmp_path, ("n_trials=15", "n_trials=4"))
    assert any("(Welch's t-test" in text for text in printed)
    assert any("model.joblib" in text for text in printed)
    assert (tmp_path / "classes.html").stat().st_size > 1_000_000
    assert not any("Traceback" in text for text in printed)


@pytest.mark.filterwarnings("ignore")  # from the notebook machinery
def test_early_stopping_runs_from_top_to_bottom(tmp_path: Path) -> None:
    printed = execute("early_stopping.ipynb", tmp_path)
    assert sum(text.count("run hours, ") for text in printed) == 5
    assert any("of run time" in text for text in printed)
    assert not any("Traceback" in text for text in printed)
