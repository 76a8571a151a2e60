"""Job runs that take no time: a virtual clock, provisioning, and learning curves from a function.

The tuner's own code runs on it unchanged, so an evening of a thousand runs takes seconds, and the
same seed gives the same study.

    def curve(run):
        lr = run.number("lr")
        return [
            SimulatedReport(60.0 * epoch, epoch, {"loss": loss(lr, epoch)})
            for epoch in range(1, 28)
        ]

    tuner = Tuner(study, space, SimulatedBackend(curve, provisioning=120), metric="loss")
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import secrets
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.metric_store.folder import Folder, open_folder
from tune_jobs.runtime.records import Record, encode

Seconds = float | tuple[float, float] | Callable[[random.Random], float]
"""A number, a range to draw from uniformly, or a function of a random generator."""


@dataclass(frozen=True)
class SimulatedReport:
    """One line of metrics that a run reports.

    Args:
        seconds: Since its script was started.
        step: The epoch or the like; None: the script does not say it.
        values: The metrics by name.
    """

    seconds: float
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Course:
    """How a run goes.

    Args:
        reports: In the order of time.
        seconds: When the script ends; None: with its last report.
        exit_code: Its exit code; not 0: the run fails.
    """

    reports: Sequence[SimulatedReport]
    seconds: float | None = None
    exit_code: int = 0

    @property
    def end(self) -> float:
        """Seconds from the script's start to its end."""
        if self.seconds is not None:
            return self.seconds
        return self.reports[-1].seconds if self.reports else 0.0


@dataclass(frozen=True)
class SimulatedRun:
    """What a run knows of itself.

    Args:
        name: ``trial-000012-1``.
        trial: The trial's number as the backend was told it; None for other runs.
        argv: Its arguments.
        resume_step: The last step in the checkpoint that it goes on from; None: it starts afresh.
        random: Randomness of its own, the same in every simulation with the same seed.
    """

    name: str
    trial: int | None
    argv: Sequence[str]
    resume_step: int | None
    random: random.Random = field(repr=False, compare=False)

    @property
    def arguments(self) -> dict[str, str]:
        """What ``--name=value`` and ``--name value`` say, by name, with ``_`` for ``-``."""
        found: dict[str, str] = {}
        waiting: str | None = None
        for word in self.argv:
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                waiting = name.replace("-", "_")
                found[waiting] = value if equals else "true"
                if equals:
                    waiting = None
            elif waiting is not None:
                found[waiting], waiting = word, None
        return found

    def number(self, name: str) -> float:
        """An argument as a number.

        Raises:
            KeyError, ValueError: there is none, or it is none.
        """
        return float(self.arguments[name])


Curve = Callable[[SimulatedRun], Course | Sequence[SimulatedReport]]


@dataclass
class _Simulated:
    """One run and what happens to it: ``ends`` is in virtual time."""

    request: RunRequest
    course: Course
    began: float
    update: RunUpdate
    pending: list[SimulatedReport]
    text: bytes = b""
    last_step: int | None = None
    stopping: bool = False


