"""The job of a study: created once, found again, and remembered with the study as YAML.

    STORE/STUDY/jobs/<fingerprint>.yaml        its OCID and its definition, as ADS writes it

A job's artifact cannot be replaced, so a definition that changes (a script that was mended) needs
another job; the earlier ones stay, with their runs. A job that was created by somebody who was
killed before this file was written is found by its name and tags.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tune_jobs.backends.data_science.artifact import START_SCRIPT, with_runner
from tune_jobs.backends.data_science.definition import JobDefinition
from tune_jobs.backends.oci_runs.failures import refusal
from tune_jobs.errors import BackendError, TuneJobsError
from tune_jobs.metric_store.base import Folder
from tune_jobs.oci.connection import Connection

FOLDER = "jobs"
MANAGE = "allow group <tuners> to manage data-science-jobs in compartment <compartment>"
STUDY_TAG = "tune_jobs_study"
JOB_TAG = "tune_jobs_job"


@dataclass(frozen=True)
class Job:
    """A job that exists, as far as its runs depend on it.

    Args:
        env, arguments: Its own, which a run's replace: they are sent along.
        has_runner: Its artifact starts the runner of tune_jobs.
        container: Image, ``cmd`` and ``entrypoint``, if its runs are containers.
        infrastructure: As the REST API has it.
        max_runtime: Minutes.
        log: Where its runs' output goes, as the Logging service searches it
            (``compartment/log group/log``); None: nowhere.
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
    log: str | None

    @property
    def shape(self) -> str:
        """Its compute shape."""
        return str(self.infrastructure.get("shapeName", ""))


class JobRegistry:
    """The jobs of one study.

    Args:
        connection: How OCI is reached.
        folder: The study's folder in the metric store.
        study: Its name there.
        notice: Called with what a person should know.
    """

    def __init__(
        self, connection: Connection, folder: Folder, study: str, notice: Callable[[str], None]
    ) -> None:
        import oci

        self._connection, self._folder, self._study = connection, folder, study
        self._notice = notice
        self._client = connection.client(oci.data_science.DataScienceClient)
        self._error = oci.exceptions.ServiceError

    def get(self, job_id: str) -> Job:
        """A job that exists.

        Raises:
            BackendError: it does not, or may not be read.
        """
        try:
            return _job(self._client.get_job(job_id, retry_strategy=_patient()).data)
        except Exception as error:
            raise _refusal(error, f"reading job {job_id}") from error

    def job_for(self, definition: JobDefinition) -> Job:
        """The study's job of this definition; creates it if there is none yet.

        Raises:
            ConfigError: the definition cannot be made a job.
            BackendError: the service refuses it.
        """
        fingerprint = definition.fingerprint()[:16]
        job_id = self._remembered(fingerprint) or self._found(definition, fingerprint)
        if job_id is None:
            job_id = self._create(definition, fingerprint)
        return self.get(job_id)

    def all_ids(self) -> list[str]:
        """The OCIDs of every job that the study ever had."""
        names = [name.removesuffix(".yaml") for name in self._folder.find(FOLDER)]
        return [job_id for name in names if (job_id := self._remembered(name))]

    def _remembered(self, fingerprint: str) -> str | None:
        try:
            text = self._folder.read(f"{FOLDER}/{fingerprint}.yaml").decode()
        except FileNotFoundError:
            return None
        return str(yaml.safe_load(text)["id"])

    def _remember(self, fingerprint: str, job_id: str, definition: Any) -> None:
        text = yaml.safe_dump({"id": job_id, "definition": definition}, sort_keys=False)
        self._folder.write(f"{FOLDER}/{fingerprint}.yaml", text.encode())

    def _found(self, definition: JobDefinition, fingerprint: str) -> str | None:
        """A job of this definition that was created, but not remembered."""
        compartment = definition.compartment
        if compartment is None:  # the job is forgotten, which costs nothing
            return None
        wanted = {"display_name": self._name(fingerprint), "lifecycle_state": "ACTIVE"}
        try:
            jobs = self._client.list_jobs(compartment, retry_strategy=_patient(), **wanted).data
        except Exception as error:
            raise _refusal(error, f"listing the jobs of compartment {compartment}") from error
        tags = self._tags(fingerprint)
        for job in jobs:
            if tags.items() <= (job.freeform_tags or {}).items() and self._has_artifact(job.id):
                self._remember(fingerprint, job.id, {"name": job.display_name})
                return str(job.id)
        return None

    def _has_artifact(self, job_id: str) -> bool:
        """Whether it was finished: an artifact is uploaded after the job is created."""
        try:
            self._client.head_job_artifact(job_id, retry_strategy=_patient())
        except self._error as error:
            if error.status == 404:
                return False
            raise
        return True

    def _create(self, definition: JobDefinition, fingerprint: str) -> str:
        with quiet_ads(), tempfile.TemporaryDirectory() as workspace:
            staging = Path(workspace, "staging")
            staging.mkdir()
            job = with_runner(definition.ads_job(staging), definition.start(), Path(workspace))
            job = self._ours(job, fingerprint)
            try:
                job.create()
                self._remember(fingerprint, job.id, yaml.safe_load(job.to_yaml()))
            except Exception as error:  # ADS raises many kinds
                place = f"compartment {job.infrastructure.compartment_id}"
                project = f"project {job.infrastructure.project_id}"
                doing = f"creating the job of {definition} in {place}, {project}"
                raise _refusal(error, doing) from error
        self._notice(f"job {self._name(fingerprint)} created: {job.id}")
        return str(job.id)

    def _ours(self, job: Any, fingerprint: str) -> Any:
        """The job under the study's name, with its tags, asked for through our connection."""
        from ads.jobs import DataScienceJob
        from ads.jobs import Job as AdsJob

        arguments = self._connection.client_arguments()
        arguments.pop("retry_strategy")  # ADS has one of its own
        auth: dict[str, Any] = {
            name: arguments.pop(name) for name in ("config", "signer") if name in arguments
        }
        auth["client_kwargs"] = arguments
        # A copy: ADS gives the job's OCID to the infrastructure it was created with.
        infrastructure = DataScienceJob(spec=job.infrastructure.to_dict()["spec"], **auth)
        tags = {**infrastructure.freeform_tags, **(job.runtime.freeform_tags or {})}
        job.runtime.with_freeform_tag(**tags, **self._tags(fingerprint))
        created = AdsJob(name=self._name(fingerprint), **auth)
        return created.with_infrastructure(infrastructure).with_runtime(job.runtime)

    def _name(self, fingerprint: str) -> str:
        return f"{self._study}-{fingerprint[:8]}"

    def _tags(self, fingerprint: str) -> dict[str, str]:
        return {STUDY_TAG: self._study, JOB_TAG: fingerprint}


