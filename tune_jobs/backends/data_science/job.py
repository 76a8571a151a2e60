"""Jobs of a study: created once, and recorded with the study as YAML.

    STORE/STUDY/jobs/<fingerprint>.yaml        a job's OCID and its definition, as ADS writes it

The artifact of a job cannot be replaced, so a changed definition (such as a script that was fixed)
needs another job; the earlier jobs remain, with their runs. A job whose creator was killed before
it wrote this file is found by its name and tags.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tune_jobs.backends.data_science.artifact import START_SCRIPT, with_runner
from tune_jobs.backends.data_science.container import RUNNER_ENTRYPOINT
from tune_jobs.backends.data_science.definition import JobDefinition
from tune_jobs.backends.data_science.mounts import check_mounts, resolve_mounts
from tune_jobs.backends.data_science.runnable import check_job
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.errors import BackendError, TuneJobsError
from tune_jobs.metric_store.base import Folder
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import measure_clock_offset

FOLDER = "jobs"
MANAGE = str(policies.JOBS)
READ_SESSION = (
    "allow dynamic-group <notebooks> to read data-science-notebook-sessions "
    "in compartment <compartment>"
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

    def get(self, job_id: str) -> Job:
        """Return an existing job.

        Raises:
            BackendError: If it does not exist, or may not be read.
            ConfigError: If its runs have several nodes.
        """
        try:
            answer = self._client.get_job(job_id, retry_strategy=_retries())
        except Exception as error:
            raise _explain(error, f"reading job {job_id}") from error
        self.clock_offset = measure_clock_offset(answer.headers, time.time())
        check_job(answer.data)
        return _parse_job(answer.data)

    def get_or_create(self, definition: JobDefinition) -> Job:
        """Return the study's job of this definition, which is created if it does not exist.

        Raises:
            ConfigError: If ADS cannot make a job of the definition.
            BackendError: If the service refuses it.
        """
        fingerprint = definition.fingerprint()[:16]
        job_id = self._read_record(fingerprint) or self._find(definition, fingerprint)
        if job_id is None:
            job_id = self._create(definition, fingerprint)
        return self.get(job_id)

    def list_ids(self) -> list[str]:
        """Return the OCIDs of all jobs that the study has had."""
        names = [name.removesuffix(".yaml") for name in self._folder.find(FOLDER)]
        return [job_id for name in names if (job_id := self._read_record(name))]

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
        try:
            jobs = self._client.list_jobs(compartment, retry_strategy=_retries(), **wanted).data
        except Exception as error:
            raise _explain(error, f"listing the jobs of compartment {compartment}") from error
        tags = self._tags(fingerprint)
        for job in jobs:
            if tags.items() <= (job.freeform_tags or {}).items() and self._has_artifact(job.id):
                self._record(fingerprint, job.id, {"name": job.display_name})
                return str(job.id)
        return None

    def _has_artifact(self, job_id: str) -> bool:
        """Return whether a job is complete: its artifact is uploaded after it is created."""
        try:
            self._client.head_job_artifact(job_id, retry_strategy=_retries())
        except self._error as error:
            if error.status == 404:
                return False
            raise
        return True

    def _check_session(self, definition: JobDefinition) -> None:
        """Check that the notebook session can be read, from which ADS takes what is missing.

        Raises:
            BackendError: If it cannot; ADS would go on without, and the job would be refused.
        """
        session = os.environ.get("NB_SESSION_OCID")
        if not session or not definition.needs_session:
            return
        try:
            self._client.get_notebook_session(session, retry_strategy=_retries())
        except Exception as error:
            doing = f"reading this notebook session, {session}, for what Infrastructure leaves out"
            refusal = explain_refusal(error, doing, READ_SESSION)
            raise BackendError(
                f"{refusal}. Or name everything: Infrastructure(compartment=..., project=..., "
                "shape=...)"
            ) from error

    def _create(self, definition: JobDefinition, fingerprint: str) -> str:
        self._check_session(definition)
        with quiet_ads(), tempfile.TemporaryDirectory() as workspace:
            staging = Path(workspace, "staging")
            staging.mkdir()
            job = with_runner(
                definition.build_ads_job(staging), definition.runner_start(), Path(workspace)
            )
            tags = self._tags(fingerprint)
            job = label_job(job, self._connection, self._name(fingerprint), tags)
            try:
                job.create()
                self._record(fingerprint, job.id, yaml.safe_load(job.to_yaml()))
            except Exception as error:  # ADS raises errors of many kinds
                place = f"compartment {job.infrastructure.compartment_id}"
                project = f"project {job.infrastructure.project_id}"
                doing = f"creating the job of {definition} in {place}, {project}"
                raise _explain(error, doing) from error
        self._notice(f"job {self._name(fingerprint)} created: {job.id}")
        return str(job.id)

    def _name(self, fingerprint: str) -> str:
        return f"{self._study}-{fingerprint[:8]}"

    def _tags(self, fingerprint: str) -> dict[str, str]:
        return {STUDY_TAG: self._study, JOB_TAG: fingerprint}


def label_job(job: Any, connection: Connection, name: str, tags: Mapping[str, str]) -> Any:
    """Return a job of ADS with a name and further tags, to be created through a connection."""
    from ads.jobs import Job as AdsJob

    arguments = connection.client_arguments()
    arguments.pop("retry_strategy")  # ADS sets its own
    auth: dict[str, Any] = {
        key: arguments.pop(key) for key in ("config", "signer") if key in arguments
    }
    auth["client_kwargs"] = arguments
    # A copy, since ADS writes the OCID of the created job into its infrastructure.
    infrastructure = _build_infrastructure(job.infrastructure.to_dict()["spec"], connection, auth)
    job.runtime.with_freeform_tag(
        **{**infrastructure.freeform_tags, **(job.runtime.freeform_tags or {}), **tags}
    )
    created = AdsJob(name=name, **auth)
    return created.with_infrastructure(infrastructure).with_runtime(job.runtime)


def _build_infrastructure(
    spec: Mapping[str, Any], connection: Connection, auth: Mapping[str, Any]
) -> Any:
    """Return an ADS infrastructure whose mounts are resolved by our connection."""
    from ads.jobs import DataScienceJob

    mounts = spec.get("storageMount") or []
    check_mounts(mounts)
    resolved = resolve_mounts(mounts, connection)

    class Infrastructure(DataScienceJob):  # type: ignore[misc]
        """Infrastructure with these mounts."""

        def _update_job_infra(self, dsc_job: Any) -> Any:
            super()._update_job_infra(dsc_job)
            if resolved:
                dsc_job.job_storage_mount_configuration_details_list = resolved
            return self

    return Infrastructure(
        spec={name: value for name, value in spec.items() if name != "storageMount"}, **auth
    )


def _parse_job(model: Any) -> Job:
    settings = model.job_configuration_details
    environment = model.job_environment_configuration_details
    log = model.job_log_configuration_details
    env = dict(getattr(settings, "environment_variables", None) or {})
    container = None if environment is None else _to_rest(environment)
    starts_runner = env.get("JOB_RUN_ENTRYPOINT") == START_SCRIPT or (
        container is not None and tuple(container.get("entrypoint") or ()) == RUNNER_ENTRYPOINT
    )
    return Job(
        id=model.id,
        name=model.display_name,
        compartment=model.compartment_id,
        project=model.project_id,
        env=env,
        arguments=tuple(shlex.split(getattr(settings, "command_line_arguments", None) or "")),
        has_runner=starts_runner and "TUNE_JOBS_COMMAND" in env,
        container=container,
        infrastructure=_to_rest(model.job_infrastructure_configuration_details),
        max_runtime=getattr(settings, "maximum_runtime_in_minutes", None),
        log=_find_log(log),
    )


def _find_log(log: Any) -> tuple[str, ...] | None:
    if log is None or not log.enable_logging or not log.log_group_id:
        return None
    # Without a log, each run gets one in the group: the whole group is searched.
    return tuple(filter(None, (log.log_group_id, log.log_id)))


def _to_rest(model: Any) -> dict[str, Any]:
    """Return the fields of an SDK model that are set, as the REST API spells them."""
    fields = {name: getattr(model, attribute) for attribute, name in model.attribute_map.items()}
    return {
        name: _to_rest(value) if hasattr(value, "attribute_map") else value
        for name, value in fields.items()
        if value is not None
    }


def _retries() -> Any:
    import oci

    return oci.retry.DEFAULT_RETRY_STRATEGY


def _explain(error: Exception, doing: str) -> Exception:
    if isinstance(error, TuneJobsError):
        return error
    return BackendError(str(explain_refusal(error, doing, MANAGE)))


@contextlib.contextmanager
def quiet_ads() -> Iterator[None]:
    """Undo what importing ADS does to the root logger, and ignore its warnings.

    ADS would send every record of every logger to stdout.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
