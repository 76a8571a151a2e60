"""Fingerprints of data files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tune_jobs.errors import StudyError


def fingerprints(paths: Iterable[str | os.PathLike[str]]) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of files, by path.

    Raises:
        StudyError: If a file cannot be read.
    """
    return {str(path): _fingerprint(path) for path in map(Path, paths)}


def _fingerprint(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": digest}
    except OSError as error:
        raise StudyError(f"data={path}: the file cannot be read: {error}") from error
