"""The tuner: runs the trials of an Optuna study as job runs of a backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import optuna

from tune_jobs.arguments.calls import check_names, strict_names, strict_types
from tune_jobs.arguments.type_checks import invalid
from tune_jobs.backends.base import Backend
from tune_jobs.core.commands import End
from tune_jobs.core.job_runs import MetricSources
from tune_jobs.core.limits import Limits
from tune_jobs.core.objectives import Bound, Metric, Objectives, as_metrics
from tune_jobs.core.outcomes import Diverged
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.snapshot import Progress, Verbosity
from tune_jobs.detached.calls import as_controller, build_call
from tune_jobs.detached.launching import detach as launch_controller
from tune_jobs.detached.recipe import Call
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.notebook.background import Background
from tune_jobs.notebook.environment import in_notebook
from tune_jobs.notebook.panels import open_progress
from tune_jobs.recorded_study import RecordedStudy
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.interface import CommandFunction, as_interface
from tune_jobs.space.declaration import as_space, load_space
from tune_jobs.space.search_space import Space, SpaceFunction
from tune_jobs.storage.deletion import explain_deletion
from tune_jobs.tuning.choice import check_choice
from tune_jobs.tuning.final_run import FinalRun, train_best
from tune_jobs.tuning.messages import Messages
from tune_jobs.tuning.named_study import open_study
from tune_jobs.tuning.objective import ObjectiveRuns
from tune_jobs.tuning.optimize import Callback, Optimization
from tune_jobs.tuning.options import (
    CallLimits,
    Duplicates,
    Then,
    TunerOptions,
    documents,
    select,
)
from tune_jobs.tuning.replicates import enqueue_replicates
from tune_jobs.tuning.session import RunSession, build_retry
from tune_jobs.tuning.smoke_check import CheckReport, smoke_check
from tune_jobs.tuning.spec import TuningSpec

if TYPE_CHECKING:
    from tune_jobs.backends.data_science.controller_job import ControllerJob
    from tune_jobs.backends.data_science.definition import Infrastructure
    from tune_jobs.detached.handle import DetachedStudy
    from tune_jobs.notebook.monitor import StudyMonitor


@documents(TunerOptions)
class Tuner(RecordedStudy):
    """Tuner of an Optuna study, with one job run for each trial.

    Args:
        study: An Optuna study, or the name of a study to open or create in
            ``sqlite:///<name>.db``; to create it, ``direction`` is needed.
        space: Search space: a function ``space(trial) -> dict`` that returns the parameters of the
            script, a dict of Optuna distributions, or the path of a YAML file.
        backend: Where job runs execute, such as a `LocalBackend`.
        options: See `TunerOptions`.

    Raises:
        ConfigError: If an argument is invalid; its subclasses say which.
        StudyError: If the study exists with another direction.
    """

    @strict_names
    def __init__(
        self,
        study: optuna.Study | str,
        space: Space | SpaceFunction | Mapping[str, Any] | str | os.PathLike[str],
        backend: Backend,
        *,
        metric: str | Metric | Sequence[str | Metric],
        max_parallel: int = 4,
        store: str | os.PathLike[str] | None = None,
        command_line: CommandLine | CommandFunction | None = None,
        direction: str | None = None,
        valid: Callable[[dict[str, Any]], bool | str | None] | None = None,
        bounds: Mapping[str, str] | None = None,
        step: str | None = None,
        metrics_file: str | None = None,
        extra_metrics: Sequence[str] = (),
        max_failures: int | None = None,
        max_failure_rate: float | None = None,
        diverged: Diverged = "fail",
        diverged_steps: int | None = None,
        promotion: Promotion | None = None,
        prices: Mapping[str, float] | None = None,
        duplicates: Duplicates = "reuse",
        data: Sequence[str | os.PathLike[str]] = (),
        progress: bool | Progress = True,
        verbosity: Verbosity = "normal",
    ) -> None:
        options = TunerOptions(**select(TunerOptions, locals()))
        if isinstance(backend, type) or not hasattr(backend, "open"):
            raise invalid("backend", backend, "a backend such as LocalBackend('train.py')")
        metrics = as_metrics(metric)
        study = open_study(study, direction, metrics)
        objectives = Objectives(
            metrics=metrics,
            maximize=tuple(d.name == "MAXIMIZE" for d in study.directions),
            bounds=tuple(Bound.parse(name, bound) for name, bound in (bounds or {}).items()),
        )
        if isinstance(space, str | os.PathLike):
            space = load_space(Path(space), valid=valid)
        else:
            space = as_space(space, valid=valid)
        definition = TuningSpec(
            study=study,
            space=space,
            backend=backend,
            objectives=objectives,
            sources=MetricSources(
                names=tuple(dict.fromkeys([*objectives.names, *extra_metrics])),
                patterns=objectives.patterns,
                step=step,
                file=metrics_file,
            ),
            command_line=as_interface(command_line),
            options=options,
        )
        if space.function is None:  # of a function, only samples show the parameters
            definition.check_described()
        super().__init__(definition, progress)
        self._objective_runs: ObjectiveRuns | None = None
        self._objective_lock = threading.Lock()
        self._optimization: Optimization | None = None
        self._end_reason = ""
        self._was_stopped = False
        self._background: Background | None = None

    @property
    def end_reason(self) -> str:
        """Why the last call of `optimize` ended before its number of trials; empty if it did not.

        Such as ``target=0.9 is reached with 0.93``, or that nothing is left to try.
        """
        return self._end_reason

    @property
    def was_stopped(self) -> bool:
        """Whether the last call of `optimize` was stopped on request, or handed over."""
        return self._was_stopped

    @property
    def max_parallel(self) -> int:
        """Maximum number of live job runs; a new value applies from the next call on."""
        return self.options.max_parallel

    @max_parallel.setter
    def max_parallel(self, value: int) -> None:
        changed = replace(self.options, max_parallel=value)
        self.definition = replace(self.definition, options=changed)

    @strict_names
    @documents(CallLimits)
    def optimize(
        self,
        n_trials: int | None = None,
        timeout: float | None = None,
        *,
        max_run_hours: float | None = None,
        max_cost: float | None = None,
        target: float | None = None,
        patience: int | None = None,
        callbacks: Sequence[Callback] = (),
        take_over: bool = False,
    ) -> optuna.Study:
        """Run trials until ``n_trials`` have finished, or another limit is reached.

        If an earlier call was interrupted, its unfinished trials are resumed first, and count.
        After ``timeout`` no trial is started, and live runs finish. Ctrl-C stops the live runs; the
        next call runs their configurations again.

        One process tunes a study at a time. If the owner of a study was killed or no longer renews
        its lease, the next call replaces it. An owner that is alive hands the study and its live
        runs over only if ``take_over`` is true.

        Args:
            options: See `CallLimits`.
            callbacks: Called with the study and each finished trial, in order, once the trial is
                committed: Optuna's callbacks for MLflow, Weights & Biases and others. One may end
                the call with ``study.stop()``; live runs then finish.
            take_over: Whether to take the study over from a process that is tuning it.

        Returns:
            The Optuna study.

        Raises:
            ConfigError: If a limit is invalid, or every run would fail; nothing was started.
            StudyOwned: If another process is tuning the study.
            StoreError: If the metric store cannot be used.
            BackendError: If the backend cannot start any run.
            TuningStopped: If too many trials failed.
        """
        if isinstance(n_trials, optuna.Trial):
            raise ConfigError(
                "Tuner.optimize got a trial: Optuna's own loop calls tuner.objective, as in "
                "study.optimize(tuner.objective, n_trials=20)"
            )
        limits = CallLimits(**select(CallLimits, locals()))
        if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
            raise ConfigError(
                f"callbacks={callbacks!r}: must be a list of functions (study, trial) -> None"
            )
        limits.check_use(
            single_objective=len(self.definition.objectives.metrics) == 1,
            has_prices=bool(self.options.prices),
        )
        progress = open_progress(self.progress, verbosity=self.options.verbosity)
        with self._session(progress, take_over=take_over) as session:
            clock = session.clock
            wanted = None if n_trials is None else self._count_finished() + n_trials
            shown = {
                "n_trials": wanted,
                "max_parallel": self.max_parallel,
                "max_run_hours": max_run_hours,
                "max_cost": max_cost,
            }
            described = self.definition.describe(session.service.describe())
            session.ledger.write_definition({**described, "limits": shown})
            self._optimization = Optimization(
                session, self._loop_limits(limits, clock()), progress, callbacks
            )
            try:
                self._optimization.run()
            finally:
                self._end_reason = self._optimization.machine.end_reason
                self._was_stopped = self._optimization.machine.control.end is not None
                self._optimization = None
                progress.close()
        return self.study

    def _loop_limits(self, limits: CallLimits, now: float) -> Limits:
        """Return the limits as the loop has them; options and limits keep their names."""
        given = {**vars(self.options), **vars(limits)}
        return Limits(
            **{each.name: given[each.name] for each in fields(Limits) if each.name in given},
            deadline=None if limits.timeout is None else now + limits.timeout,
            maximize=self.definition.objectives.maximize[0],
        )

    def start(self, **limits: Any) -> None:
        """Call `optimize` in a background thread, so that a notebook stays usable.

        Tuning ends with this process; call `optimize` or `start` again to resume it.

        Args:
            limits: Arguments of `optimize`.

        Raises:
            StudyError: If the study is being tuned already.
            ArgumentError: If an argument is unknown.
        """
        if self._background is not None and self._background.is_alive:
            raise StudyError(
                f"study {self.study.study_name!r} is being tuned already: call wait() or stop()"
            )
        check_names(Tuner.optimize, self, **limits)
        self._background = Background(partial(self.optimize, **limits))
        if self.progress is True and self.options.verbosity != "quiet" and in_notebook():
            self._show()

    def _is_awaited(self) -> bool:
        return (self._background is not None and self._background.is_alive) or super()._is_awaited()

    @strict_types
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the tuning that `start` began has ended.

        Args:
            timeout: Maximum time in seconds; None waits without a limit.

        Returns:
            Whether it has ended.

        Raises:
            TuneJobsError: If `optimize` raised it.
        """
        return self._background is None or self._background.wait(timeout)

    @strict_types
    def stop(self, *, cancel_runs: bool = False) -> None:
        """Stop the tuning that `start` began; no trial is started any more.

        Args:
            cancel_runs: Whether to stop the live runs, which the next call runs again; otherwise
                they finish.
        """
        if self._optimization is not None:
            self._optimization.end(End.CANCEL if cancel_runs else End.FINISH)

    @strict_names
    @documents(CallLimits)
    def detach(
        self,
        controller: ControllerJob | Infrastructure | Literal["local"] | None = None,
        *,
        n_trials: int | None = None,
        timeout: float | None = None,
        max_run_hours: float | None = None,
        max_cost: float | None = None,
        target: float | None = None,
        patience: int | None = None,
        then: Then | None = None,
        arguments: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        take_over: bool = False,
    ) -> DetachedStudy:
        """Leave the tuning to a controller, a process that continues when this one ends.

        Whatever is made in Python, such as the search space, has to be importable by the
        controller: no lambda, no closure, nothing that is defined in a notebook.

        Args:
            controller: What the controller runs on. For job runs on OCI, an `Infrastructure` with
                a small shape, or a `ControllerJob`; ``local`` for a background process of this
                machine, which is what local job runs have.
            options: See `CallLimits`.
            then: ``train_best`` trains the best configuration after the tuning, exactly once.
            arguments, resources: Of that final run, see `train_best`.
            take_over: Whether to take the study over from a process that is tuning it.

        Returns:
            The study, which can be followed, paused and stopped.

        Raises:
            ConfigError: If something cannot travel to the controller, or a limit is invalid.
            StudyError: If the controller could not reach the storage, such as one in memory.
            StudyOwned: If another process is tuning the study.
        """
        where = as_controller(controller)
        call = build_call(
            self.definition,
            CallLimits(**select(CallLimits, locals())),
            self._count_finished(),
            then=then,
            arguments=arguments or {},
            resources=resources or {},
            take_over=take_over,
        )
        return self.launch(call, where)

    def launch(
        self, call: Call, controller: ControllerJob | Literal["local"] | None = None
    ) -> DetachedStudy:
        """Launch a controller; see `detach`."""
        from tune_jobs.detached.handle import DetachedStudy

        self._close_objective()
        with explain_deletion(self.study):
            launched = launch_controller(self.definition, call, controller, self._messages())
        return DetachedStudy(self.study.study_name, launched)

    def _messages(self) -> Messages:
        """Return messages without a display of progress."""
        quiet = self.progress is False
        return Messages(open_progress(not quiet, verbosity="quiet"), self.options.verbosity)

    @staticmethod
    @strict_names
    def attach(study_name: str, storage: str | optuna.storages.BaseStorage) -> StudyMonitor:
        """Monitor a study through its storage, for example after a restart of the kernel.

        Raises:
            StudyError: If the study does not exist, or was never tuned by tune_jobs.
        """
        from tune_jobs.notebook.monitor import StudyMonitor

        return StudyMonitor(study_name, storage)

    @strict_types
    def replicate(self, trial: int, n: int = 5, *, argument: str = "seed") -> None:
        """Enqueue a trial's configuration ``n`` more times, each with another seed.

        The next ``optimize(n_trials=n)`` runs them. They are trials of the study with the attribute
        ``tune_jobs:replicate_of``. Comparisons of studies use them to tell whether a difference is
        more than noise.

        Args:
            trial: Number of the trial, usually of the best one.
            n: Number of replicates.
            argument: Argument of the script for its seed; it is set to 1, 2, 3...

        Raises:
            StudyError: If there is no such finished trial.
            ConfigError: If the search space tunes the argument.
        """
        with explain_deletion(self.study):
            enqueue_replicates(self.definition, trial, n, argument)

    @strict_types
    def objective(self, trial: optuna.Trial) -> float | Sequence[float]:
        """Run one trial as a job run and return its value.

        For Optuna's own loop: ``study.optimize(tuner.objective, n_jobs=8)``.

        Returns:
            The value, or one for each objective; NaN if the run diverged, which Optuna's loop
            records as a failed trial.

        Raises:
            optuna.TrialPruned: If the study's pruner stopped the run, or if it diverged and
                ``diverged="prune"``.
            JobRunFailed: If the run ended without a value; with ``catch=(JobRunFailed,)`` Optuna
                records a failed trial and continues.
        """
        with self._objective_lock:  # Optuna calls from n_jobs threads at once
            if self._objective_runs is None or not self._objective_runs.is_open:
                with explain_deletion(self.study):
                    self.definition.check()
                if self._objective_runs is not None:
                    self._objective_runs.release()
                self._objective_runs = ObjectiveRuns(self.definition)
            runs = self._objective_runs
        return runs.run(trial)

    @strict_types
    def train_best(
        self,
        arguments: Mapping[str, Any] | None = None,
        *,
        trial: int | None = None,
        pick: str | None = None,
        data: Sequence[str | os.PathLike[str]] = (),
        resources: Mapping[str, Any] | None = None,
        again: bool = False,
    ) -> FinalRun:
        """Train the best configuration in a final job run on the same backend.

        The call is idempotent: if the same final run has succeeded, it is returned.

        Args:
            arguments: Arguments to add or to replace (``{"epochs": 50}``).
            trial: Number of the trial to train instead of the best one, such as an infeasible one.
            pick: With several objectives, the trial of the Pareto front: the name of the metric
                that it is best in, or ``"knee"`` for the trial closest to the best of each.
            data: Files whose fingerprints go into the provenance; by default the study's.
            resources: Resources that replace those of the trials' runs; on OCI ``shape``,
                ``ocpus``, ``memory_gb``, and ``max_runtime`` in minutes.
            again: Whether to train even if the same final run has succeeded.

        Raises:
            ConfigError: If ``pick`` does not apply: with one objective, or beside ``trial``; or if
                the backend has no such resources.
            StudyError: If there is no best trial (the message says why), or the choice is
                ambiguous.
            FinalRunFailed: If the final run failed; the message has the end of its log.
        """
        check_choice(self.definition, trial, pick)
        self.definition.backend.check_resources(dict(resources or {}))
        progress = open_progress(self.progress, verbosity=self.options.verbosity)
        with self._session(progress) as session:
            return train_best(
                session,
                progress,
                arguments=dict(arguments or {}),
                trial=trial,
                pick=pick,
                data=[Path(path) for path in data],
                resources=dict(resources or {}),
                again=again,
            )

    @strict_types
    def check(
        self, arguments: Mapping[str, Any] | None = None, *, time_limit: float = 120.0
    ) -> CheckReport:
        """Run one trial outside of the study and report what would make the study fail.

        Args:
            arguments: Arguments that make the script cheap (``{"epochs": 1}``).
            time_limit: Seconds after which the run is stopped, counted from its start.
        """
        return smoke_check(self.definition, dict(arguments or {}), time_limit)

    @contextmanager
    def _session(self, progress: Progress, *, take_over: bool = False) -> Iterator[RunSession]:
        """Become the study's owner and open the backend, once all that can be checked is."""
        self._close_objective()
        messages = Messages(progress, self.options.verbosity)
        with explain_deletion(self.study):
            build_retry(self.definition, messages).call(self.definition.check)
            with RunSession(self.definition, messages, own=True, take_over=take_over) as session:
                self.definition.check_metrics(session.ledger.read_definition())
                yield session

    def _close_objective(self) -> None:
        """Release the study that ``objective`` owns, unless its trials are running.

        Raises:
            StudyOwned: If they are.
        """
        with self._objective_lock:
            if self._objective_runs is not None:
                self._objective_runs.release()
                self._objective_runs = None
