"""What is known of a study: its trials, job runs, costs, logs and outputs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import optuna

from tune_jobs.arguments.calls import strict_types
from tune_jobs.arguments.type_checks import invalid
from tune_jobs.core.advice import Advice, advise
from tune_jobs.core.attempts import Attempt, find_last_event, select_attempt
from tune_jobs.core.controllers import close_abandoned
from tune_jobs.core.costs import Costs, Prices
from tune_jobs.core.snapshot import Progress
from tune_jobs.core.trial_attributes import counts_as_finished
from tune_jobs.core.usage import RunStatistics
from tune_jobs.detached.launching import record_ends
from tune_jobs.errors import StudyError
from tune_jobs.metric_store.outputs import Outputs, read_outputs
from tune_jobs.notebook.panels import open_progress
from tune_jobs.notebook.showing import ShownStudy
from tune_jobs.notebook.tables import trials_dataframe
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.deletion import explain_deletion
from tune_jobs.storage.lease import find_owner
from tune_jobs.tuning.control import CONTROL_SECONDS, send_command
from tune_jobs.tuning.logs import open_log
from tune_jobs.tuning.messages import Messages
from tune_jobs.tuning.options import TunerOptions
from tune_jobs.tuning.preview import Preview, preview
from tune_jobs.tuning.session import Session
from tune_jobs.tuning.spec import TuningSpec
from tune_jobs.tuning.watch import watch


class RecordedStudy(ShownStudy):
    """Study that can be read: the part of `tune_jobs.Tuner` that starts no runs.

    Args:
        definition: How the study is tuned.
        progress: Whether and how progress is shown.
    """

    _shower = "tuner"

    def __init__(self, definition: TuningSpec, progress: bool | Progress) -> None:
        super().__init__()
        self.definition = definition
        self.progress = progress

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        return self.definition.study

    @property
    def options(self) -> TunerOptions:
        """Options that the tuner was created with."""
        return self.definition.options

    def __repr__(self) -> str:
        metrics = ", ".join(m.name for m in self.definition.objectives.metrics)
        return (
            f"{type(self).__name__}({self._describe()}, backend={self.definition.backend!r}, "
            f"metric={metrics!r}, max_parallel={self.options.max_parallel})"
        )

    def _more_facts(self) -> list[tuple[str, str]]:
        return [
            ("metric", ", ".join(m.name for m in self.definition.objectives.metrics)),
            ("parameters", ", ".join(sorted(self.definition.space.names))),
            ("backend", repr(self.definition.backend)),
            ("slots", str(self.options.max_parallel)),
        ]

    @property
    def best_trials(self) -> list[optuna.trial.FrozenTrial]:
        """The best trial, or the Pareto front of several objectives; empty if there is none.

        Only trials count that are complete and feasible and are no replicates. Optuna's
        ``study.best_trial`` may be a replicate.
        """
        with explain_deletion(self.study):
            trials = self.study.get_trials(deepcopy=False)
        return [copy.deepcopy(trial) for trial in self.definition.find_best(trials)]

    def trials_dataframe(self) -> Any:
        """Return Optuna's DataFrame of the trials with columns for their job runs; needs pandas.

        ``run``, ``run_state``, ``run_attempt``, ``run_shape``, ``run_seconds`` and ``cause`` are
        those of a trial's last run, as are ``cpu_percent``, ``cpu_peak_percent``,
        ``memory_peak_gb``, ``memory_limit_gb``, ``gpu_percent``, ``gpu_memory_peak_gb``,
        ``disk_written_gb``, ``network_in_gb`` and ``network_out_gb``, what it used. ``run_hours``
        and ``money`` are totals of all its runs. ``standing`` is ``candidate`` for a trial that can
        be the best one, and otherwise says why it cannot: ``infeasible``, ``replicate``,
        ``reused``, ``not finite`` or ``no value``.
        """
        return trials_dataframe(self.study, self.attempts())

    @strict_types
    def preview(self, n: int = 3) -> list[Preview]:
        """Return the exact command lines of ``n`` sampled configurations without starting a run."""
        if n < 1:
            raise invalid("n", n, "an integer of at least 1")
        return preview(self.definition, n)

    def owner(self) -> str | None:
        """Return the process that is tuning the study, or None."""
        with self._open() as session:
            return find_owner(session.ledger.engine, session.ledger.uid)

    def control(self, command: str, *, wait: float = CONTROL_SECONDS, **argument: Any) -> bool:
        """Send a command to the process that is tuning the study, on any machine.

        Args:
            command: ``pause``, ``resume``, ``stop`` (``runs="finish"`` or ``"cancel"``),
                ``cancel`` (``trial=12``), or ``set`` (``max_parallel=16``, ``n_trials=200``).
            wait: Maximum time in seconds to wait until the command is executed.
            argument: Arguments of the command.

        Returns:
            Whether the command was executed in that time.

        Raises:
            StudyError: If no process is tuning the study, or a trial to cancel has no live run.
            ConfigError: If the command or an argument is unknown.
        """
        with explain_deletion(self.study):
            return send_command(self.definition, command, argument, wait)

    def watch(self) -> optuna.Study:
        """Show the progress of the process that is tuning the study until it ends.

        Returns:
            The Optuna study.
        """
        progress = open_progress(self.progress, verbosity=self.options.verbosity)
        try:
            with self._open(Messages(progress, self.options.verbosity)) as session:
                ends = partial(record_ends, session)
                watch(session, progress, self.options.max_parallel, ends)
        finally:
            progress.close()
        return self.study

    @strict_types
    def attempts(self, trial: int | None = None) -> list[Attempt]:
        """Return the recorded job runs of the study, or of one trial."""
        with self._open() as session:
            return session.ledger.read_attempts(trial)

    def left_behind(self) -> list[Attempt]:
        """Return the job runs of a call that was interrupted or killed, if none has followed.

        The next call adopts those that still run, collects those that have ended, and runs the
        configurations of the others again.
        """
        with self._open() as session:
            return [] if session.is_tuned() else session.ledger.read_open_attempts()

    def advise(self) -> Advice:
        """Return which shape would do for the study's job runs, and what it would have cost.

        For local runs it is how many of them may be live at once. The advice has the numbers that
        it rests on, or says that there is too little data; `tune_jobs.core.advice` has the rule.
        """
        prices = Prices(self.options.prices or {})
        return advise(self.attempts(), prices, self.options.max_parallel)

    def costs(self) -> Costs:
        """Return run hours and cost of the study's job runs so far.

        Runs that were left behind count once the next call knows how they ended. A controller that
        was killed counts up to its last event until another one has begun.
        """
        with self._open() as session:
            attempts = session.ledger.read_attempts()
            is_tuned = session.is_tuned()
            controllers = ControllerRows(session.ledger.engine, session.ledger.uid).read()
            if not is_tuned:
                controllers = close_abandoned(controllers, None, find_last_event(attempts))
            statistics = RunStatistics(
                self.options.prices or {},
                [a for a in attempts if a.told is not None],
                controllers,
            )
            live = {a.name: a for a in attempts if a.told is None and is_tuned}
            for attempt in live.values():
                statistics.adopted(attempt)
            return statistics.costs(live, self.definition.backend.clock(), None)

    @strict_types
    def logs(self, trial: int) -> str:
        """Return the log of the last job run of a trial.

        Raises:
            StudyError: If the trial has no job run.
        """
        with self._open() as session:
            attempts = [a for a in session.ledger.read_attempts(trial) if not a.is_final]
            if not attempts:
                raise StudyError(f"trial {trial} of {self.study.study_name!r} has no job run")
            return open_log(session, attempts[-1]).read().decode("utf-8", "replace")

    @strict_types
    def outputs(self, trial: int | str, *, attempt: int | None = None) -> Outputs:
        """Return the files that a job run left: its outputs, and what is in its working folder.

            tuner.outputs(12).download("best", "*.pt")

        Args:
            trial: Number of the trial, or the name of a final run (``final-1``).
            attempt: Number of the attempt; by default the last one.

        Returns:
            A list of files, which `Outputs.download` fetches.

        Raises:
            StudyError: If the trial has no such job run.
            StoreError: If the metric store cannot be read.
        """
        with self._open() as session:
            attempts = session.ledger.read_attempts()
            return read_outputs(session.store, select_attempt(attempts, trial, attempt))

    def _count_finished(self) -> int:
        return sum(counts_as_finished(t) for t in self.study.get_trials(deepcopy=False))

    @contextmanager
    def _open(self, messages: Messages | None = None) -> Iterator[Session]:
        """Open the study to read it."""
        with explain_deletion(self.study), Session(self.definition, messages) as session:
            yield session
