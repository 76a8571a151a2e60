"""All job runs of tune_jobs in a compartment, started by any user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tune_jobs.backends.data_science.controller_job import CONTROLLER_TAG, STORAGE_TAG, USER_TAG
from tune_jobs.backends.data_science.job import STUDY_TAG
from tune_jobs.backends.data_science.job_runs import PAGE
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.errors import BackendError
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection

_LIVE = ("ACCEPTED", "IN_PROGRESS", "CANCELING", "NEEDS_ATTENTION")


@dataclass(frozen=True)
class ListedRun:
    """A live job run of tune_jobs.

    Args:
        id: OCID.
        name: Name of a trial's run, or of a controller.
        state: The service's state.
        study: The study's folder in the metric store: its name and its uid.
        is_controller: Whether it tunes the study.
        user: Who launched a controller, otherwise the OCID of who started the run.
        storage: The study's storage, of a controller.
        since: When it was accepted, or started; seconds since the epoch.
    """

    id: str
    name: str
    state: str
    study: str
    is_controller: bool
    user: str
    storage: str
    since: float


def list_live_runs(connection: Connection, compartment: str) -> list[ListedRun]:
    """Return the live job runs of tune_jobs in a compartment, oldest first.

    Raises:
        BackendError: If the service refuses.
    """
    try:
        found = [run for state in _LIVE for run in _list(connection, compartment, state)]
    except Exception as error:  # the SDK raises errors of many kinds
        doing = f"listing the job runs of compartment {compartment}"
        raise BackendError(str(explain_refusal(error, doing, str(policies.RUNS)))) from error
    by_id = {run.id: run for run in map(_parse, found) if run is not None}
    return sorted(by_id.values(), key=lambda run: run.since)


def _list(connection: Connection, compartment: str, state: str) -> Iterator[Any]:
    import oci

    client = connection.client(oci.data_science.DataScienceClient)
    options: dict[str, Any] = {"lifecycle_state": state, "limit": PAGE}
    while True:
        answer = client.list_job_runs(
            compartment, retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY, **options
        )
        yield from answer.data
        options["page"] = answer.headers.get("opc-next-page")
        if not options["page"]:
            return


def _parse(model: Any) -> ListedRun | None:
    tags: Mapping[str, str] = model.freeform_tags or {}
    if STUDY_TAG not in tags:
        return None
    since = model.time_started or model.time_accepted
    return ListedRun(
        id=model.id,
        name=model.display_name or "",
        state=model.lifecycle_state,
        study=tags[STUDY_TAG],
        is_controller=CONTROLLER_TAG in tags,
        user=tags.get(USER_TAG) or model.created_by or "",
        storage=tags.get(STORAGE_TAG, ""),
        since=since.timestamp() if since else 0.0,
    )
