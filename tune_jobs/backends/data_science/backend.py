"""Job runs of OCI Data Science.

One poll, whatever the number of live runs: the newest pages of one listing say their states, and
the store's listing, made by the caller, which metrics changed. Starting and cancelling never wait
for an answer here; the next poll sees what became of it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tune_jobs.backends.data_science.definition import (
    AdsDefinition,
    Infrastructure,
    JobDefinition,
    ScriptDefinition,
    YamlDefinition,
)
from tune_jobs.backends.data_science.job import STUDY_TAG, Job, JobRegistry
from tune_jobs.backends.data_science.job_runs import USE, JobRuns
from tune_jobs.backends.data_science.log_metrics import LogMetrics
from tune_jobs.backends.data_science.log_search import RunLog, RunLogs, open_run_log
from tune_jobs.backends.data_science.request import (
    PATHS,
    Settings,
    needs_object,
    request_object,
    run_details,
    token,
)
from tune_jobs.backends.oci_runs.failures import refusal
from tune_jobs.backends.oci_runs.live_runs import LiveRuns
from tune_jobs.backends.oci_runs.shapes import Shapes, check_shapes
from tune_jobs.backends.oci_runs.starter import Refused, Started, Starter
from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.errors import BackendError, ConfigError, SubmitError
from tune_jobs.metric_store.folder import SCHEME, Folder, open_folder
from tune_jobs.oci.connection import Connection
from tune_jobs.script.entry_point import EntryPoint

LIMIT_PATIENCE = 1800.0
"""Seconds for which the service may have no room for a single run."""


class DataScienceBackend:
    """Every job run is a job run of OCI Data Science.

    Made by `from_script`, `from_job`, `from_yaml` or `from_ocid`.

    Args:
        definition: What the job is made from, or the OCID of one that exists.
        connection: How OCI is reached; by default as ADS would.
        env: Environment variables of every run, beside the job's own.
        tags: Freeform tags of every run, beside tune_jobs' own.
        max_runtime: Minutes after which the service stops a run; None leaves it to the job.
        fallback_shapes: Used in turn while the job's own shape is out of capacity: each a shape's
            name, or a mapping of ``shape``, ``ocpus`` and ``memory_gb``.
        poll_seconds: Time between two polls.
        start_rate: Job runs that are asked for in a second, at most.
        upload_seconds: Time between two uploads of a run's metrics, at least.
        upload_rate: Bytes of metrics and log that a run uploads in a second, at most: they are
            uploaded whole, so long ones more seldom.
        metrics_from: For jobs without the runner (see `from_ocid`): ``report`` if the script calls
            ``tune_jobs.report()``, ``log`` to find them in what it prints, through the Logging
            service.

    Raises:
        ConfigError: an option cannot be used.
    """

    name = "data_science"
    tick = 0.5
    default_store = "runs"  # which is refused, with what to write instead
    clock = staticmethod(time.time)

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
        if min(poll_seconds, start_rate, upload_seconds, upload_rate) <= 0:
            raise ConfigError(
                "poll_seconds, start_rate, upload_seconds and upload_rate must be positive"
            )
        if len(tags or {}) > 5:
            raise ConfigError(f"{len(tags or {})} tags: at most 5 are left beside tune_jobs' own")
        self.connection = connection or Connection()
        self.store_options: Mapping[str, object] = {"connection": self.connection}
        self.notice: Callable[[str], None] = lambda text: None
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
        self._job: Job | None = None
        self._asked: dict[str, str] = {}
        self._news: list[RunUpdate] = []

    # -- making one ---------------------------------------------------------------------------

    @classmethod
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
        """A backend for a script of yours, which is uploaded with the runner of tune_jobs.

        Args:
            script: A Python file, a shell script, or a module (``EntryPoint.module``).
            infrastructure: What it runs on; in a notebook session by default the session's own.
            source: The folder, zip or tar.gz that is uploaded, with the script in it; by default
                the script alone.
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
    def from_job(cls, job: Any, **options: Any) -> DataScienceBackend:
        """A backend for a job defined with ADS (an ``ads.jobs.Job`` of any runtime).

        One that is created already is used as it is; else it is created with the runner added.
        """
        return cls(job.id if job.id else AdsDefinition(job), **options)

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str], **options: Any) -> DataScienceBackend:
        """A backend for a job in the YAML of ADS."""
        return cls(YamlDefinition(Path(path)), **options)

    @classmethod
    def from_ocid(cls, job_id: str, **options: Any) -> DataScienceBackend:
        """A backend for a job that exists.

        Its artifact cannot be changed, so unless tune_jobs made it, the runner is not in it: the
        script calls ``tune_jobs.report()``, or ``metrics_from="log"``.
        """
        if not job_id.startswith("ocid1.datasciencejob."):
            raise ConfigError(f"{job_id!r} is not a job's OCID (ocid1.datasciencejob...)")
        return cls(job_id, **options)

    def __repr__(self) -> str:
        return f"DataScienceBackend({self._definition})"

    # -- the protocol of a backend --------------------------------------------------------------

    def check(self) -> None:
        """See `Backend.check`."""
        self.connection.client_arguments()
        if not isinstance(self._definition, str):
            self._definition.check()

    def open(self, store: str, study: str, sources: MetricSources, *, keep_runs: bool) -> None:
        """See `Backend.open`."""
        if not store.startswith(SCHEME):
            raise BackendError(
                f"job runs on OCI cannot write to the metric store {store!r}: use a bucket, "
                "Tuner(store='oci://bucket@namespace/prefix')"
            )
        self._folder: Folder = open_folder(f"{store.rstrip('/')}/{study}", self.store_options)
        self._study = study
        shelf = JobRegistry(self.connection, self._folder, study, self.notice)
        if isinstance(self._definition, str):
            self._job, earlier = shelf.get(self._definition), []
        else:
            self._job, earlier = shelf.job_for(self._definition), shelf.all_ids()
        self._job_ids = list(dict.fromkeys([self._job.id, *earlier]))
        self._settings = Settings(
            study=study,
            store=f"{store.rstrip('/')}/{study}",
            sources=sources,
            env=self._env,
            tags=self._tags,
            max_runtime=self._max_runtime,
        )
        self._runs = JobRuns(self.connection, self._job.compartment)
        self._shapes = Shapes(self._job.infrastructure, self._fallback_shapes, time.monotonic)

        # By name, for whoever sets `notice` later.
        def notice(text: str) -> None:
            self.notice(text)

        self._live = LiveRuns(self._runs, self._shapes, notice, self._poll_seconds, time.monotonic)
        self._starter = Starter(self._create, notice, time.monotonic, self._start_rate)
        self._log_metrics = self._metrics_of_logs(sources)
        if not keep_runs:
            self.notice(
                "the study is in memory only: if this process is killed, nobody knows its job runs "
                "any more, and they go on. Use a storage to keep them"
            )

    def _metrics_of_logs(self, sources: MetricSources) -> LogMetrics | None:
        """Who finds metrics in logs, if that was asked for and no runner does it."""
        job = self._opened
        if self._metrics_from != "log" or job.has_runner:
            return None
        if job.log is None:
            raise BackendError(
                f"metrics_from='log', but job {job.id} has no log: give it a log group, or have "
                "the script call tune_jobs.report() and use metrics_from='report'"
            )
        logs = RunLogs(self.connection, job.log, since=time.time())
        return LogMetrics(logs, self._folder, sources, self._poll_seconds)

    def paths(self, name: str) -> RunPaths:
        """See `Backend.paths`."""
        if self._opened.has_runner:
            return RunPaths(*PATHS)
        return RunPaths(
            work=".", outputs="outputs", checkpoints="checkpoints", resume="checkpoints"
        )

    def submit(self, request: RunRequest) -> None:
        """See `Backend.submit`: an update tells the run's OCID.

        ``resources`` may be ``shape``, ``ocpus``, ``memory_gb`` and ``max_runtime`` (minutes).
        """
        job = self._opened
        as_object = job.has_runner and needs_object(job, request)
        if request.files and not job.has_runner:
            raise SubmitError(
                f"{request.name}: configuration files need the runner of tune_jobs in the job's "
                "artifact: use DataScienceBackend.from_script, or pass parameters as arguments"
            )
        try:
            shape, infrastructure = self._shapes.asked_for(request.resources)
        except ConfigError as error:
            raise SubmitError(f"{request.name}: {error}") from error
        details = run_details(
            job, request, self._settings, as_object=as_object, shape=infrastructure
        )
        if as_object:
            data = request_object(job, request).encode()
            self._folder.write(f"runs/{request.name}/request.json", data)
        self._asked[request.name] = shape
        self._starter.add(request.name, details)

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """See `Backend.wait`."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            self._take_answers()
            self._news += self._followed(self._live.poll())
            now = time.monotonic()
            if self._news or now >= end:
                news, self._news = self._news, []
                return news
            due = [self._live.until_due(), self._starter.until_due(), end - now]
            pause = min(seconds for seconds in due if seconds is not None)
            self._starter.answered.wait(None if pause == math.inf else pause)

    def cancel(self, name: str) -> None:
        """See `Backend.cancel`."""
        if self._starter.drop(name):
            self._asked.pop(name)
            self._news.append(RunUpdate(name, RunState.CANCELED, cause="it was not started"))
        elif name in self._asked or name in self._live:
            self._live.cancel(name)

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """See `Backend.find`."""
        found = self._live.find(self._job_ids, names, {STUDY_TAG: self._study})
        if self._log_metrics is None:
            return found
        return {name: self._log_metrics.adopt(update) for name, update in found.items()}

    def _followed(self, updates: list[RunUpdate]) -> list[RunUpdate]:
        """With the metrics that are found in logs, where that was asked for."""
        return updates if self._log_metrics is None else self._log_metrics.follow(updates)

    def log(self, name: str, run_id: str | None) -> RunLog | None:
        """See `Backend.log`: the Logging service, if the job has a log."""
        return None if run_id is None else open_run_log(self.connection, run_id)

    def console(self, run_id: str) -> str | None:
        """See `Backend.console`."""
        region = self.connection.region_in_use
        return f"https://console.{region}.oraclecloud.com/data-science/job-runs/{run_id}"

    def describe(self) -> dict[str, object]:
        """See `Backend.describe`."""
        facts: dict[str, object] = {"backend": self.name, "command": [str(self._definition)]}
        if not isinstance(self._definition, str):
            facts["code_sha256"] = self._definition.fingerprint()
        if self._job is not None:
            facts["job"] = self._job.id
            facts["infrastructure"] = dict(self._job.infrastructure)
        return facts

    def close(self) -> None:
        """See `Backend.close`: live runs go on."""
        if self._job is not None:
            self._starter.close()
            self._live.close()
            self._job = None

    # -- starting -------------------------------------------------------------------------------

    @property
    def _opened(self) -> Job:
        if self._job is None:
            raise BackendError("the backend is not open")
        return self._job

    def _create(self, details: Mapping[str, Any], name: str) -> str:
        return self._runs.create(details, token(self._opened, self._study, name))

    def _take_answers(self) -> None:
        """What became of the runs that were asked for.

        Raises:
            BackendError: no run will ever be taken.
        """
        for answer in self._starter.poll():
            shape = self._asked.pop(answer.name)
            if isinstance(answer, Started):
                self._live.watch(answer.name, answer.run_id, self._opened.id, shape)
                self._news.append(
                    RunUpdate(answer.name, RunState.ACCEPTED, answer.run_id, has_metrics=False)
                )
            else:
                self._news.append(self._refused(answer))
        since = self._starter.limited_since
        if since and not self._live and time.monotonic() - since > LIMIT_PATIENCE:
            raise BackendError(
                f"the service had no room for a single job run for {LIMIT_PATIENCE / 60:.0f} "
                f"minutes: ask for a higher limit of shape {self._shapes.own}, or wait until "
                "others have ended"
            )

    def _refused(self, answer: Refused) -> RunUpdate:
        error = refusal(answer.error, f"starting a run of job {self._opened.id}", USE)
        if not isinstance(error, SubmitError):
            raise error from answer.error
        now = time.time()
        return RunUpdate(
            answer.name,
            RunState.FAILED,
            started=now,
            finished=now,
            cause=str(error),
            # Its retry token is used up: what it once started was deleted.
            transient=getattr(answer.error, "status", None) == 409,
        )


def _check_installed() -> None:
    try:
        import oci  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "DataScienceBackend needs the packages of OCI: pip install 'tune_jobs[oci]'"
        ) from error
