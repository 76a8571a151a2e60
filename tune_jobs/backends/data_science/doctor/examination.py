"""One examination: prerequisites, then trials, and in any case the removal of what was made."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.definition import JobDefinition
from tune_jobs.backends.data_science.doctor.prerequisites import Prerequisites
from tune_jobs.backends.data_science.doctor.probe_job import (
    Labels,
    build_artifact,
    build_probe,
)
from tune_jobs.backends.data_science.doctor.repeating import RepeatingClient
from tune_jobs.backends.data_science.doctor.report import (
    DoctorReport,
    Findings,
    Notice,
    build_report,
)
from tune_jobs.backends.data_science.doctor.run_trials import TAG, RunTrials, Timing
from tune_jobs.backends.data_science.doctor.secret_checks import check_secrets
from tune_jobs.backends.data_science.doctor.store_trials import StoreTrials
from tune_jobs.backends.data_science.doctor.target import Target, describe_target
from tune_jobs.backends.data_science.doctor.tidying import Tidying
from tune_jobs.backends.data_science.job import to_rest
from tune_jobs.backends.data_science.new_job import complete_details, create_job
from tune_jobs.backends.data_science.node_groups import gather_job
from tune_jobs.metric_store.folder import SCHEME
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Args:
        connection: The connection to OCI.
        definition: The definition of the study's job, or the OCID of an existing one.
        fallback_shapes: Names of further shapes.
        store: URI of the metric store.
        storage: URL of the study's storage; empty if it is not known.
        max_parallel: Number of job runs that are live at a time.
        prices: Price of an hour by shape.
        secrets: OCIDs of secrets by the names of their variables.
    """

    connection: Connection
    definition: JobDefinition | str
    fallback_shapes: tuple[str, ...]
    store: str
    storage: str
    max_parallel: int
    prices: Mapping[str, float]
    secrets: Mapping[str, str] = field(default_factory=dict)


