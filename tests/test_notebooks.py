"""The notebooks run from top to bottom, and are saved with outputs that draw everywhere."""

from __future__ import annotations

import re
import shutil
import socket
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient

from tests.notebook.saving import (
    KEPT,
    MAX_BYTES,
    NOTEBOOKS,
    clean_outputs,
    hash_sources,
    list_names,
)

nbformat: Any = import_module("nbformat")  # it has no types

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)


def read(path: Path) -> Any:
    """Return a notebook."""
    return nbformat.read(path, as_version=4)


def list_outputs(notebook: Any) -> list[Any]:
    """Return the outputs of all cells."""
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@each_notebook
def test_saved_outputs_are_those_of_the_sources(path: Path) -> None:
    notebook = read(path)
    executed = notebook.metadata.get("tune_jobs", {}).get("executed_sources")
    assert executed == hash_sources(notebook), f"run `make notebooks NAMES={path.stem}`"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "from top to bottom"
    assert path.stat().st_size <= MAX_BYTES


@each_notebook
def test_saved_outputs_draw_without_scripts(path: Path) -> None:
    outputs = list_outputs(read(path))
    assert outputs
    for output in outputs:
        assert output.output_type != "error"
        if "data" not in output:
            continue
        assert {"text/plain"} <= output.data.keys() <= set(KEPT)
        assert "text/html" in output.data or output.output_type == "execute_result", "a view"
        assert "<script" not in output.data.get("text/html", "")
        if output.data["text/plain"].startswith("Figure("):
            assert {"image/svg+xml", "image/png"} & output.data.keys()
            assert "<img src='data:image/" in output.data["text/html"]


@each_notebook
def test_saved_outputs_tell_nothing_about_a_machine(path: Path) -> None:
    saved = path.read_text()
    here = re.escape(str(Path(__file__).parents[1]))
    for pattern in (here, r"/root\b", r"/tmp/\w", r"/home/(?!me/)", r"(?i)private key"):
        assert not re.search(pattern, saved), pattern


def test_names_of_this_machine_are_replaced(tmp_path: Path) -> None:
    stream = nbformat.v4.new_output("stream", text=f"{tmp_path}/a.db s{socket.gethostname()} ")
    shown = {
        "text/plain": f"{tmp_path}",
        "text/html": "<b>",
        "application/vnd.jupyter.widget-view+json": {},
    }
    display = nbformat.v4.new_output("display_data", data=shown)
    widget = nbformat.v4.new_output(
        "display_data", data={"application/vnd.jupyter.widget-view+json": {}}
    )
    cell = nbformat.v4.new_code_cell("x", outputs=[stream, {**stream}, display, widget])
    notebook = nbformat.from_dict({**nbformat.v4.new_notebook(), "cells": [cell]})
    clean_outputs(notebook, list_names(tmp_path))
    joined, kept = notebook.cells[0].outputs
    assert joined.text == f"/home/me/notebooks/a.db s{socket.gethostname()} " * 2
    assert kept.data == {"text/plain": "/home/me/notebooks", "text/html": "<b>"}


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # from the notebook machinery
def test_quick_start_runs_from_top_to_bottom(tmp_path: Path) -> None:
    printed = execute("quick_start.ipynb", tmp_path, ("n_trials=40", "n_trials=3"))
    assert any("3 of 3 done" in text for text in printed)
    assert any("model.joblib" in text for text in printed)
    assert any("the script&#x27;s" in text or "the script's defaults" in text for text in printed)
    assert not any("Traceback" in text for text in printed)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # from the notebook machinery
def test_model_classes_runs_from_top_to_bottom(tmp_path: Path) -> None:
    printed = execute("model_classes.ipynb", tmp_path, ("n_trials=15", "n_trials=4"))
    assert any("(Welch's t-test" in text for text in printed)
    assert any("model.joblib" in text for text in printed)
    assert (tmp_path / "classes.html").stat().st_size > 1_000_000
    assert not any("Traceback" in text for text in printed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # from the notebook machinery
def test_early_stopping_runs_from_top_to_bottom(tmp_path: Path) -> None:
    printed = execute("early_stopping.ipynb", tmp_path)
    assert sum(text.count("run hours, ") for text in printed) == 5
    assert any("of run time" in text for text in printed)
    assert not any("Traceback" in text for text in printed)
