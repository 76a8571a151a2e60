"""Trials with two small job runs: one ends by itself, the other one is canceled."""

from __future__ import annotations

import json
import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.backends.data_science.doctor.judging import VALUE, WORDS, judge_runs
from tune_jobs.backends.data_science.doctor.probe_job import JOB_ENV, MAX_MINUTES, OWN_ARGUMENT
from tune_jobs.backends.data_science.doctor.repeating import RepeatingClient, repeat
from tune_jobs.backends.data_science.doctor.report import Findings, Notice
from tune_jobs.backends.data_science.doctor.secret_checks import judge_secrets
from tune_jobs.backends.data_science.doctor.store_trials import StoreTrials
from tune_jobs.backends.data_science.log_search import RunLog, open_run_log
from tune_jobs.core.strict_json import encode_json
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import read_answer
from tune_jobs.runtime.probe import MARK
from tune_jobs.runtime.secret_values import VARIABLE

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "DELETED")
TAG = "tune_jobs_doctor"


@dataclass(frozen=True)
class Timing:
    """Seconds that the doctor waits.

    Args:
        poll: Between two requests for the state of a run.
        end: For the end of the runs, beginning with their creation.
        listed: For a run to be listed.
        logged: For what a run printed to be found.
        ready: For a run in progress to report.
        grace: For which a canceled run is expected to live on.
    """

    poll: float = 5.0
    end: float = 1800.0
    listed: float = 60.0
    logged: float = 180.0
    ready: float = 120.0
    grace: float = 3.0


@dataclass
class ProbeRun:
    """Job run with the probe.

    Args:
        kind: ``inside`` or ``cancel``, see `tune_jobs.runtime.probe`.
        model: What the service showed last.
        states: All states it was seen in.
        reports: What it reported, by name.
        canceled: Whether it was requested to be canceled.
        log: Its log, and what was read of it.
    """

    kind: str
    id: str
    model: Any = None
    states: set[str] = field(default_factory=set)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    canceled: bool = False
    since: float | None = None
    log: RunLog | None = None
    output: bytes = b""

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.model is not None and self.model.lifecycle_state in ENDED


