"""What to do with the attempts that an earlier tuner left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.outcomes import close_attempt


@dataclass(frozen=True)
class Recovery:
    """Open attempts, sorted by what the backend knows of them.

    Args:
        close: Attempts of finished trials, as they ended: only the ledger has to be corrected.
        submit: Intended and never started: to be submitted now.
        adopt: Live runs.
        harvest: Runs that have ended meanwhile.
        lost: To be retried: submitted but unknown to the backend, or interrupted.
        stop: The live ones among ``close``: their results are not needed.
    """

    close: Sequence[Attempt] = ()
    submit: Sequence[Attempt] = ()
    adopt: Sequence[tuple[Attempt, RunUpdate]] = ()
    harvest: Sequence[tuple[Attempt, RunUpdate]] = ()
    lost: Sequence[Attempt] = ()
    stop: Sequence[Attempt] = ()

    def __str__(self) -> str:
        parts = [
            (len(self.adopt), "live runs adopted"),
            (len(self.harvest), "ended runs collected"),
            (len(self.submit), "intended runs started"),
            (len(self.lost), "lost runs to be retried"),
            (len(self.stop), "runs of finished trials stopped"),
        ]
        return ", ".join(f"{count} {what}" for count, what in parts if count)


def plan_recovery(
    open_attempts: Sequence[Attempt],
    found: Mapping[str, RunUpdate],
    finished_trials: frozenset[int],
) -> Recovery:
    """Sort the attempts that an earlier tuner left open.

    Args:
        open_attempts: Attempts whose end is not recorded.
        found: What the backend knows of their runs, by name; a run that was never started is
            absent.
        finished_trials: Numbers of the trials that Optuna has a result of.
    """
    close, submit, adopt, harvest, lost, stop = [], [], [], [], [], []
    for attempt in open_attempts:
        update = found.get(attempt.name)
        if attempt.trial in finished_trials and not attempt.is_final:
            close.append(_close_late(attempt, update))
            if update is not None and not update.state.is_terminal:
                stop.append(attempt)
        elif update is not None and _was_interrupted(attempt, update):
            lost.append(close_attempt(attempt, update, AttemptState.CANCELED, "interrupted"))
        elif update is not None and update.state.is_terminal:
            harvest.append((attempt, update))
        elif update is not None:
            adopt.append((attempt, update))
        elif attempt.state == AttemptState.INTENDED:
            submit.append(attempt)
        else:
            lost.append(replace(attempt, state=AttemptState.LOST))
    return Recovery(close, submit, adopt, harvest, lost, stop)


def _was_interrupted(attempt: Attempt, update: RunUpdate) -> bool:
    """Return whether a final run was canceled with the call that started it."""
    return attempt.is_final and update.state == RunState.CANCELED


def _close_late(attempt: Attempt, update: RunUpdate | None) -> Attempt:
    """Close the attempt of a finished trial."""
    if update is None or not update.state.is_terminal:
        return replace(attempt, state=AttemptState.LOST)
    cause = (attempt.cause if attempt.is_pruning else None) or update.cause
    return close_attempt(attempt, update, AttemptState(update.state.value), cause)
