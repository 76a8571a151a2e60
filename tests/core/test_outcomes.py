"""The decisions, as plain tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from optuna.trial import TrialState

from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.limits import Limits, Tally, failure_limit, free_slots, trials_left
from tune_jobs.core.objectives import Reading
from tune_jobs.core.outcomes import MAX_ATTEMPTS, Action, classify_outcome
from tune_jobs.core.recovery import plan_recovery

LIMITS = Limits(n_trials=10, deadline=100.0, max_parallel=4, max_failures=None)
ATTEMPT = Attempt("trial-000003-1", 3, 1, "local", AttemptState.SUBMITTED, Invocation(), 0.0)
GOOD = Reading((0.5,), "", {}, {}, {})
BAD = Reading(None, "metric 'value' was not reported", {}, {}, {})


@pytest.mark.parametrize(
    ("tally", "now", "expected"),
    [
        (Tally(), 0.0, 4),
        (Tally(started=3, live=3), 0.0, 1),
        (Tally(started=4, live=4), 0.0, 0),
        (Tally(), 100.0, 0),
        (Tally(live=6), 0.0, 0),
    ],
)
def test_free_slots(tally: Tally, now: float, expected: int) -> None:
    assert free_slots(LIMITS, tally, now) == expected


def test_free_slots_without_limits() -> None:
    endless = Limits(n_trials=None, deadline=None, max_parallel=4, max_failures=None)
    assert free_slots(endless, Tally(started=10_000, live=1), 1e12) == 3


@pytest.mark.parametrize(("started", "expected"), [(0, 10), (9, 1), (10, 0), (12, 0)])
def test_trials_left(started: int, expected: int) -> None:
    assert trials_left(LIMITS, Tally(started=started)) == expected
    assert trials_left(replace(LIMITS, n_trials=None), Tally(started=started)) is None


@pytest.mark.parametrize(
    ("limits", "tally", "reason"),
    [
        (LIMITS, Tally(failed=4), ""),
        (LIMITS, Tally(failed=5), "the first 5 trials all failed"),
        (LIMITS, Tally(failed=5, pruned=1), ""),
        (LIMITS, Tally(failed=50, ever_complete=True), ""),
        (replace(LIMITS, max_failures=2), Tally(failed=2, ever_complete=True), ""),
        (
            replace(LIMITS, max_failures=2),
            Tally(failed=3, ever_complete=True),
            "3 trials failed, more than max_failures=2",
        ),
    ],
)
def test_giving_up(limits: Limits, tally: Tally, reason: str) -> None:
    assert failure_limit(limits, tally) == reason


@pytest.mark.parametrize(
    ("attempt", "update", "reading", "action", "state"),
    [
        (ATTEMPT, RunUpdate("", RunState.SUCCEEDED), GOOD, Action.FINISH, TrialState.COMPLETE),
        (ATTEMPT, RunUpdate("", RunState.SUCCEEDED), BAD, Action.FINISH, TrialState.FAIL),
        # A script that fails after it has reported its metric has failed.
        (ATTEMPT, RunUpdate("", RunState.FAILED), GOOD, Action.FINISH, TrialState.FAIL),
        (ATTEMPT, RunUpdate("", RunState.FAILED, transient=True), GOOD, Action.RETRY, None),
        (
            replace(ATTEMPT, attempt=MAX_ATTEMPTS),
            RunUpdate("", RunState.FAILED, transient=True),
            GOOD,
            Action.FINISH,
            TrialState.FAIL,
        ),
        (ATTEMPT, RunUpdate("", RunState.LOST), BAD, Action.RETRY, None),
        (ATTEMPT, RunUpdate("", RunState.CANCELED), GOOD, Action.RETRY, None),
        (
            replace(ATTEMPT, state=AttemptState.PRUNING),
            RunUpdate("", RunState.CANCELED),
            GOOD,
            Action.FINISH,
            TrialState.PRUNED,
        ),
    ],
)
def test_judging_a_run_that_has_ended(
    attempt: Attempt,
    update: RunUpdate,
    reading: Reading,
    action: Action,
    state: TrialState | None,
) -> None:
    outcome = classify_outcome(attempt, update, reading)
    assert outcome.action is action
    if state is not None:
        assert outcome.trial_state == state
    assert outcome.attempt_state == update.state.value


def test_recovery_sorts_every_open_attempt_once() -> None:
    def attempt(trial: int, state: AttemptState) -> Attempt:
        return replace(ATTEMPT, name=f"trial-{trial:06d}-1", trial=trial, state=state)

    told = attempt(0, AttemptState.SUBMITTED)
    never_started = attempt(1, AttemptState.INTENDED)
    unacknowledged = attempt(2, AttemptState.INTENDED)
    live = attempt(3, AttemptState.SUBMITTED)
    ended = attempt(4, AttemptState.SUBMITTED)
    vanished = attempt(5, AttemptState.SUBMITTED)
    found = {
        told.name: RunUpdate(told.name, RunState.SUCCEEDED),
        unacknowledged.name: RunUpdate(unacknowledged.name, RunState.IN_PROGRESS),
        live.name: RunUpdate(live.name, RunState.ACCEPTED),
        ended.name: RunUpdate(ended.name, RunState.FAILED),
    }
    everything = [told, never_started, unacknowledged, live, ended, vanished]
    plan = plan_recovery(everything, found, frozenset({0}))
    assert plan.close == [replace(told, state=AttemptState.SUCCEEDED)]
    assert plan.submit == [never_started]
    assert plan.adopt == [(a, found[a.name]) for a in (unacknowledged, live)]
    assert plan.harvest == [(ended, found[ended.name])]
    assert plan.lost == [replace(vanished, state=AttemptState.LOST)]
    assert str(plan) == (
        "2 live runs adopted, 1 ended runs collected, 1 intended runs started, "
        "1 lost runs to be retried"
    )
