"""Numbered points: before and after every call that crosses a boundary of a process."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUCKET = ("get", "put_if_absent", "put", "list")

TUNER = (
    ("sqlalchemy.engine.default", "DefaultDialect", ("do_commit",)),
    ("tune_jobs.storage.bucket.folder_store", "FolderStore", BUCKET),
    ("tune_jobs.storage.bucket.oci_store", "OciStore", BUCKET),
    ("optuna.storages.journal", "JournalFileBackend", ("read_logs", "append_logs")),
    ("tune_jobs.backends.local.backend", "LocalBackend", ("open",)),
    ("tune_jobs.backends.local.service", "LocalService", ("submit", "cancel", "find", "close")),
    (
        "tune_jobs.backends.data_science.job_runs",
        "JobRuns",
        ("create", "cancel", "list_by_id", "list_by_name"),
    ),
    ("tune_jobs.metric_store.file_system", "FsspecFolder", ("read", "write")),
    (
        "tune_jobs.metric_store.object_storage",
        "ObjectStorageFolder",
        ("read", "write", "versions"),
    ),
)
"""Boundaries of the tuner: module, class, methods."""

HOST = (
    ("tune_jobs.backends.local.host", "Host", ("_accept", "_start", "_send", "_end")),
    ("tune_jobs.backends.local.host", "", ("launch", "find_outcome", "reap_next")),
    ("tune_jobs.backends.local.run", "", ("_append_history", "_signal_group")),
    ("tune_jobs.runtime.follow", "Follower", ("poll", "finish")),
)
"""Boundaries of the local host; without a class, functions of the module."""

BOUNDARIES = {"tuner": TUNER, "host": HOST}

SIGNALS = {"kill": signal.SIGKILL, "suspend": signal.SIGSTOP}


@dataclass(frozen=True, order=True)
class Point:
    """The n-th time that a process passes one side of a call.

    Args:
        role: ``tuner`` or ``host``.
        name: Side and call, such as ``before LocalService.submit``.
        occurrence: Counted from 1.
    """

    role: str
    name: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.role}: {self.name} #{self.occurrence}"

    @classmethod
    def parse(cls, string: str) -> Point:
        """Return the point that `str` has described."""
        role, _, rest = string.partition(": ")
        name, _, occurrence = rest.rpartition(" #")
        return cls(role, name, int(occurrence))


class Points:
    """Points of this process: each is recorded, and at one of them a signal is sent.

    Args:
        role: What this process is.
        folder: Where passed points are recorded, and the one where the signal is sent.
        target: The point to send the signal at; None for none.
        action: A key of `SIGNALS`.
    """

    def __init__(
        self, role: str, folder: Path, target: Point | None = None, action: str = "kill"
    ) -> None:
        self._role, self._folder = role, folder
        self._target, self._signal = target, SIGNALS[action]
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        """Pass a point."""
        with self._lock:
            self._counts[name] += 1
            point = Point(self._role, name, self._counts[name])
            append_line(self._folder / "passed", str(point))
        if point == self._target:
            append_line(self._folder / "hit", str(point))
            os.kill(os.getpid(), self._signal)

    def install(self) -> None:
        """Put points around every call of this role's boundaries, in this process."""
        for module_name, class_name, names in BOUNDARIES[self._role]:
            module = importlib.import_module(module_name)
            owner = getattr(module, class_name) if class_name else module
            label = class_name or module_name.rpartition(".")[2]
            for name in names:
                setattr(owner, name, self._around(getattr(owner, name), f"{label}.{name}"))

    def _around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(call)
        def with_points(*args: Any, **options: Any) -> Any:
            self.reach(f"before {name}")
            answer = call(*args, **options)
            self.reach(f"after {name}")
            return answer

        return with_points


def append_line(path: Path, line: str) -> None:
    """Append a line in one system call, so that processes may share a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def read_points(path: Path) -> list[Point]:
    """Return the points in a file, in the order in which they were passed."""
    return [Point.parse(line) for line in read_lines(path)]


def read_lines(path: Path) -> Iterable[str]:
    """Return the lines of a file; none if it does not exist."""
    return path.read_text().splitlines() if path.exists() else []