class Examination:
    """Examination of a study's tenancy.

    Args:
        subject: What is examined.
        notice: Called with what a person should know.
        timing: How long to wait.
    """

    def __init__(self, subject: Subject, notice: Notice, timing: Timing) -> None:
        import oci

        self._subject, self._notice, self._timing = subject, notice, timing
        self._findings = Findings()
        self._name = f"tune_jobs-doctor-{secrets.token_hex(4)}"
        client = subject.connection.client(oci.data_science.DataScienceClient)
        self._client: Any = RepeatingClient(client)
        self._job: Mapping[str, Any] = {}
        self._tidying: Tidying | None = None

    def examine(self, *, run: bool) -> DoctorReport:
        """Examine everything, with job runs if ``run``; what was made is removed in any case.

        Raises:
            KeyboardInterrupt: After everything was removed.
        """
        with tempfile.TemporaryDirectory() as workspace:
            target = self._describe_target(Path(workspace))
            if target is None:
                return self._build_report()
            self._tidying = Tidying(self._client, target, self._name, self._findings, self._notice)
            try:
                self._try_all(target, Path(workspace), run=run)
                self._tidying.finish()
            except BaseException:
                self._finish_interrupted(target, self._tidying)
                raise
            return self._build_report(target)

    def _finish_interrupted(self, target: Target, tidying: Tidying) -> None:
        """Remove everything, or say what a second interruption may leave."""
        self._notice("removing what was made (a further interruption leaves it)")
        try:
            tidying.finish()
        except KeyboardInterrupt:
            self._notice(tidying.describe_rest())
            raise
        finally:
            self._notice(self._describe_cost(target))

    def _describe_target(self, workspace: Path) -> Target | None:
        """Return what the study's job runs on; None if that cannot be found out."""
        definition, fallback = self._subject.definition, self._subject.fallback_shapes
        if isinstance(definition, str):
            with self._findings.asking("job", policies.JOBS):
                job = to_rest(self._client.get_job(definition).data)
                self._job, nodes, _ = gather_job(job)
                self._findings.add("job", "holds", definition)
                return describe_target(self._job, fallback, nodes)
            return None
        definition.check()
        staging = workspace / "staging"
        staging.mkdir()
        new = definition.build(self._subject.connection, staging)
        with self._findings.asking("job"):  # it names the policy itself
            self._job = complete_details(new.details, self._subject.connection)
            return describe_target(self._job, fallback, new.nodes)
        return None

    def _try_all(self, target: Target, workspace: Path, *, run: bool) -> None:
        subject, findings = self._subject, self._findings
        needed = Prerequisites(subject.connection, target, subject.max_parallel, findings)
        if not needed.check():
            return
        check_secrets(subject.connection, subject.secrets, findings)
        store = self._try_store()
        self._try_storage()
        if not run or store is None:
            return
        if target.image:
            findings.add("runs", "not tried", "the runs of containers cannot start the probe")
            return
        assert self._tidying is not None
        trials = RunTrials(
            subject.connection, store, findings, self._notice, self._timing, subject.secrets
        )
        self._tidying.trials = trials
        artifact = build_artifact(workspace)
        job_id = self._create_job(target, artifact)
        if job_id is not None:
            self._notice(f"job {job_id} created; two job runs will be started")
            with findings.asking("runs", policies.RUNS):
                trials.try_runs(trials.try_job(job_id, artifact.read_bytes()))

    def _try_store(self) -> StoreTrials | None:
        uri = self._subject.store
        if not uri.startswith(SCHEME):
            fix = "store: oci://bucket@namespace/prefix"
            self._findings.add("bucket", "differs", f"{uri} is not a bucket", fix)
            return None
        store = self._open_store(uri)
        return store if store.try_all() else None

    def _try_storage(self) -> None:
        if self._subject.storage.startswith(SCHEME):
            self._open_store(self._subject.storage).try_study()

    def _open_store(self, uri: str) -> StoreTrials:
        folder = f"{uri.rstrip('/')}/{self._name}"
        store = StoreTrials(self._subject.connection, folder, self._findings)
        assert self._tidying is not None
        self._tidying.stores.append(store)
        return store

    def _create_job(self, target: Target, artifact: Path) -> str | None:
        assert self._tidying is not None
        self._tidying.job_was_requested = True
        if isinstance(self._subject.definition, str):
            self._findings.by_id.pop("job", None)  # it was read, and is to be created
        try:
            labels = Labels(f"{self._name}-probe", {TAG: "probe"})
            job_id = create_job(self._subject.connection, build_probe(self._job, artifact, labels))
        except Exception as error:  # whatever the SDK raises
            self._findings.add_error("job", error, policies.JOBS)
            if target.subnet:
                fix = f"{policies.NETWORK}; {policies.SERVICE_NETWORK}"
                self._findings.add("network", "refused", "the job has a subnet", fix)
            return None
        self._tidying.job_id = job_id
        self._findings.add("job", "holds", "jobs can be created")
        return job_id

    def _describe_cost(self, target: Target | None) -> str:
        """Return what the runs cost, by the times that the service showed last."""
        runs = self._tidying.runs() if self._tidying else []
        if not runs:
            return "no job run was started, so nothing was spent"
        seconds = 0.0
        for run in runs:
            end = run.time_finished.timestamp() if run.time_finished else time.time()
            seconds += end - run.time_started.timestamp() if run.time_started else 0.0
        shape = target.shape if target else ""
        price = self._subject.prices.get(shape)
        money = "" if price is None else f", cost {seconds / 3600.0 * price:.4g}"
        return f"{len(runs)} job runs, {seconds / 60.0:.1f} minutes of {shape}{money}"

    def _build_report(self, target: Target | None = None) -> DoctorReport:
        left = tuple(self._tidying.left) if self._tidying else ()
        region = self._subject.connection.region_in_use
        return build_report(self._findings, self._describe_cost(target), left, region)
