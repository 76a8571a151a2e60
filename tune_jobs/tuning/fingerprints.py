"""Fingerprints of data files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_jobs.errors import StudyError


@dataclass(frozen=True)
class RecordedFile:
    """A data file of another machine, whose fingerprint was taken there.

    Args:
        path: Its path there.
        facts: What `fingerprints` returned.
    """

    path: str
    facts: Mapping[str, Any]

    def __fspath__(self) -> str:
        return self.path


def fingerprints(paths: Iterable[str | os.PathLike[str]]) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of files, by path.

    Raises:
        StudyError: If a file cannot be read.
    """
    return {
        os.fspath(path): dict(path.facts)
        if isinstance(path, RecordedFile)
        else _fingerprint(Path(path))
        for path in paths
    }


def _fingerprint(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": digest}
    except OSError as error:
        raise StudyError(f"data={path}: the file cannot be read: {error}") from error
