"""Controllers that are job runs of OCI Data Science."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from tune_jobs.backends.base import Backend, Notice
from tune_jobs.backends.data_science.backend import DataScienceBackend
from tune_jobs.backends.data_science.controller_job import (
    CODE,
    ControllerJob,
    ControllerRequest,
    start_controller,
)
from tune_jobs.backends.data_science.job_runs import JobRuns
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.backends.oci_runs.live_runs import ENDED
from tune_jobs.backends.oci_runs.service import ServiceRun
from tune_jobs.core.controllers import ControllerRecord
from tune_jobs.detached.recipe import Recipe, check_recipe, find_modules, write_recipe
from tune_jobs.detached.wheels import OWN, pack_wheels
from tune_jobs.errors import BackendError
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.oci import policies
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.tuning.fingerprints import RecordedFile, fingerprints

NAME = DataScienceBackend.name

_CACHE = Path.home() / ".cache" / "tune_jobs" / "wheels"


@dataclass(frozen=True)
class JobRunPlace:
    """Controllers of one study on OCI.

    Args:
        backend: Where the study's runs execute.
        store: Its folder in the metric store.
        uid: The study's uid.
        job: What a controller runs on; None for a place that is only looked at.
        notice: Called with what a person should know.
    """

    backend: Backend
    store: MetricStore
    uid: str
    job: ControllerJob | None = None
    notice: Notice = print

    name, elsewhere = NAME, True

    @property
    def _data_science(self) -> DataScienceBackend:
        if not isinstance(self.backend, DataScienceBackend):
            raise BackendError(
                f"the study's controller is a job run on OCI, and its backend is now "
                f"{self.backend.name!r}: use the `backend` that it was launched with"
            )
        return self.backend

    @property
    def _chosen(self) -> ControllerJob:
        return self.job or ControllerJob()

    def check(self, recipe: Recipe) -> None:
        """See `Place.check`."""
        self._chosen.check()
        check_recipe(recipe, self._find_source() or Path("/nonexistent"))

    def _find_source(self) -> Path | None:
        """Return the folder or file that modules travel in."""
        source = self._chosen.source or self._data_science.source
        return None if source is None else Path(source).absolute()

    def launch(self, recipe: Recipe, record: ControllerRecord, rows: ControllerRows) -> None:
        """See `Place.launch`: returns when the service has accepted the run."""
        backend = self._data_science
        folder, _, study = self.store.uri.rpartition("/")
        trials_job, travelling = backend.settle(folder, study, self.notice)
        job = self._chosen.complete(trials_job)
        recipe = replace(recipe, backend=travelling, options=_record_data(recipe.options))
        request = ControllerRequest(
            study, self.store.uri, record.name, str(recipe.storage), record.user
        )
        facts: dict[str, Any] = {"name": record.name, "place": NAME, "uid": self.uid}
        facts |= {"user": record.user, "shape": job.infrastructure.shape}
        with tempfile.TemporaryDirectory() as staging:
            content = Path(staging)
            write_recipe(content, recipe, {**facts, "launched": record.launched})
            self._copy_source(content)
            if not job.brings_tune_jobs:
                self.notice("packing this tune_jobs and what it needs for the controller")
                pack_wheels(content / "wheels", _find_packages(recipe), _CACHE)
            self.notice(f"creating the job of {record.name} and starting its run")
            run_id = start_controller(backend.connection, job, request, content)
        rows.change(record.name, run_id=run_id, shape=job.infrastructure.shape)

    def _copy_source(self, content: Path) -> None:
        source = self._chosen.source
        if source is None:
            self._data_science.stage_source(content)
        else:
            ignored = shutil.ignore_patterns(".*", "__pycache__")
            shutil.copytree(source, content / CODE, ignore=ignored)

    def find_end(self, record: ControllerRecord) -> float | None:
        """See `Place.find_end`."""
        if record.finished is not None or record.run_id is None:
            return record.finished
        run = self._find_run(record)
        if run is None:
            return time.time()  # it was deleted
        return (run.finished or time.time()) if run.state in ENDED else None

    def describe_end(self, record: ControllerRecord) -> str:
        """See `Place.describe_end`."""
        run = self._find_run(record)
        if run is None or run.state not in ENDED or run.state == "SUCCEEDED":
            return ""
        details = f": {run.details}" if run.details else ""
        log = ""
        if not self.read_log(record, 0):
            log = ". It wrote no log; what it printed is in the log of its job run, if it has one"
        return (
            f"the job run of {record.name} is {run.state}{details} ({run.id}){log}. The next "
            "`tune-jobs run`, detached or not, continues"
        )

    def _find_run(self, record: ControllerRecord) -> ServiceRun | None:
        if record.run_id is None:
            return None
        try:
            return JobRuns(self._data_science.connection, "").get(record.run_id)
        except Exception as error:  # the SDK raises errors of many kinds
            doing = f"reading the job run {record.run_id} of {record.name}"
            raise BackendError(str(explain_refusal(error, doing, str(policies.RUNS)))) from error

    def log_path(self, name: str) -> str:
        """See `Place.log_path`."""
        return f"{self.store.uri}/runs/{name}/log.txt"

    def read_log(self, record: ControllerRecord, offset: int) -> bytes:
        """See `Place.read_log`."""
        return self.store.log_from(record.name, offset)


def _record_data(options: Any) -> Any:
    """Return options whose data files have their fingerprints, since they stay here."""
    known = fingerprints(options.data)
    return replace(options, data=[RecordedFile(path, facts) for path, facts in known.items()])


def _find_packages(recipe: Recipe) -> list[str]:
    """Return the distributions that a controller needs beside those of tune_jobs itself."""
    from importlib.metadata import packages_distributions

    driver = make_url(recipe.storage.url).get_dialect()
    modules = {*find_modules(recipe), str(getattr(driver, "driver", ""))}
    providers: Mapping[str, list[str]] = packages_distributions()
    installed = {name for names in providers.values() for name in names}
    found = {name for module in modules for name in providers.get(module.split(".")[0], ())}
    compiled = {f"{name}-binary" for name in found} & installed
    return sorted({OWN, "oci", *found, *compiled})
