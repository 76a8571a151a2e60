"""Jobs of a study: created once, and recorded with the study as YAML.

    STORE/STUDY/jobs/<fingerprint>.yaml        a job's OCID and the body of ``CreateJob``

The artifact of a job cannot be replaced, so a changed definition (such as a script that was fixed)
needs another job; the earlier jobs remain, with their runs. A job whose creator was killed before
it wrote this file is found by its name and tags.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tune_jobs.backends.data_science.artifact import START_SCRIPT, with_runner
from tune_jobs.backends.data_science.container import starts_runner
from tune_jobs.backends.data_science.definition import JobDefinition
from tune_jobs.backends.data_science.new_job import create_job
from tune_jobs.backends.data_science.node_groups import gather_job
from tune_jobs.backends.data_science.runnable import check_job
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.errors import BackendError, ConfigError, TuneJobsError
from tune_jobs.metric_store.base import Folder
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import endure_briefly, measure_clock_offset
from tune_jobs.runtime.steady_time import read_time

FOLDER = "jobs"
MANAGE = str(policies.JOBS)
_NO_RUNNER = (
    "{job} runs without the runner of tune_jobs, which reads the secrets of env from the Vault: "
    "use DataScienceBackend.from_script; or from_job or from_yaml with a job that is not created, "
    "and for containers without an artifact of their own; or let the script read the secret itself"
)
STUDY_TAG = "tune_jobs_study"
JOB_TAG = "tune_jobs_job"


@dataclass(frozen=True)
class Job:
    """Job that exists, as far as its runs depend on it.

    Args:
        env, arguments: The job's own. Those of a run replace them, so a run repeats them.
        has_runner: Whether its artifact starts the runner of tune_jobs.
        container: Image, ``cmd`` and ``entrypoint``, if its runs are containers.
        infrastructure: As the REST API spells it.
        max_runtime: Minutes.
        log: OCIDs of the log group of its runs, and of their log if they share one; None if they
            have no log.
        nodes: Number of nodes of each run.
        node_group: Name of the node group; empty if there is one node.
    """

    id: str
    name: str
    compartment: str
    project: str
    env: Mapping[str, str]
    arguments: tuple[str, ...]
    has_runner: bool
    container: Mapping[str, Any] | None
    infrastructure: Mapping[str, Any]
    max_runtime: int | None
    log: tuple[str, ...] | None
    nodes: int = 1
    node_group: str = ""

    @property
    def shape(self) -> str:
        """Compute shape."""
        return str(self.infrastructure.get("shapeName", ""))


class JobRegistry:
    """Jobs of one study.

    Args:
        connection: The connection to OCI.
        folder: The study's folder in the metric store.
        study: Its name there.
        notice: Called with what a person should know.

    Attributes:
        clock_offset: Seconds by which OCI's clock is ahead, as measured with the last job read.
    """

    def __init__(
        self, connection: Connection, folder: Folder, study: str, notice: Callable[[str], None]
    ) -> None:
        import oci

        self._connection, self._folder, self._study = connection, folder, study
        self._notice = notice
        self.clock_offset = 0.0
        self._client = connection.client(oci.data_science.DataScienceClient)
        self._error = oci.exceptions.ServiceError

    def get(self, job_id: str, *, needs_runner: bool = False) -> Job:
        """Return an existing job.

        Args:
            job_id: Its OCID.
            needs_runner: Whether its runs have secrets, which the runner resolves.

        Raises:
            BackendError: If it does not exist, or may not be read.
            ConfigError: If its runs have node groups that differ, or it lacks the runner that they
                need.
        """
        try:
            answer = self._ask(self._client.get_job, job_id)
        except Exception as error:
            raise _explain(error, f"reading job {job_id}") from error
        self.clock_offset = measure_clock_offset(answer.headers, read_time())
        check_job(to_rest(answer.data))
        job = _parse_job(answer.data)
        if needs_runner and not job.has_runner:
            raise ConfigError(_NO_RUNNER.format(job=f"job {job_id}"))
        return job

    def get_or_create(self, definition: JobDefinition, *, needs_runner: bool = False) -> Job:
        """Return the study's job of this definition, which is created if it does not exist.

        Args:
            definition: The definition.
            needs_runner: See `get`.

        Raises:
            ConfigError: If ADS cannot make a job of the definition, or the runner that its runs
                need cannot be added.
            BackendError: If the service refuses it.
        """
        fingerprint = definition.fingerprint()[:16]
        job_id = self._read_record(fingerprint) or self._find(definition, fingerprint)
        if job_id is None:
            job_id = self._create(definition, fingerprint, needs_runner)
        return self.get(job_id, needs_runner=needs_runner)

    def list_ids(self) -> list[str]:
        """Return the OCIDs of all jobs that the study has had."""
        names = [name.removesuffix(".yaml") for name in self._folder.find(FOLDER)]
        return [job_id for name in names if (job_id := self._read_record(name))]

    def _ask(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        options["retry_strategy"] = _retries()
        return endure_briefly(partial(operation, *arguments, **options))

    def _read_record(self, fingerprint: str) -> str | None:
        try:
            record = self._folder.read(f"{FOLDER}/{fingerprint}.yaml").decode()
        except FileNotFoundError:
            return None
        return str(yaml.safe_load(record)["id"])

    def _record(self, fingerprint: str, job_id: str, definition: Any) -> None:
        record = yaml.safe_dump({"id": job_id, "definition": definition}, sort_keys=False)
        self._folder.write(f"{FOLDER}/{fingerprint}.yaml", record.encode())

    def _find(self, definition: JobDefinition, fingerprint: str) -> str | None:
        """Find a job of this definition that was created but not recorded."""
        compartment = definition.compartment
        if compartment is None:  # it stays unused, which costs nothing
            return None
        wanted = {"display_name": self._name(fingerprint), "lifecycle_state": "ACTIVE"}
        tags = self._tags(fingerprint)
        try:
            for job in self._ask(self._client.list_jobs, compartment, **wanted).data:
                if tags.items() <= (job.freeform_tags or {}).items() and self._has_artifact(job.id):
                    self._record(fingerprint, job.id, {"name": job.display_name})
                    return str(job.id)
        except Exception as error:
            raise _explain(error, f"listing the jobs of compartment {compartment}") from error
        return None

    def _has_artifact(self, job_id: str) -> bool:
        """Return whether a job is complete: its artifact is uploaded after it is created."""
        try:
            self._ask(self._client.head_job_artifact, job_id)
        except self._error as error:
            if error.status == 404:
                return False
            raise
        return True

    def _create(self, definition: JobDefinition, fingerprint: str, needs_runner: bool) -> str:
        doing = f"creating the job of {definition}"
        with tempfile.TemporaryDirectory() as workspace:
            staging = Path(workspace, "staging")
            staging.mkdir()
            try:
                own = definition.build(self._connection, staging)
                job = with_runner(own, definition.runner_start(), Path(workspace))
                if needs_runner and job is own:
                    raise ConfigError(_NO_RUNNER.format(job=str(definition)))
                job = job.label(self._name(fingerprint), self._tags(fingerprint))
                job = job.complete(self._connection)
                doing += f" in compartment {job.compartment}, project {job.project}"
                # A job without an artifact is not used.
                job_id = str(endure_briefly(partial(create_job, self._connection, job)))
                self._record(fingerprint, job_id, dict(job.details))
            except Exception as error:  # ADS and the SDK raise errors of many kinds
                raise _explain(error, doing) from error
        self._notice(f"job {self._name(fingerprint)} created: {job_id}")
        return job_id

    def _name(self, fingerprint: str) -> str:
        return f"{self._study}-{fingerprint[:8]}"

    def _tags(self, fingerprint: str) -> dict[str, str]:
        return {STUDY_TAG: self._study, JOB_TAG: fingerprint}


def _parse_job(model: Any) -> Job:
    details, nodes, group = gather_job(to_rest(model))
    settings = details.get("jobConfigurationDetails") or {}
    env = dict(settings.get("environmentVariables") or {})
    container = details.get("jobEnvironmentConfigurationDetails")
    has_runner = env.get("JOB_RUN_ENTRYPOINT") == START_SCRIPT or (
        container is not None and starts_runner(container)
    )
    return Job(
        id=model.id,
        name=model.display_name,
        compartment=model.compartment_id,
        project=model.project_id,
        env=env,
        arguments=tuple(shlex.split(settings.get("commandLineArguments") or "")),
        has_runner=has_runner and "TUNE_JOBS_COMMAND" in env,
        container=container,
        infrastructure=details.get("jobInfrastructureConfigurationDetails") or {},
        max_runtime=settings.get("maximumRuntimeInMinutes"),
        log=_find_log(model.job_log_configuration_details),
        nodes=nodes,
        node_group=group,
    )


def _find_log(log: Any) -> tuple[str, ...] | None:
    if log is None or not log.enable_logging or not log.log_group_id:
        return None
    # Without a log, each run gets one in the group: the whole group is searched.
    return tuple(filter(None, (log.log_group_id, log.log_id)))


def to_rest(model: Any) -> dict[str, Any]:
    """Return the fields of an SDK model that are set, as the REST API spells them."""
    fields = {name: getattr(model, attribute) for attribute, name in model.attribute_map.items()}
    return {name: _to_plain(value) for name, value in fields.items() if value is not None}


def _to_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_plain(item) for item in value]
    return to_rest(value) if hasattr(value, "attribute_map") else value


def _retries() -> Any:
    import oci

    return oci.retry.DEFAULT_RETRY_STRATEGY


def _explain(error: Exception, doing: str) -> Exception:
    if isinstance(error, TuneJobsError):
        return error
    return BackendError(str(explain_refusal(error, doing, MANAGE)))
