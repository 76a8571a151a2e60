"""The decisions, as plain tables."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.core.best_trials import Result
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.limits import (
    Limits,
    Tally,
    failure_limit,
    free_slots,
    start_tally,
    trials_left,
)
from tune_jobs.core.objectives import Reading
from tune_jobs.core.outcomes import (
    DIVERGED,
    MAX_ATTEMPTS,
    Action,
    Diverged,
    Divergence,
    classify_outcome,
)
from tune_jobs.core.recovery import plan_recovery
from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE

LIMITS = Limits(n_trials=10, deadline=100.0, max_parallel=4, max_failures=None)
ATTEMPT = Attempt("trial-000003-1", 3, 1, "local", AttemptState.SUBMITTED, Invocation(), 0.0)
FINAL = replace(ATTEMPT, name="final-1-1")
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
        (LIMITS, Tally(failed=6, canceled=2), ""),
        (LIMITS, Tally(failed=5, pruned=1), ""),
        # A run that works and diverges is no broken script; only max_failures counts it.
        (LIMITS, Tally(failed=50, diverged=1), ""),
        (
            replace(LIMITS, max_failures=2),
            Tally(failed=3, diverged=3),
            "3 trials failed, more than max_failures=2",
        ),
        (LIMITS, Tally(failed=50, ever_complete=True), ""),  # perhaps in an earlier call
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
        # It ended, or was lost, before it could be stopped.
        *(
            (
                replace(ATTEMPT, state=AttemptState.PRUNING),
                RunUpdate("", ended, transient=ended != RunState.SUCCEEDED),
                GOOD,
                Action.FINISH,
                TrialState.PRUNED,
            )
            for ended in (RunState.SUCCEEDED, RunState.FAILED, RunState.LOST)
        ),
        (
            replace(ATTEMPT, attempt=MAX_ATTEMPTS),
            RunUpdate("", RunState.LOST),
            BAD,
            Action.FINISH,
            TrialState.FAIL,
        ),
        (FINAL, RunUpdate("", RunState.CANCELED), BAD, Action.FINISH, TrialState.FAIL),
        (FINAL, RunUpdate("", RunState.LOST), BAD, Action.RETRY, None),
    ],
)
def test_judging_a_run_that_has_ended(
    attempt: Attempt,
    update: RunUpdate,
    reading: Reading,
    action: Action,
    state: TrialState | None,
) -> None:
    outcome = classify_outcome(attempt, update, reading, Divergence())
    assert outcome.action is action
    if state is not None:
        assert outcome.trial_state == state
    assert outcome.attempt_state == update.state.value


DIVERGING = Reading(None, "metric 'value' was nan", {}, {}, {}, diverged="metric 'value' was nan")


@pytest.mark.parametrize(("option", "state"), [("fail", "FAIL"), ("prune", "PRUNED")])
def test_a_run_that_works_and_diverges(option: Diverged, state: str) -> None:
    outcome = classify_outcome(
        ATTEMPT, RunUpdate("", RunState.SUCCEEDED), DIVERGING, Divergence(option)
    )
    assert (outcome.trial_state.name, outcome.diverged) == (state, True)
    assert outcome.cause == "diverged: metric 'value' was nan"
    # One that was stopped for it, perhaps by an owner that is gone, counts alike.
    stopped = replace(ATTEMPT, state=AttemptState.PRUNING, cause=f"{DIVERGED}it was nan")
    update = RunUpdate("", RunState.CANCELED)
    outcome = classify_outcome(stopped, update, DIVERGING, Divergence(option))
    assert (outcome.trial_state.name, outcome.diverged) == (state, True)


@pytest.mark.parametrize("update", [RunState.FAILED, RunState.LOST])
def test_a_run_that_fails_has_not_diverged(update: RunState) -> None:
    outcome = classify_outcome(ATTEMPT, RunUpdate("", update), DIVERGING, Divergence())
    assert not outcome.diverged


def test_only_candidates_reach_the_target_and_use_up_the_patience() -> None:
    tally = Tally().with_result(Result(0, (0.5,)), maximize=True)
    for number, result in enumerate(
        (
            Result(1, (0.9,), {"size": 1.0}),
            Result(2, (0.9,), {}, {REPLICATE_ATTRIBUTE: 0}),
            Result(3, (float("inf"),)),
            Result(4),
        )
    ):
        tally = tally.with_result(result, maximize=True)
        assert (tally.best, tally.since_best) == (0.5, 0), number
    assert tally.with_result(Result(5, (0.4,)), maximize=True).since_best == 1


def test_the_tally_of_a_study_that_goes_on() -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trial(create_trial(value=0.9, constraints={"size": 1.0}))
    study.add_trial(create_trial(value=0.5))
    study.add_trial(create_trial(value=0.8, user_attrs={REPLICATE_ATTRIBUTE: 1}))
    study.add_trial(create_trial(value=0.4))
    tally = start_tally(study.trials, maximize=True)
    assert (tally.best, tally.since_best, tally.ever_complete) == (0.5, 1, True)


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


@pytest.mark.parametrize(
    ("attempt", "update", "expected"),
    [
        # Its trial is finished, so the result of its run is not needed.
        (replace(ATTEMPT, trial=0), RunUpdate("", RunState.IN_PROGRESS), ["close", "stop"]),
        (replace(ATTEMPT, trial=0), RunUpdate("", RunState.SUCCEEDED), ["close"]),
        (replace(ATTEMPT, trial=0), None, ["close"]),
        # The trial that a final run trains is finished, too.
        (replace(FINAL, trial=0), RunUpdate("", RunState.IN_PROGRESS), ["adopt"]),
        (replace(FINAL, trial=0), RunUpdate("", RunState.SUCCEEDED), ["harvest"]),
        (replace(FINAL, trial=0), RunUpdate("", RunState.CANCELED), ["lost"]),
        (ATTEMPT, RunUpdate("", RunState.CANCELED), ["harvest"]),
        (replace(ATTEMPT, state=AttemptState.INTENDED), None, ["submit"]),
        (ATTEMPT, None, ["lost"]),
        (replace(ATTEMPT, state=AttemptState.PRUNING), None, ["lost"]),
    ],
)
def test_what_recovery_does_with_an_attempt(
    attempt: Attempt, update: RunUpdate | None, expected: list[str]
) -> None:
    found = {} if update is None else {attempt.name: replace(update, name=attempt.name)}
    plan = plan_recovery([attempt], found, frozenset({0}))
    assert [name for name, attempts in vars(plan).items() if attempts] == expected
