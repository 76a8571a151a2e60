"""The live job runs of one study: started, watched and read; nothing here knows Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tune_jobs.backends.base import Backend, MetricSources, RunRequest, RunState, RunUpdate
from tune_jobs.errors import SubmitError
from tune_jobs.ledger import Attempt
from tune_jobs.metrics.extract import metric_like_names
from tune_jobs.metrics.records import Record
from tune_jobs.metrics.store import MetricStore

LOG_TAIL = 64 * 1024
"""Bytes at the end of a log that a failure's message is made from."""


@dataclass(frozen=True)
class Observation:
    """What was seen of one attempt: its state, and all its metrics so far."""

    attempt: Attempt
    update: RunUpdate
    records: Sequence[Record]

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.update.state.is_terminal


class Runs:
    """Job runs that hold a slot, by name.

    Args:
        backend: Where they execute; open.
        store: Where they write.
        sources: What the run side looks for.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        backend: Backend,
        store: MetricStore,
        sources: MetricSources,
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._store = store
        self._sources = sources
        self._clock = clock
        self._live: dict[str, Attempt] = {}
        self._seen: list[RunUpdate] = []

    @property
    def live(self) -> Mapping[str, Attempt]:
        """The attempts that hold a slot; one that is being stopped still does."""
        return self._live

    def submit(self, attempt: Attempt) -> str | None:
        """Start the attempt's run; returns its run id, None if it could not be started.

        A run that cannot be started is seen by the next `wait` as one that failed.
        """
        self._live[attempt.name] = attempt
        request = RunRequest(
            name=attempt.name,
            argv=tuple(attempt.invocation["argv"]),
            env=attempt.invocation["env"],
            files=attempt.invocation["files"],
            sources=self._sources,
        )
        try:
            return self._backend.submit(request)
        except SubmitError as error:
            now = self._clock()
            self._seen.append(
                RunUpdate(
                    attempt.name, RunState.FAILED, started=now, finished=now, cause=str(error)
                )
            )
            return None

    def watch(self, attempt: Attempt, update: RunUpdate | None = None) -> None:
        """Take over an attempt that somebody started earlier, or replace what is known of it."""
        self._live[attempt.name] = attempt
        if update is not None:
            self._seen.append(update)

    def cancel(self, name: str) -> None:
        """Stop a run; it holds its slot until it has ended."""
        self._backend.cancel(name)

    def wait(self, timeout: float | None) -> list[Observation]:
        """What happened, after at most ``timeout`` seconds; each run once, its latest state."""
        updates = self._seen or self._backend.wait(timeout)
        self._seen = []
        latest = {u.name: u for u in updates if u.name in self._live}
        return [self._observe(update) for update in latest.values()]

    def _observe(self, update: RunUpdate) -> Observation:
        attempt = self._live[update.name]
        records = self._store.records(update.name) if update.has_metrics else []
        if update.state.is_terminal:
            del self._live[update.name]
            self._store.forget(update.name)
        return Observation(attempt, update, records)

    def explain(self, observation: Observation, cause: str, wanted: Sequence[str]) -> str:
        """A failure's cause with what the run's log says about it."""
        tail = self._store.log(observation.attempt.name, LOG_TAIL)
        if observation.update.state == RunState.SUCCEEDED:
            names = metric_like_names(tail.encode(), wanted=wanted[0])
            printed = (
                f"numbers were printed for: {', '.join(names)}"
                if names
                else "no metric-like output was printed at all"
            )
            problem = observation.update.metrics_problem
            return "; ".join(part for part in (cause, problem, printed) if part)
        lines = [line for line in tail.replace("\r", "\n").splitlines() if line.strip()]
        return "\n".join([cause, *(line[:500] for line in lines[-10:])])
