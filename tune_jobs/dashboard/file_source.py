"""A storage in a file, which may be removed or replaced while it is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import optuna
from sqlalchemy import Engine

from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.source import Head, Source


class FileSource:
    """Storage in a file, which is opened again after another file has taken its place.

    A connection to a file that was removed reads what was in it, and would do so for ever.

    Args:
        path: The file.
        reopen: Opens it.
    """

    def __init__(self, path: Path, reopen: Callable[[], Source]) -> None:
        self._path, self._reopen = path, reopen
        self._source = reopen()
        self._identity = self._identify()
        self._lock = threading.Lock()

    def _identify(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def _current(self) -> Source:
        """Return the storage that is in the file now.

        Raises:
            FileNotFoundError: If the file was removed.
            StudyError: If another one is there that cannot be opened.
        """
        with self._lock:
            identity = self._identify()
            if identity != self._identity:
                self._source, self._identity = self._reopen(), identity
            return self._source

    @property
    def label(self) -> str:
        """See `Source`."""
        return self._source.label

    @property
    def fresh(self) -> float:
        """See `Source`."""
        return self._source.fresh

    def heads(self) -> list[Head]:
        """See `Source.heads`."""
        return self._current().heads()

    def study(self, key: str) -> Study:
        """See `Source.study`."""
        return self._current().study(key)

    def engine(self, key: str) -> Engine | None:
        """See `Source.engine`."""
        return self._current().engine(key)

    def open(self, key: str) -> optuna.Study:
        """See `Source.open`."""
        return self._current().open(key)
