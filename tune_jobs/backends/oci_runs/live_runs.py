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
from functools import partial
from typing import TypeVar

from tune_jobs.backends.oci_runs.failures import Failure, classify_failure, explain_refusal
from tune_jobs.backends.oci_runs.service import ServiceRun, ServiceRuns
from tune_jobs.backends.oci_runs.shapes import Shapes
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.runtime.oci_answers import Outage, describe_answer, read_answer

MISSING_PATIENCE = 60.0
"""Seconds for which a run that was started may be missing from a listing. After that, it is
requested by its OCID: listings lag, and know one compartment only."""

DENIALS = 2
"""Number of polls in a row that have to find that a run does not exist."""

MAX_ASKED = 20
"""Missing runs that are requested by their OCIDs in one poll."""

UNSTARTED_LIMIT = 3
"""Runs in a row that fail before they start, for an unknown reason, until the call ends."""

ATTENTION_PATIENCE = 600.0
"""Seconds that a run may spend in a state that needs attention, or that is unknown."""

LONGEST_POLL = 120.0
"""Seconds between two polls while the service does not answer, at most."""

_Answer = TypeVar("_Answer")
_STATES = {
    "ACCEPTED": RunState.ACCEPTED,
    "IN_PROGRESS": RunState.IN_PROGRESS,
    "CANCELING": RunState.IN_PROGRESS,  # it still uses capacity
}
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "DELETED")
"""States of the service in which a run has ended."""


@dataclass(frozen=True)
class _Live:
    """Run that is watched; times are those of the monotonic clock.

    Args:
        since: When it was first watched.
        odd_since: Since when its state needs attention, or is unknown.
        asked: When it was requested by its OCID, after a listing without it.
        denials: Number of polls in a row that found that it does not exist.
        last: What was reported last.
    """

    run_id: str
    job_id: str
    shape: str
    since: float
    odd_since: float | None = None
    asked: float = 0.0
    denials: int = 0
    last: RunUpdate | None = None


