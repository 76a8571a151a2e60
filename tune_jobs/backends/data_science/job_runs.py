"""Job runs of the service: create, list, cancel, with one request each.

They use the ``oci`` client rather than ADS. ADS passes no retry token, without which a request
whose answer is lost starts a second run, and it requests the states of runs one by one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from tune_jobs.backends.oci_runs.service import ServiceRun
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection

PAGE = 100
"""Runs on a page of a listing, limited by the service."""

STRAGGLERS = 5
"""Missing runs that are requested one by one rather than by further pages."""

USE = str(policies.RUNS)


class JobRuns:
    """Job runs of one compartment.

    Args:
        connection: The connection to OCI.
        compartment: OCID.
    """

    policy = USE

    def __init__(self, connection: Connection, compartment: str) -> None:
        import oci

        self._client = connection.client(oci.data_science.DataScienceClient)
        self._error = oci.exceptions.ServiceError
        self._compartment = compartment

    def create(self, details: Mapping[str, Any], token: str) -> str:
        """Create a job run and return its OCID; the same token never starts a second run.

        Args:
            details: Fields of ``CreateJobRunDetails``, as the REST API spells them.
            token: At most 64 characters; the service remembers it for 24 hours.

        Raises:
            Exception: What the SDK raises; see `failures`.
        """
        answer = self._client.create_job_run(dict(details), opc_retry_token=token)
        return str(answer.data.id)

    def cancel(self, run_id: str) -> None:
        """Cancel a run; does nothing if it has ended or does not exist."""
        try:
            self._client.cancel_job_run(run_id)
        except self._error as error:
            if error.status not in (404, 409):
                raise

    def list_by_id(self, job: str, run_ids: Collection[str]) -> dict[str, ServiceRun]:
        """Return these runs of a job by OCID; a run that does not exist is absent.

        Reads the newest pages of one listing until all runs were seen. A few old runs would cost
        a page for every hundred that were started later, so they are requested by OCID.
        """
        found: dict[str, ServiceRun] = {}
        wanted = set(run_ids)
        pages = 0
        for page in self._pages(job):
            found.update((run.id, run) for run in page if run.id in wanted)
            missing, pages = wanted - found.keys(), pages + 1
            if not missing:
                break
            if pages > math.ceil(len(wanted) / PAGE) and len(missing) <= STRAGGLERS:
                found.update((run.id, run) for run in map(self.get, missing) if run is not None)
                break
        return found

    def list_by_name(
        self, job: str, names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, ServiceRun]:
        """Return the runs of a job with these display names and tags, by name."""
        found: dict[str, ServiceRun] = {}
        wanted = set(names)
        for page in self._pages(job):
            for run in page:
                if run.name in wanted and tags.items() <= run.tags.items():
                    found[run.name] = run
            if found.keys() == wanted:
                break
        return found

    def get(self, run_id: str) -> ServiceRun | None:
        """Return a run, wherever it is; None if it does not exist."""
        try:
            return _parse_run(self._client.get_job_run(run_id).data)
        except self._error as error:
            if error.status == 404:
                return None
            raise

    def _pages(self, job: str) -> Iterator[list[ServiceRun]]:
        next_page: dict[str, Any] = {}
        while True:
            answer = self._client.list_job_runs(
                self._compartment,
                job_id=job,
                limit=PAGE,
                sort_by="timeCreated",
                sort_order="DESC",
                **next_page,
            )
            yield [_parse_run(summary) for summary in answer.data]
            next_page["page"] = answer.headers.get("opc-next-page")
            if not next_page["page"]:
                return


def _parse_run(model: Any) -> ServiceRun:
    return ServiceRun(
        id=model.id,
        name=model.display_name or "",
        state=model.lifecycle_state,
        details=model.lifecycle_details or "",
        tags=model.freeform_tags or {},
        accepted=_to_seconds(model.time_accepted),
        started=_to_seconds(model.time_started),
        finished=_to_seconds(model.time_finished),
        job=model.job_id or "",
    )


def _to_seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
