"""Remove the jobs that a study created: those of its trials' runs, and those of its controllers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tune_jobs.backends.base import Notice
from tune_jobs.backends.data_science.job import STUDY_TAG
from tune_jobs.backends.data_science.job_runs import PAGE
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection

_GONE = ("DELETING", "DELETED")


class JobRemoval:
    """The jobs of one study. What is refused is said, and left.

    Args:
        connection: The connection to OCI.
        study: The study's folder in the metric store, which its jobs have as a tag.
        notice: Called with what could not be found or removed.
    """

    def __init__(self, connection: Connection, study: str, notice: Notice) -> None:
        import oci

        self._client = connection.client(oci.data_science.DataScienceClient)
        self._options = {"retry_strategy": oci.retry.DEFAULT_RETRY_STRATEGY}
        self._study, self._notice = study, notice

    def find(
        self, recorded: Sequence[str], controllers: Sequence[str], compartment: str | None
    ) -> list[str]:
        """Return the OCIDs of the jobs that exist.

        Args:
            recorded: OCIDs of jobs that the study has noted.
            controllers: OCIDs of its controllers' job runs, whose compartment may be another one.
            compartment: Compartment of its backend.
        """
        known = {*recorded}
        for run_id in controllers:
            run = self._try("get_job_run", run_id)
            if run is not None:
                known.add(run.data.job_id)
        jobs = {}
        for job_id in known:
            answer = self._try("get_job", job_id, f"reading job {job_id}")
            if answer is not None:
                jobs[job_id] = answer.data
        places = {str(job.compartment_id) for job in jobs.values()}
        for place in sorted(places | ({compartment} if compartment else set())):
            jobs.update((job.id, job) for job in self._list(place))
        return sorted(job.id for job in jobs.values() if job.id in recorded or self._is_ours(job))

    def _is_ours(self, job: Any) -> bool:
        is_tagged = (job.freeform_tags or {}).get(STUDY_TAG) == self._study
        return is_tagged and job.lifecycle_state not in _GONE

    def _list(self, compartment: str) -> Iterator[Any]:
        page: str | None = None
        while True:
            more = {"limit": PAGE} if page is None else {"limit": PAGE, "page": page}
            doing = f"listing the jobs of compartment {compartment}"
            answer = self._try("list_jobs", compartment, doing, **more)
            if answer is None:
                return
            yield from answer.data
            page = answer.headers.get("opc-next-page")
            if not page:
                return

    def remove(self, job_id: str) -> bool:
        """Remove a job with its runs, which have ended; return whether it is gone."""
        if self._try("delete_job", job_id, delete_related_job_runs=True) is not None:
            return True
        for run in self._list_runs(job_id):  # the service may want them to be deleted first
            self._try("delete_job_run", run.id)
        doing = f"job {job_id} stays, delete it in the console of OCI: deleting it"
        return self._try("delete_job", job_id, doing) is not None

    def _list_runs(self, job_id: str) -> Sequence[Any]:
        job = self._try("get_job", job_id)
        if job is None:
            return ()
        runs = self._try("list_job_runs", job.data.compartment_id, job_id=job_id)
        return () if runs is None else runs.data

    def _try(self, operation: str, target: str, doing: str = "", **options: Any) -> Any:
        """Return the answer to a request; None if it is refused, which is said if ``doing``."""
        request: Callable[..., Any] = getattr(self._client, operation)
        try:
            return request(target, **options, **self._options)
        except Exception as error:  # the SDK raises errors of many kinds
            if doing:
                self._notice(str(explain_refusal(error, doing, str(policies.JOBS))))
            return None
