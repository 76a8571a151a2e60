"""A JupyterLab of its own: a server on loopback with a token, its settings in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.dashboard_browser import Browser

TOKEN = "token-of-the-tests"
TRIES = 5
REPOSITORY = Path(__file__).parent.parent.parent


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook with these cells of code."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{i}",
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for i, source in enumerate(cells)
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {
        "cells": made,
        "metadata": {"kernelspec": spec},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(document))


def read_outputs(path: Path) -> list[list[dict[str, Any]]]:
    """Return the outputs of each cell of a saved notebook."""
    return [cell["outputs"] for cell in json.loads(path.read_text())["cells"]]


@contextmanager
def jupyterlab(folder: Path, settings: Path) -> Iterator[str]:
    """Serve a folder with JupyterLab, without Plotly's extension; yields the address.

    Args:
        folder: Folder of the notebooks.
        settings: Folder for everything else.
    """
    _write_settings(settings)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.port=0"]
    command += ["--LabApp.expose_app_in_browser=True"]  # for `Lab.command`
    with (settings / "log").open("wb") as log:
        server = subprocess.Popen(command, env=_environment(settings), stdout=log, stderr=log)
    try:
        yield _await_address(server, settings)
    finally:
        server.terminate()
        server.wait(30)


def _write_settings(settings: Path) -> None:
    """Switch off news and Plotly's extension; use the light theme."""
    for name, content in {
        "config/labconfig/page_config.json": {"disabledExtensions": {"jupyterlab-plotly": True}},
        "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
            "fetchNews": "false",
            "checkForUpdates": False,
        },
    }.items():
        path = settings / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))


def _environment(settings: Path) -> Mapping[str, str]:
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    paths = {name: str(settings / folder) for name, folder in folders.items()}
    return {**os.environ, **paths, "PYTHONPATH": str(REPOSITORY)}


def _await_address(server: subprocess.Popen[bytes], settings: Path) -> str:
    """Return the address once the server has written where it listens."""
    while server.poll() is None:
        for path in (settings / "runtime").glob("jpserver-*.json"):
            content = path.read_text()
            if content:
                return str(json.loads(content)["url"])
        time.sleep(0.05)  # the file of another process
    raise AssertionError((settings / "log").read_text())


class Lab:
    """A notebook in JupyterLab.

    Args:
        here: The browser.
        address: Of the server.
        name: File name of the notebook.
    """

    def __init__(self, here: Browser, address: str, name: str) -> None:
        self.here, self.page = here, here.page
        self.page.goto(f"{address}lab/tree/{name}?token={TOKEN}")
        self.await_kernel()

    def await_kernel(self) -> None:
        """Wait until the notebook is open and its kernel is idle."""
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()

    def run(self, cell: int) -> None:
        """Execute a cell; does not wait for its end.

        JupyterLab ignores keys for a moment after it has said that the kernel is idle.
        """
        place = f".jp-CodeCell[data-windowed-list-index='{cell}']"
        prompt = f'document.querySelector("{place} .jp-InputPrompt").textContent'
        before = self.page.evaluate(prompt)
        for _ in range(TRIES):
            self.page.locator(f"{place} .cm-content").click()
            self.page.keyboard.press("Control+Enter")
            with contextlib.suppress(TimeoutError):
                # The star of a cell that runs is set before the kernel answers.
                self.page.wait_for_function(f"{prompt} !== {json.dumps(before)}", timeout=3000)
                return
        raise AssertionError(f"cell {cell} is not executed")

    def output(self, cell: int) -> Any:
        """Return the locator of a cell's output."""
        return self.page.locator(
            f".jp-CodeCell[data-windowed-list-index='{cell}'] .jp-OutputArea-output"
        )

    def view(self, cell: int) -> Any:
        """Return the locator of the live view in a cell's output."""
        return self.output(cell).locator("section.tune-jobs-live")

    def command(self, name: str, arguments: Mapping[str, str] | None = None) -> None:
        """Start a command of JupyterLab, such as ``docmanager:save``."""
        self.page.evaluate(
            "([name, arguments]) => { window.jupyterapp.commands.execute(name, arguments); }",
            [name, arguments or {}],
        )

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def restart_kernel(self) -> None:
        """Restart the kernel; all variables are lost."""
        self.command("notebook:restart-kernel")
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()
        self.await_kernel()

    def reload(self) -> None:
        """Load the page again."""
        self.page.reload()
        self.await_kernel()
