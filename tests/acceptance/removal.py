"""Removal of what a session made in a tenancy: runs, jobs and objects."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import oci
import yaml

from tests.acceptance.tenancy import TAG, Tenancy
from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.folder import open_folder

_LIVE = ("ACCEPTED", "IN_PROGRESS", "CANCELING", "NEEDS_ATTENTION")


def remove_all(tenancy: Tenancy, session: str) -> list[str]:
    """Remove everything that has the name of a session; return what was removed."""
    client: Any = tenancy.connection.client(oci.data_science.DataScienceClient)
    compartment = tenancy.infrastructure.compartment
    removed = []
    # Removed by its parent, as a folder cannot list itself.
    parent, _, name = tenancy.store.rpartition("/")
    folder = open_folder(parent, {"connection": tenancy.connection})
    names = [f"{name}/{path}" for path in folder.find(name)]
    recorded = _find_recorded(client, folder, names)
    for job_id in sorted({*_find_tagged(client, compartment, session), *recorded}):
        _end_runs(client, compartment, job_id, tenancy.poll_seconds)
        client.delete_job(job_id, delete_related_job_runs=True)
        removed.append(job_id)
    for name in names:
        folder.remove(name)
    return [*removed, *([f"{len(names)} objects"] if names else [])]


def _find_tagged(client: Any, compartment: str | None, session: str) -> Iterator[str]:
    answer = oci.pagination.list_call_get_all_results(client.list_jobs, compartment)
    for job in answer.data:
        if (job.freeform_tags or {}).get(TAG) == session and job.lifecycle_state == "ACTIVE":
            yield job.id


def _find_recorded(client: Any, folder: Folder, names: Sequence[str]) -> Iterator[str]:
    """Yield the jobs that studies recorded in the store."""
    for name in names:
        if "/jobs/" in name and name.endswith(".yaml"):
            job_id = str(yaml.safe_load(folder.read(name))["id"])
            try:
                client.get_job(job_id)
            except oci.exceptions.ServiceError as error:
                if error.status != 404:
                    raise
            else:
                yield job_id


def _end_runs(client: Any, compartment: str | None, job_id: str, poll_seconds: float) -> None:
    canceled: set[str] = set()
    while True:
        runs = oci.pagination.list_call_get_all_results(
            client.list_job_runs, compartment, job_id=job_id
        ).data
        live = [run for run in runs if run.lifecycle_state in _LIVE]
        for run in live:
            if run.lifecycle_state != "CANCELING" and run.id not in canceled:
                canceled.add(run.id)
                client.cancel_job_run(run.id)
        if not live:
            return
        time.sleep(poll_seconds)  # the service has no notifications
