"""What to do next: plain decisions over plain data, without I/O, clock or randomness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.commands import Control
from tune_jobs.core.costs import Amount
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.objectives import Reading

MAX_ATTEMPTS = 3
"""Job runs that one trial may have when it fails for reasons outside of the script."""

MAX_PATIENT_ATTEMPTS = 8
"""Job runs that it may have when what it lacked (capacity) may be there later."""

MAX_DELAY = 900.0
"""Seconds between two attempts, at most."""

MIN_FOR_RATE = 10
"""Trials from which on a rate of failures says something."""

ALWAYS_FAILING_AFTER = 5
"""Failed trials after which a study in which nothing ever worked is given up."""


@dataclass(frozen=True)
class Limits:
    """What one call of ``optimize`` may spend.

    Args:
        n_trials: Trials to finish, those adopted from an earlier call included.
        deadline: Time (seconds since the epoch) after which nothing new is started.
        max_parallel: Job runs that may be live at once.
        max_failures: Failed trials after which the tuner gives up.
        max_failure_rate: Their share of the trials, from `MIN_FOR_RATE` on, likewise.
        max_run_hours, max_cost: What all runs of the study may use, live ones included.
        target: The value that is good enough.
        patience: Trials in a row without a better value, after which no more are started.
        maximize: Whether more is better; for the last two.
    """

    n_trials: int | None
    deadline: float | None
    max_parallel: int
    max_failures: int | None = None
    max_failure_rate: float | None = None
    max_run_hours: float | None = None
    max_cost: float | None = None
    target: float | None = None
    patience: int | None = None
    maximize: bool = False

    @property
    def of_money(self) -> bool:
        """Whether what runs use is limited."""
        return self.max_run_hours is not None or self.max_cost is not None


@dataclass(frozen=True)
class Tally:
    """How far one call of ``optimize`` is.

    Args:
        started: Trials that were given a run in this call, adopted ones included.
        live: Job runs that hold a slot.
        complete, pruned, failed: Trials told in this call.
        promoted: Runs told of configurations that went on with a larger budget.
        ever_complete: Whether any trial of the study has a value.
        best: The best value of the study, if it has one objective.
        since_best: Trials of the study with a value that were told after the best one.
    """

    started: int = 0
    live: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    promoted: int = 0
    ever_complete: bool = False
    best: float | None = None
    since_best: int = 0

    @property
    def told(self) -> int:
        """Trials that this call has finished."""
        return self.complete + self.pruned + self.failed

    def with_value(self, value: float, *, maximize: bool) -> Tally:
        """After a trial with a value was told."""
        if self.best is None or (value > self.best if maximize else value < self.best):
            return replace(self, best=value, since_best=0)
        return replace(self, since_best=self.since_best + 1)


def start_tally(trials: Iterable[FrozenTrial], *, maximize: bool) -> Tally:
    """Where a call begins, on a study that has trials already."""
    tally = Tally()
    done = [t for t in trials if t.state == TrialState.COMPLETE and t.values is not None]
    for trial in sorted(done, key=lambda t: (t.datetime_complete or datetime.min, t.number)):
        tally = replace(tally, ever_complete=True)
        if len(trial.values) == 1:
            tally = tally.with_value(trial.values[0], maximize=maximize)
    return tally


def counted(tally: Tally, state: TrialState, *, going_on: bool) -> Tally:
    """After a trial was told; ``going_on``: its configuration was counted with an earlier one."""
    if state == TrialState.COMPLETE:
        tally = replace(tally, ever_complete=True)
    if going_on:
        return replace(tally, promoted=tally.promoted + 1)
    match state:
        case TrialState.COMPLETE:
            return replace(tally, complete=tally.complete + 1)
        case TrialState.PRUNED:
            return replace(tally, pruned=tally.pruned + 1)
        case _:
            return replace(tally, failed=tally.failed + 1)


def free_slots(limits: Limits, tally: Tally, now: float) -> int:
    """How many runs there is room for."""
    if limits.deadline is not None and now >= limits.deadline:
        return 0
    return max(0, limits.max_parallel - tally.live)


def trials_left(limits: Limits, tally: Tally) -> int | None:
    """How many trials are still to be started; None: as many as there is time for."""
    return None if limits.n_trials is None else max(0, limits.n_trials - tally.started)


def affordable_runs(limits: Limits, committed: Amount, run: Amount | None) -> int | None:
    """How many more runs the limits on hours and money allow; None: any number.

    Args:
        limits: Of the call.
        committed: What was spent, and what live runs will have used at their end.
        run: What a new run will use; None: not known, so nothing but what is used up counts.
    """
    room = None
    for limit, used, one in (
        (limits.max_run_hours, committed.hours, run and run.hours),
        (limits.max_cost, committed.money, run and run.money),
    ):
        if limit is None:
            continue
        if used >= limit:
            return 0
        if one:
            fits = int((limit - used) / one)
            room = fits if room is None else min(room, fits)
    return room


def exhausted_budget(limits: Limits, accrued: Amount) -> str:
    """The limit on hours or money that is reached; empty if none is."""
    if limits.max_run_hours is not None and accrued.hours >= limits.max_run_hours:
        return f"max_run_hours={limits.max_run_hours:g} is used up"
    if limits.max_cost is not None and accrued.money >= limits.max_cost:
        return f"max_cost={limits.max_cost:g} is used up"
    return ""


def stopping_reason(limits: Limits, tally: Tally) -> str:
    """Why nothing more need be tried; empty if it need."""
    if limits.target is not None and tally.best is not None:
        reached = tally.best >= limits.target if limits.maximize else tally.best <= limits.target
        if reached:
            return f"target={limits.target:g} is reached with {tally.best:g}"
    if limits.patience is not None and tally.since_best >= limits.patience:
        return f"patience={limits.patience}: no better value in the last {tally.since_best} trials"
    return ""


def worth_stopping(seconds_left: float | None, overhead: float) -> bool:
    """Whether stopping a run that is to be pruned saves anything.

    A run that would end before another one could be in its place is left alone.

    Args:
        seconds_left: Of the run; None: nobody knows.
        overhead: Seconds to stop it and to have another one started.
    """
    return seconds_left is None or seconds_left > overhead


def failure_limit(limits: Limits, tally: Tally) -> str:
    """The limit that makes going on pointless; empty if none does."""
    if limits.max_failures is not None and tally.failed > limits.max_failures:
        return f"{tally.failed} trials failed, more than max_failures={limits.max_failures}"
    rate = tally.failed / tally.told if tally.told >= MIN_FOR_RATE else 0.0
    if limits.max_failure_rate is not None and rate > limits.max_failure_rate:
        return (
            f"{tally.failed} of {tally.told} trials failed, a higher share than "
            f"max_failure_rate={limits.max_failure_rate:g}"
        )
    if tally.failed >= ALWAYS_FAILING_AFTER and not tally.ever_complete and not tally.pruned:
        return f"the first {tally.failed} trials all failed"
    return ""


class End(Enum):
    """How a call ends that was asked to: live runs are let finish, stopped, or left alone."""

    FINISH = "finish"
    CANCEL = "cancel"
    LEAVE = "leave"


@dataclass(frozen=True)
class ControlState:
    """What others asked of the owner.

    Args:
        paused: No new trials for now.
        end: No new trials any more, and what becomes of the live runs; None: go on.
    """

    paused: bool = False
    end: End | None = None


def apply_control(orders: ControlState, control: Control) -> ControlState:
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
    RETRY = "try again"


@dataclass(frozen=True)
class Outcome:
    """The decision on an attempt that has ended; ``delay`` in seconds before the next one."""

    action: Action
    ledger_state: AttemptState
    trial_state: TrialState = TrialState.FAIL
    cause: str = ""
    delay: float = 0.0


def classify_outcome(attempt: Attempt, update: RunUpdate, reading: Reading) -> Outcome:
    """What an ended job run means for its trial."""
    ended_as = _ledger_state(update.state)
    if attempt.state == AttemptState.PRUNING:
        return Outcome(Action.TELL, ended_as, TrialState.PRUNED, attempt.cause or "pruned")
    if update.state == RunState.SUCCEEDED:
        if reading.values is not None:
            return Outcome(Action.TELL, ended_as, TrialState.COMPLETE)
        return Outcome(Action.TELL, ended_as, TrialState.FAIL, reading.problem)
    if update.state == RunState.CANCELED or update.fatal or _may_succeed(attempt, update):
        delay = min(MAX_DELAY, update.retry_after * 2 ** (attempt.attempt - 1))
        return Outcome(Action.RETRY, ended_as, cause=update.cause, delay=delay)
    return Outcome(Action.TELL, ended_as, TrialState.FAIL, update.cause)


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
        close: Their trials are finished already; only the ledger does not know. As they ended.
        submit: Intended, and provably never started: start them now.
        watch: Live: go on as if this tuner had started them.
        harvest: Ended meanwhile.
        lost: Submitted, but the backend knows nothing of them.
        stop: Of those to close, the ones that are live: nobody wants their results any more.
    """

    close: Sequence[Attempt] = ()
    submit: Sequence[Attempt] = ()
    watch: Sequence[tuple[Attempt, RunUpdate]] = ()
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
            close.append(_closed_late(attempt, update))
            if update is not None and not update.state.is_terminal:
                stop.append(attempt)
        elif update is not None and update.state.is_terminal:
            harvest.append((attempt, update))
        elif update is not None:
            watch.append((attempt, update))
        elif attempt.state == AttemptState.INTENDED:
            submit.append(attempt)
        else:
            lost.append(attempt)
    return Recovery(close, submit, watch, harvest, lost, stop)


def _closed_late(attempt: Attempt, update: RunUpdate | None) -> Attempt:
    if update is None or not update.state.is_terminal:
        return replace(attempt, state=AttemptState.LOST)
    cause = (attempt.cause if attempt.state == AttemptState.PRUNING else None) or update.cause
    return closed(attempt, update, _ledger_state(update.state), cause)


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
