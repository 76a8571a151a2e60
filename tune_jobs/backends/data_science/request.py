"""One job run, as it is asked for: everything that the service is told, made by plain functions."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tune_jobs.backends.data_science.job import STUDY_TAG, Job
from tune_jobs.core.job_runs import MetricSources, RunRequest
from tune_jobs.errors import SubmitError

MAX_ARGUMENTS = 4000
"""Characters in ``commandLineArguments``; the service's limit."""

MAX_ENVIRONMENT = 20_000
"""Characters in all environment variables; the service's limit."""

RUN_TAG = "tune_jobs_run"
PATHS = (
    *("$TUNE_JOBS_WORK_DIR", "$TUNE_JOBS_OUTPUTS_DIR"),
    *("$TUNE_JOBS_CHECKPOINT_DIR", "$TUNE_JOBS_RESUME_DIR"),
)
"""What stands for a run's folders on its command line; the runner puts the paths there."""


@dataclass(frozen=True)
class Settings:
    """What is the same for every run of a study.

    Args:
        study: The study's folder in the metric store.
        store: Its URI.
        env: Variables beside the job's own.
        sources: Where metrics are found.
        tags: Freeform tags beside tune_jobs' own.
        max_runtime: Minutes; None leaves it to the job.
    """

    study: str
    store: str
    sources: MetricSources
    env: Mapping[str, str]
    tags: Mapping[str, str]
    max_runtime: int | None


def token(job: Job, study: str, name: str) -> str:
    """The retry token of an attempt: the same, however often and by whomever it is asked for."""
    return hashlib.sha256(f"{job.id}/{study}/{name}".encode()).hexdigest()


def needs_object(job: Job, request: RunRequest) -> bool:
    """Whether a request is more than a command line can carry.

    Too many characters, files, or characters that have no business on a command line.
    """
    text = _arguments(job, request)
    return bool(request.files) or len(text) > MAX_ARGUMENTS or not text.isprintable()


def request_object(job: Job, request: RunRequest) -> str:
    """What the runner reads instead of the command line."""
    argv = [*job.arguments, *request.argv]
    return json.dumps({"argv": argv, "files": dict(request.files)})


def run_details(
    job: Job,
    request: RunRequest,
    settings: Settings,
    *,
    as_object: bool,
    shape: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The body of ``CreateJobRun``.

    Args:
        job: What it is a run of.
        request: The run.
        settings: What all runs have in common.
        as_object: Whether the runner finds its arguments in an object.
        shape: Another infrastructure than the job's, as the REST API has it.

    Raises:
        SubmitError: a limit of the service is exceeded.
    """
    env = _environment(job, request, settings, as_object)
    arguments = "" if as_object else _arguments(job, request)
    if len(arguments) > MAX_ARGUMENTS:
        raise SubmitError(
            f"{request.name}: its command line has {len(arguments)} characters, the service takes "
            f"{MAX_ARGUMENTS}: pass fewer or shorter arguments, put some into the environment, or "
            "let tune_jobs make the artifact (DataScienceBackend.from_script)"
        )
    size = sum(len(name) + len(value) for name, value in env.items())
    if size > MAX_ENVIRONMENT:
        raise SubmitError(
            f"{request.name}: its environment variables have {size} characters in all, the service "
            f"takes {MAX_ENVIRONMENT}"
        )
    override: dict[str, Any] = {"jobType": "DEFAULT", "environmentVariables": env}
    details: dict[str, Any] = {
        "projectId": job.project,
        "compartmentId": job.compartment,
        "jobId": job.id,
        "displayName": request.name,
        "jobConfigurationOverrideDetails": override,
        "freeformTags": {
            **settings.tags,
            STUDY_TAG: settings.study,
            RUN_TAG: request.name,
            **{f"tune_jobs_{name}": value for name, value in request.labels.items()},
        },
    }
    if job.container is not None:
        # The service does not say whether it appends arguments to an image's command.
        command = [*(job.container.get("cmd") or ()), *job.arguments, *request.argv]
        details["jobEnvironmentConfigurationOverrideDetails"] = {**job.container, "cmd": command}
    elif arguments:
        override["commandLineArguments"] = arguments
    max_runtime = request.resources.get("max_runtime", settings.max_runtime)
    if max_runtime is not None:
        override["maximumRuntimeInMinutes"] = max_runtime
    if shape is not None:
        details["jobInfrastructureConfigurationOverrideDetails"] = dict(shape)
    return details


def _arguments(job: Job, request: RunRequest) -> str:
    """The one string that the service wants; it is split again as a POSIX shell would."""
    return shlex.join([*job.arguments, *request.argv])


def _environment(
    job: Job, request: RunRequest, settings: Settings, as_object: bool
) -> dict[str, str]:
    """All variables of a run: whether the service merges a run's with the job's is not said."""
    env = {
        **job.env,
        **settings.env,
        **request.env,
        "TUNE_JOBS_STORE": settings.store,
        "TUNE_JOBS_RUN": request.name,
    }
    if request.resume:
        env["TUNE_JOBS_RESUME_FROM"] = ",".join(request.resume)
    if job.has_runner:
        env["TUNE_JOBS_SOURCES"] = json.dumps(asdict(settings.sources))
        if as_object:
            env["TUNE_JOBS_REQUEST"] = "1"
        expanded = [n for n, value in request.env.items() if any(p in value for p in PATHS)]
        if expanded:
            env["TUNE_JOBS_EXPAND"] = ",".join(expanded)
    return env
