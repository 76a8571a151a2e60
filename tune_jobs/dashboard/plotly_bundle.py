"""Plotly for the browser, as its Python package ships it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tune_jobs.errors import require_package


def plotly_js() -> bytes:
    """Return the JavaScript library.

    Raises:
        MissingPackage: If Plotly is not installed.
    """
    require_package("drawing figures", "plotly", extra="dashboard")
    package = import_module("plotly")
    assert package.__file__ is not None
    return (Path(package.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