def _job(model: Any) -> Job:
    settings = model.job_configuration_details
    environment = model.job_environment_configuration_details
    log = model.job_log_configuration_details
    env = dict(getattr(settings, "environment_variables", None) or {})
    return Job(
        id=model.id,
        name=model.display_name,
        compartment=model.compartment_id,
        project=model.project_id,
        env=env,
        arguments=tuple(shlex.split(getattr(settings, "command_line_arguments", None) or "")),
        has_runner=env.get("JOB_RUN_ENTRYPOINT") == START_SCRIPT and "TUNE_JOBS_COMMAND" in env,
        container=None if environment is None else _rest(environment),
        infrastructure=_rest(model.job_infrastructure_configuration_details),
        max_runtime=getattr(settings, "maximum_runtime_in_minutes", None),
        log=_stream(model.compartment_id, log),
    )


def _stream(compartment: str, log: Any) -> str | None:
    if log is None or not log.enable_logging or not log.log_group_id:
        return None
    # Without a log of its own every run gets one in the group: all of them are searched.
    return "/".join(filter(None, [compartment, log.log_group_id, log.log_id]))


def _rest(model: Any) -> dict[str, Any]:
    """A model of the SDK as the REST API spells it, without what is not set."""
    fields = {name: getattr(model, attribute) for attribute, name in model.attribute_map.items()}
    return {
        name: _rest(value) if hasattr(value, "attribute_map") else value
        for name, value in fields.items()
        if value is not None
    }


def _patient() -> Any:
    import oci

    return oci.retry.DEFAULT_RETRY_STRATEGY


def _refusal(error: Exception, doing: str) -> Exception:
    if isinstance(error, TuneJobsError):
        return error
    found = refusal(error, doing, MANAGE)
    return BackendError(str(found))


@contextlib.contextmanager
def quiet_ads() -> Iterator[None]:
    """Keep the import of ADS from taking over the root logger, and its warnings to itself.

    It would send every record of every logger to stdout.
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
