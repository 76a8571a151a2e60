"""Job runs of OCI Data Science: the definition of the job, and the options of its runs."""

from __future__ import annotations

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
from tune_jobs.backends.data_science.job_runs import JobRuns
from tune_jobs.backends.data_science.log_metrics import LogMetrics
from tune_jobs.backends.data_science.log_search import (
    RunLog,
    RunLogs,
    find_stream,
    open_run_log,
)
from tune_jobs.backends.data_science.request import Settings
from tune_jobs.backends.data_science.service import DataScienceService
from tune_jobs.backends.oci_runs.clock import Clock
from tune_jobs.backends.oci_runs.shapes import Shapes, check_shapes
from tune_jobs.core.job_runs import MetricSources
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
        env: Environment variables of every run, beside the job's own.
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
        env: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        max_runtime: int | None = None,
        fallback_shapes: Sequence[str | Mapping[str, Any]] = (),
        poll_seconds: float = 15.0,
        start_rate: float = 5.0,
        upload_seconds: float = 5.0,
        upload_rate: float = 1e6,
        metrics_from: Literal["report", "log"] = "report",
    ) -> None:
        _check_installed()
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
        uploads = {
            "TUNE_JOBS_UPLOAD_SECONDS": f"{upload_seconds:g}",
            "TUNE_JOBS_UPLOAD_RATE": f"{upload_rate:g}",
        }
        self._env, self._tags = {**uploads, **(env or {})}, dict(tags or {})
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
        env: Mapping[str, str] | None = None,
        max_runtime: int | None = None,
        **options: Any,
    ) -> DataScienceBackend:
        """Return a backend for a script, which is uploaded with the runner of tune_jobs.

        Args:
            script: A Python file, a shell script, or a module (``EntryPoint.module``).
            infrastructure: What it runs on; in a notebook session by default that of the session.
            source: The folder, zip or tar.gz to upload, with the script in it; by default the
                script alone.
            conda: A service environment's slug, or the ``oci://`` URI of a published one.
            env: Environment variables.
            max_runtime: Minutes after which the service stops a run.
            options: Further arguments of `DataScienceBackend`.
        """
        root = None if source is None else os.path.abspath(source)
        archive = root is not None and os.path.isfile(root)
        folder = os.path.dirname(root) if archive and root else root
        entry = EntryPoint.parse(script, root=folder)
        definition = ScriptDefinition(
            entry, root, conda, dict(env or {}), max_runtime, infrastructure or Infrastructure()
        )
        return cls(definition, **options)

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

    def describe(self) -> dict[str, object]:
        """See `Backend.describe`."""
        facts: dict[str, object] = {"backend": self.name, "command": [str(self._definition)]}
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
        if not store.startswith(SCHEME):
            raise BackendError(
                f"job runs on OCI cannot write to the metric store {store!r}: use a bucket, "
                "Tuner(store='oci://bucket@namespace/prefix')"
            )
        uri = f"{store.rstrip('/')}/{study}"
        folder = open_folder(uri, self.store_options)
        jobs = JobRegistry(self.connection, folder, study, notice)
        if isinstance(self._definition, str):
            job, earlier = jobs.get(self._definition), []
        else:
            job, earlier = jobs.get_or_create(self._definition), jobs.list_ids()
        log_metrics = self._open_log_metrics(job, folder, sources, notice)
        if not keep_runs:
            notice(
                "the study is in memory only: if this process is killed, its job runs continue on "
                "OCI, and no later call can find them. Use a storage to keep them"
            )
        uri = getattr(folder, "uri", uri)
        settings = Settings(study, uri, sources, self._env, self._tags, self._max_runtime)
        return DataScienceService(
            job=job,
            job_ids=list(dict.fromkeys([job.id, *earlier])),
            folder=folder,
            settings=settings,
            runs=JobRuns(self.connection, job.compartment),
            shapes=Shapes(job.infrastructure, self._fallback_shapes, self._clock.monotonic),
            log_metrics=log_metrics,
            poll_seconds=self._poll_seconds,
            start_rate=self._start_rate,
            clock_offset=jobs.clock_offset,
            notice=notice,
            describe=self.describe,
            time=self._clock,
        )

    @strict_types
    def doctor(
        self,
        store: str,
        *,
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
            self.connection, self._definition, tuple(fallback), store, max_parallel, prices or {}
        )
        return Examination(subject, notice, timing or Timing()).examine(run=run)

    def _open_log_metrics(
        self, job: Job, folder: Folder, sources: MetricSources, notice: Notice
    ) -> LogMetrics | None:
        """Return what finds metrics in logs, if that is wanted and no runner does it."""
        if self._metrics_from != "log" or job.has_runner:
            return None
        if job.log is None:
            raise BackendError(
                f"metrics_from='log', but job {job.id} has no log: give it a log group, or have "
                "the script call tune_jobs.report() and use metrics_from='report'"
            )
        stream = find_stream(self.connection, job.log, job.compartment)
        logs = RunLogs(self.connection, stream, since=self._clock.now())
        return LogMetrics(logs, folder, sources, self._poll_seconds, notice)

    def log(self, name: str, run_id: str | None) -> RunLog | None:
        """See `Backend.log`: the Logging service, if the job has a log."""
        return None if run_id is None else open_run_log(self.connection, run_id)

    def console(self, run_id: str) -> str | None:
        """See `Backend.console`."""
        region = self.connection.region_in_use
        return f"https://console.{region}.oraclecloud.com/data-science/job-runs/{run_id}"


def _check_installed() -> None:
    require_package("DataScienceBackend", "oci", extra="oci")
    require_package("DataScienceBackend", "oracle-ads", extra="oci", module="ads")


if TYPE_CHECKING:
    _: Backend = DataScienceBackend("ocid1.datasciencejob.oc1..job")
