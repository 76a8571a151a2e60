"""What to do next: plain decisions over plain data, without I/O, clock or randomness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from optuna.trial import TrialState

from tune_jobs.backends.base import RunState, RunUpdate
from tune_jobs.controls import Control
from tune_jobs.ledger import Attempt, AttemptState
from tune_jobs.metrics.objective import Reading

MAX_ATTEMPTS = 3
"""Job runs that one trial may have when it fails for reasons outside of the script."""

MAX_PATIENT_ATTEMPTS = 8
"""Job runs that it may have when what it lacked (capacity) may be there later."""

MAX_DELAY = 900.0
"""Seconds between two attempts, at most."""

HOPELESS_AFTER = 5
"""Failed trials after which a study in which nothing ever worked is given up."""


@dataclass(frozen=True)
class Limits:
    """What one call of ``optimize`` may spend.

    Args:
        n_trials: Trials to finish, those adopted from an earlier call included.
        deadline: Time (seconds since the epoch) after which nothing new is started.
        max_parallel: Job runs that may be live at once.
        max_failures: Failed trials after which the tuner gives up.
    """

    n_trials: int | None
    deadline: float | None
    max_parallel: int
    max_failures: int | None


@dataclass(frozen=True)
class Tally:
    """How far one call of ``optimize`` is.

    Args:
        started: Trials that were given a run in this call, adopted ones included.
        live: Job runs that hold a slot.
        complete, pruned, failed: Trials told in this call.
        ever_complete: Whether any trial of the study has a value.
    """

    started: int = 0
    live: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    ever_complete: bool = False

    @property
    def told(self) -> int:
        """Trials that this call has finished."""
        return self.complete + self.pruned + self.failed


def free_slots(limits: Limits, tally: Tally, now: float) -> int:
    """How many new trials to ask for."""
    if limits.deadline is not None and now >= limits.deadline:
        return 0
    free = limits.max_parallel - tally.live
    if limits.n_trials is not None:
        free = min(free, limits.n_trials - tally.started)
    return max(0, free)


def gave_up(limits: Limits, tally: Tally) -> str:
    """The limit that makes going on pointless; empty if none does."""
    if limits.max_failures is not None and tally.failed > limits.max_failures:
        return f"{tally.failed} trials failed, more than max_failures={limits.max_failures}"
    if tally.failed >= HOPELESS_AFTER and not tally.ever_complete and not tally.pruned:
        return f"the first {tally.failed} trials all failed"
    return ""


class End(Enum):
    """How a call ends that was asked to: live runs are let finish, stopped, or left alone."""

    FINISH = "finish"
    CANCEL = "cancel"
    LEAVE = "leave"


@dataclass(frozen=True)
class Orders:
    """What others asked of the owner.

    Args:
        paused: No new trials for now.
        end: No new trials any more, and what becomes of the live runs; None: go on.
    """

    paused: bool = False
    end: End | None = None


def obey(orders: Orders, control: Control) -> Orders:
    """The orders after one more command."""
    match control.command:
        case "pause":
            return replace(orders, paused=True)
        case "resume":
            return replace(orders, paused=False)
        case "stop":
            cancel = control.argument.get("runs") == "cancel"
            return replace(orders, paused=False, end=End.CANCEL if cancel else End.FINISH)
        case "hand_over":
            return replace(orders, end=End.LEAVE)
    return orders


def changed(limits: Limits, control: Control, told_before: int) -> Limits:
    """The limits after a ``set``.

    Args:
        limits: Of this call.
        control: ``max_parallel``, and ``n_trials`` of the whole study.
        told_before: Trials that the study had before this call.
    """
    wanted = control.argument
    if "max_parallel" in wanted:
        limits = replace(limits, max_parallel=int(wanted["max_parallel"]))
    if "n_trials" in wanted:
        limits = replace(limits, n_trials=max(0, int(wanted["n_trials"]) - told_before))
    return limits


class Action(Enum):
    """What to do with an attempt that has ended."""

    TELL = "tell"
    TRY_AGAIN = "try again"


@dataclass(frozen=True)
class Verdict:
    """The decision on an attempt that has ended; ``delay`` in seconds before the next one."""

    action: Action
    ledger_state: AttemptState
    trial_state: TrialState = TrialState.FAIL
    cause: str = ""
    delay: float = 0.0


def judge(attempt: Attempt, update: RunUpdate, reading: Reading) -> Verdict:
    """What an ended job run means for its trial."""
    ended_as = _ledger_state(update.state)
    if attempt.state == AttemptState.PRUNING:
        return Verdict(Action.TELL, ended_as, TrialState.PRUNED, attempt.cause or "pruned")
    if update.state == RunState.SUCCEEDED:
        if reading.values is not None:
            return Verdict(Action.TELL, ended_as, TrialState.COMPLETE)
        return Verdict(Action.TELL, ended_as, TrialState.FAIL, reading.problem)
    if update.state == RunState.CANCELED or update.hopeless or _may_succeed(attempt, update):
        delay = min(MAX_DELAY, update.retry_after * 2 ** (attempt.attempt - 1))
        return Verdict(Action.TRY_AGAIN, ended_as, cause=update.cause, delay=delay)
    return Verdict(Action.TELL, ended_as, TrialState.FAIL, update.cause)


def _may_succeed(attempt: Attempt, update: RunUpdate) -> bool:
    """Whether another attempt is worth it: what went wrong is not the script's doing."""
    limit = MAX_PATIENT_ATTEMPTS if update.retry_after else MAX_ATTEMPTS
    return (update.transient or update.state == RunState.LOST) and attempt.attempt < limit


