"""``tuner.objective``: Optuna's own loop, with every trial a job run.

Optuna's loop creates and finishes the trials, in as many threads as ``n_jobs`` says. The threads
share one engine, and one of those that wait drives it for all. Meanwhile the study's storage is
fenced (`storage.fence`): Optuna's writes, too, prove that this process owns the study, and the
result of a trial is written in one transaction with the end of its attempt.

What an earlier process left open is recovered as by ``optimize``: its live runs are adopted, and
their trials are finished here.
"""

from __future__ import annotations

import contextlib
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

import optuna
from optuna.trial import TrialState

from tune_jobs.core import events as e
from tune_jobs.core.attempts import earlier_attempts, trial_attempt_name
from tune_jobs.core.budget import Budget
from tune_jobs.core.limits import Limits
from tune_jobs.core.machine import TuningMachine
from tune_jobs.core.requests import FIXED_PARAMS
from tune_jobs.core.trial_attributes import (
    CAUSE_ATTRIBUTE,
    DIVERGED_ATTRIBUTE,
    RUN_ATTRIBUTE,
    set_run,
)
from tune_jobs.core.usage import RunStatistics
from tune_jobs.errors import (
    BackendError,
    ConfigError,
    MachineTrouble,
    StoreError,
    StudyError,
    TuneJobsError,
)
from tune_jobs.storage.fence import FencedStorage, fence_study, freeze_trial
from tune_jobs.storage.lease import LeaseLost, StudyOwned
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.storage.optuna_loop import LoopWatch
from tune_jobs.storage.writers import build_writer
from tune_jobs.tuning.engine import TICK, Engine
from tune_jobs.tuning.messages import Messages
from tune_jobs.tuning.recovery import recover_study
from tune_jobs.tuning.session import RunSession
from tune_jobs.tuning.spec import TuningSpec
from tune_jobs.tuning.study_trials import StudyTrials
from tune_jobs.tuning.suggest import Refusal, draw_configuration


class JobRunFailed(TuneJobsError):
    """A trial's job run ended without a value; the message says why."""


class _LoopTrials(StudyTrials):
    """The trials that Optuna's loop runs, beside those that an earlier process left open."""

    def __init__(
        self, session: RunSession, mirror: StudyMirror, *, closes_with_result: bool
    ) -> None:
        super().__init__(session, mirror)
        self.results: dict[int, Future[e.Finish]] = {}
        self._offered: dict[int, optuna.Trial] = {}
        self._drawn: dict[int, dict[str, Any]] = {}
        self._reported: dict[int, set[int]] = {}
        self._closes_with_result = closes_with_result

    def offer(self, trial: optuna.Trial, params: dict[str, Any]) -> Future[e.Finish]:
        """Take a trial of Optuna's loop; return its result to come."""
        self._offered[trial.number], self._drawn[trial.number] = trial, params
        self._reported[trial.number] = set()
        result = self.results[trial.number] = Future()
        return result

    def withdraw(self, number: int) -> None:
        """Forget a trial of Optuna's loop."""
        for known in (self._offered, self._drawn, self._reported, self.results):
            known.pop(number, None)

    def end(self, error: BaseException) -> None:
        """End the wait for every result to come."""
        for result in self.results.values():
            if not result.done():
                result.set_exception(error)

    def _intend(self, intent: e.Intend | e.Retry) -> e.Intended:
        number = intent.ticket if isinstance(intent, e.Intend) else intent.attempt.trial
        if number not in self._offered:
            return super()._intend(intent)
        attempt = 1 if isinstance(intent, e.Intend) else intent.attempt.attempt + 1
        name = trial_attempt_name(number, attempt)
        invocation = self._session.render(name, self._drawn[number])
        invocation = replace(invocation, resume=earlier_attempts(name))
        self._offered[number].set_user_attr(RUN_ATTRIBUTE, name)
        return e.Intended(self._session.intend(name, number, invocation, attempt))

    def _refuse(self, intent: e.Intend | e.Retry, error: ConfigError) -> e.Refused:
        number = intent.ticket if isinstance(intent, e.Intend) else intent.attempt.trial
        if number is None or number not in self._offered:
            return super()._refuse(intent, error)
        self.results[number].set_exception(error)
        return e.Refused(number, str(error))

    def report(self, report: e.Report) -> int | None:
        number = report.attempt.trial
        trial = None if number is None else self._offered.get(number)
        if trial is None or number is None:
            return super().report(report)
        steps = report.reading.steps if self._single else {}
        new = sorted(steps.keys() - self._reported[number])
        advised = self._advice_on_known(trial, report, new) if report.ask_pruner else None
        for step in new:
            trial.report(steps[step], step)
            self._reported[number].add(step)
            if report.ask_pruner and trial.should_prune() and advised is None:
                advised = step
        return advised

    def finish(self, result: e.Finish) -> e.Finished:
        number = result.attempt.trial
        if number is None or number not in self._offered:
            return super().finish(result)
        self.report(e.Report(result.attempt, result.reading, ask_pruner=False))
        self.results[number].set_result(result)
        return e.Finished(result, () if self._closes_with_result else (result.attempt,))


