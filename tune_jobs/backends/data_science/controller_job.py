"""The job of a controller: a small machine that tunes a study, whose trials are other jobs' runs.

    artifact.zip
      tune_jobs_controller.py    the entry point; ``__main__.py`` for images, which get the zip
      recipe.json, recipe.pickle  what is tuned, and how
      code/                      the source that the search space and others are imported from
      wheels/                    tune_jobs and its dependencies, unless the environment has them

Its runs carry tags that no trial's run has: `CONTROLLER_TAG`, `STORAGE_TAG` and `USER_TAG`.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tune_jobs.arguments.calls import strict_types
from tune_jobs.backends.data_science.artifact import pack_folder
from tune_jobs.backends.data_science.container import FOLDER
from tune_jobs.backends.data_science.definition import Infrastructure, build_spec
from tune_jobs.backends.data_science.job import STUDY_TAG, Job
from tune_jobs.backends.data_science.job_details import (
    ENTRYPOINT,
    build_container,
    build_details,
    build_settings,
    choose_conda,
)
from tune_jobs.backends.data_science.job_runs import JobRuns
from tune_jobs.backends.data_science.new_job import NewJob, create_job
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.core.secret import Secret, split_secrets
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import BackendError, ConfigError, TuneJobsError
from tune_jobs.oci import policies
from tune_jobs.oci.connection import ENDPOINT_VARIABLE, Connection
from tune_jobs.runtime import controller_start, secret_values

CONTROLLER_TAG = "tune_jobs_controller"
STORAGE_TAG = "tune_jobs_storage"
USER_TAG = "tune_jobs_user"

ENTRY_POINT = "tune_jobs_controller.py"
ARCHIVE = "tune_jobs_controller.zip"
CODE = "code"

GRACE_SECONDS = 60
"""Seconds that a controller has to end its turn and release the study."""

_MAX_TAG = 256  # characters of a value, limited by the service
_NO_METRICS: Mapping[str, Any] = {"names": ["tune_jobs:none"], "patterns": {}, "step": None}
"""A metric that no controller prints: the runner has to look for one."""


@strict_types
@dataclass(frozen=True)
class ControllerJob:
    """What a controller on OCI runs on.

    Args:
        infrastructure: A small shape; what it leaves out but the shape is that of the trials' job.
        conda: Where Python comes from: a service environment's slug, to which wheels of tune_jobs
            travel; or the ``oci://`` URI of a published environment that has tune_jobs.
        image: A container image that has tune_jobs, instead.
        source: Folder with the modules that the search space and others are imported from; by
            default that of the trials' job.
        env: Environment variables; see `Secret` for those whose values are secret.
        max_runtime: Minutes after which the service stops it; the next controller continues.
    """

    infrastructure: Infrastructure = field(default_factory=Infrastructure)
    conda: str | None = None
    image: str | None = None
    source: str | None = None
    env: Mapping[str, str | Secret] = field(default_factory=dict)
    max_runtime: int | None = None

    def __post_init__(self) -> None:
        if self.conda is not None and self.image is not None:
            raise ConfigError("controller: conda and image exclude each other: keep one of them")
        split_secrets(self.env)

    def check(self) -> None:
        """Check that it can be created.

        Raises:
            ConfigError: If it has no shape.
        """
        if self.infrastructure.shape is None:
            raise ConfigError(
                "the controller on OCI has no shape. A small one is enough: add `controller: "
                "{shape: VM.Standard.E4.Flex, ocpus: 1, memory_gb: 8}` to study.yaml, or pass "
                "Infrastructure(shape=..., ocpus=1, memory_gb=8); `controller: local` runs it here"
            )

    @property
    def brings_tune_jobs(self) -> bool:
        """Whether its environment has tune_jobs, so that no wheels travel."""
        return self.image is not None or (self.conda or "").startswith("oci://")

    def complete(self, job: Job) -> ControllerJob:
        """Return it with what it leaves out, taken from the trials' job."""
        on = self.infrastructure
        group, *log = job.log or (None,)
        completed = replace(
            on,
            compartment=on.compartment or job.compartment,
            project=on.project or job.project,
            subnet=on.subnet or job.infrastructure.get("subnetId"),
            log_group=on.log_group or group,
            log=on.log or (None if on.log_group else next(iter(log), None)),
        )
        return replace(self, infrastructure=completed)


@dataclass(frozen=True)
class ControllerRequest:
    """A controller to start.

    Args:
        study: The study's folder in the metric store.
        store: URI of that folder.
        name: Name of the controller.
        storage: The study's storage, without its password.
        user: Who launches it.
    """

    study: str
    store: str
    name: str
    storage: str
    user: str

    @property
    def tags(self) -> dict[str, str]:
        """Freeform tags of its job and its run."""
        return {
            STUDY_TAG: self.study,
            CONTROLLER_TAG: self.name,
            STORAGE_TAG: self.storage[:_MAX_TAG],
            USER_TAG: self.user[:_MAX_TAG],
        }