def _ledger_state(state: RunState) -> AttemptState:
    return AttemptState(state.value)


@dataclass(frozen=True)
class Recovery:
    """What to do with the attempts that an earlier tuner left open.

    Args:
        close: Their trials are finished already; only the ledger does not know.
        submit: Intended, and provably never started: start them now.
        watch: Live: go on as if this tuner had started them.
        harvest: Ended meanwhile.
        lost: Submitted, but the backend knows nothing of them.
        stop: Of those to close, the ones that are live: nobody wants their results any more.
    """

    close: Sequence[Attempt] = ()
    submit: Sequence[Attempt] = ()
    watch: Sequence[Attempt] = ()
    harvest: Sequence[tuple[Attempt, RunUpdate]] = ()
    lost: Sequence[Attempt] = ()
    stop: Sequence[Attempt] = ()

    def __str__(self) -> str:
        parts = [
            (len(self.watch), "live runs adopted"),
            (len(self.harvest), "runs that had ended harvested"),
            (len(self.submit), "intended runs started"),
            (len(self.lost), "lost runs to be run again"),
            (len(self.stop), "runs of finished trials stopped"),
        ]
        return ", ".join(f"{count} {what}" for count, what in parts if count)


def recover(
    open_attempts: Sequence[Attempt],
    found: Mapping[str, RunUpdate],
    finished_trials: frozenset[int],
) -> Recovery:
    """Sort what an earlier tuner left open by what the backend says became of it."""
    close, submit, watch, harvest, lost, stop = [], [], [], [], [], []
    for attempt in open_attempts:
        update = found.get(attempt.name)
        if attempt.trial in finished_trials:
            close.append(attempt)
            if update is not None and not update.state.is_terminal:
                stop.append(attempt)
        elif update is not None and update.state.is_terminal:
            harvest.append((attempt, update))
        elif update is not None:
            watch.append(attempt)
        elif attempt.state == AttemptState.INTENDED:
            submit.append(attempt)
        else:
            lost.append(attempt)
    return Recovery(close, submit, watch, harvest, lost, stop)


def closed(attempt: Attempt, update: RunUpdate, state: AttemptState, cause: str) -> Attempt:
    """The attempt as the ledger keeps it after its run has ended."""
    return replace(
        attempt,
        state=state,
        run_id=update.run_id or attempt.run_id,
        shape=update.shape,
        started=update.started,
        finished=update.finished,
        exit_code=update.exit_code,
        cause=cause or None,
    )
