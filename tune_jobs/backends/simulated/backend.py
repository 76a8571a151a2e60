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
import math
import secrets
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from tune_jobs.arguments.calls import strict_types
from tune_jobs.backends.base import BackendService
from tune_jobs.backends.simulated.courses import Curve
from tune_jobs.backends.simulated.timeline import Behavior, Seconds, Timeline
from tune_jobs.core.attempts import SIMULATED
from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunUpdate
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.metric_store.folder import open_folder

if TYPE_CHECKING:
    from tune_jobs.backends.base import Backend, Notice


class SimulatedService(BackendService):
    """Simulated job runs of one study. Made by `SimulatedBackend.open`.

    Args:
        timeline: The study's runs, which outlive the service.
        keep_runs: Whether live runs continue when it is closed.
        describe: See `BackendService.describe`.
    """

    def __init__(
        self, timeline: Timeline, describe: Callable[[], dict[str, object]], *, keep_runs: bool
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
    def _open_timeline(self) -> Iterator[Timeline]:
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

    name = SIMULATED
    tick = math.inf  # without news there is nothing to check on

    @strict_types
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
        self._behavior = Behavior(
            curve, provisioning, stopping, checkpoints, preempted, shape, seed
        )
        self._timelines: dict[str, Timeline] = {}
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

    def check_resources(self, resources: Mapping[str, object]) -> None:
        """See `Backend.check_resources`: simulated runs have any."""

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
                self._timelines[uri] = Timeline(open_folder(uri, {}), self._behavior)
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


if TYPE_CHECKING:
    _: Backend = SimulatedBackend(lambda run: [])
