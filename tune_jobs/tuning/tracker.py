"""The live job runs of a study: started, watched and read, without knowing Optuna."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from tune_jobs.backends.base import BackendService, Notice
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.job_runs import (
    MetricSources,
    RunRequest,
    RunState,
    RunUpdate,
    explain_memory_kill,
)
from tune_jobs.core.observations import Observation
from tune_jobs.core.resource_usage import ResourceUsage
from tune_jobs.errors import StoreError, SubmitError
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.unread import explain_unread

LOG_TAIL = 64 * 1024
"""Bytes at the end of a log that failures are explained from."""

_MAX_EXPLAINED = 3

_UNSEEN = (
    "what it printed was not looked at, since its job has no runner: have the script call "
    "tune_jobs.report(), or set metrics_from='log' if the job has a log group"
)

STORE_PATIENCE = 600.0
"""Seconds during which a store that cannot be read is retried."""

METRICS_PATIENCE = 120.0
"""Seconds within which the store must have all metrics of a run that has ended."""


class RunTracker:
    """Watches the runs of a study until they have ended.

    Args:
        service: Where they execute.
        store: Where they write their metrics.
        notice: Called with messages for a person.
    """

    def __init__(self, service: BackendService, store: MetricStore, notice: Notice) -> None:
        self._service, self._store, self._notice = service, store, notice
        self._states: dict[str, tuple[RunState, str | None] | None] = {}  # of the live runs
        self._unread: list[RunUpdate] = []
        self._incomplete: dict[str, float] = {}
        self._trouble_since: float | None = None

    @property
    def live(self) -> bool:
        """Whether any run is live."""
        return bool(self._states)

    def submit(self, attempt: Attempt) -> str | None:
        """Start the run of an attempt; return its run id if it is known at once.

        A run that cannot be started is observed as a failed one.
        """
        self._states[attempt.name] = None
        try:
            return self._service.submit(_request(attempt))
        except SubmitError as error:
            now = self._service.clock()
            failed = RunUpdate(
                attempt.name, RunState.FAILED, started=now, finished=now, cause=str(error)
            )
            self._unread.append(failed)
            return None

    def track(self, update: RunUpdate) -> None:
        """Watch a run that an earlier call started."""
        self._states[update.name] = None
        self._unread.append(update)

    def cancel(self, name: str) -> None:
        """Stop a run; it holds its slot until it has ended."""
        self._service.cancel(name)

    def wait(self, timeout: float | None) -> list[Observation]:
        """Return what happened within ``timeout`` seconds: each run once, in its latest state.

        Raises:
            BackendError: If the backend cannot continue.
            StoreError: If the store could not be read for `STORE_PATIENCE` seconds.
        """
        updates = self._unread
        if self._incomplete:
            timeout = 1.0 if timeout is None else min(timeout, 1.0)
        if not updates or self._incomplete or self._trouble_since is not None:
            updates = [*updates, *self._service.wait(timeout)]
        self._unread = []
        latest = {u.name: u for u in updates if u.name in self._states}
        try:
            fresh = self._fetch(latest)
            missing = self._store.settle(
                {
                    name: update.metrics_bytes
                    for name, update in latest.items()
                    if update.state == RunState.SUCCEEDED and update.has_history
                }
            )
        except StoreError as error:
            self._unread = list(latest.values())  # read again with the next call
            self._endure(error)
            return []
        self._trouble_since = None
        return [
            self._observe(update)
            for name, update in self._complete(latest, missing).items()
            if name in fresh or self._is_news(update)
        ]

    def _fetch(self, latest: Mapping[str, RunUpdate]) -> set[str]:
        """Read the new metrics of these runs; return the names of those that may have some."""
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
        now = self._service.clock()
        for name, update in latest.items():
            if name not in missing:
                self._incomplete.pop(name, None)
                complete[name] = update
            elif now - self._incomplete.setdefault(name, now) < METRICS_PATIENCE:
                self._unread.append(update)
            else:
                del self._incomplete[name]
                cause = f"its metrics are incomplete after {METRICS_PATIENCE:g} s: {missing[name]}"
                complete[name] = replace(update, state=RunState.FAILED, cause=cause, transient=True)
        return complete

    def _endure(self, error: StoreError) -> None:
        """Give up only on a store that is unavailable for long."""
        now = self._service.clock()
        if self._trouble_since is None:
            self._trouble_since = now
            self._notice(f"{error}; retrying")
        if now - self._trouble_since > STORE_PATIENCE:
            raise error

    def _is_news(self, update: RunUpdate) -> bool:
        return self._states.get(update.name) != (update.state, update.run_id)

    def _observe(self, update: RunUpdate) -> Observation:
        records = self._store.known(update.name)
        self._states[update.name] = (update.state, update.run_id)
        if update.state.is_terminal:
            update = self._add_usage(update)
            del self._states[update.name]
            self._store.forget(update.name)
        return Observation(update, records)

    def _add_usage(self, update: RunUpdate) -> RunUpdate:
        """Add to the end of a run what it used, unless that is known or cannot be read."""
        if update.usage is None and update.has_history:
            with contextlib.suppress(StoreError):
                found = self._store.read_usage(update.name)
                update = replace(update, usage=ResourceUsage.from_summary(found))
        return replace(update, cause=explain_memory_kill(update))

    def explain(
        self,
        update: RunUpdate,
        cause: str,
        sources: MetricSources,
        find_hint: Callable[[str], str] = lambda log: "",
    ) -> str:
        """Return a failure's cause with what the run's log says about it.

        Args:
            update: The run's terminal state.
            cause: Why it failed.
            sources: Where the metrics were expected.
            find_hint: Returns what to change about a run that failed, from the end of its log.
        """
        try:
            tail = self._store.log(update.name, LOG_TAIL)
            problem = self._metrics_problem(update.name)
        except StoreError as error:
            return f"{cause}; its log cannot be read: {error}"
        if update.state == RunState.SUCCEEDED:
            if not tail and not update.has_history:
                return "; ".join((cause, _UNSEEN))
            unread = [name for name in sources.names if repr(name) in cause][:_MAX_EXPLAINED]
            explained = [
                explain_unread(tail.encode(), name, sources.patterns.get(name), sources.step)
                for name in unread
            ]
            return "; ".join(part for part in (cause, problem, *explained) if part)
        lines = [line for line in tail.replace("\r", "\n").splitlines() if line.strip()]
        if hint := find_hint(tail):
            cause = f"{cause}: {hint}"
        return "\n".join([cause, *(line[:500] for line in lines[-10:])])

    def _metrics_problem(self, name: str) -> str:
        """Return what the run itself could not read of its metrics, from its history."""
        ended = self._store.read_history(name) or {}
        return str(ended.get("metrics_problem", ""))[:1000]


def _request(attempt: Attempt) -> RunRequest:
    invocation = attempt.invocation
    return RunRequest(
        name=attempt.name,
        argv=invocation.argv,
        env=invocation.env,
        files=invocation.files,
        resources=invocation.resources,
        resume=invocation.resume,
        checkpoints=attempt.is_final or invocation.budget is not None,
        labels={"trial": str(attempt.trial), "attempt": str(attempt.attempt)},
    )