class RunTrials:
    """Trials of the assumptions about jobs and job runs.

    Args:
        connection: The connection to OCI.
        store: The folder of the examination.
        findings: Where results are added.
        notice: Called with what a person should know.
        timing: How long to wait.
        secret_ids: OCIDs of secrets by the names of their variables.

    Attributes:
        runs: The runs that were started, by their kind.
        started: OCIDs of all runs that were started, wanted or not.
    """

    def __init__(
        self,
        connection: Connection,
        store: StoreTrials,
        findings: Findings,
        notice: Notice,
        timing: Timing,
        secret_ids: Mapping[str, str],
    ) -> None:
        import oci

        client = connection.client(oci.data_science.DataScienceClient)
        self._client: Any = RepeatingClient(client)
        self._connection, self._store = connection, store
        self._findings, self._notice, self._timing = findings, notice, timing
        self._secret_ids = secret_ids
        self.runs: dict[str, ProbeRun] = {}
        self.started: set[str] = set()

    @property
    def poll_seconds(self) -> float:
        """Seconds between two requests for the state of a run."""
        return self._timing.poll

    def try_job(self, job_id: str, artifact: bytes) -> Any:
        """Try what can be tried with the job alone, and return its model."""
        findings, client = self._findings, self._client
        job = client.get_job(job_id).data
        findings.judge("job-active", job.lifecycle_state == "ACTIVE", job.lifecycle_state)
        settings = job.job_configuration_details
        shown = settings.environment_variables or {}
        same = all(shown.get(name) == value for name, value in JOB_ENV.items())
        arguments = shlex.split(settings.command_line_arguments or "")
        findings.judge("job-as-sent", same and arguments == [OWN_ARGUMENT], settings)
        with findings.asking("job-found", policies.JOBS):
            found = client.list_jobs(job.compartment_id, display_name=job.display_name).data
            tags = [each.freeform_tags for each in found if each.id == job_id]
            findings.judge("job-found", tags == [job.freeform_tags], f"tags {tags}")
        with findings.asking("artifact-head"):
            client.head_job_artifact(job_id)
            findings.add("artifact-head", "holds")
        try:
            client.create_job_artifact(
                job_id, artifact, content_disposition="attachment; filename=probe.zip"
            )
        except Exception as error:  # which is what is expected
            findings.judge("artifact-fixed", not read_answer(error).is_refusal, error)
        else:
            findings.add("artifact-fixed", "differs", "it was replaced")
        return job

    def try_runs(self, job: Any) -> None:
        """Start both runs, wait for their ends, and judge what they show."""
        try:
            self._start(job, "inside")
            self._start(job, "cancel")
        except Exception as error:  # whatever the SDK raises
            self._findings.add_error("start", error, policies.RUNS)
            return
        self._findings.add("start", "holds", "job runs can be started")
        self._watch_listing(job)
        if not self._wait_for_ends():
            states = ", ".join(f"{run.kind} is {run.model.lifecycle_state}" for run in self._all)
            self._findings.add("end", "differs", f"after {self._timing.end:g} s: {states}")
            return
        self._read_logs()
        listed = self._list(job)
        judge_runs(self.runs, listed, self._findings, self._timing.grace)
        if facts := self.runs["inside"].reports.get("inside"):
            judge_secrets(facts["secrets"], self._secret_ids, self._findings)
        self._try_cancel_ended()

    # -- starting ---------------------------------------------------------------------------------

    def _start(self, job: Any, kind: str) -> None:
        details, token = self._build_details(job, kind), secrets.token_hex(16)
        first = self._create(details, token)
        run = self.runs[kind] = ProbeRun(kind, first.id, first)
        self._notice(f"job run {run.id} started")
        if kind == "inside":
            again = self._create(details, token)
            self._findings.judge("token-repeats", again.id == first.id, f"{again.id} was started")
            same = (first.display_name, first.freeform_tags) == (
                details["displayName"],
                details["freeformTags"],
            )
            self._findings.judge("run-as-sent", same, f"{first.display_name} {first.freeform_tags}")

    def _create(self, details: Mapping[str, Any], token: str) -> Any:
        run = self._client.create_job_run(dict(details), opc_retry_token=token).data
        self.started.add(run.id)
        return run

    def _build_details(self, job: Any, kind: str) -> dict[str, Any]:
        # Without those that show whether a job's variables remain; the others are needed.
        own = dict(job.job_configuration_details.environment_variables or {})
        own.pop("TUNE_JOBS_PROBE_JOB")
        names = ["TUNE_JOBS_PROBE_VALUE", "TUNE_JOBS_PROBE_BOTH", "TUNE_JOBS_PROBE_JOB"]
        env = {
            **own,
            "TUNE_JOBS_PROBE": kind,
            "TUNE_JOBS_PROBE_NAMES": encode_json(names),
            "TUNE_JOBS_PROBE_VALUE": VALUE,
            "TUNE_JOBS_PROBE_BOTH": "run",
            "TUNE_JOBS_PROBE_SECONDS": f"{self._timing.grace:g}",
            "TUNE_JOBS_STORE": self._store.uri,
        }
        if self._secret_ids:
            env[VARIABLE] = encode_json(dict(self._secret_ids))
        return {
            "projectId": job.project_id,
            "compartmentId": job.compartment_id,
            "jobId": job.id,
            "displayName": f"{job.display_name}-{kind}",
            "jobConfigurationOverrideDetails": {
                "jobType": "DEFAULT",
                "environmentVariables": env,
                "commandLineArguments": shlex.join(WORDS),
                "maximumRuntimeInMinutes": MAX_MINUTES,
            },
            "freeformTags": {TAG: kind},
        }

    # -- waiting ----------------------------------------------------------------------------------

    @property
    def _all(self) -> list[ProbeRun]:
        return list(self.runs.values())

    def _watch_listing(self, job: Any) -> None:
        """Wait until the runs are listed."""
        deadline = time.monotonic() + self._timing.listed
        wanted = {run.id for run in self._all}
        while not wanted <= {run.id for run in self._list(job)}:
            if time.monotonic() > deadline:
                detail = f"not within {self._timing.listed:g} s"
                self._findings.add("run-listed", "differs", detail)
                return
            time.sleep(self._timing.poll)
        self._findings.add("run-listed", "holds")

    def _list(self, job: Any) -> list[Any]:
        listed: list[Any] = self._client.list_job_runs(
            job.compartment_id, job_id=job.id, sort_by="timeCreated", sort_order="DESC"
        ).data
        return listed

    def _wait_for_ends(self) -> bool:
        """Cancel the second run once it is ready; return whether both have ended in time."""
        deadline = time.monotonic() + self._timing.end
        while time.monotonic() < deadline:
            for run in self._all:
                self._look(run)
            if all(run.has_ended for run in self._all):
                return True
            time.sleep(self._timing.poll)
        return False

    def _look(self, run: ProbeRun) -> None:
        run.model = self._client.get_job_run(run.id).data
        state = run.model.lifecycle_state
        run.states.add(state)
        if run.kind != "cancel" or run.canceled or run.has_ended or state == "ACCEPTED":
            return
        if run.since is None:
            run.since = time.monotonic()
        is_late = time.monotonic() - run.since > self._timing.ready
        if self._has_reported(run, "ready") or is_late:
            run.canceled = True
            repeat(lambda: self._client.cancel_job_run(run.id))

    def _read_logs(self) -> None:
        """Wait until what the first run printed is found, and collect all reports."""
        deadline = time.monotonic() + self._timing.logged
        inside = self.runs["inside"]
        if inside.model.log_details is None:
            self._findings.add("output-logged", "not tried", "the job has no log group")
        else:
            while MARK.encode() not in self._read_log(inside):
                if time.monotonic() > deadline:
                    detail = f"nothing within {self._timing.logged:g} s"
                    self._findings.add("output-logged", "differs", detail, policies.RUN_LOG)
                    break
                time.sleep(self._timing.poll)
            else:
                self._findings.add("output-logged", "holds")
        for run in self._all:
            for name in ("inside",) if run.kind == "inside" else ("ready", "term", "survived"):
                self._has_reported(run, name)

    def _has_reported(self, run: ProbeRun, name: str) -> bool:
        """Return whether a run has reported, in the store or, if not there, in its log."""
        if name not in run.reports:
            stored = self._store.read(f"{name}.json")
            if stored is not None:
                run.reports[name] = {**json.loads(stored), "store_problem": ""}
        if name not in run.reports and run.model.log_details is not None:
            for line in self._read_log(run).decode("utf-8", "replace").splitlines():
                if line.startswith(MARK):
                    facts = json.loads(line[len(MARK) :])
                    run.reports.setdefault(facts["name"], facts)
        return name in run.reports

    def _read_log(self, run: ProbeRun) -> bytes:
        try:
            run.log = run.log or open_run_log(self._connection, run.id)
            run.output += run.log.read() if run.log else b""
        except Exception as error:  # the check of the log's content has said why
            self._findings.add_error("log content", error, policies.LOG_CONTENT)
        return run.output

    def _try_cancel_ended(self) -> None:
        try:
            self._client.cancel_job_run(self.runs["inside"].id)
        except Exception as error:  # which is what is expected
            status = getattr(error, "status", None)
            self._findings.judge("cancel-ended", status in (404, 409), error)
        else:
            self._findings.add("cancel-ended", "differs", "it was accepted")
