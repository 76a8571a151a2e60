"""Job runs that take no time: a virtual clock, provisioning, and learning curves from a function.

The tuner runs on it unchanged, so an evening of a thousand runs takes seconds, and the same seed
gives the same study.

    def curve(run):
        lr = run.number("lr")
        return [
            SimulatedReport(60.0 * epoch, epoch, {"loss": loss(lr, epoch)})
            for epoch in range(1, 28)
        ]

    tuner = Tuner(study, space, SimulatedBackend(curve, provisioning=120), metric="loss")
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import random
import secrets
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tune_jobs.backends.base import BackendService
from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.runtime.records import Record, encode

if TYPE_CHECKING:
    from tune_jobs.backends.base import Backend, Notice

Seconds = float | tuple[float, float] | Callable[[random.Random], float]
"""A number, a range to draw from uniformly, or a function of a random generator."""


@dataclass(frozen=True)
class SimulatedReport:
    """Metrics that a run reports at a time.

    Args:
        seconds: Time since the start of its script.
        step: The epoch or the like; None if the script does not report it.
        values: The metrics by name.
    """

    seconds: float
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Course:
    """Course of a run.

    Args:
        reports: What it reports, in the order of time.
        seconds: Time from the start of its script to the end; None to end with the last report.
        exit_code: The script's exit code; the run fails unless it is 0.
    """

    reports: Sequence[SimulatedReport]
    seconds: float | None = None
    exit_code: int = 0

    @property
    def end(self) -> float:
        """Seconds from the start of the script to its end."""
        if self.seconds is not None:
            return self.seconds
        return self.reports[-1].seconds if self.reports else 0.0


@dataclass(frozen=True)
class SimulatedRun:
    """Run, as a curve sees it.

    Args:
        name: Its name, such as ``trial-000012-1``.
        trial: The number of its trial; None for other runs.
        argv: Its arguments.
        resume_step: The last step in the checkpoint that it resumes from, if any.
        random: Random generator of its own, the same in every simulation with the same seed.
    """

    name: str
    trial: int | None
    argv: Sequence[str]
    resume_step: int | None
    random: random.Random = field(repr=False, compare=False)

    @property
    def arguments(self) -> dict[str, str]:
        """Values of ``--name=value`` and ``--name value`` by name, with ``_`` for ``-``."""
        values: dict[str, str] = {}
        pending: str | None = None
        for word in self.argv:
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                pending = name.replace("-", "_")
                values[pending] = value if equals else "true"
                if equals:
                    pending = None
            elif pending is not None:
                values[pending], pending = word, None
        return values

    def number(self, name: str) -> float:
        """Return an argument as a number.

        Raises:
            KeyError: If there is no such argument.
            ValueError: If it is not a number.
        """
        return float(self.arguments[name])


Curve = Callable[[SimulatedRun], Course | Sequence[SimulatedReport]]


@dataclass(frozen=True)
class _Behavior:
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


class _Timeline:
    """Runs of one study, in virtual time of its own.

    Args:
        folder: The study's folder in the metric store.
        behavior: How runs behave.
    """

    def __init__(self, folder: Folder, behavior: _Behavior) -> None:
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


class SimulatedService(BackendService):
    """Simulated job runs of one study. Made by `SimulatedBackend.open`.

    Args:
        timeline: The study's runs, which outlive the service.
        keep_runs: Whether live runs continue when it is closed.
        describe: See `BackendService.describe`.
    """

    def __init__(
        self, timeline: _Timeline, describe: Callable[[], dict[str, object]], *, keep_runs: bool
    ) -> None:
        self._timeline, self._describe, self._keep_runs = timeline, describe, keep_runs
        self._watched: set[str] = set()
        self._restarted: list[str] = []
        self._is_closed = False

    def clock(self) -> float:
        """Return the virtual seconds since the study's first run could have started."""
        return self._timeline.now

    def paths(self, name: str) -> RunPaths:
        """See `BackendService.paths`: nothing is ever written there."""
        return RunPaths.below(f"/simulated/{name}")

    def submit(self, request: RunRequest) -> str:
        """See `BackendService.submit`."""
        with self._open_timeline() as timeline:
            if not timeline.start(request):
                self._restarted.append(request.name)
            self._watched.add(request.name)
        return request.name

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """See `BackendService.wait`: advances the clock to the next event."""
        with self._open_timeline() as timeline:
            changed, self._restarted = self._restarted, []
            if not changed:
                changed = [n for n in timeline.advance(timeout) if n in self._watched]
            return list(timeline.find(changed).values())

    def cancel(self, name: str) -> None:
        """See `BackendService.cancel`."""
        with self._open_timeline() as timeline:
            timeline.stop(name)

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """See `BackendService.find`."""
        with self._open_timeline() as timeline:
            found = timeline.find(names)
            self._watched |= found.keys()
            return found

    def describe(self) -> dict[str, object]:
        """See `BackendService.describe`."""
        return self._describe()

    def close(self) -> None:
        """See `BackendService.close`."""
        if self._is_closed:
            return
        with self._timeline.lock:
            if not self._keep_runs:
                for name in self._watched:
                    self._timeline.stop(name)
            self._is_closed, self._timeline.is_open = True, False

    @contextlib.contextmanager
    def _open_timeline(self) -> Iterator[_Timeline]:
        with self._timeline.lock:
            if self._is_closed:
                raise BackendError("the simulated service is closed: open the backend again")
            yield self._timeline