class LiveRuns:
    """Runs that are watched, and cancelled on request.

    Args:
        runs: The service's runs.
        shapes: Informed when a shape is out of capacity.
        notice: Called with what a person should know.
        poll_seconds: Time between two polls.
        clock: Monotonic clock, in seconds.
        service_clock: The service's clock, in seconds since the epoch.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        runs: ServiceRuns,
        shapes: Shapes,
        notice: Callable[[str], None],
        poll_seconds: float,
        clock: Callable[[], float],
        service_clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service_clock, self._sleep = service_clock, sleep
        self._runs, self._shapes, self._notice = runs, shapes, notice
        self._poll_seconds, self._clock = poll_seconds, clock
        self._live: dict[str, _Live] = {}
        self._canceled: set[str] = set()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="tune_jobs-cancel")
        self._next_poll = clock()
        self._outage = Outage(clock, Backoff(first=2.0 * poll_seconds, longest=LONGEST_POLL))
        self._uncancelable: set[str] = set()
        self._unstarted = 0

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
            asked = self._ask_for_missing(seen)
        except Exception as error:
            self._postpone_poll(error)
            return []
        self._note_answer()
        return [
            self._report_missing(name, asked) if run is None else self._report(name, run)
            for name, live in list(self._live.items())
            for run in [seen.get(live.run_id) or asked.get(live.run_id)]
        ]

    def _ask_for_missing(self, seen: Mapping[str, ServiceRun]) -> dict[str, ServiceRun | None]:
        """Request runs by OCID that the listing lacks, those first that wait longest."""
        now = self._clock()
        missing = [
            (live.asked, name)
            for name, live in self._live.items()
            if live.run_id not in seen and now - live.since >= MISSING_PATIENCE
        ]
        asked: dict[str, ServiceRun | None] = {}
        for _, name in sorted(missing)[:MAX_ASKED]:
            live = self._live[name] = replace(self._live[name], asked=now)
            asked[live.run_id] = self._runs.get(live.run_id)
        return asked

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
                self._note_earlier_end(name, run)
                self.watch(name, run.id, job_id, self._shapes.own)
                found[name] = self._report_earlier(name, run)
        return found

    def find_by_id(self, run_ids: Mapping[str, str]) -> dict[str, RunUpdate]:
        """Find runs by OCID, and watch the live ones.

        Args:
            run_ids: OCIDs by name.

        Raises:
            BackendError: If the service refuses to show them.
        """
        found: dict[str, RunUpdate] = {}
        for name, run_id in run_ids.items():
            run = self._insist(partial(self._runs.get, run_id))
            if run is not None:
                self._note_earlier_end(name, run)
                self.watch(name, run.id, run.job, self._shapes.own)
                found[name] = self._report_earlier(name, run)
        return found

    def _report_earlier(self, name: str, run: ServiceRun) -> RunUpdate:
        """Report a run of an earlier call, whose fatal cause may have been fixed since."""
        update = self._report(name, run)
        return replace(update, fatal=False, transient=True) if update.fatal else update

    def _note_earlier_end(self, name: str, run: ServiceRun) -> None:
        if run.state == "CANCELED":
            self._canceled.add(name)  # presumably by the previous tuner

    def close(self) -> None:
        """Stop watching, after the requests to cancel were sent."""
        self._pool.shutdown(wait=True)

    # -- requests -------------------------------------------------------------------------------

    def _list_named(
        self, job_id: str, names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, ServiceRun]:
        return self._insist(lambda: self._runs.list_by_name(job_id, names, tags))

    def _insist(self, request: Callable[[], _Answer]) -> _Answer:
        """Repeat a request until it is answered: nothing can be done without.

        Raises:
            BackendError: If the service refuses it for too long.
        """
        while True:
            try:
                answer = request()
            except Exception as error:
                self._postpone_poll(error)
                self._sleep(max(0.0, self._next_poll - self._clock()))
            else:
                self._note_answer()
                return answer

    def _note_answer(self) -> None:
        if self._outage.succeed():
            self._notice("OCI lists the job runs again")

    def _postpone_poll(self, error: Exception) -> None:
        """Back off after a listing that was refused or not answered; the runs continue.

        Raises:
            BackendError: If it has been refused for too long.
        """
        is_new = not self._outage
        pause = self._outage.fail(error)
        if pause is None:
            raise explain_refusal(error, "listing job runs", self._runs.policy) from error
        self._next_poll = self._clock() + pause
        if is_new:
            self._notice(f"OCI does not list the job runs, retrying: {describe_answer(error)}")

    def _request_cancel(self, name: str, run_id: str) -> None:
        self._pool.submit(self._send_cancel, name, run_id)

    def _send_cancel(self, name: str, run_id: str) -> None:
        try:
            self._runs.cancel(run_id)
        except Exception as error:
            # The next polls repeat the request.
            if not read_answer(error).is_transient and name not in self._uncancelable:
                self._uncancelable.add(name)
                reason = explain_refusal(error, f"canceling {run_id}", self._runs.policy)
                self._notice(f"{name} cannot be canceled and continues: {reason}")

    # -- meaning of the service's states --------------------------------------------------------

    def _report(self, name: str, run: ServiceRun) -> RunUpdate:
        update = self._read(name, run)
        if run.started is not None:
            self._unstarted = 0
        if name in self._live:
            self._live[name] = replace(self._live[name], denials=0, last=update)
        return update

    def _read(self, name: str, run: ServiceRun) -> RunUpdate:
        if run.state in ENDED:
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
            return self._report_failure(update, run, live.shape)
        reason = f"; the service says: {run.details}" if run.details else ""
        return replace(update, cause=f"it was {run.state.lower()} outside of tune_jobs{reason}")

    def _report_failure(self, update: RunUpdate, run: ServiceRun, shape: str) -> RunUpdate:
        has_started = run.started is not None
        failure = classify_failure(run.details, has_started=has_started)
        has_other_shape = failure.no_capacity and self._mark_out_of_capacity(shape, failure)
        if not has_started and failure.transient and not failure.no_capacity:
            failure = self._count_unstarted(failure)
        return replace(
            update,
            exit_code=failure.exit_code,
            cause=failure.cause,
            transient=failure.transient,
            retry_after=0.0 if has_other_shape else failure.retry_after,
            fatal=failure.fatal,
        )

    def _count_unstarted(self, failure: Failure) -> Failure:
        """End the call if no run starts: each of them would cost a start, and fail as well."""
        self._unstarted += 1
        if self._unstarted < UNSTARTED_LIMIT:
            return failure
        cause = f"{self._unstarted} job runs in a row have not started; the last one: "
        return replace(failure, cause=cause + failure.cause, fatal=True)

    def _mark_out_of_capacity(self, shape: str, failure: Failure) -> bool:
        """Skip a shape for a while, say so once, and return whether there is another one."""
        is_new = self._shapes.is_available(shape)
        has_other = self._shapes.mark_out_of_capacity(shape)
        if is_new:
            following = (
                f"the next runs use {self._shapes.choose()[0]}"
                if has_other
                else "its runs are retried later (fallback_shapes=[...] would be used meanwhile)"
            )
            self._notice(f"shape {shape}: {failure.cause}; {following}")
        return has_other

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

    def _report_missing(self, name: str, asked: Mapping[str, ServiceRun | None]) -> RunUpdate:
        """Report a run that is missing from a listing: it lags, or the run was deleted."""
        live = self._live[name]
        if live.run_id in asked:
            live = self._live[name] = replace(live, denials=live.denials + 1)
        if live.denials < DENIALS:
            unknown = RunUpdate(name, RunState.ACCEPTED, live.run_id, has_metrics=False)
            return live.last or unknown
        del self._live[name]
        cause = "the service no longer knows the run (was it deleted?)"
        return RunUpdate(
            name,
            RunState.LOST,
            live.run_id,
            finished=self._service_clock(),
            cause=cause,
            has_metrics=None,
        )
