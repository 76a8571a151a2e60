"""Removal of what an examination made: runs, job and objects."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from tune_jobs.backends.data_science.doctor.repeating import repeat
from tune_jobs.backends.data_science.doctor.report import Findings, Notice
from tune_jobs.backends.data_science.doctor.run_trials import ENDED, RunTrials
from tune_jobs.backends.data_science.doctor.store_trials import StoreTrials
from tune_jobs.backends.data_science.doctor.target import Target

PATIENCE = 600.0
"""Seconds to wait for the end of canceled runs."""


class Tidying:
    """Removal of everything that has the name of an examination.

    Args:
        client: Client of the Data Science service.
        target: Where the job is.
        name: Beginning of the job's name.
        findings: Where results are added.
        notice: Called with what a person should know.

    Attributes:
        stores: Folders in which there may be objects.
        trials: The runs, once there may be any.
        job_was_requested: Whether there may be a job.
        job_id: The job, once its creation was answered; a listing may lack it.
        left: What could not be removed.
    """

    def __init__(
        self, client: Any, target: Target, name: str, findings: Findings, notice: Notice
    ) -> None:
        self._client, self._target, self._name = client, target, name
        self._findings, self._notice = findings, notice
        self._runs: dict[str, Any] = {}
        self.stores: list[StoreTrials] = []
        self.trials: RunTrials | None = None
        self.job_was_requested = False
        self.job_id: str | None = None
        self.left: list[str] = []

    def finish(self) -> None:
        """Remove everything; what remains is in `left`, and said. May be called again."""
        self.left = []
        jobs = self._find_jobs() if self.job_was_requested else []
        for job_id in jobs:
            self._end_runs(job_id)
            self._delete_job(job_id)
        for store in self.stores:
            self.left += store.remove_all()
        for name in self.left:
            self._notice(f"could not be removed: {name}")

    def describe_rest(self) -> str:
        """Return where there may be something as long as `finish` has not returned."""
        places = [f"job {self._name}-probe with its runs"] if self.job_was_requested else []
        places += [f"objects in {store.uri}" for store in self.stores]
        return f"may be left: {', '.join(places) or 'nothing'}"

    def runs(self) -> list[Any]:
        """Return the runs that were started, as the service showed them last."""
        return list(self._runs.values())

    def _find_jobs(self) -> list[str]:
        """Return the jobs of this name; the request that created one may have had no answer."""
        name, known = f"{self._name}-probe", [self.job_id] if self.job_id else []
        try:
            jobs = self._client.list_jobs(self._target.compartment, display_name=name).data
        except Exception:  # whatever the SDK raises
            if known:
                return known
            self.left.append(f"job {name} with its runs, if it was created")
            return []
        found = [job.id for job in jobs if job.display_name == name]
        return list(dict.fromkeys([*known, *found]))

    def _end_runs(self, job_id: str) -> None:
        """Cancel the live runs of a job, and wait until all have ended."""
        deadline, canceled = time.monotonic() + PATIENCE, set()
        poll = self.trials.poll_seconds if self.trials else 1.0
        with contextlib.suppress(Exception):  # what is left is said after the job's deletion
            while time.monotonic() < deadline:
                known = self.trials.started if self.trials else set()
                live = self._look(job_id, known)
                for run in live:
                    if run.id not in canceled and run.lifecycle_state != "CANCELING":
                        canceled.add(run.id)
                        self._ask(self._client.cancel_job_run, run.id)
                if not live:
                    return
                time.sleep(poll)

    def _ask(self, operation: Callable[[str], Any], run_id: str) -> Any:
        return repeat(lambda: operation(run_id))

    def _look(self, job_id: str, known: set[str]) -> list[Any]:
        """Return the live runs of a job, those that a listing may lack included."""
        listed = self._client.list_job_runs(self._target.compartment, job_id=job_id).data
        found = {run.id: run for run in listed}
        for run_id in known - found.keys():
            found[run_id] = self._client.get_job_run(run_id).data
        self._runs.update(found)
        return [run for run in found.values() if run.lifecycle_state not in ENDED]

    def _delete_job(self, job_id: str) -> None:
        try:
            self._client.delete_job(job_id, delete_related_job_runs=True)
            self._findings.add("delete-related", "holds")
        except Exception as error:  # whatever the SDK raises
            if not self._is_gone(job_id):  # or else only the answer was lost
                self._findings.add("delete-related", "differs", error)
                self._delete_one_by_one(job_id)
        run_id = next(iter(self._runs), None)
        if run_id is not None:
            self._try_deleted(run_id)

    def _delete_one_by_one(self, job_id: str) -> None:
        for run_id in self._runs:
            with contextlib.suppress(Exception):  # the job cannot be deleted then
                self._ask(self._client.delete_job_run, run_id)
        try:
            repeat(lambda: self._client.delete_job(job_id))
        except Exception:  # whatever the SDK raises
            if not self._is_gone(job_id):
                self.left.append(f"job {job_id} with its runs")

    def _is_gone(self, job_id: str) -> bool:
        try:
            return bool(self._client.get_job(job_id).data.lifecycle_state == "DELETED")
        except Exception as error:  # whatever the SDK raises
            return getattr(error, "status", None) == 404

    def _try_deleted(self, run_id: str) -> None:
        try:
            state = self._client.get_job_run(run_id).data.lifecycle_state
        except Exception as error:  # which is what is expected
            self._findings.judge("deleted-gone", getattr(error, "status", None) == 404, error)
        else:
            self._findings.judge("deleted-gone", state == "DELETED", state)