class SimulatedBackend:
    """Backend whose job runs are learning curves in virtual time.

    Runs live as long as this object. Each study has a clock of its own, which advances when its
    service waits; so studies that share a backend go as they would alone.

    Args:
        curve: How a run goes: its reports, or a `Course`.
        provisioning: Seconds between the start of a run and that of its script.
        stopping: Seconds between the request to stop a run and its end.
        checkpoints: Whether scripts save every step and resume from there; see `resume_step`.
        preempted: Probability that a run is ended from outside, somewhere on its way.
        shape: What the runs run on, for prices.
        seed: Seed of all randomness.

    Raises:
        ConfigError: If a time is negative, or a probability not below 1.
    """

    name = "simulated"
    tick = math.inf  # without news there is nothing to check on

    def __init__(
        self,
        curve: Curve,
        *,
        provisioning: Seconds = 0.0,
        stopping: Seconds = 0.0,
        checkpoints: bool = False,
        preempted: float = 0.0,
        shape: str = "simulated",
        seed: int = 0,
    ) -> None:
        if not 0.0 <= preempted < 1.0:
            raise ConfigError(f"preempted must be a probability below 1, not {preempted}")
        for name, seconds in (("provisioning", provisioning), ("stopping", stopping)):
            if isinstance(seconds, int | float) and seconds < 0:
                raise ConfigError(f"{name} must not be negative (seconds), not {seconds}")
        self.default_store = f"memory://simulated-{secrets.token_hex(4)}"
        # fsspec keeps what is in memory for as long as the process lives.
        weakref.finalize(self, _remove, self.default_store)
        self.store_options: Mapping[str, object] = {}
        self._behavior = _Behavior(
            curve, provisioning, stopping, checkpoints, preempted, shape, seed
        )
        self._timelines: dict[str, _Timeline] = {}
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        curve = self._behavior.curve
        return f"SimulatedBackend({getattr(curve, '__name__', curve)!s})"

    @property
    def now(self) -> float:
        """Virtual seconds since the simulation began; with several studies, of the latest."""
        return max((timeline.now for timeline in self._timelines.values()), default=0.0)

    def clock(self) -> float:
        """Return `now`, which stands for the seconds since the epoch."""
        return self.now

    def check(self) -> None:
        """See `Backend.check`."""

    def describe(self) -> dict[str, object]:
        """See `Backend.describe`."""
        return {"backend": self.name, "command": [repr(self)]}

    def open(
        self,
        store: str,
        study: str,
        sources: MetricSources,
        *,
        keep_runs: bool,
        notice: Notice,
    ) -> SimulatedService:
        """See `Backend.open`. One service at a time is open for a study."""
        uri = f"{store.rstrip('/')}/{study}"
        with self._opening:
            if uri not in self._timelines:
                self._timelines[uri] = _Timeline(open_folder(uri, {}), self._behavior)
            timeline = self._timelines[uri]
            if timeline.is_open:
                raise BackendError(
                    f"another tuner is working on study {study!r}: wait until it has ended, or "
                    "stop it"
                )
            timeline.is_open = True
        return SimulatedService(timeline, self.describe, keep_runs=keep_runs)

    def log(self, name: str, run_id: str | None) -> None:
        """See `Backend.log`: a simulated run prints nothing."""

    def console(self, run_id: str) -> None:
        """See `Backend.console`: there is no such page."""


def _remove(store: str) -> None:
    open_folder(store, {}).remove_all([""])


def _draw(seconds: Seconds, generator: random.Random) -> float:
    if callable(seconds):
        return seconds(generator)
    if isinstance(seconds, tuple):
        return generator.uniform(*seconds)
    return float(seconds)


if TYPE_CHECKING:
    _: Backend = SimulatedBackend(lambda run: [])
