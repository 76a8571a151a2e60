"""Numbered points: before and after every call that crosses a boundary of the tuner."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from typing import Any

from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine.default import DefaultDialect

from tune_jobs.backends.data_science.job_runs import JobRuns
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.local.service import LocalService
from tune_jobs.metric_store.file_system import FsspecFolder
from tune_jobs.metric_store.object_storage import ObjectStorageFolder

BOUNDARIES: dict[type, tuple[str, ...]] = {
    DefaultDialect: ("do_commit",),
    JournalFileBackend: ("read_logs", "append_logs"),
    LocalBackend: ("open",),
    LocalService: ("submit", "cancel", "find", "close"),
    JobRuns: ("create", "cancel", "list_by_id", "list_by_name"),
    FsspecFolder: ("read", "write"),
    ObjectStorageFolder: ("read", "write", "versions"),
}


class Points:
    """Counts the points that are passed; at one of them the process is killed."""

    def __init__(self, kill_at: int | None) -> None:
        self.passed = 0
        self.names: list[str] = []
        self._kill_at = kill_at

    def reach(self, name: str) -> None:
        """A point."""
        self.passed += 1
        self.names.append(name)
        if self.passed == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Put points around every call of `BOUNDARIES`, in this process."""
        for cls, names in BOUNDARIES.items():
            for name in names:
                setattr(cls, name, self._around(getattr(cls, name), f"{cls.__name__}.{name}"))

    def _around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def with_points(*args: Any, **options: Any) -> Any:
            self.reach(f"before {name}")
            answer = call(*args, **options)
            self.reach(f"after {name}")
            return answer

        return with_points
