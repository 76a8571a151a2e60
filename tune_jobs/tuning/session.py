"""What is open while a study is worked on: its ledger, its store, its backend.

`TuningSpec` is what the user said; a `Session` is that, opened. The tuner's loop, a final run, a
smoke check and ``tuner.objective`` all work through one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import optuna
from sqlalchemy.exc import SQLAlchemyError

from tune_jobs.backends.base import Backend, BackendService, Notice
from tune_jobs.core.attempts import Attempt, AttemptState, trial_attempt_name
from tune_jobs.core.job_runs import MetricSources
from tune_jobs.core.objectives import Objectives
from tune_jobs.errors import BackendError, ConfigError, StudyError
from tune_jobs.metric_store.store import MetricStore, absolute, study_folder
from tune_jobs.script.command_line import Invocation
from tune_jobs.script.interface import ScriptInterface
from tune_jobs.space.compatibility import check_space
from tune_jobs.space.search_space import Space
from tune_jobs.storage.bulk_read import read_ahead
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.lease import Lease, find_owner
from tune_jobs.storage.ledger import Ledger
from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.tuning.fingerprints import fingerprints
from tune_jobs.tuning.options import Duplicates, TunerOptions
from tune_jobs.tuning.suggest import SEED
from tune_jobs.tuning.tracker import RunTracker


@dataclass(frozen=True)
class TuningSpec:
    """Everything that defines how a trial of a study is run and read."""

    study: optuna.Study
    space: Space
    backend: Backend
    objectives: Objectives
    sources: MetricSources
    command_line: ScriptInterface
    options: TunerOptions

    @property
    def duplicates(self) -> Duplicates:
        """Handling of configurations that an earlier trial had; with promotion, all are run."""
        return "run" if self.options.promotion is not None else self.options.duplicates

    def check(self) -> None:
        """Look for whatever would make every trial fail, before anything is spent.

        Raises:
            ConfigError: its message says what to mend.
        """
        read_ahead(self.study)
        check_space(self.space, self.study)
        self.backend.check()
        self.command_line.check(self.space.names)
        if self.duplicates == "replicate" and SEED in self.space.names:
            raise ConfigError(
                f"duplicates='replicate' sets {SEED!r}, which the search space tunes: remove it "
                "from there, or let duplicates be 'reuse' or 'run'"
            )
        if self.options.promotion is not None:
            self._check_promotion(self.options.promotion.argument)

    def _check_promotion(self, argument: str) -> None:
        if len(self.objectives.metrics) > 1:
            raise ConfigError("promotion compares one metric: leave it out with several")
        if argument in self.space.names:
            raise ConfigError(
                f"promotion sets {argument!r}, which the search space tunes: remove it from there"
            )
        self.command_line.check(self.space.names, [argument])

    def describe(self, run: Mapping[str, object]) -> dict[str, Any]:
        """What is kept with the study, to compare and to repeat.

        Args:
            run: What runs, as the backend's service describes it.

        Raises:
            StudyError: a data file cannot be read.
        """
        return {
            "data": fingerprints(self.options.data),
            "space": self.space.describe(),
            "run": dict(run),
            "metrics": [
                {"name": m.name, "counts": m.counts, "pattern": m.pattern}
                for m in self.objectives.metrics
            ],
            "directions": [d.name.lower() for d in self.study.directions],
        }


HAND_OVER = 60.0
"""Seconds within which an owner lets go of a study when it is asked to."""


class Session:
    """An open study: ledger, store, and, once `open_backend` was called, its job runs.

    Args:
        definition: What is tuned, and how.
        notice: Called with what a person should know.

    Raises:
        StudyError: the study's runs are in another store than the one asked for.
        StoreError: the store cannot be opened.
    """

    def __init__(self, definition: TuningSpec, notice: Notice = lambda text: None) -> None:
        self.definition = definition
        store = definition.options.store
        wanted = absolute(os.fspath(store or definition.backend.default_store))
        self.ledger = Ledger(definition.study, wanted)
        if store is not None and self.ledger.store != wanted:
            raise StudyError(
                f"the runs of study {definition.study.study_name!r} are in {self.ledger.store}, "
                f"not in {wanted}: pass that store, or none."
            )
        self.folder = study_folder(definition.study.study_name, self.ledger.uid)
        self.store = MetricStore(self.ledger.store, self.folder, definition.backend.store_options)
        self.backend = definition.backend
        self.notice = notice
        self._service: BackendService | None = None
        self._runs: RunTracker | None = None
        self.lease = Lease(self.ledger.engine, self.ledger.uid)
        self.controls = Controls(self.ledger.engine, self.ledger.uid)
        self.retry = DatabaseRetry(repr(self.ledger.engine.url), notice)

    def open_backend(self) -> None:
        """Get ready to run job runs.

        Raises:
            StoreError: the store is not writable.
            BackendError: no run can be started.
        """
        self.store.check_writable()
        service = self.backend.open(
            self.ledger.store,
            self.folder,
            self.definition.sources,
            keep_runs=self.ledger.durable,
            notice=self.notice,
        )
        self._service = service
        self._runs = RunTracker(service, self.store, self.notice)

    @property
    def service(self) -> BackendService:
        """The backend, open for the study's runs.

        Raises:
            BackendError: If `open_backend` was not called.
        """
        if self._service is None:
            raise BackendError("the backend is not open")
        return self._service

    @property
    def runs(self) -> RunTracker:
        """The study's live runs.

        Raises:
            BackendError: If `open_backend` was not called.
        """
        if self._runs is None:
            raise BackendError("the backend is not open")
        return self._runs

    def clock(self) -> float:
        """Return the seconds since the epoch, by the clock that the study's runs live by."""
        return (self._service or self.backend).clock()

    def own(self, *, take_over: bool = False) -> str | None:
        """Become the one who tunes the study.

        Args:
            take_over: Ask an owner that is alive to let go, and wait for it.

        Returns:
            Who was the owner and is gone; None if the study was free.

        Raises:
            StudyOwned: somebody else is, and is alive.
        """
        if not self.ledger.durable:
            return None  # nobody else can see it
        if take_over and find_owner(self.ledger.engine, self.ledger.uid) is not None:
            self.controls.ask("hand_over")
        # What was asked of an owner who is gone; to cancel a trial still makes sense. Looked up
        # before: what is asked from now on may be meant for us.
        pending = self.retry.call(self.controls.pending)
        stale = [c.id for c in pending if c.command != "cancel"]
        gone = self.retry.call(lambda: self.lease.acquire(HAND_OVER if take_over else 0.0))
        self.retry.call(lambda: self.controls.done(*stale))
        return gone

    def renew(self) -> None:
        """Say that the owner is there; see `Lease.renew`."""
        if self.lease.held:
            self.retry.call(self.lease.renew)

    def verify(self) -> None:
        """Before runs are started or stopped; see `Lease.verify`."""
        if self.lease.held:
            self.retry.call(self.lease.verify)

    def trial_attempt(
        self,
        trial: int,
        params: Mapping[str, Any],
        attempt: int = 1,
        overrides: Mapping[str, Any] | None = None,
    ) -> Attempt:
        """The intention to run a trial's configuration."""
        name = trial_attempt_name(trial, attempt)
        return self.attempt(name, trial, self.render(name, params, overrides), attempt)

    def attempt(
        self, name: str, trial: int | None, invocation: Mapping[str, Any], attempt: int = 1
    ) -> Attempt:
        """The intention to run an invocation under a name."""
        return Attempt(
            name=name,
            trial=trial,
            attempt=attempt,
            backend=self.backend.name,
            state=AttemptState.INTENDED,
            invocation=invocation,
            intended=self.clock(),
        )

    def render(
        self, name: str, params: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The command line of a configuration, with the run's own folders in it."""
        rendered: Invocation = self.definition.command_line.render(
            params, self.service.paths(name), overrides=overrides or {}
        )
        return {
            "argv": list(rendered.argv),
            "env": dict(rendered.env),
            "files": dict(rendered.files),
        }

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._service is not None:
            self._service.close()
        with contextlib.suppress(SQLAlchemyError):  # who is gone is found to be
            self.lease.release()
