"""Job runs of one study on OCI Data Science.

One poll, whatever the number of live runs: the newest pages of one listing give their states, and
one listing of the store, made by the caller, says which metrics changed. Starting and cancelling
never wait for an answer; the next poll sees the effect.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tune_jobs.backends.base import BackendService, Notice
from tune_jobs.backends.data_science.job import STUDY_TAG, Job
from tune_jobs.backends.data_science.job_runs import USE, JobRuns
from tune_jobs.backends.data_science.log_metrics import LogMetrics
from tune_jobs.backends.data_science.node_groups import spread_run
from tune_jobs.backends.data_science.request import (
    PATHS,
    Settings,
    build_details,
    build_object,
    build_token,
    needs_object,
)
from tune_jobs.backends.data_science.run_ends import explain_end
from tune_jobs.backends.data_science.run_metrics import RunMetrics
from tune_jobs.backends.oci_runs.clock import Clock
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.backends.oci_runs.live_runs import LiveRuns
from tune_jobs.backends.oci_runs.shapes import Shapes
from tune_jobs.backends.oci_runs.starter import Refused, Started, Starter
from tune_jobs.core.job_runs import RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.core.nodes import describe_shape
from tune_jobs.errors import BackendError, ConfigError, StoreError, SubmitError
from tune_jobs.metric_store.base import Folder
from tune_jobs.runtime.oci_answers import (
    INVALID,
    OUTAGE_PATIENCE,
    USED_UP,
    Meaning,
    describe_answer,
    read_answer,
)

_INFRASTRUCTURE = "jobInfrastructureConfigurationOverrideDetails"


class DataScienceService(BackendService):
    """Job runs of one study on OCI Data Science. Made by `DataScienceBackend.open`.

    Args:
        job: The job that new runs are runs of.
        job_ids: OCIDs of every job that may have runs of the study.
        folder: The study's folder in the metric store.
        settings: What its runs have in common.
        runs: The service's job runs.
        shapes: The compute shapes to use.
        log_metrics: What finds metrics in logs; None if runs write them themselves.
        run_metrics: What says what the runs use; None if they measure it themselves.
        poll_seconds: Time between two polls.
        start_rate: Job runs to start per second, at most.
        clock_offset: Seconds by which OCI's clock is ahead of this machine's.
        notice: Called with what a person should know.
        describe: See `Backend.describe`.
        time: How time passes.
    """

    def __init__(
        self,
        *,
        job: Job,
        job_ids: Sequence[str],
        folder: Folder,
        settings: Settings,
        runs: JobRuns,
        shapes: Shapes,
        log_metrics: LogMetrics | None,
        run_metrics: RunMetrics | None,
        poll_seconds: float,
        start_rate: float,
        clock_offset: float,
        notice: Notice,
        describe: Callable[[], dict[str, object]],
        time: Clock,
    ) -> None:
        self._job, self._job_ids = job, job_ids
        self._folder, self._settings, self._runs = folder, settings, runs
        self._shapes, self._log_metrics, self._describe = shapes, log_metrics, describe
        self._clock_offset, self._time, self._run_metrics = clock_offset, time, run_metrics
        self._live = LiveRuns(
            runs, shapes, notice, poll_seconds, time.monotonic, self.clock, time.sleep
        )
        self._notice = notice
        self._starter = Starter(
            self._create, notice, time.monotonic, start_rate, self._choose_other_shape
        )
        self._submitted: dict[str, str] = {}
        self._tried: dict[str, set[str]] = {}  # shapes by run; only of runs without a fixed one
        self._refused_shapes: set[str] = set()
        self._objects: dict[str, bytes] = {}  # to be written before the runs are requested
        self._submitting = threading.Lock()
        self._news: list[RunUpdate] = []
        self._is_closed = False

    def clock(self) -> float:
        """See `BackendService.clock`."""
        return self._time.now() + self._clock_offset

    def paths(self, name: str) -> RunPaths:
        """See `BackendService.paths`."""
        if self._job.has_runner:
            return RunPaths(*PATHS)
        return RunPaths(
            work=".", outputs="outputs", checkpoints="checkpoints", resume="checkpoints"
        )

    def submit(self, request: RunRequest) -> None:
        """See `BackendService.submit`: an update reports the run's OCID.

        ``resources`` may be ``shape``, ``ocpus``, ``memory_gb`` and ``max_runtime`` (minutes).
        """
        self._require_open()
        job = self._job
        as_object = job.has_runner and needs_object(job, request)
        if request.files and not job.has_runner:
            raise SubmitError(
                f"{request.name}: configuration files need the runner of tune_jobs in the job's "
                "artifact: use DataScienceBackend.from_script, or pass parameters as arguments"
            )
        try:
            shape, infrastructure = self._shapes.resolve(request.resources)
        except ConfigError as error:
            raise SubmitError(f"{request.name}: {error}") from error
        details = build_details(
            job, request, self._settings, as_object=as_object, shape=infrastructure
        )
        with self._submitting:
            if request.name in self._submitted or request.name in self._live:
                return
            if as_object:
                self._objects[request.name] = build_object(job, request).encode()
            self._submitted[request.name] = shape
            if not request.resources.keys() - {"max_runtime"}:
                self._tried[request.name] = {shape}
        self._starter.add(request.name, details)

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """See `BackendService.wait`."""
        end = math.inf if timeout is None else self._time.monotonic() + timeout
        while True:
            self._require_open()
            self._take_answers()
            updates = self._live.poll()
            if self._run_metrics is not None:
                updates = self._run_metrics.follow(updates)
            self._news += self._follow_logs(updates)
            now = self._time.monotonic()
            if self._news or now >= end:
                news, self._news = self._news, []
                return news
            due = [self._live.until_due(), self._starter.until_due(), end - now]
            pause = min(seconds for seconds in due if seconds is not None)
            timeout = None if pause == math.inf else pause
            self._time.wait(self._starter.answered, timeout, self._starter.is_requesting)

    def cancel(self, name: str) -> None:
        """See `BackendService.cancel`."""
        self._require_open()
        if self._starter.drop(name):
            self._submitted.pop(name)
            self._news.append(RunUpdate(name, RunState.CANCELED, cause="it was not started"))
        elif name in self._submitted or name in self._live:
            self._live.cancel(name)

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """See `BackendService.find`."""
        self._require_open()
        found = self._live.find(self._job_ids, names, {STUDY_TAG: self._settings.study})
        return self._with_metrics(found)

    def find_by_id(self, run_ids: Mapping[str, str]) -> dict[str, RunUpdate]:
        """See `BackendService.find_by_id`."""
        self._require_open()
        return self._with_metrics(self._live.find_by_id(run_ids))

    def _with_metrics(self, found: Mapping[str, RunUpdate]) -> dict[str, RunUpdate]:
        if self._log_metrics is None:
            # What was fatal for an earlier call may have been fixed since.
            return {n: replace(self._with_history(u), fatal=False) for n, u in found.items()}
        return {name: self._log_metrics.adopt(update) for name, update in found.items()}

    def describe(self) -> dict[str, object]:
        """See `BackendService.describe`: adds the job's OCID and its infrastructure."""
        infrastructure = dict(self._job.infrastructure)
        return {**self._describe(), "job": self._job.id, "infrastructure": infrastructure}

    def close(self) -> None:
        """See `BackendService.close`: live runs always continue."""
        if not self._is_closed:
            self._is_closed = True
            self._starter.close()
            self._live.close()

    def _require_open(self) -> None:
        if self._is_closed:
            raise BackendError(
                f"the service for study {self._settings.study!r} is closed: open the backend again"
            )

    def _follow_logs(self, updates: list[RunUpdate]) -> list[RunUpdate]:
        """Find metrics in the logs of these runs, where runs do not write them themselves."""
        if self._log_metrics is None:
            return [self._with_history(update) for update in updates]
        return self._log_metrics.follow(updates)

    def _with_history(self, update: RunUpdate) -> RunUpdate:
        if update.shape and self._job.nodes > 1:
            update = replace(update, shape=describe_shape(self._job.nodes, update.shape))
        if not self._job.has_runner:
            return update
        settings, nodes = self._settings, self._job.nodes
        update = explain_end(self._folder, settings.store, update, nodes, settings.secret_ids)
        return replace(update, has_history=True)

    # -- starting -------------------------------------------------------------------------------

    def _create(self, details: Mapping[str, Any], name: str) -> str:
        if name in self._objects:
            try:
                self._folder.write(f"runs/{name}/request.json", self._objects[name])
            except StoreError as error:
                raise (error.__cause__ or error) from None  # an answer of OCI, as any other
            self._objects.pop(name, None)
        job = self._job
        details = spread_run(details, job.nodes, job.node_group, job.infrastructure)
        return self._runs.create(details, build_token(self._job, self._settings.study, name))

    def _choose_other_shape(
        self, name: str, details: Mapping[str, Any], error: Exception, meaning: Meaning
    ) -> dict[str, Any] | None:
        """Return the details of a refused run with the next shape; None if there is none."""
        with self._submitting:
            tried, shape = self._tried.get(name), self._submitted.get(name)
            if tried is None or shape is None:
                return None
            if meaning.kind != INVALID:
                self._shapes.mark_out_of_capacity(shape)
            other = self._shapes.choose_other(tried)
            if other is None:
                tried.clear()  # when the request is repeated, all of them are tried again
                return None
            following, infrastructure = other
            tried.add(following)
            self._submitted[name] = following
            is_new = shape not in self._refused_shapes
            self._refused_shapes.add(shape)
        if is_new:
            reason = describe_answer(error)
            self._notice(f"{name} is refused on {shape} ({reason}) and requested on {following}")
        return {
            **{key: value for key, value in details.items() if key != _INFRASTRUCTURE},
            **({} if infrastructure is None else {_INFRASTRUCTURE: infrastructure}),
        }

    def _take_answers(self) -> None:
        """Turn the service's answers about submitted runs into updates.

        Raises:
            BackendError: If no run will ever be started.
        """
        for answer in self._starter.poll():
            shape = self._submitted.pop(answer.name)
            self._tried.pop(answer.name, None)
            if isinstance(answer, Started):
                self._refused_shapes.discard(shape)
                self._live.watch(answer.name, answer.run_id, self._job.id, shape)
                self._news.append(
                    RunUpdate(answer.name, RunState.ACCEPTED, answer.run_id, has_metrics=False)
                )
            else:
                self._news.append(self._refused(answer))
        error = self._starter.exhausted_by
        if error is not None and not self._live:
            raise BackendError(
                f"OCI accepted no job run for {OUTAGE_PATIENCE / 60:.0f} minutes "
                f"({describe_answer(error)}): ask for a higher limit of shape {self._shapes.own}, "
                "add fallback_shapes, or wait until others have ended"
            ) from error

    def _refused(self, answer: Refused) -> RunUpdate:
        error = explain_refusal(answer.error, f"starting a run of job {self._job.id}", USE)
        if not isinstance(error, SubmitError):
            raise error from answer.error
        now = self.clock()
        return RunUpdate(
            answer.name,
            RunState.FAILED,
            started=now,
            finished=now,
            cause=str(error),
            # The retry token is used up: the run that it once started was deleted.
            transient=read_answer(answer.error, "start").kind == USED_UP,
        )
