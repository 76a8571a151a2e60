"""``tuner.objective``: existing Optuna code, with every trial a job run.

Here Optuna's own loop asks and tells, from as many threads as ``n_jobs`` says. The threads share
one session; whichever of them waits first watches the backend for all.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace

import optuna
from optuna.trial import TrialState

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.observations import Observation
from tune_jobs.core.outcomes import Action, classify_outcome, closed
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, RUN_ATTRIBUTE
from tune_jobs.errors import BackendError, TuneJobsError
from tune_jobs.tuning.loop import TICK
from tune_jobs.tuning.session import Session, TuningSpec


class JobRunFailed(TuneJobsError):
    """A trial's job run ended without a value; the message says why."""


class ObjectiveRuns:
    """RunTracker single trials for the threads of ``study.optimize``."""

    def __init__(self, definition: TuningSpec) -> None:
        self._definition = definition
        self._session = Session(definition)
        self._session.own()
        self._session.open_backend()
        # When the tuner lets go of it.
        weakref.finalize(self, self._session.__exit__, None, None, None)
        self._watching = threading.Lock()
        self._ledger_lock = threading.Lock()
        self._news: dict[str, Observation] = {}

    def run(self, trial: optuna.Trial) -> float | Sequence[float]:
        """Start the trial's job run and wait for its end."""
        space, session = self._definition.space, self._session
        params = space.sample(trial)
        if refusal := space.refusal(params):
            raise optuna.TrialPruned(refusal)
        attempt = session.trial_attempt(trial.number, params)
        while True:
            trial.set_user_attr(RUN_ATTRIBUTE, attempt.name)
            with self._ledger_lock:
                session.ledger.intend(None, [attempt])
                session.runs.submit(attempt)
            attempt, observation = self._follow(trial, attempt)
            reading = self._definition.objectives.read(observation.records)
            outcome = classify_outcome(attempt, observation.update, reading)
            cause = outcome.cause
            if outcome.action is Action.TELL and outcome.trial_state == TrialState.FAIL:
                cause = session.runs.explain(observation, cause, self._definition.objectives.names)
            with self._ledger_lock:
                ended = closed(attempt, observation.update, outcome.ledger_state, cause)
                session.ledger.ended(None, [ended], session.clock())
            if outcome.action is Action.TELL:
                break
            if observation.update.fatal:
                raise BackendError(f"{attempt.name}: {cause}")
            time.sleep(outcome.delay)  # this thread has nothing else to do
            attempt = session.trial_attempt(trial.number, params, attempt.attempt + 1)
        for name, violation in reading.violations.items():
            trial.set_constraint(name, violation)
        return self._result(trial, outcome.trial_state, cause, reading.values)

    def _result(
        self,
        trial: optuna.Trial,
        state: TrialState,
        cause: str,
        values: tuple[float, ...] | None,
    ) -> float | Sequence[float]:
        if cause:
            trial.set_user_attr(CAUSE_ATTRIBUTE, cause)
        if state == TrialState.PRUNED:
            raise optuna.TrialPruned(cause)
        if state == TrialState.FAIL or values is None:
            raise JobRunFailed(f"trial {trial.number}: {cause}")
        return values[0] if len(values) == 1 else values

    def _follow(self, trial: optuna.Trial, attempt: Attempt) -> tuple[Attempt, Observation]:
        """Report what the run reports until it has ended; ask the pruner."""
        single = len(self._definition.objectives.metrics) == 1
        reported: set[int] = set()
        while True:
            observation = self._next(attempt.name)
            if single:
                reading = self._definition.objectives.read(observation.records)
                for step in sorted(reading.steps.keys() - reported):
                    trial.report(reading.steps[step], step)
                    reported.add(step)
                    live = not observation.ended and attempt.state != AttemptState.PRUNING
                    if live and trial.should_prune():
                        attempt = replace(
                            attempt, state=AttemptState.PRUNING, cause=f"pruned at step {step}"
                        )
                        with self._ledger_lock:
                            self._session.ledger.pruning(None, [attempt])
                        self._session.runs.cancel(attempt.name)
            if observation.ended:
                return attempt, observation

    def _next(self, name: str) -> Observation:
        """The next news of a run; watches the backend for everybody while it waits."""
        while True:
            with self._watching:
                if name in self._news:
                    return self._news.pop(name)
                self._session.renew()
                for observation in self._session.runs.wait(TICK):
                    self._news[observation.attempt.name] = observation
