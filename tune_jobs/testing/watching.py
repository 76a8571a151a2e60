"""Runs of the conformance suite for backends: requests, their updates, and a killed tuner."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tune_jobs.backends.base import Backend, BackendService
from tune_jobs.core.job_runs import MetricSources, RunRequest, RunState, RunUpdate
from tune_jobs.errors import BackendError
from tune_jobs.metric_store.store import MetricStore

SOURCES = MetricSources(("value", "token", "resumed"))


def build_request(name: str, *argv: str, **fields: Any) -> RunRequest:
    """Return a request for a run of `PROGRAM`."""
    settings: dict[str, Any] = {"env": {}, "files": {}, "labels": {"trial": "0", "attempt": "1"}}
    return RunRequest(name, argv, **{**settings, **fields})


class Watcher:
    """Service of one study, with the updates that were received from it.

    Args:
        service: The service.
        store: The study in the metric store.
        patience: Seconds to wait for a run's progress.
    """

    def __init__(self, service: BackendService, store: MetricStore, patience: float) -> None:
        self.service, self.store, self._patience = service, store, patience
        self.updates: list[RunUpdate] = []
        self.names: set[str] = set()

    def submit(self, name: str, *argv: str, **fields: Any) -> None:
        """Submit a run."""
        self.names.add(name)
        self.service.submit(build_request(name, *argv, **fields))

    def wait_for(self, condition: Callable[[RunUpdate], bool]) -> RunUpdate:
        """Return the first new update that meets a condition."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            updates = self.service.wait(1.0)
            self.updates += updates
            for update in updates:
                if condition(update):
                    return update
        raise AssertionError(f"no such update within {self._patience:g} s; last: {self.updates}")

    def wait_for_end(self, name: str) -> RunUpdate:
        """Return the terminal update of a run, which may have been received already."""
        ends = [u for u in self.updates if u.name == name and u.state.is_terminal]
        return ends[-1] if ends else self.wait_for(lambda u: u.name == name and u.state.is_terminal)

    def start(self, name: str, *argv: str, **fields: Any) -> None:
        """Submit a run and wait until it is in progress, with its metrics in the store."""
        self.submit(name, *argv, **fields)
        self.wait_for(lambda u: u.name == name and u.state == RunState.IN_PROGRESS)
        deadline = time.monotonic() + self._patience
        while not self.read_metric(name, "value"):
            assert time.monotonic() < deadline, f"{name} wrote no metrics"
            self.updates += self.service.wait(0.1)

    def run(self, name: str, *argv: str, **fields: Any) -> RunUpdate:
        """Submit a run and return its terminal update."""
        self.submit(name, *argv, **fields)
        return self.wait_for(lambda u: u.name == name and u.state.is_terminal)

    def read_metric(self, name: str, metric: str) -> list[float]:
        """Return the values of a metric that a run has written."""
        records = self.store.records(name)
        return [record.values[metric] for record in records if metric in record.values]

    def cancel_and_close(self) -> None:
        """Cancel what is live, and close the service unless it is closed."""
        ended = {update.name for update in self.updates if update.state.is_terminal}
        with contextlib.suppress(BackendError):
            for name in self.names - ended:
                self.service.cancel(name)
        self.service.close()


def start_and_be_killed(arguments: tuple[Backend, str, str, RunRequest], patience: float) -> None:
    """Start a run from another process, and kill that process while the run is live."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import {__name__} as m; m.start_and_sleep()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    timer = threading.Timer(patience, process.kill)
    timer.start()
    with process.stdin, process.stdout:
        pickle.dump(arguments, process.stdin)
        process.stdin.close()
        line = process.stdout.readline()
        process.kill()
        process.wait()
    timer.cancel()
    assert line == b"live\n", "the process that is to be killed did not start its run"


def start_and_sleep() -> None:
    """Start the run that standard input describes, print ``live``, and wait to be killed."""
    backend, store, study, request = pickle.load(sys.stdin.buffer)
    service = backend.open(store, study, SOURCES, keep_runs=True, notice=lambda message: None)
    metrics = MetricStore(store, study, backend.store_options)
    watcher = Watcher(service, metrics, patience=float("inf"))
    watcher.start(request.name, *request.argv)
    print("live", flush=True)
    threading.Event().wait()
