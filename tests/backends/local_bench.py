"""A local backend that is open, for tests of its runs and its host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.core.job_runs import MetricSources, RunRequest, RunUpdate
from tune_jobs.metric_store.store import MetricStore, absolute

SOURCES = MetricSources(names=("value",))


class Bench:
    """Backend that is open, with its metric store; ``notices`` holds what it said."""

    def __init__(
        self, backend: LocalBackend, store: str = "runs", sources: MetricSources = SOURCES
    ) -> None:
        self.store = MetricStore(absolute(store), "study")
        self.notices: list[str] = []
        self.service = backend.open(
            absolute(store), "study", sources, keep_runs=True, notice=self.notices.append
        )

    def start(self, name: str, *argv: str, **request: object) -> None:
        """Submit a run."""
        settings = {"env": {}, "files": {}, **request}
        self.service.submit(RunRequest(name, argv, **settings))  # type: ignore[arg-type]

    def wait_for_end(self, name: str) -> RunUpdate:
        """Wait for the end of a run and return its last update."""
        while True:
            for update in self.service.wait(20.0):
                if update.name == name and update.state.is_terminal:
                    return update

    def run(self, name: str, *argv: str, **request: object) -> RunUpdate:
        """Submit a run and return its last update."""
        self.start(name, *argv, **request)
        return self.wait_for_end(name)

    def wait_for_notice(self, part: str) -> str:
        """Wait until a notice contains a string, and return the notice."""
        while True:
            for notice in self.notices:
                if part in notice:
                    return notice
            self.service.wait(0.1)


OpenBench = Callable[..., Bench]


def read_state(pid: int) -> tuple[str, int]:
    """Return the state and the parent of a process; ``X`` if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return "X", 0
    return fields[0], int(fields[1])


def is_running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    return read_state(pid)[0] not in "XZ"
