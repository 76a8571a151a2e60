"""Live job runs of a service: one listing gives the states of all of them.

ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED | CANCELED | DELETED
                 │   └─▶ CANCELING ─────────────────┘
                 └─▶ NEEDS_ATTENTION, or a state that this SDK does not know: the run is given up
                     after a while, as it may never end
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tune_jobs.backends.oci_runs.failures import (
    classify_failure,
    describe_error,
    explain_refusal,
    is_transient,
)
from tune_jobs.backends.oci_runs.service import ServiceRun, ServiceRuns
from tune_jobs.backends.oci_runs.shapes import Shapes
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.runtime.backoff import Backoff

MISSING_PATIENCE = 60.0
"""Seconds for which a run that was started may be missing from a listing."""

ATTENTION_PATIENCE = 600.0
"""Seconds that a run may spend in a state that needs attention, or that is unknown."""

LONGEST_POLL = 120.0
"""Seconds between two polls while the service does not answer, at most."""

_STATES = {
    "ACCEPTED": RunState.ACCEPTED,
    "IN_PROGRESS": RunState.IN_PROGRESS,
    "CANCELING": RunState.IN_PROGRESS,  # it still uses capacity
}
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "DELETED")


@dataclass(frozen=True)
class _Live:
    """Run that is watched; times are those of the monotonic clock."""

    run_id: str
    job_id: str
    shape: str
    since: float
    odd_since: float | None = None


class LiveRuns:
    """Runs that are watched, and cancelled on request.

    Args:
        runs: The service's runs.
        shapes: Informed when a shape is out of capacity.
        notice: Called with what a person should know.
        poll_seconds: Time between two polls.
        clock: Monotonic clock, in seconds.
        service_clock: The service's clock, in seconds since the epoch.
    """

    def __init__(
        self,
        runs: ServiceRuns,
        shapes: Shapes,
        notice: Callable[[str], None],
        poll_seconds: float,
        clock: Callable[[], float],
        service_clock: Callable[[], float],
    ) -> None:
        self._service_clock = service_clock
        self._runs, self._shapes, self._notice = runs, shapes, notice
        self._poll_seconds, self._clock = poll_seconds, clock
        self._live: dict[str, _Live] = {}
        self._canceled: set[str] = set()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="tune_jobs-cancel")
        self._next_poll = clock()
        self._backoff = Backoff(first=2.0 * poll_seconds, longest=LONGEST_POLL)
        self._failures = 0

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, name: str) -> bool:
        return name in self._live

    def watch(self, name: str, run_id: str, job_id: str, shape: str) -> None:
        """Watch a run, and cancel it if that was requested before."""
        if not self._live:
            self._next_poll = self._clock() + self._poll_seconds
        self._live[name] = _Live(run_id, job_id, shape, self._clock())
        if name in self._canceled:
            self._request_cancel(name, run_id)

    def cancel(self, name: str) -> None:
        """Cancel a run, now or as soon as it is watched."""
        self._canceled.add(name)
        if name in self._live:
            self._request_cancel(name, self._live[name].run_id)

    def until_due(self) -> float | None:
        """Return the seconds until the next poll; None if nothing is watched."""
        return max(0.0, self._next_poll - self._clock()) if self._live else None

    def poll(self) -> list[RunUpdate]:
        """Return the state of every run, changed or not, if a poll is due.

        Raises:
            BackendError: If the service refuses to list them.
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
                seen |= self._runs.list_by_id(job_id, run_ids)
        except Exception as error:
            self._postpone_poll(error)
            return []
        self._failures = 0
        return [
            self._report_missing(name, live) if run is None else self._report(name, run)
            for name, live in list(self._live.items())
            for run in [seen.get(live.run_id)]
        ]

    def find(
        self, job_ids: Collection[str], names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, RunUpdate]:
        """Find runs by name and tags, and watch the live ones.

        Raises:
            BackendError: If the service refuses to list them.
        """
        found: dict[str, RunUpdate] = {}
        for job_id in job_ids:
            missing = set(names) - found.keys()
            for name, run in self._list_named(job_id, missing, tags).items() if missing else ():
                if run.state == "CANCELED":
                    self._canceled.add(name)  # presumably by the previous tuner
                self.watch(name, run.id, job_id, self._shapes.own)
                found[name] = self._report(name, run)
        return found

    def close(self) -> None:
        """Stop watching, after the requests to cancel were sent."""
        self._pool.shutdown(wait=True)

    # -- requests -------------------------------------------------------------------------------

    def _list_named(
        self, job_id: str, names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, ServiceRun]:
        """List runs, repeating the request until it is answered: nothing can be done without."""
        while True:
            try:
                return self._runs.list_by_name(job_id, names, tags)
            except Exception as error:
                self._postpone_poll(error)
                time.sleep(max(0.0, self._next_poll - self._clock()))

    def _postpone_poll(self, error: Exception) -> None:
        """Back off after a transient error of a listing.

        Raises:
            BackendError: If the error is not transient.
        """
        if not is_transient(error):
            raise explain_refusal(error, "listing job runs", self._runs.policy) from error
        self._failures += 1
        self._next_poll = self._clock() + self._backoff.pause(self._failures)
        if self._failures == 1:
            self._notice(f"OCI does not list the job runs, retrying: {describe_error(error)}")

    def _request_cancel(self, name: str, run_id: str) -> None:
        self._pool.submit(self._send_cancel, name, run_id)

    def _send_cancel(self, name: str, run_id: str) -> None:
        try:
            self._runs.cancel(run_id)
        except Exception as error:
            if not is_transient(error):  # otherwise the next poll repeats the request
                reason = explain_refusal(error, f"canceling {run_id}", self._runs.policy)
                self._notice(f"{name} cannot be canceled and continues: {reason}")

    # -- meaning of the service's states --------------------------------------------------------

    def _report(self, name: str, run: ServiceRun) -> RunUpdate:
        if run.state in _ENDED:
            return self._report_end(name, run)
        if run.state not in _STATES:
            return self._report_odd_state(name, run)
        self._live[name] = replace(self._live[name], odd_since=None)
        if name in self._canceled and run.state != "CANCELING":
            self._request_cancel(name, run.id)  # the earlier request had no effect
        return RunUpdate(name, _STATES[run.state], run.id, started=run.started, has_metrics=None)

    def _report_end(self, name: str, run: ServiceRun) -> RunUpdate:
        live, was_canceled_by_us = self._live.pop(name), name in self._canceled
        self._canceled.discard(name)
        update = RunUpdate(
            name,
            RunState.FAILED,
            run.id,
            started=run.started or run.accepted,
            finished=run.finished or self._service_clock(),
            shape=live.shape,
            has_metrics=None,
        )
        if run.state == "SUCCEEDED":
            return replace(update, state=RunState.SUCCEEDED, exit_code=0)
        if was_canceled_by_us:
            return replace(update, state=RunState.CANCELED, cause="stopped")
        if run.state == "FAILED":
            return self._report_failure(update, run.details, live.shape)
        reason = f"; the service says: {run.details}" if run.details else ""
        return replace(update, cause=f"it was {run.state.lower()} outside of tune_jobs{reason}")

    def _report_failure(self, update: RunUpdate, details: str, shape: str) -> RunUpdate:
        failure = classify_failure(details)
        has_other_shape = failure.no_capacity and self._shapes.mark_out_of_capacity(shape)
        return replace(
            update,
            exit_code=failure.exit_code,
            cause=failure.cause,
            transient=failure.transient,
            retry_after=0.0 if has_other_shape else failure.retry_after,
            fatal=failure.fatal,
        )

    def _report_odd_state(self, name: str, run: ServiceRun) -> RunUpdate:
        live, now = self._live[name], self._clock()
        since = now if live.odd_since is None else live.odd_since
        self._live[name] = replace(live, odd_since=since)
        update = RunUpdate(
            name, RunState.IN_PROGRESS, run.id, started=run.started, has_metrics=None
        )
        if now - since < ATTENTION_PATIENCE:
            return update
        del self._live[name]
        self._request_cancel(name, run.id)
        cause = f"it was in state {run.state} for {ATTENTION_PATIENCE / 60:.0f} minutes"
        reason = f"; the service says: {run.details}" if run.details else ""
        return replace(update, state=RunState.FAILED, cause=cause + reason, transient=True)

    def _report_missing(self, name: str, live: _Live) -> RunUpdate:
        """Report a run that is missing from a listing: a new one, or one that was deleted."""
        if self._clock() - live.since < MISSING_PATIENCE:
            return RunUpdate(name, RunState.ACCEPTED, live.run_id, has_metrics=None)
        del self._live[name]
        cause = "the service no longer lists the run (was it deleted?)"
        return RunUpdate(
            name,
            RunState.LOST,
            live.run_id,
            finished=self._service_clock(),
            cause=cause,
            has_metrics=None,
        )
