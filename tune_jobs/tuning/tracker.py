"""The live job runs of one study: started, watched and read; nothing here knows Optuna."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tune_jobs.backends.base import BackendService, Notice
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.job_runs import RunRequest, RunState, RunUpdate
from tune_jobs.core.observations import Observation
from tune_jobs.errors import StoreError, SubmitError
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.extract import metric_like_names

LOG_TAIL = 64 * 1024
"""Bytes at the end of a log that a failure's message is made from."""

STORE_PATIENCE = 600.0
"""Seconds for which a store that cannot be read is asked again."""

METRICS_PATIENCE = 120.0
"""Seconds within which the store must have all metrics of a run that has ended."""


class RunTracker:
    """Job runs that hold a slot, by name.

    Args:
        service: Where they execute.
        store: Where they write.
        notice: Called with what a person should know.
    """

    def __init__(
        self,
        service: BackendService,
        store: MetricStore,
        notice: Notice,
    ) -> None:
        self._service = service
        self._store = store
        self._clock = service.clock
        self._notice = notice
        self._live: dict[str, Attempt] = {}
        self._states: dict[str, tuple[RunState, str | None]] = {}
        self._seen: list[RunUpdate] = []
        self._incomplete: dict[str, float] = {}
        self._trouble_since: float | None = None

    @property
    def live(self) -> Mapping[str, Attempt]:
        """The attempts that hold a slot; one that is being stopped still does."""
        return self._live

    def submit(self, attempt: Attempt) -> str | None:
        """Start the attempt's run; returns its run id, None if it is not known yet.

        A run that cannot be started is seen by the next `wait` as one that failed.
        """
        self._live[attempt.name] = attempt
        request = RunRequest(
            name=attempt.name,
            argv=tuple(attempt.invocation["argv"]),
            env=attempt.invocation["env"],
            files=attempt.invocation["files"],
            resources=attempt.invocation.get("resources", {}),
            resume=tuple(attempt.invocation.get("resume", ())),
            checkpoints=attempt.is_final or "budget" in attempt.invocation,
            labels={"trial": str(attempt.trial), "attempt": str(attempt.attempt)},
        )
        try:
            return self._service.submit(request)
        except SubmitError as error:
            now = self._clock()
            self._seen.append(
                RunUpdate(
                    attempt.name, RunState.FAILED, started=now, finished=now, cause=str(error)
                )
            )
            return None

    def track(self, attempt: Attempt, update: RunUpdate | None = None) -> None:
        """Take over an attempt that somebody started earlier, or replace what is known of it."""
        self._live[attempt.name] = attempt
        if update is not None:
            self._seen.append(update)

    def cancel(self, name: str) -> None:
        """Stop a run; it holds its slot until it has ended."""
        self._service.cancel(name)

    def wait(self, timeout: float | None) -> list[Observation]:
        """What happened, after at most ``timeout`` seconds; each run once, its latest state.

        Raises:
            BackendError: the backend cannot go on.
            StoreError: the store could not be read for `STORE_PATIENCE` seconds.
        """
        updates = self._seen
        if self._incomplete:
            timeout = 1.0 if timeout is None else min(timeout, 1.0)
        if not updates or self._incomplete or self._trouble_since is not None:
            updates = [*updates, *self._service.wait(timeout)]
        self._seen = []
        latest = {u.name: u for u in updates if u.name in self._live}
        try:
            fresh = self._fetch(latest)
            missing = self._store.settle(
                [n for n, u in latest.items() if u.state == RunState.SUCCEEDED and u.has_history]
            )
        except StoreError as error:
            self._seen = list(latest.values())  # nothing is forgotten: the store is asked again
            self._endure(error)
            return []
        self._trouble_since = None
        return [
            self._observe(update)
            for name, update in self._complete(latest, missing).items()
            if name in fresh or self._is_news(update)
        ]

    def _fetch(self, latest: Mapping[str, RunUpdate]) -> set[str]:
        """Read the new metrics of these runs; returns which may have some."""
        unsure = [name for name, update in latest.items() if update.has_metrics is None]
        fresh = {name for name, update in latest.items() if update.has_metrics}
        fresh |= self._store.changed(unsure)
        # Whatever a listing says: the last value of a run that succeeded is its result.
        fresh |= {n for n, update in latest.items() if update.state == RunState.SUCCEEDED}
        self._store.fetch(fresh)
        return fresh

    def _complete(
        self, latest: Mapping[str, RunUpdate], missing: Mapping[str, str]
    ) -> dict[str, RunUpdate]:
        """Hold ended runs back until the store has all their metrics, or for too long."""
        complete: dict[str, RunUpdate] = {}
        now = self._clock()
        for name, update in latest.items():
            if name not in missing:
                self._incomplete.pop(name, None)
                complete[name] = update
            elif now - self._incomplete.setdefault(name, now) < METRICS_PATIENCE:
                self._seen.append(update)
            else:
                del self._incomplete[name]
                cause = f"its metrics are incomplete after {METRICS_PATIENCE:g} s: {missing[name]}"
                complete[name] = replace(update, state=RunState.FAILED, cause=cause, transient=True)
        return complete

    def _endure(self, error: StoreError) -> None:
        """A store that does not answer for a while ends nothing."""
        now = self._clock()
        if self._trouble_since is None:
            self._trouble_since = now
            self._notice(f"{error}; trying again")
        if now - self._trouble_since > STORE_PATIENCE:
            raise error

    def _is_news(self, update: RunUpdate) -> bool:
        """Whether a run is in another state than when it was last seen."""
        state = (update.state, update.run_id)
        return self._states.get(update.name) != state

    def _observe(self, update: RunUpdate) -> Observation:
        attempt, records = self._live[update.name], self._store.known(update.name)
        self._states[update.name] = (update.state, update.run_id)
        if update.state.is_terminal:
            del self._live[update.name], self._states[update.name]
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
            problem = self._metrics_problem(observation.attempt.name)
            return "; ".join(part for part in (cause, problem, printed) if part)
        lines = [line for line in tail.replace("\r", "\n").splitlines() if line.strip()]
        return "\n".join([cause, *(line[:500] for line in lines[-10:])])

    def _metrics_problem(self, name: str) -> str:
        """What a run could not read of its own metrics, as its history says."""
        ended = self._store.read_history(name) or {}
        return str(ended.get("metrics_problem", ""))[:1000]
