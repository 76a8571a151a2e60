"""Execute the notebooks and save them with outputs: ``python -m tests.notebook.saving [NAME ...]``.

What is saved needs neither scripts nor a kernel, and says nothing about the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from nbclient import NotebookClient

nbformat: Any = import_module("nbformat")  # it has no types

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
MAX_BYTES = 1_000_000
TIMEOUT = 1200
"""Seconds that a cell may take."""

KEPT = ("text/plain", "text/html", "image/svg+xml", "image/png")
"""What is saved of a displayed object: widgets need a kernel, and Plotly's JSON a script."""

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def hash_sources(notebook: Any) -> str:
    """Return a digest of the cells and of the scripts that they run.

    A notebook has that of its execution, so that outputs of other sources are noticed.
    """
    parts = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    parts += [path.read_text() for path in sorted(NOTEBOOKS.glob("train_*.py"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def list_names(folder: Path) -> dict[str, str]:
    """Return what tells about this machine, and what is saved instead; the longest first."""
    names = {
        str(folder): "/home/me/notebooks",
        tempfile.gettempdir(): "/tmp",
        sys.prefix: "/home/me/venv",
        sys.base_prefix: "/usr",
        str(ROOT): "/home/me/tune_jobs",
        str(Path.home()): "/home/me",
        socket.gethostname(): "laptop",
    }
    return dict(sorted(names.items(), key=lambda pair: -len(pair[0])))


def clean_outputs(notebook: Any, names: Mapping[str, str]) -> None:
    """Remove from outputs what needs a script, and what tells about this machine."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = list(_join_streams(map(_clean_output, cell.outputs), names))


def _clean_output(output: Any) -> Any:
    if "data" in output:
        output.data = {kind: output.data[kind] for kind in KEPT if kind in output.data}
        output.metadata = {}
    return output


def _join_streams(outputs: Iterator[Any], names: Mapping[str, str]) -> Iterator[Any]:
    last: Any = None
    for output in outputs:
        if output.output_type == "stream":
            output.text = _replace(output.text, names)
            if last is not None and (last.output_type, last.get("name")) == ("stream", output.name):
                last.text += output.text
                continue
        elif "data" in output:
            if not any(output.data.values()):
                continue  # the place of a display that has gone
            output.data = {
                kind: content if kind == "image/png" else _replace(content, names)
                for kind, content in output.data.items()
            }
        last = output
        yield output


def _replace(text: str, names: Mapping[str, str]) -> str:
    for name, shown in names.items():
        # A host may be called "vm", and a model "svm".
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", shown, text)
    return re.sub(r"\bpid \d+", "pid 4711", text)


def execute(path: Path) -> Any:
    """Return a notebook with its outputs; it is executed in an empty folder."""
    notebook = nbformat.read(path, as_version=4)
    os.environ["PYTHONPATH"] = str(ROOT)  # one notebook imports the emulator
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        for script in NOTEBOOKS.glob("train_*.py"):
            shutil.copy(script, folder)
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=TIMEOUT, resources=resources).execute()
        clean_outputs(notebook, list_names(Path(folder)))
    notebook.metadata = {**METADATA, "tune_jobs": {"executed_sources": hash_sources(notebook)}}
    return notebook


def main() -> None:
    """Execute and save the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="stems of notebooks (default: all)")
    wanted = parser.parse_args().names
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if wanted and path.stem not in wanted:
            continue
        nbformat.write(execute(path), path)
        size = path.stat().st_size
        print(f"{path.name}: {size:,} bytes", flush=True)
        if size > MAX_BYTES:
            sys.exit(f"{path.name} is larger than {MAX_BYTES:,} bytes")


if __name__ == "__main__":
    main()
