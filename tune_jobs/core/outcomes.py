"""What the end of a job run means for its trial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from optuna.trial import TrialState

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.objectives import Reading
from tune_jobs.runtime.backoff import Backoff

MAX_ATTEMPTS = 3
"""Attempts of a trial that fails for reasons outside of the script."""

MAX_PATIENT_ATTEMPTS = 8
"""Attempts of a trial that waits for something that may be available later, such as capacity."""

MAX_DELAY = 900.0
"""Longest pause between two attempts, in seconds."""


DIVERGED = "diverged: "
"""How the cause of a trial begins whose run worked, and whose metric is not finite."""

Diverged = Literal["fail", "prune"]


@dataclass(frozen=True)
class Divergence:
    """What happens to runs that work and whose metric is not finite.

    Args:
        outcome: Whether their trials are failed or pruned.
        steps: Values in a row that are not finite after which a run is stopped; None never stops.
    """

    outcome: Diverged = "fail"
    steps: int | None = None

    @property
    def state(self) -> TrialState:
        """Final state of their trials."""
        return TrialState.PRUNED if self.outcome == "prune" else TrialState.FAIL

    def is_hopeless(self, reading: Reading) -> bool:
        """Return whether a run is to be stopped."""
        return self.steps is not None and reading.diverged_steps >= self.steps


class Action(Enum):
    """What to do with an attempt that has ended."""

    FINISH = "finish"
    RETRY = "retry"


@dataclass(frozen=True)
class Outcome:
    """The decision on an attempt that has ended.

    Args:
        attempt_state: The state that the ledger records.
        trial_state: The state that Optuna is given; only for `Action.FINISH`.
        cause: Why there is no value; empty otherwise.
        delay: Seconds to wait before the next attempt; only for `Action.RETRY`.
        diverged: Whether the run worked, and its metric is not finite.
        is_requested: Whether a person canceled the trial.
    """

    action: Action
    attempt_state: AttemptState
    trial_state: TrialState = TrialState.FAIL
    cause: str = ""
    delay: float = 0.0
    diverged: bool = False
    is_requested: bool = False


def classify_outcome(
    attempt: Attempt, update: RunUpdate, reading: Reading, divergence: Divergence
) -> Outcome:
    """Decide what an ended job run means for its trial.

    Args:
        attempt: The attempt, PRUNING if it was to be stopped.
        update: The run's terminal state.
        reading: What its metrics say.
        divergence: What happens to runs whose metric is not finite.
    """
    ended_as = AttemptState(update.state.value)
    if attempt.is_pruning:
        cause = attempt.cause or "pruned"
        if cause.startswith(DIVERGED):
            return _diverge(ended_as, divergence, cause)
        return Outcome(Action.FINISH, ended_as, TrialState.PRUNED, cause)
    if update.state == RunState.SUCCEEDED:
        if reading.values is not None:
            return Outcome(Action.FINISH, ended_as, TrialState.COMPLETE)
        if reading.diverged:
            return _diverge(ended_as, divergence, f"{DIVERGED}{reading.diverged}")
        return Outcome(Action.FINISH, ended_as, TrialState.FAIL, reading.problem)
    if _deserves_retry(attempt, update):
        delay = Backoff(update.retry_after, MAX_DELAY).pause(attempt.attempt)
        return Outcome(Action.RETRY, ended_as, cause=update.cause, delay=delay)
    return Outcome(Action.FINISH, ended_as, TrialState.FAIL, update.cause)


def _diverge(ended_as: AttemptState, divergence: Divergence, cause: str) -> Outcome:
    return Outcome(Action.FINISH, ended_as, divergence.state, cause, diverged=True)


def _deserves_retry(attempt: Attempt, update: RunUpdate) -> bool:
    """Return whether the failure is outside of the script, and attempts are left."""
    if update.fatal or update.trouble:
        return True  # recorded as an attempt to come: the call ends, the next one continues it
    if update.state == RunState.CANCELED:
        # Stopped by an interruption. A final run is canceled by a person only.
        return not attempt.is_final
    limit = MAX_PATIENT_ATTEMPTS if update.retry_after else MAX_ATTEMPTS
    return (update.transient or update.state == RunState.LOST) and attempt.attempt < limit


def stops_call(attempt: Attempt, update: RunUpdate) -> bool:
    """Return whether no run can be started until a person fixes the cause of a failure."""
    return update.fatal or (update.trouble and attempt.attempt >= MAX_PATIENT_ATTEMPTS)


def close_attempt(
    attempt: Attempt, update: RunUpdate, state: AttemptState, cause: str | None
) -> Attempt:
    """Return the attempt as the ledger keeps it after its run has ended."""
    return replace(
        attempt,
        state=state,
        run_id=update.run_id or attempt.run_id,
        shape=update.shape,
        started=update.started,
        finished=update.finished,
        exit_code=update.exit_code,
        cause=cause or None,
        usage=update.usage,
    )
