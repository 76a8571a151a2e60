"""The limits of a call of ``optimize``, and when one of them is reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.best_trials import Result, read_result
from tune_jobs.core.commands import Control
from tune_jobs.core.costs import Amount

MIN_FOR_RATE = 10
"""Finished trials below which ``max_failure_rate`` is not applied."""

ALWAYS_FAILING_AFTER = 5
"""Failed trials after which a study without a single success is given up."""


@dataclass(frozen=True)
class Limits:
    """What one call of ``optimize`` may spend.

    Args:
        n_trials: Trials to finish, those adopted from an earlier call included.
        deadline: Time (seconds since the epoch) after which nothing new is started.
        max_parallel: Job runs that may be live at once.
        max_failures: Failed trials after which the tuner gives up.
        max_failure_rate: Share of failed trials above which it gives up, once `MIN_FOR_RATE`
            trials have finished.
        max_run_hours, max_cost: What all runs of the study and its controllers on OCI may use,
            live ones included.
        target: A value at which the call ends.
        patience: Consecutive candidates (see `core.best_trials`) without a better value after
            which the call ends.
        maximize: Whether larger values are better; for ``target`` and ``patience``.
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
    def on_usage(self) -> bool:
        """Whether run hours or money are limited."""
        return self.max_run_hours is not None or self.max_cost is not None


@dataclass(frozen=True)
class Tally:
    """Progress of one call of ``optimize``.

    Args:
        started: Trials that were given a run in this call, adopted ones included.
        live: Job runs that hold a slot.
        complete, pruned, failed: Trials finished in this call.
        promoted: Finished runs of configurations that were promoted to a larger budget.
        diverged: How many of the failed and pruned trials worked, and had a metric that was not
            finite.
        canceled: How many of the failed trials a person canceled; no limit on failures counts them.
        ever_complete: Whether any trial of the study has a value.
        best: The best value of a study with one objective.
        since_best: Candidates of the study since the best one.
    """

    started: int = 0
    live: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    promoted: int = 0
    diverged: int = 0
    canceled: int = 0
    ever_complete: bool = False
    best: float | None = None
    since_best: int = 0

    @property
    def finished(self) -> int:
        """Trials finished in this call."""
        return self.complete + self.pruned + self.failed

    def with_result(self, result: Result, *, maximize: bool) -> Tally:
        """Return the tally after a result; one that cannot be the best changes nothing."""
        if not result.is_candidate or len(result.values) != 1:
            return self
        value = result.values[0]
        if self.best is None or (value > self.best if maximize else value < self.best):
            return replace(self, best=value, since_best=0)
        return replace(self, since_best=self.since_best + 1)

    def with_trial(
        self,
        state: TrialState,
        *,
        promoted: bool = False,
        diverged: bool = False,
        canceled: bool = False,
    ) -> Tally:
        """Return the tally after a finished trial.

        Args:
            state: The trial's final state.
            promoted: Whether its configuration was counted already, with an earlier trial.
            diverged: Whether its run worked, and had a metric that was not finite.
            canceled: Whether a person canceled it.
        """
        tally = replace(self, diverged=self.diverged + diverged, canceled=self.canceled + canceled)
        if state == TrialState.COMPLETE:
            tally = replace(tally, ever_complete=True)
        if promoted:
            return replace(tally, promoted=tally.promoted + 1)
        match state:
            case TrialState.COMPLETE:
                return replace(tally, complete=tally.complete + 1)
            case TrialState.PRUNED:
                return replace(tally, pruned=tally.pruned + 1)
            case _:
                return replace(tally, failed=tally.failed + 1)


def start_tally(trials: Iterable[FrozenTrial], *, maximize: bool) -> Tally:
    """Return the tally at the start of a call on a study with these trials."""
    tally = Tally()
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.values is not None]
    for trial in sorted(complete, key=lambda t: (t.datetime_complete or datetime.min, t.number)):
        tally = replace(tally, ever_complete=True)
        tally = tally.with_result(read_result(trial), maximize=maximize)
    return tally


def free_slots(limits: Limits, tally: Tally, now: float) -> int:
    """Return how many more runs may be live."""
    if limits.deadline is not None and now >= limits.deadline:
        return 0
    return max(0, limits.max_parallel - tally.live)


def trials_left(limits: Limits, tally: Tally) -> int | None:
    """Return how many trials are still to be started; None without such a limit."""
    return None if limits.n_trials is None else max(0, limits.n_trials - tally.started)


def affordable_runs(limits: Limits, committed: Amount, run: Amount | None) -> int | None:
    """Return how many more runs the limits on hours and money allow; None if any number.

    Args:
        limits: The call's limits.
        committed: What ended runs and controllers have used, and what live runs will have used
            at their end.
        run: What a new run will use; None if unknown, then it is assumed to be affordable as
            long as the limits are not reached.
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
    """Return which limit on hours or money is reached, or an empty string."""
    if limits.max_run_hours is not None and accrued.hours >= limits.max_run_hours:
        return f"max_run_hours={limits.max_run_hours:g} is used up"
    if limits.max_cost is not None and accrued.money >= limits.max_cost:
        return f"max_cost={limits.max_cost:g} is used up"
    return ""


def stopping_reason(limits: Limits, tally: Tally) -> str:
    """Return the reason to stop early, or an empty string."""
    if limits.target is not None and tally.best is not None:
        reached = tally.best >= limits.target if limits.maximize else tally.best <= limits.target
        if reached:
            return f"target={limits.target:g} is reached with {tally.best:g}"
    if limits.patience is not None and tally.since_best >= limits.patience:
        return f"patience={limits.patience}: no better value in the last {tally.since_best} trials"
    return ""


def failure_limit(limits: Limits, tally: Tally) -> str:
    """Return which limit on failures is exceeded, or an empty string."""
    failed = tally.failed - tally.canceled
    if limits.max_failures is not None and failed > limits.max_failures:
        return f"{failed} trials failed, more than max_failures={limits.max_failures}"
    rate = failed / tally.finished if tally.finished >= MIN_FOR_RATE else 0.0
    if limits.max_failure_rate is not None and rate > limits.max_failure_rate:
        return (
            f"{failed} of {tally.finished} trials failed, a higher share than "
            f"max_failure_rate={limits.max_failure_rate:g}"
        )
    works = tally.ever_complete or tally.pruned or tally.diverged
    if failed >= ALWAYS_FAILING_AFTER and not works:
        return f"the first {failed} trials all failed"
    return ""


def always_diverging(tally: Tally) -> bool:
    """Return whether it is time to say that all trials of a study diverge, and none works."""
    others = tally.finished - tally.diverged
    return tally.diverged == ALWAYS_FAILING_AFTER and not others and not tally.ever_complete


def change_limits(limits: Limits, control: Control, finished_before: int) -> Limits:
    """Return the limits after a ``set`` command.

    Args:
        limits: The call's limits.
        control: Holds ``max_parallel``, and ``n_trials`` of the whole study.
        finished_before: Trials that the study had before this call.
    """
    wanted = control.argument
    if "max_parallel" in wanted:
        limits = replace(limits, max_parallel=int(wanted["max_parallel"]))
    if "n_trials" in wanted:
        limits = replace(limits, n_trials=max(0, int(wanted["n_trials"]) - finished_before))
    return limits