def start_controller(
    connection: Connection, job: ControllerJob, request: ControllerRequest, content: Path
) -> str:
    """Create the job of a controller and start its run; return the run's OCID.

    If the run cannot be started, the job is removed.

    Args:
        connection: The connection to OCI.
        job: The job; complete, see `ControllerJob.complete`.
        request: The controller.
        content: Folder of what its artifact has beside the entry point.

    Raises:
        BackendError: If the service refuses it; the message has the missing policy.
    """
    compartment = str(job.infrastructure.compartment)
    try:
        job_id = _create_job(connection, job, request, content)
        try:
            details = _build_details(connection, job, job_id, request)
            token = hashlib.sha256(f"{job_id}/{request.study}/{request.name}".encode()).hexdigest()
            return JobRuns(connection, compartment).create(details, token)
        except BaseException:
            _remove_job(connection, job_id)
            raise
    except TuneJobsError:
        raise
    except Exception as error:  # whatever the SDK raises
        doing = f"starting {request.name} of study {request.study} in compartment {compartment}"
        refusal = explain_refusal(error, doing, f"{policies.JOBS}; {policies.RUNS}")
        raise BackendError(str(refusal)) from error


def _create_job(
    connection: Connection, job: ControllerJob, request: ControllerRequest, content: Path
) -> str:
    for name in (ENTRY_POINT, "__main__.py"):
        shutil.copyfile(controller_start.__file__, content / name)
    with tempfile.TemporaryDirectory() as workspace:
        archive = pack_folder(content, Path(workspace, ARCHIVE))
        new = _build_job(connection, job, archive)
        new = new.label(f"{request.study}-{request.name}", request.tags)
        return create_job(connection, new.complete(connection))


def _remove_job(connection: Connection, job_id: str) -> None:
    """Remove a job, unless it has a run after all, whose answer was lost."""
    import oci

    client = connection.client(oci.data_science.DataScienceClient)
    with contextlib.suppress(Exception):  # it may have to stay: then it costs nothing
        client.delete_job(job_id, delete_related_job_runs=False)


def _build_job(connection: Connection, job: ControllerJob, archive: Path) -> NewJob:
    env = {} if job.image else {ENTRYPOINT: ENTRY_POINT}
    if job.conda:
        env.update(choose_conda(job.conda, connection.region_in_use))
    on = job.infrastructure
    details = build_details(build_spec(on), build_settings(env, max_runtime=job.max_runtime))
    if job.image is not None:
        command = {"entrypoint": ["python", f"{FOLDER}/{ARCHIVE}"]}
        details["jobEnvironmentConfigurationDetails"] = build_container(job.image, command)
    return NewJob(details, archive, tuple(on.storage_mounts))


def _build_details(
    connection: Connection, job: ControllerJob, job_id: str, request: ControllerRequest
) -> dict[str, Any]:
    """Return the details of the run, as the REST API spells them."""
    env = _read_environment(connection, job_id)
    plain, secrets = split_secrets(job.env)
    if secrets:
        ids = {name: secret.ocid for name, secret in secrets.items()}
        plain[secret_values.VARIABLE] = encode_json(ids, sort_keys=True)
    endpoint = {ENDPOINT_VARIABLE: connection.endpoint} if connection.endpoint else {}
    ours = {
        "TUNE_JOBS_STORE": request.store,
        "TUNE_JOBS_RUN": request.name,
        "TUNE_JOBS_SOURCES": encode_json(_NO_METRICS),
        "TUNE_JOBS_GRACE": str(GRACE_SECONDS),
        "TUNE_JOBS_LOG_SECONDS": "10",
    }
    settings: dict[str, Any] = {
        "jobType": "DEFAULT",
        "environmentVariables": {**env, **endpoint, **plain, **ours},
    }
    if job.max_runtime:
        settings["maximumRuntimeInMinutes"] = job.max_runtime
    return {
        "projectId": job.infrastructure.project,
        "compartmentId": job.infrastructure.compartment,
        "jobId": job_id,
        "displayName": request.name,
        "freeformTags": {**job.infrastructure.tags, **request.tags},
        "definedTags": {k: dict(v) for k, v in job.infrastructure.defined_tags.items()},
        "jobConfigurationOverrideDetails": settings,
    }


def _read_environment(connection: Connection, job_id: str) -> dict[str, str]:
    """Return the job's own variables; it is not documented whether those of a run replace them."""
    import oci

    client = connection.client(oci.data_science.DataScienceClient)
    job = client.get_job(job_id, retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY).data
    settings = job.job_configuration_details
    return dict(getattr(settings, "environment_variables", None) or {})
