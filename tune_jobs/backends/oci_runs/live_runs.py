"""The job runs that this process watches: one listing says how all of them are.

ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED | CANCELED | DELETED
                 │   └─▶ CANCELING ─────────────────┘
                 └─▶ NEEDS_ATTENTION, or a state that this SDK does not know: given up after
                     a while, since nobody says that they end
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tune_jobs.backends.oci_runs.failures import brief, classify_failure, is_transient, refusal
from tune_jobs.backends.oci_runs.service import ServiceRun, ServiceRuns
from tune_jobs.backends.oci_runs.shapes import Shapes
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.runtime.backoff import Backoff

MISSING_PATIENCE = 60.0
"""Seconds for which a listing may not know a run that was started."""

ATTENTION_PATIENCE = 600.0
"""Seconds that a run may spend in a state that needs attention, or that nobody knows."""

LONGEST_POLL = 120.0
"""Seconds between two polls while the service does not answer, at most."""

_STATES = {
    "ACCEPTED": RunState.ACCEPTED,
    "IN_PROGRESS": RunState.IN_PROGRESS,
    "CANCELING": RunState.IN_PROGRESS,  # it still holds capacity
}
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "DELETED")


@dataclass(frozen=True)
class _Live:
    """A run that is watched; times by the monotonic clock."""

    run_id: str
    job_id: str
    shape: str
    since: float
    odd_since: float | None = None


class LiveRuns:
    """Watches runs, and stops them.

    Args:
        runs: The service.
        shapes: Told of a shape that is out of capacity.
        notice: Called with what a person should know.
        poll_seconds: Time between two polls.
        clock: Seconds; monotonic.
    """

    def __init__(
        self,
        runs: ServiceRuns,
        shapes: Shapes,
        notice: Callable[[str], None],
        poll_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._runs, self._shapes, self._notice = runs, shapes, notice
        self._poll_seconds, self._clock = poll_seconds, clock
        self._live: dict[str, _Live] = {}
        self._to_cancel: set[str] = set()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="tune_jobs-cancel")
        self._next_poll = clock()
        self._backoff = Backoff(first=2.0 * poll_seconds, longest=LONGEST_POLL)
        self._failures = 0

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, name: str) -> bool:
        return name in self._live

    def watch(self, name: str, run_id: str, job_id: str, shape: str) -> None:
        """Watch a run from now on."""
        if not self._live:
            self._next_poll = self._clock() + self._poll_seconds
        self._live[name] = _Live(run_id, job_id, shape, self._clock())
        if name in self._to_cancel:
            self._ask_to_stop(name, run_id)

    def cancel(self, name: str) -> None:
        """Stop a run: now, or as soon as it is watched."""
        self._to_cancel.add(name)
        if name in self._live:
            self._ask_to_stop(name, self._live[name].run_id)

    def until_due(self) -> float | None:
        """Seconds until the next poll; None if nothing is watched."""
        return max(0.0, self._next_poll - self._clock()) if self._live else None

    def poll(self) -> list[RunUpdate]:
        """How all runs are, if it is time to ask; each one, changed or not.

        Raises:
            BackendError: the service refuses to say, and will go on to.
        """
        if self.until_due() != 0.0:
            return []
        self._next_poll = self._clock() + self._poll_seconds
        by_job: dict[str, list[str]] = {}
        for live in self._live.values():
            by_job.setdefault(live.job_id, []).append(live.run_id)
        seen: dict[str, ServiceRun] = {}
        try:
            for job_id, run_ids in by_job.items():
                seen |= self._runs.seen(job_id, run_ids)
        except Exception as error:
            self._endure(error)
            return []
        self._failures = 0
        return [
            self._missing(name, live) if run is None else self._update(name, run)
            for name, live in list(self._live.items())
            for run in [seen.get(live.run_id)]
        ]

    def find(
        self, job_ids: Collection[str], names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, RunUpdate]:
        """What became of runs that somebody started; live ones are watched from now on.

        Raises:
            BackendError: the service refuses to say.
        """
        found: dict[str, RunUpdate] = {}
        for job_id in job_ids:
            left = set(names) - found.keys()
            for name, run in self._named(job_id, left, tags).items() if left else ():
                if run.state == "CANCELED":
                    self._to_cancel.add(name)  # by the tuner before us, as far as one can tell
                self.watch(name, run.id, job_id, self._shapes.own)
                found[name] = self._update(name, run)
        return found

    def close(self) -> None:
        """Watch nothing more; what was asked to stop was asked."""
        self._pool.shutdown(wait=True)

    # -- asking ---------------------------------------------------------------------------------

    def _named(
        self, job_id: str, names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, ServiceRun]:
        """Ask until there is an answer: nothing can be done without it."""
        while True:
            try:
                return self._runs.named(job_id, names, tags)
            except Exception as error:
                self._endure(error)
                time.sleep(max(0.0, self._next_poll - self._clock()))

    def _endure(self, error: Exception) -> None:
        """A service that does not answer is asked again, ever more slowly."""
        if not is_transient(error):
            raise refusal(error, "listing job runs", self._runs.policy) from error
        self._failures += 1
        self._next_poll = self._clock() + self._backoff.pause(self._failures)
        if self._failures == 1:
            self._notice(f"OCI does not say how the job runs are, asking again: {brief(error)}")

    def _ask_to_stop(self, name: str, run_id: str) -> None:
        self._pool.submit(self._stop, name, run_id)

    def _stop(self, name: str, run_id: str) -> None:
        try:
            self._runs.cancel(run_id)
        except Exception as error:
            if not is_transient(error):  # else the next poll asks again
                reason = refusal(error, f"canceling {run_id}", self._runs.policy)
                self._notice(f"{name} cannot be canceled, so it goes on: {reason}")

    # -- what a state means -----------------------------------------------------------------------

    def _update(self, name: str, run: ServiceRun) -> RunUpdate:
        if run.state in _ENDED:
            return self._ended(name, run)
        if run.state not in _STATES:
            return self._odd(name, run)
        self._live[name] = replace(self._live[name], odd_since=None)
        if name in self._to_cancel and run.state != "CANCELING":
            self._ask_to_stop(name, run.id)  # it was not heard
        return RunUpdate(name, _STATES[run.state], run.id, started=run.started, has_metrics=None)

    def _ended(self, name: str, run: ServiceRun) -> RunUpdate:
        live, ours = self._live.pop(name), name in self._to_cancel
        self._to_cancel.discard(name)
        update = RunUpdate(
            name,
            RunState.FAILED,
            run.id,
            started=run.started or run.accepted,
            finished=run.finished or time.time(),
            shape=live.shape,
            has_metrics=None,
        )
        if run.state == "SUCCEEDED":
            return replace(update, state=RunState.SUCCEEDED, exit_code=0)
        if ours:
            return replace(update, state=RunState.CANCELED, cause="stopped")
        if run.state == "FAILED":
            return self._failed(update, run.details, live.shape)
        said = f"; the service says: {run.details}" if run.details else ""
        return replace(update, cause=f"it was {run.state.lower()} by somebody else{said}")

    def _failed(self, update: RunUpdate, details: str, shape: str) -> RunUpdate:
        failure = classify_failure(details)
        other_shape = failure.no_capacity and self._shapes.out_of_capacity(shape)
        return replace(
            update,
            exit_code=failure.exit_code,
            cause=failure.cause,
            transient=failure.transient,
            retry_after=0.0 if other_shape else failure.retry_after,
            fatal=failure.fatal,
        )

    def _odd(self, name: str, run: ServiceRun) -> RunUpdate:
        live, now = self._live[name], self._clock()
        since = now if live.odd_since is None else live.odd_since
        self._live[name] = replace(live, odd_since=since)
        update = RunUpdate(
            name, RunState.IN_PROGRESS, run.id, started=run.started, has_metrics=None
        )
        if now - since < ATTENTION_PATIENCE:
            return update
        del self._live[name]
        self._ask_to_stop(name, run.id)
        cause = f"it was in state {run.state} for {ATTENTION_PATIENCE / 60:.0f} minutes"
        said = f"; the service says: {run.details}" if run.details else ""
        return replace(update, state=RunState.FAILED, cause=cause + said, transient=True)

    def _missing(self, name: str, live: _Live) -> RunUpdate:
        """A run that a listing does not have: a new one is not in it yet, an old one is gone."""
        if self._clock() - live.since < MISSING_PATIENCE:
            return RunUpdate(name, RunState.ACCEPTED, live.run_id, has_metrics=None)
        del self._live[name]
        cause = "the service does not know the run any more (deleted?)"
        return RunUpdate(
            name, RunState.LOST, live.run_id, finished=time.time(), cause=cause, has_metrics=None
        )