class ObjectiveRuns:
    """Runs the trials of Optuna's own loop.

    Args:
        spec: What is tuned, and how.

    Raises:
        StudyOwned: If another process owns the study.
        StoreError, BackendError: If no run can be started.
    """

    def __init__(self, spec: TuningSpec) -> None:
        self._spec = spec
        self._session = RunSession(spec, Messages(), own=True)
        lease = self._session.lease if self._session.lease.held else None
        mirror = StudyMirror(spec.study, lease, self._session.retry)
        self._fenced = None if lease is None else fence_study(spec.study, mirror.writer)
        self._finalizer = weakref.finalize(self, _close, self._session, spec.study, self._fenced)
        self._trials = _LoopTrials(self._session, mirror, closes_with_result=lease is not None)
        statistics = RunStatistics(
            spec.options.prices or {}, self._session.ledger.read_ended_attempts()
        )
        limits = Limits(n_trials=0, deadline=None, max_parallel=1)  # Optuna starts trials
        budget = Budget(limits, statistics)
        machine = TuningMachine(budget, spec.backend.name, divergence=spec.divergence)
        self._engine = Engine(self._session, machine, self._trials)
        interruption, study = self._engine.interruption, spec.study
        self._session.retry.is_interrupted = lambda: (
            interruption.asked or LoopWatch(study).is_interrupted()
        )
        self._driving = threading.Lock()
        self._watching = threading.Lock()
        self._changed = threading.Condition()
        self._ended: BaseException | None = None
        recover_study(self._engine, self._session, mirror)
        if self._fenced is not None:
            # Between its calls, Optuna's loop may be at work, too, such as in a sampler.
            fenced, finalizer = self._fenced, self._finalizer
            self._session.is_working = lambda: fenced.is_busy
            self._session.on_idle = partial(
                _close_if_idle, self._session, spec.study, fenced, finalizer
            )

    @property
    def is_open(self) -> bool:
        """Whether this process still owns the study."""
        if self._ended is not None or not self._finalizer.alive:
            return False
        if self._fenced is None:
            return True
        with contextlib.suppress(LeaseLost):
            self._session.verify()
        return self._session.lease.held

    def release(self) -> None:
        """Release the study.

        Raises:
            StudyOwned: If a trial of Optuna's loop is running.
        """
        if self._trials.results:
            name = self._spec.study.study_name
            raise StudyOwned(
                f"study {name!r} is being tuned by study.optimize(tuner.objective) in this "
                "process: wait until it has ended"
            )
        self._finalizer()

    def run(self, trial: optuna.Trial) -> float | Sequence[float]:
        """Start a trial's job run and wait for its end.

        Returns:
            The values; NaN if the run worked and diverged, which Optuna records as a failed trial.

        Raises:
            optuna.TrialPruned: If the study's pruner stopped it.
            JobRunFailed: If it has no value.
            LeaseLost: If another process has taken the study over.
            BackendError, StoreError, StudyError: If no run can be started or watched any more. As
                after an interruption, all trials stay RUNNING, and the next call resumes them.
            KeyboardInterrupt: If Optuna's loop was interrupted. All runs are stopped, their trials
                stay RUNNING, and the next call runs their configurations again.
        """
        if self._fenced is not None:
            self._fenced.adopt(trial)
        try:
            return self._run(trial)
        except BaseException as error:
            if _ends_all_runs(error) and not self._session.is_inherited:
                if self._fenced is not None:
                    self._fenced.leave_open(trial)
                self._end(error)
            raise
        finally:
            with self._driving:
                self._trials.withdraw(trial.number)
                is_last = self._ended is not None and not self._trials.results
            if is_last and not self._session.is_inherited:
                self._finalizer()

    def _run(self, trial: optuna.Trial) -> float | Sequence[float]:
        # If this process is killed from here on, the next owner knows whose trial it is.
        trial.set_user_attr(RUN_ATTRIBUTE, trial_attempt_name(trial.number, 1))
        frozen = freeze_trial(trial)
        enqueued = bool(FIXED_PARAMS in frozen.system_attrs or frozen.params)
        drawn = draw_configuration(self._spec.space, trial, frozen, enqueued=enqueued)
        if isinstance(drawn, Refusal):
            return self._refuse(trial, drawn)
        try:
            with self._engine.interruption:
                result = self._start(trial, drawn)
                self._wait(result)
            return self._deliver(trial, result.result())
        except ConfigError as error:
            if not enqueued:
                raise
            return self._refuse(trial, Refusal(str(error), TrialState.FAIL))

    def _start(self, trial: optuna.Trial, params: dict[str, Any]) -> Future[e.Finish]:
        with self._driving:
            if self._ended is not None:
                raise self._ended
            result = self._trials.offer(trial, params)
            self._engine.handle(e.Suggested(trial.number))
            self._engine.commit()
            return result

    def _refuse(self, trial: optuna.Trial, refusal: Refusal) -> float | Sequence[float]:
        """Finish a trial without a run.

        Returns:
            NaN for every objective. Optuna's loop then fails the trial and continues; an exception
            would end it.
        """
        refusal.record(trial)
        if refusal.state == TrialState.PRUNED:
            raise optuna.TrialPruned(refusal.reason)
        self._session.messages.warn(f"trial {trial.number} is refused: {refusal.reason}")
        values = [math.nan] * len(self._spec.objectives.metrics)
        return values[0] if len(values) == 1 else values

    def _end(self, error: BaseException) -> None:
        """End all trials, once, because of an error; their attempts stay open."""
        with self._watching, self._driving:
            if self._ended is None:
                self._ended = error
                if not isinstance(error, MachineTrouble):  # then live runs continue
                    self._engine.stop_runs()
                self._trials.end(error)

    def _wait(self, result: Future[e.Finish]) -> None:
        """Wait for a result; one of the waiting threads watches the runs for all.

        Raises:
            KeyboardInterrupt: If Optuna's loop was interrupted.
        """
        loop = LoopWatch(self._spec.study)
        while not result.done():
            if self._engine.interruption.asked or loop.is_interrupted():
                raise KeyboardInterrupt
            if self._watching.acquire(blocking=False):
                try:
                    observations = self._engine.wait(TICK)
                    with self._driving:
                        self._engine.take(observations)
                finally:
                    self._watching.release()
                    with self._changed:
                        self._changed.notify_all()
            else:
                with self._changed:
                    self._changed.wait_for(
                        lambda: result.done() or not self._watching.locked(), TICK
                    )

    def _deliver(self, trial: optuna.Trial, result: e.Finish) -> float | Sequence[float]:
        """Hand a result to Optuna's loop, which finishes the trial."""
        if self._fenced is not None:  # Optuna handles errors of an objective, not of a storage
            self._session.retry.call(partial(self._session.lease.renew, at_once=True))
        attempt, values = result.attempt, result.reading.values
        for name, violation in result.reading.violations.items():
            trial.set_constraint(name, violation)
        run_id = attempt.run_id
        set_run(trial, run_id, run_id and self._spec.backend.console(run_id))
        if attempt.cause:
            trial.set_user_attr(CAUSE_ATTRIBUTE, attempt.cause)
        if result.diverged:
            trial.set_user_attr(DIVERGED_ATTRIBUTE, True)
        if self._fenced is not None:
            ledger, now = self._session.ledger, self._session.clock()
            close = partial(ledger.record_ended, ended=[attempt], reported=now)
            self._fenced.write_with_result(trial, close)
        if result.state == TrialState.PRUNED:
            raise optuna.TrialPruned(attempt.cause)
        if result.diverged:
            values = (math.nan,) * len(self._spec.objectives.metrics)
        elif result.state == TrialState.FAIL or values is None:
            raise JobRunFailed(f"trial {trial.number}: {attempt.cause}")
        return values[0] if len(values) == 1 else values


def _ends_all_runs(error: BaseException) -> bool:
    """Return whether an error is not that of one trial."""
    if isinstance(error, LeaseLost):
        return False  # the fence refuses everything
    return not isinstance(error, Exception) or isinstance(
        error, BackendError | StoreError | StudyError
    )


def _close(session: RunSession, study: optuna.Study, fenced: FencedStorage | None) -> None:
    if session.is_inherited:
        return
    if fenced is not None:
        fenced.lift(build_writer(study, retry=session.retry))
    session.close()


def _close_if_idle(
    session: RunSession, study: optuna.Study, fenced: FencedStorage, close: Callable[[], object]
) -> None:
    """Release a study whose loop has ended, so that others need not wait for the lease."""
    if not fenced.is_busy and fenced.lift(build_writer(study, retry=session.retry), if_idle=True):
        close()
