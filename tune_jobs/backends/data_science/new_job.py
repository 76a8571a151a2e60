"""Creation of a job: one request, and the upload of its artifact.

It uses the ``oci`` client, and takes from a notebook session what the definition leaves out, as
ADS does: the session's shape, disk, subnet, project and compartment.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.mounts import check_mounts, resolve_mounts
from tune_jobs.backends.data_science.node_groups import spread_job
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import endure_briefly

READ_SESSION = (
    "allow dynamic-group <notebooks> to read data-science-notebook-sessions "
    "in compartment <compartment>"
)
DEFAULT_DISK = 50
"""Gigabytes of a job's disk, the least that the service accepts."""

_INFRASTRUCTURE = "jobInfrastructureConfigurationDetails"
_MOUNTS = "jobStorageMountConfigurationDetailsList"


@dataclass(frozen=True)
class NewJob:
    """Job that is to be created.

    Args:
        details: Body of ``CreateJob``, as the REST API spells it.
        artifact: The file that is uploaded; a folder stands for an archive of it.
        mounts: Storage mounts, as a user writes them.
        nodes: Number of nodes of each run; see `node_groups`.
    """

    details: Mapping[str, Any]
    artifact: Path | None = None
    mounts: tuple[Mapping[str, str], ...] = ()
    nodes: int = 1

    @property
    def compartment(self) -> str | None:
        """OCID of its compartment, if it is known."""
        return self.details.get("compartmentId")

    @property
    def project(self) -> str | None:
        """OCID of its project, if it is known."""
        return self.details.get("projectId")

    @property
    def settings(self) -> dict[str, Any]:
        """Variables, command line and time limit."""
        return dict(self.details["jobConfigurationDetails"])

    @property
    def env(self) -> dict[str, str]:
        """Environment variables."""
        return dict(self.settings.get("environmentVariables") or {})

    @property
    def container(self) -> Mapping[str, Any] | None:
        """Image, ``cmd`` and ``entrypoint``, if its runs are containers."""
        container: Mapping[str, Any] | None = self.details.get("jobEnvironmentConfigurationDetails")
        return container

    def label(self, name: str, tags: Mapping[str, str]) -> NewJob:
        """Return it with a name, and with further tags."""
        tags = {**(self.details.get("freeformTags") or {}), **tags}
        return replace(self, details={**self.details, "displayName": name, "freeformTags": tags})

    def complete(self, connection: Connection) -> NewJob:
        """Return it with what a notebook session and its mounts provide.

        Raises:
            BackendError: If the session or a file system cannot be read.
        """
        check_mounts(self.mounts)
        details = complete_details(self.details, connection)
        if mounts := resolve_mounts(self.mounts, connection):
            details[_MOUNTS] = mounts
        return replace(self, details=details, mounts=())


def create_job(connection: Connection, job: NewJob) -> str:
    """Create a job and upload its artifact; return its OCID.

    A job whose artifact cannot be uploaded is deleted again.

    Args:
        connection: The connection to OCI.
        job: The job; complete, see `NewJob.complete`.

    Raises:
        ConfigError: If it has no compartment or no project.
        Exception: What the SDK raises.
    """
    import oci

    for field in ("compartmentId", "projectId"):
        if not job.details.get(field):
            name = field.removesuffix("Id")
            raise ConfigError(f"the job has no {name}: use Infrastructure({name}=...)")
    client = connection.client(oci.data_science.DataScienceClient)
    retries = {"retry_strategy": oci.retry.DEFAULT_RETRY_STRATEGY}
    job_id = str(client.create_job(spread_job(job.details, job.nodes), **retries).data.id)
    if job.artifact is not None:
        try:
            _upload(client, job_id, job.artifact, retries)
        except BaseException:
            with contextlib.suppress(Exception):  # it is not used without an artifact
                client.delete_job(job_id, **retries)
            raise
    return job_id


def _upload(client: Any, job_id: str, artifact: Path, retries: Mapping[str, Any]) -> None:
    with artifact.open("rb") as file:
        client.create_job_artifact(
            job_id, file, content_disposition=f"attachment; filename={artifact.name}", **retries
        )


def complete_details(details: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """Return the body of ``CreateJob`` with what a notebook session provides, and defaults.

    Raises:
        BackendError: If the session cannot be read, and something is missing without it.
    """
    session = os.environ.get("NB_SESSION_OCID")
    found = _read_session(session, details, connection) if session else None
    completed = {
        **details,
        "projectId": details.get("projectId")
        or getattr(found, "project_id", None)
        or os.environ.get("PROJECT_OCID"),
        "compartmentId": details.get("compartmentId")
        or os.environ.get("JOB_RUN_COMPARTMENT_OCID")
        or os.environ.get("NB_SESSION_COMPARTMENT_OCID"),
        _INFRASTRUCTURE: _complete_infrastructure(details.get(_INFRASTRUCTURE) or {}, found),
    }
    return {name: value for name, value in completed.items() if value is not None}


def _read_session(session: str, details: Mapping[str, Any], connection: Connection) -> Any:
    """Return a notebook session; None if it cannot be read, and nothing is missing."""
    import oci

    client = connection.client(oci.data_science.DataScienceClient)
    request = partial(
        client.get_notebook_session, session, retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY
    )
    try:
        return endure_briefly(request).data
    except Exception as error:
        shape = (details.get(_INFRASTRUCTURE) or {}).get("shapeName")
        if None not in (details.get("compartmentId"), details.get("projectId"), shape):
            return None
        doing = f"reading this notebook session, {session}, for what Infrastructure leaves out"
        refusal = explain_refusal(error, doing, READ_SESSION)
        raise BackendError(
            f"{refusal}. Or name everything: Infrastructure(compartment=..., project=..., "
            "shape=...)"
        ) from error


def _complete_infrastructure(given: Mapping[str, Any], session: Any) -> dict[str, Any]:
    """Return an infrastructure with a session's, and with defaults."""
    on = {**_describe_session(given, session), **given}
    kind = "STANDALONE" if on.get("subnetId") else "ME_STANDALONE"
    return {"jobInfrastructureType": kind, "blockStorageSizeInGBs": DEFAULT_DISK, **on}


def _describe_session(given: Mapping[str, Any], session: Any) -> dict[str, Any]:
    """Return what a notebook session runs on, as far as a job can take it over."""
    config = getattr(session, "notebook_session_config_details", None) or getattr(
        session, "notebook_session_configuration_details", None
    )
    if config is None:
        return {}
    on: dict[str, Any] = {
        "shapeName": config.shape,
        "blockStorageSizeInGBs": config.block_storage_size_in_gbs,
    }
    if given.get("jobInfrastructureType") != "ME_STANDALONE":
        on["subnetId"] = config.subnet_id
    size = config.notebook_session_shape_config_details
    if size is not None and given.get("shapeName", config.shape) == config.shape:
        on["jobShapeConfigDetails"] = {"ocpus": size.ocpus, "memoryInGBs": size.memory_in_gbs}
    return {name: value for name, value in on.items() if value is not None}
