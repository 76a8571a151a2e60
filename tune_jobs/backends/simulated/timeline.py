"""Simulated runs of one study, and the events that change them."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from tune_jobs.backends.simulated.courses import Course, Curve, SimulatedReport, SimulatedRun
from tune_jobs.core.job_runs import RunRequest, RunState, RunUpdate
from tune_jobs.errors import BackendError
from tune_jobs.metric_store.base import Folder
from tune_jobs.runtime.records import Record, encode

Seconds = float | tuple[float, float] | Callable[[random.Random], float]
"""A number, a range to draw from uniformly, or a function of a random generator."""


@dataclass(frozen=True)
class Behavior:
    """How the runs of a backend behave; see `SimulatedBackend`."""

    curve: Curve
    provisioning: Seconds
    stopping: Seconds
    checkpoints: bool
    preempted: float
    shape: str
    seed: int


@dataclass
class _Simulated:
    """One run and its state; ``began`` is when its script starts, in virtual time."""

    request: RunRequest
    course: Course
    began: float
    update: RunUpdate
    pending: list[SimulatedReport]
    metrics: bytes = b""
    last_step: int | None = None
    stopping: bool = False


class Timeline:
    """Runs of one study, in virtual time of its own.

    Args:
        folder: The study's folder in the metric store.
        behavior: How runs behave.
    """

    def __init__(self, folder: Folder, behavior: Behavior) -> None:
        self.now = 0.0
        self.is_open = False
        self.lock = threading.Lock()
        self._folder, self._behavior = folder, behavior
        self._runs: dict[str, _Simulated] = {}
        self._events: list[tuple[float, int, str, str]] = []
        self._order = itertools.count()

    def start(self, request: RunRequest) -> bool:
        """Start a run, and return whether it is new."""
        if request.name in self._runs:
            return False
        behavior = self._behavior
        generator = random.Random(f"{behavior.seed}/{request.name}")
        trial = request.labels.get("trial")
        run = SimulatedRun(
            name=request.name,
            trial=int(trial) if trial and trial.isdecimal() else None,
            argv=request.argv,
            resume_step=self._find_resume_step(request),
            random=generator,
        )
        course = behavior.curve(run)
        if not isinstance(course, Course):
            course = Course(course)
        began = self.now + _draw(behavior.provisioning, generator)
        self._runs[request.name] = _Simulated(
            request,
            course,
            began,
            RunUpdate(request.name, RunState.ACCEPTED, request.name, has_metrics=False),
            pending=list(reversed(course.reports)),
        )
        self._schedule(began, "begins", request.name)
        if generator.random() < behavior.preempted:
            self._schedule(began + generator.random() * course.end, "preempted", request.name)
        return True

    def _find_resume_step(self, request: RunRequest) -> int | None:
        if self._behavior.checkpoints:
            for name in request.resume:
                if name in self._runs and self._runs[name].last_step is not None:
                    return self._runs[name].last_step
        return None

    def stop(self, name: str) -> None:
        """Stop a run, unless it has ended or does not exist."""
        run = self._runs.get(name)
        if run is None or run.update.state.is_terminal or run.stopping:
            return
        run.stopping = True
        generator = random.Random(f"{self._behavior.seed}/{name}/stop")
        self._schedule(self.now + _draw(self._behavior.stopping, generator), "stopped", name)

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """Return the state of these runs; one that was never started is absent."""
        return {name: self._runs[name].update for name in names if name in self._runs}

    def advance(self, timeout: float | None) -> list[str]:
        """Advance to the next event, by at most ``timeout``, and return the runs that it changed.

        Raises:
            BackendError: If there is no event and no timeout.
        """
        until = math.inf if timeout is None else self.now + timeout
        if self._events:
            until = min(until, self._events[0][0])
        if until == math.inf:
            raise BackendError("no simulated run is live: nothing will ever happen")
        changed: dict[str, None] = {}
        while self._events and self._events[0][0] <= until:
            self.now, _, event, name = heapq.heappop(self._events)
            if self._apply(self._runs[name], event):
                changed[name] = None
        self.now = max(self.now, until)
        return list(changed)

    def _schedule(self, when: float, event: str, name: str) -> None:
        heapq.heappush(self._events, (when, next(self._order), event, name))

    def _apply(self, run: _Simulated, event: str) -> bool:
        """Apply an event to a run, and return whether it changed the run."""
        name = run.request.name
        if run.update.state.is_terminal:
            return False  # it was stopped before
        match event:
            case "begins":
                run.update = replace(
                    run.update,
                    state=RunState.IN_PROGRESS,
                    started=self.now,
                    shape=self._behavior.shape,
                )
                self._schedule_next(run)
            case "reports":
                self._report(run)
                self._schedule_next(run)
            case "ends" if run.course.exit_code:
                self._end(run, RunState.FAILED, f"exit code {run.course.exit_code}")
            case "ends":
                self._end(run, RunState.SUCCEEDED, "")
            case "stopped":
                self._end(run, RunState.CANCELED, "stopped")
            case "preempted":
                self._end(run, RunState.FAILED, f"{name} was preempted", transient=True)
        return True

    def _schedule_next(self, run: _Simulated) -> None:
        if run.pending:
            self._schedule(run.began + run.pending[-1].seconds, "reports", run.request.name)
        else:
            self._schedule(run.began + run.course.end, "ends", run.request.name)

    def _report(self, run: _Simulated) -> None:
        report = run.pending.pop()
        run.metrics += encode(Record(self.now, report.step, report.values)).encode()
        self._folder.write(f"metrics/{run.request.name}.jsonl", run.metrics)
        run.last_step = report.step if report.step is not None else (run.last_step or 0) + 1
        run.update = replace(run.update, has_metrics=True)

    def _end(
        self, run: _Simulated, state: RunState, cause: str, *, transient: bool = False
    ) -> None:
        exit_code = run.course.exit_code if state != RunState.CANCELED and not transient else None
        run.update = replace(
            run.update,
            state=state,
            finished=self.now,
            started=run.update.started,
            exit_code=exit_code,
            cause=cause,
            transient=transient,
            has_metrics=True,
        )
        run.pending.clear()
        run.metrics = b""


def _draw(seconds: Seconds, generator: random.Random) -> float:
    if callable(seconds):
        return seconds(generator)
    if isinstance(seconds, tuple):
        return generator.uniform(*seconds)
    return float(seconds)
