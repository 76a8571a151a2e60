"""Which tune_jobs is installed: a controller has to be the one that launched it."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tune_jobs.errors import StudyError

PACKAGE = Path(__file__).parents[1]
"""Folder of the package."""


@cache
def fingerprint_package() -> str:
    """Return the SHA-256 of the sources of this tune_jobs."""
    sha = hashlib.sha256()
    for path in sorted(_find_sources()):
        sha.update(f"\0{path.relative_to(PACKAGE)}\0".encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _find_sources() -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(PACKAGE, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return found


def describe_installation() -> dict[str, str]:
    """Return the version of this tune_jobs and of Python, and what identifies the sources."""
    try:
        installed = version("tune_jobs")
    except PackageNotFoundError:  # a copy of the sources
        installed = "unknown"
    python = ".".join(map(str, sys.version_info[:2]))
    return {"version": installed, "sources": fingerprint_package(), "python": python}


def check_installation(launched: dict[str, str]) -> None:
    """Check that this tune_jobs is the one that launched the controller.

    Raises:
        StudyError: If it is not.
    """
    here = describe_installation()
    if here["sources"] == launched["sources"]:
        return
    raise StudyError(
        f"this environment has tune_jobs {_name(here)} in {PACKAGE}, and the controller was "
        f"launched by {_name(launched)}: install that one here (the conda environment or the "
        "image of `controller:`), or name neither, so that its wheels travel with the controller"
    )


def _name(installation: dict[str, str]) -> str:
    return f"{installation['version']} (sources {installation['sources'][:12]})"
