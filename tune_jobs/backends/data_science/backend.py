"""Job runs of OCI Data Science: the definition of the job, and the options of its runs."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tune_jobs.arguments.calls import strict_types
from tune_jobs.arguments.type_checks import invalid
from tune_jobs.backends.data_science.definition import (
    AdsDefinition,
    Infrastructure,
    JobDefinition,
    ScriptDefinition,
    YamlDefinition,
)
from tune_jobs.backends.data_science.doctor.examination import Examination, Subject
from tune_jobs.backends.data_science.doctor.report import DoctorReport
from tune_jobs.backends.data_science.doctor.run_trials import Timing
from tune_jobs.backends.data_science.job import Job, JobRegistry
from tune_jobs.backends.data_science.job_removal import JobRemoval
from tune_jobs.backends.data_science.job_runs import JobRuns
from tune_jobs.backends.data_science.log_metrics import LogMetrics
from tune_jobs.backends.data_science.log_search import (
    RunLog,
    RunLogs,
    find_stream,
    open_run_log,
)
from tune_jobs.backends.data_science.request import Settings
from tune_jobs.backends.data_science.run_metrics import RunMetrics, find_size
from tune_jobs.backends.data_science.service import DataScienceService
from tune_jobs.backends.oci_runs.clock import Clock
from tune_jobs.backends.oci_runs.shapes import Shapes, check_resources, check_shapes
from tune_jobs.core.job_runs import MetricSources
from tune_jobs.core.nodes import check_nodes
from tune_jobs.core.secret import Secret, describe_environment, split_secrets
from tune_jobs.errors import BackendError, ConfigError, require_package
from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.folder import SCHEME, open_folder
from tune_jobs.oci.connection import Connection
from tune_jobs.script.entry_point import EntryPoint

if TYPE_CHECKING:
    from tune_jobs.backends.base import Backend, Notice


class DataScienceBackend:
    """Backend whose job runs are those of OCI Data Science.

    Made by `from_script`, `from_job`, `from_yaml` or `from_ocid`.

    Args:
        definition: The definition of the job, or the OCID of an existing one.
        connection: The connection to OCI; by default as ADS would connect.
        env: Environment variables of every run, beside the job's own. A run reads the value of a
            `Secret` from the Vault when it starts, which needs the runner.
        tags: Freeform tags of every run, at most five.
        max_runtime: Minutes after which the service stops a run; None for the job's own limit.
        fallback_shapes: Shapes to use in turn while the job's own is out of capacity: each a name,
            or a mapping of ``shape``, ``ocpus`` and ``memory_gb``.
        poll_seconds: Seconds between two polls.
        start_rate: Job runs to request per second, at most.
        upload_seconds: Seconds between two uploads of a run's metrics, at least.
        upload_rate: Bytes of metrics and log that a run uploads per second, at most. Files are
            uploaded whole, so long ones are uploaded less often.
        metrics_from: For jobs without the runner (see `from_ocid`): ``report`` if the script calls
            ``tune_jobs.report()``, ``log`` to extract metrics from what it prints, through the
            Logging service.

    Raises:
        ConfigError: If an option cannot be used.
    """

    name = "data_science"
    tick = 0.5
    default_store = "runs"  # refused by `open`, whose message names the fix
    _clock: ClassVar[Clock] = Clock()

    @strict_types
    def __init__(
        self,
        definition: JobDefinition | str,
        *,
        connection: Connection | None = None,
        env: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
        max_runtime: int | None = None,
        fallback_shapes: Sequence[str | Mapping[str, Any]] = (),
        poll_seconds: float = 15.0,
        start_rate: float = 5.0,
        upload_seconds: float = 5.0,
        upload_rate: float = 1e6,
        metrics_from: Literal["report", "log"] = "report",
    ) -> None:
        _check_installed(needs_ads=isinstance(definition, AdsDefinition | YamlDefinition))
        if not isinstance(definition, str) and not hasattr(definition, "fingerprint"):
            raise invalid("definition", definition, "made by from_script, from_job or from_ocid")
        if min(poll_seconds, start_rate, upload_seconds, upload_rate) <= 0:
            raise ConfigError(
                "poll_seconds, start_rate, upload_seconds and upload_rate must be positive"
            )
        if len(tags or {}) > 5:
            raise ConfigError(
                f"{len(tags or {})} tags: at most 5 are possible beside those of tune_jobs"
            )
        self.connection = connection or Connection()
        self.store_options: Mapping[str, object] = {"connection": self.connection}
        self._definition = definition
        self._described: Mapping[str, object] | None = None
        uploads = {
            "TUNE_JOBS_UPLOAD_SECONDS": f"{upload_seconds:g}",
            "TUNE_JOBS_UPLOAD_RATE": f"{upload_rate:g}",
        }
        plain, self._secrets = split_secrets(env)
        self._env, self._tags = {**uploads, **plain}, dict(tags or {})
        self._max_runtime = max_runtime
        check_shapes(fallback_shapes)
        self._fallback_shapes = fallback_shapes
        self._poll_seconds, self._start_rate = poll_seconds, start_rate
        self._metrics_from = metrics_from

    @classmethod
    @strict_types
    def from_script(
        cls,
        script: str | os.PathLike[str] | EntryPoint,
        infrastructure: Infrastructure | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        conda: str | None = None,
        env: Mapping[str, str | Secret] | None = None,
        max_runtime: int | None = None,
        nodes: int = 1,
        **options: Any,
    ) -> DataScienceBackend:
        """Return a backend for a script, which is uploaded with the runner of tune_jobs.

        Args:
            script: A Python file, a shell script, or a module (``EntryPoint.module``).
            infrastructure: What it runs on; in a notebook session by default that of the session.
            source: The folder, zip or tar.gz to upload, with the script in it; by default the
                script alone.
            conda: A service environment's slug, or the ``oci://`` URI of a published one.
            env: Environment variables; see `Secret` for those whose values are secret.
            max_runtime: Minutes after which the service stops a run.
            nodes: Number of nodes of each run, which is a run of a multi-node job if there are
                several.
            options: Further arguments of `DataScienceBackend`.
        """
        root = None if source is None else os.path.abspath(source)
        archive = root is not None and os.path.isfile(root)
        folder = os.path.dirname(root) if archive and root else root
        entry = EntryPoint.parse(script, root=folder)
        plain, secrets = split_secrets(env)
        definition = ScriptDefinition(
            entry,
            root,
            conda,
            plain,
            max_runtime,
            infrastructure or Infrastructure(),
            check_nodes(nodes),
        )
        return cls(definition, env=secrets, **options)

    @classmethod
    @strict_types
    def from_job(cls, job: Any, **options: Any) -> DataScienceBackend:
        """Return a backend for a job defined with ADS (an ``ads.jobs.Job`` of any runtime).

        A job that exists is used as it is; otherwise it is created with the runner added.
        """
        return cls(job.id if job.id else AdsDefinition(job), **options)

    @classmethod
    @strict_types
    def from_yaml(cls, path: str | os.PathLike[str], **options: Any) -> DataScienceBackend:
        """Return a backend for a job in the YAML of ADS."""
        return cls(YamlDefinition(Path(path)), **options)

    @classmethod
    @strict_types
    def from_ocid(cls, job_id: str, **options: Any) -> DataScienceBackend:
        """Return a backend for an existing job.

        Its artifact cannot be changed, so the runner is in it only if tune_jobs created it.
        Otherwise the script calls ``tune_jobs.report()``, or ``metrics_from="log"`` is set.
        """
        if not job_id.startswith("ocid1.datasciencejob."):
            raise ConfigError(f"{job_id!r} is not a job's OCID (ocid1.datasciencejob...)")
        return cls(job_id, **options)

    def __repr__(self) -> str:
        return f"DataScienceBackend({self._definition})"

    def clock(self) -> float:
        """See `Backend.clock`."""
        return self._clock.now()

    def check(self) -> None:
        """See `Backend.check`."""
        self.connection.client_arguments()
        if not isinstance(self._definition, str):
            self._definition.check()

    @property
    def source(self) -> str | None:
        """Local file or folder that is uploaded; None if the job is defined elsewhere."""
        return self._definition.uploaded if isinstance(self._definition, ScriptDefinition) else None

    @property
    def compartment(self) -> str | None:
        """OCID of the compartment of its jobs, if that is known without a request."""
        return None if isinstance(self._definition, str) else self._definition.compartment

    def stage_source(self, staging: Path) -> None:
        """Copy what is uploaded to ``staging/code``, from where its modules can be imported."""
        if isinstance(self._definition, ScriptDefinition):
            self._definition.stage(staging)

    def check_resources(self, resources: Mapping[str, object]) -> None:
        """See `Backend.check_resources`: a shape, its size, and the longest runtime."""
        check_resources(resources)

    @property
    def _command(self) -> list[str]:
        if isinstance(self._definition, ScriptDefinition):
            return self._definition.command
        return [str(self._definition)]

    def describe(self) -> dict[str, object]:
        """See `Backend.describe`."""
        if self._described is not None:
            return dict(self._described)
        facts: dict[str, object] = {
            "backend": self.name,
            "command": self._command,
            **describe_environment(self._env, self._secrets),
        }
        if not isinstance(self._definition, str):
            facts["code_sha256"] = self._definition.fingerprint()
        return facts

    def open(
        self,
        store: str,
        study: str,
        sources: MetricSources,
        *,
        keep_runs: bool,
        notice: Notice,
    ) -> DataScienceService:
        """See `Backend.open`: finds the study's job, or creates it."""
        _check_store(store)
        uri = f"{store.rstrip('/')}/{study}"
        folder = open_folder(uri, self.store_options)
        jobs = JobRegistry(self.connection, folder, study, notice)
        job, earlier = self._find_job(jobs)
        log_metrics = self._open_log_metrics(job, folder, sources, notice)
        if not keep_runs:
            notice(
                "the study is in memory only: if this process is killed, its job runs continue on "
                "OCI, and no later call can find them. Use a storage to keep them"
            )
        uri = getattr(folder, "uri", uri)
        settings = Settings(
            study, uri, sources, self._env, self._tags, self._max_runtime, self._secrets
        )
        return DataScienceService(
            job=job,
            job_ids=list(dict.fromkeys([job.id, *earlier])),
            folder=folder,
            settings=settings,
            runs=JobRuns(self.connection, job.compartment),
            shapes=Shapes(job.infrastructure, self._fallback_shapes, self._clock.monotonic),
            log_metrics=log_metrics,
            run_metrics=self._open_run_metrics(job, jobs.clock_offset, notice),
            poll_seconds=self._poll_seconds,
            start_rate=self._start_rate,
            clock_offset=jobs.clock_offset,
            notice=notice,
            describe=self.describe,
            time=self._clock,
        )

    def _find_job(self, jobs: JobRegistry) -> tuple[Job, list[str]]:
        """Return the study's job, and the OCIDs of the jobs that may have runs of it."""
        if not isinstance(self._definition, str):
            job = jobs.get_or_create(self._definition, needs_runner=bool(self._secrets))
            return job, jobs.list_ids()
        # That of a controller is the job of its launcher, which has earlier jobs.
        earlier = [] if self._described is None else jobs.list_ids()
        return jobs.get(self._definition, needs_runner=bool(self._secrets)), earlier

    def settle(self, store: str, study: str, notice: Notice) -> tuple[Job, DataScienceBackend]:
        """Find the study's job, or create it, for a controller that is a job run itself.

        Returns:
            The job, and a backend for it that needs neither the script nor this machine's
            connection: a job run has a principal of its own.

        Raises:
            BackendError: If the store is no bucket, or the service refuses the job.
        """
        _check_store(store)
        folder = open_folder(f"{store}/{study}", self.store_options)
        job, _ = self._find_job(JobRegistry(self.connection, folder, study, notice))
        settled = copy.copy(self)
        settled.connection = Connection(
            region=self.connection.region, endpoint=self.connection.endpoint
        )
        settled.store_options = {"connection": settled.connection}
        vars(settled).update(_definition=job.id, _described=self.describe())
        return job, settled

    def remove_jobs(
        self, store: str, study: str, controllers: Sequence[str], notice: Notice
    ) -> list[str]:
        """See `CreatesJobs.remove_jobs`."""
        folder = open_folder(f"{store.rstrip('/')}/{study}", self.store_options)
        recorded = JobRegistry(self.connection, folder, study, notice).list_ids()
        removal = JobRemoval(self.connection, study, notice)
        found = removal.find(recorded, controllers, self.compartment)
        return [job_id for job_id in found if removal.remove(job_id)]

    @strict_types
    def doctor(
        self,
        store: str,
        *,
        storage: str = "",
        run: bool = False,
        max_parallel: int = 1,
        prices: Mapping[str, float] | None = None,
        notice: Callable[[str], None] = print,
        timing: Timing | None = None,
    ) -> DoctorReport:
        """Examine what works in the tenancy, and which assumptions about OCI hold there.

        Whatever it makes (objects, a job, two job runs) it removes, also when it is interrupted.

        Args:
            store: URI of the metric store.
            storage: URL of the study's storage, which is examined if it is a bucket.
            run: Whether to start two small job runs that look from inside.
            max_parallel: Number of job runs that the study will have at a time.
            prices: Price of an hour by shape.
            notice: Called with what a person should know.
            timing: How long to wait.

        Raises:
            ConfigError: If the connection or the definition of the job cannot be used.
        """
        fallback = [s if isinstance(s, str) else str(s["shape"]) for s in self._fallback_shapes]
        subject = Subject(
            self.connection,
            self._definition,
            tuple(fallback),
            store,
            storage,
            max_parallel,
            prices or {},
            {name: secret.ocid for name, secret in self._secrets.items()},
        )
        return Examination(subject, notice, timing or Timing()).examine(run=run)

    def _open_log_metrics(
        self, job: Job, folder: Folder, sources: MetricSources, notice: Notice
    ) -> LogMetrics | None:
        """Return what finds metrics in logs, if that is wanted and no runner does it."""
        if self._metrics_from != "log" or job.has_runner:
            return None
        if job.nodes > 1:
            raise BackendError(
                f"metrics_from='log', but runs of job {job.id} have {job.nodes} nodes, whose "
                "output cannot be told apart there: have the script call tune_jobs.report() and "
                "use metrics_from='report'"
            )
        if job.log is None:
            raise BackendError(
                f"metrics_from='log', but job {job.id} has no log: give it a log group, or have "
                "the script call tune_jobs.report() and use metrics_from='report'"
            )
        stream = find_stream(self.connection, job.log, job.compartment)
        logs = RunLogs(self.connection, stream, since=self._clock.now())
        return LogMetrics(logs, folder, sources, self._poll_seconds, notice)

    def _open_run_metrics(self, job: Job, ahead: float, notice: Notice) -> RunMetrics | None:
        """Return what says what the runs use, if no runner measures it."""
        if job.has_runner:
            return None
        cores, memory_gb = find_size(job.infrastructure)
        return RunMetrics(
            self.connection,
            job.compartment,
            cores,
            memory_gb,
            notice,
            self._clock.monotonic,
            lambda: self._clock.now() + ahead,
        )

    def log(self, name: str, run_id: str | None) -> RunLog | None:
        """See `Backend.log`: the Logging service, if the job has a log."""
        return None if run_id is None else open_run_log(self.connection, run_id)

    def console(self, run_id: str) -> str | None:
        """See `Backend.console`."""
        region = self.connection.region_in_use
        return f"https://console.{region}.oraclecloud.com/data-science/job-runs/{run_id}"


def _check_store(store: str) -> None:
    if not store.startswith(SCHEME):
        raise BackendError(
            f"job runs on OCI cannot write to the metric store {store!r}: use a bucket, "
            "Tuner(store='oci://bucket@namespace/prefix')"
        )


def _check_installed(*, needs_ads: bool) -> None:
    require_package("DataScienceBackend", "oci", extra="oci")
    if needs_ads:  # to read the job's definition
        require_package("DataScienceBackend", "oracle-ads", extra="oci", module="ads")


if TYPE_CHECKING:
    _: Backend = DataScienceBackend("ocid1.datasciencejob.oc1..job")