class SimulatedBackend:
    """Every job run is a learning curve; time is virtual.

    Args:
        curve: How a run goes: its reports, or a `Course`.
        provisioning: Seconds between the start of a run and that of its script.
        stopping: Seconds between the request to stop a run and its end.
        checkpoints: Whether scripts save every step and go on from there; see `resume_step`.
        preempted: Probability that a run is ended from outside, somewhere on its way.
        shape: What the runs run on, for prices.
        seed: Of all randomness.

    Raises:
        ConfigError: a time or a probability cannot be one.
    """

    name = "simulated"
    tick = math.inf  # nobody looks on

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
        weakref.finalize(self, _drop, self.default_store)
        self.store_options: Mapping[str, object] = {}
        self.notice: Callable[[str], None] = lambda text: None
        self.now = 0.0
        """Virtual seconds since the simulation began."""
        self._curve = curve
        self._provisioning, self._stopping = provisioning, stopping
        self._checkpoints, self._preempted = checkpoints, preempted
        self._shape, self._seed = shape, seed
        self._runs: dict[str, _Simulated] = {}
        self._events: list[tuple[float, int, str, str]] = []
        self._order = itertools.count()
        self._folder: Folder | None = None

    def __repr__(self) -> str:
        return f"SimulatedBackend({getattr(self._curve, '__name__', self._curve)!s})"

    def clock(self) -> float:
        """Virtual seconds; they are the tuner's seconds since the epoch."""
        return self.now

    # -- the protocol of a backend --------------------------------------------------------------

    def check(self) -> None:
        """See `Backend.check`."""

    def open(self, store: str, study: str, sources: MetricSources, *, keep_runs: bool) -> None:
        """See `Backend.open`."""
        self._folder = open_folder(f"{store.rstrip('/')}/{study}", {})

    def paths(self, name: str) -> RunPaths:
        """See `Backend.paths`: nothing is ever written there."""
        return RunPaths.below(f"/simulated/{name}")

    def submit(self, request: RunRequest) -> str:
        """See `Backend.submit`."""
        if request.name in self._runs:
            return request.name
        chance = random.Random(f"{self._seed}/{request.name}")
        trial = request.labels.get("trial")
        run = SimulatedRun(
            name=request.name,
            trial=int(trial) if trial and trial.isdecimal() else None,
            argv=request.argv,
            resume_step=self._resume_step(request),
            random=chance,
        )
        course = self._curve(run)
        if not isinstance(course, Course):
            course = Course(course)
        began = self.now + _drawn(self._provisioning, chance)
        self._runs[request.name] = _Simulated(
            request,
            course,
            began,
            RunUpdate(request.name, RunState.ACCEPTED, request.name, has_metrics=False),
            pending=list(reversed(course.reports)),
        )
        self._at(began, "begins", request.name)
        if chance.random() < self._preempted:
            self._at(began + chance.random() * course.end, "preempted", request.name)
        return request.name

    def _resume_step(self, request: RunRequest) -> int | None:
        if self._checkpoints:
            for name in request.resume:
                if name in self._runs and self._runs[name].last_step is not None:
                    return self._runs[name].last_step
        return None

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """See `Backend.wait`: goes straight to what happens next."""
        until = math.inf if timeout is None else self.now + timeout
        if self._events:
            until = min(until, self._events[0][0])
        if until == math.inf:
            raise BackendError("nothing is running: nothing will ever happen")
        happened: dict[str, None] = {}
        while self._events and self._events[0][0] <= until:
            self.now, _, what, name = heapq.heappop(self._events)
            if self._happen(self._runs[name], what):
                happened[name] = None
        self.now = max(self.now, until)
        return [self._runs[name].update for name in happened]

    def cancel(self, name: str) -> None:
        """See `Backend.cancel`."""
        run = self._runs.get(name)
        if run is None or run.update.state.is_terminal or run.stopping:
            return
        run.stopping = True
        chance = random.Random(f"{self._seed}/{name}/stop")
        self._at(self.now + _drawn(self._stopping, chance), "stopped", name)

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """See `Backend.find`."""
        return {name: self._runs[name].update for name in names if name in self._runs}

    def log(self, name: str, run_id: str | None) -> None:
        """See `Backend.log`: there is none."""

    def console(self, run_id: str) -> None:
        """See `Backend.console`: there is no such place."""

    def describe(self) -> dict[str, object]:
        """See `Backend.describe`."""
        return {"backend": self.name, "command": [repr(self)]}

    def close(self) -> None:
        """See `Backend.close`."""

    # -- what happens ---------------------------------------------------------------------------

    def _at(self, when: float, what: str, name: str) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, name))

    def _happen(self, run: _Simulated, what: str) -> bool:
        """Let something happen to a run; whether that is news."""
        name = run.request.name
        if run.update.state.is_terminal:
            return False  # it was stopped before
        match what:
            case "begins":
                run.update = replace(
                    run.update, state=RunState.IN_PROGRESS, started=self.now, shape=self._shape
                )
                self._plan_next(run)
            case "reports":
                self._report(run)
                self._plan_next(run)
            case "ends" if run.course.exit_code:
                self._end(run, RunState.FAILED, f"exit code {run.course.exit_code}")
            case "ends":
                self._end(run, RunState.SUCCEEDED, "")
            case "stopped":
                self._end(run, RunState.CANCELED, "stopped")
            case "preempted":
                self._end(run, RunState.FAILED, f"{name} was preempted", transient=True)
        return True

    def _plan_next(self, run: _Simulated) -> None:
        name = run.request.name
        if run.pending:
            self._at(run.began + run.pending[-1].seconds, "reports", name)
        else:
            self._at(run.began + run.course.end, "ends", name)

    def _report(self, run: _Simulated) -> None:
        assert self._folder is not None
        report = run.pending.pop()
        run.text += encode(Record(self.now, report.step, report.values)).encode()
        self._folder.write(f"metrics/{run.request.name}.jsonl", run.text)
        run.last_step = report.step if report.step is not None else (run.last_step or 0) + 1
        run.update = replace(run.update, has_metrics=True)

    def _end(
        self, run: _Simulated, state: RunState, cause: str, *, transient: bool = False
    ) -> None:
        code = run.course.exit_code if state != RunState.CANCELED and not transient else None
        run.update = replace(
            run.update,
            state=state,
            finished=self.now,
            started=run.update.started,
            exit_code=code,
            cause=cause,
            transient=transient,
            has_metrics=True,
        )
        run.pending.clear()
        run.text = b""


def _drop(store: str) -> None:
    open_folder(store, {}).remove_all([""])


def _drawn(seconds: Seconds, chance: random.Random) -> float:
    if callable(seconds):
        return seconds(chance)
    if isinstance(seconds, tuple):
        return chance.uniform(*seconds)
    return float(seconds)
