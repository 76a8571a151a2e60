"""Request for one job run, built by pure functions."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tune_jobs.backends.data_science.container import (
    MAX_COMMAND,
    build_command,
    build_runner_command,
    count_bytes,
)
from tune_jobs.backends.data_science.job import STUDY_TAG, Job
from tune_jobs.core.job_runs import MetricSources, RunRequest
from tune_jobs.core.secret import Secret, find_conflict
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import SubmitError
from tune_jobs.runtime.secret_values import VARIABLE

MAX_ARGUMENTS = 4000
"""Characters in ``commandLineArguments``, limited by the service."""

MAX_ENVIRONMENT = 20_000
"""Characters in all environment variables, limited by the service."""

RUN_TAG = "tune_jobs_run"
PATHS = (
    *("$TUNE_JOBS_WORK_DIR", "$TUNE_JOBS_OUTPUTS_DIR"),
    *("$TUNE_JOBS_CHECKPOINT_DIR", "$TUNE_JOBS_RESUME_DIR"),
)
"""Placeholders of a run's folders on its command line; the runner substitutes the paths."""


@dataclass(frozen=True)
class Settings:
    """What the runs of a study have in common.

    Args:
        study: The study's folder in the metric store.
        store: Its URI.
        env: Environment variables beside the job's own.
        sources: Where metrics are found.
        tags: Freeform tags beside tune_jobs' own.
        max_runtime: Minutes; None for the job's own.
        secrets: Secrets by the names of their variables.
    """

    study: str
    store: str
    sources: MetricSources
    env: Mapping[str, str]
    tags: Mapping[str, str]
    max_runtime: int | None
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def secret_ids(self) -> dict[str, str]:
        """OCIDs of the secrets."""
        return {name: secret.ocid for name, secret in self.secrets.items()}


def build_token(job: Job, study: str, name: str) -> str:
    """Return the retry token of a run, which is the same in every process."""
    return hashlib.sha256(f"{job.id}/{study}/{name}".encode()).hexdigest()


def needs_object(job: Job, request: RunRequest) -> bool:
    """Return whether a request does not fit on a command line.

    It has files, too many characters, or characters that are not printable.
    """
    arguments = _join_arguments(job, request)
    if job.container is not None:
        size = count_bytes(_build_container(job, request, as_object=False))
        return bool(request.files) or size >= MAX_COMMAND
    return bool(request.files) or len(arguments) > MAX_ARGUMENTS or not arguments.isprintable()


def build_object(job: Job, request: RunRequest) -> str:
    """Return what the runner reads instead of the command line, as JSON."""
    argv = [*job.arguments, *request.argv]
    return encode_json({"argv": argv, "files": dict(request.files)})


def build_details(
    job: Job,
    request: RunRequest,
    settings: Settings,
    *,
    as_object: bool,
    shape: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the body of ``CreateJobRun``.

    Args:
        job: The job.
        request: The run.
        settings: What all runs have in common.
        as_object: Whether the runner reads the arguments from an object in the store.
        shape: An infrastructure that replaces the job's, as the REST API spells it.

    Raises:
        SubmitError: If a limit of the service is exceeded.
    """
    env = _build_environment(job, request, settings, as_object)
    is_container = job.container is not None
    arguments = "" if as_object or is_container else _join_arguments(job, request)
    _check_limits(request.name, arguments, env)
    override: dict[str, Any] = {"jobType": "DEFAULT", "environmentVariables": env}
    max_runtime = request.resources.get("max_runtime", settings.max_runtime)
    if max_runtime is not None:
        override["maximumRuntimeInMinutes"] = max_runtime
    details: dict[str, Any] = {
        "projectId": job.project,
        "compartmentId": job.compartment,
        "jobId": job.id,
        "displayName": request.name,
        "jobConfigurationOverrideDetails": override,
        "freeformTags": _build_tags(request, settings),
    }
    if job.container is not None:
        container = _build_container(job, request, as_object=as_object)
        _check_command(request.name, container)
        details["jobEnvironmentConfigurationOverrideDetails"] = container
    elif arguments:
        override["commandLineArguments"] = arguments
    if shape is not None:
        details["jobInfrastructureConfigurationOverrideDetails"] = dict(shape)
    return details


def _build_container(job: Job, request: RunRequest, *, as_object: bool) -> dict[str, Any]:
    """Return the container of a run, whose ``cmd`` has the arguments.

    It is not documented whether the service appends ``commandLineArguments`` to a command.
    """
    container = dict(job.container or {})
    arguments = [] if as_object else [*job.arguments, *request.argv]
    if job.has_runner:
        return {**container, **build_runner_command(container, arguments)}
    return {**container, **build_command(container, arguments)}


def _check_command(name: str, container: Mapping[str, Any]) -> None:
    size = count_bytes(container)
    if size >= MAX_COMMAND:
        raise SubmitError(
            f"{name}: its cmd and entrypoint have {size} bytes, and the service takes less than "
            f"{MAX_COMMAND}: pass fewer or shorter arguments, or let tune_jobs add its runner "
            "(DataScienceBackend.from_job)"
        )


def _check_limits(name: str, arguments: str, env: Mapping[str, str]) -> None:
    if len(arguments) > MAX_ARGUMENTS:
        raise SubmitError(
            f"{name}: its command line has {len(arguments)} characters, and the service takes "
            f"{MAX_ARGUMENTS}: pass fewer or shorter arguments, put some into the environment, or "
            "let tune_jobs make the artifact (DataScienceBackend.from_script)"
        )
    size = sum(len(variable) + len(value) for variable, value in env.items())
    if size > MAX_ENVIRONMENT:
        raise SubmitError(
            f"{name}: its environment variables have {size} characters in all, and the service "
            f"takes {MAX_ENVIRONMENT}: pass fewer or shorter ones"
        )


def _build_tags(request: RunRequest, settings: Settings) -> dict[str, str]:
    labels = {f"tune_jobs_{name}": value for name, value in request.labels.items()}
    return {**settings.tags, STUDY_TAG: settings.study, RUN_TAG: request.name, **labels}


def _join_arguments(job: Job, request: RunRequest) -> str:
    """Return the arguments as one string, which the service splits as a POSIX shell does."""
    return shlex.join([*job.arguments, *request.argv])


def _build_environment(
    job: Job, request: RunRequest, settings: Settings, as_object: bool
) -> dict[str, str]:
    """Return all variables of a run, those of the job included.

    It is not documented whether the service merges them with the job's.

    Raises:
        SubmitError: If a variable of the run is a secret.
    """
    env = {
        **job.env,
        **settings.env,
        **request.env,
        "TUNE_JOBS_STORE": settings.store,
        "TUNE_JOBS_RUN": request.name,
    }
    if conflict := find_conflict(request.env, settings.secrets):
        raise SubmitError(f"{request.name}: {conflict}")
    if settings.secrets:
        env = {name: value for name, value in env.items() if name not in settings.secrets}
        env[VARIABLE] = encode_json(settings.secret_ids, sort_keys=True)
    if request.resume:
        env["TUNE_JOBS_RESUME_FROM"] = ",".join(request.resume)
    if job.has_runner:
        env["TUNE_JOBS_SOURCES"] = encode_json(asdict(settings.sources))
        if as_object:
            env["TUNE_JOBS_REQUEST"] = "1"
        expanded = [n for n, value in request.env.items() if any(p in value for p in PATHS)]
        if expanded:
            env["TUNE_JOBS_EXPAND"] = ",".join(expanded)
    return env
