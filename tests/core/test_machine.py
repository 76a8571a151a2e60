"""The tuning machine: what it instructs after single events."""

from __future__ import annotations

from dataclasses import replace

from optuna.trial import TrialState

from tests.core.machine_driver import (
    EMPTY,
    GOOD,
    N_TRIALS,
    SLOTS,
    Driver,
    World,
    attempt,
    drive,
    new_machine,
    start,
)
from tune_jobs.core import events as e
from tune_jobs.core.attempts import AttemptState
from tune_jobs.core.commands import Control, End
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.machine import TuningMachine
from tune_jobs.core.objectives import Reading
from tune_jobs.core.outcomes import Divergence
from tune_jobs.core.promotion import Ladder, Promotion
from tune_jobs.core.recovery import Recovery


def test_new_trials_fill_the_free_slots() -> None:
    machine = new_machine()
    assert drive(machine, e.Ticked()) == [e.Suggest()] * SLOTS
    start(machine)
    assert drive(machine, e.Ticked()) == [e.Suggest()] * (SLOTS - 1)


def test_a_run_is_submitted_after_its_commit() -> None:
    machine = new_machine()
    made = attempt(0)
    assert drive(machine, e.Suggested(0)) == [e.Intend(0)]
    assert drive(machine, e.Committed((e.Intended(made),))) == [e.Submit(made)]
    assert drive(machine, e.Submitted(made.name, "id")) == [
        e.RecordSubmission(made.name, "id", 0.0)
    ]


def test_a_pruned_run_is_stopped_after_its_commit() -> None:
    machine = new_machine()
    name = start(machine)
    (recorded,) = drive(machine, e.PruneAdvised(name, 3, 3))
    assert isinstance(recorded, e.RecordPruning)
    assert drive(machine, e.PruneAdvised(name, 4, 4)) == []
    assert drive(machine, e.Committed()) == [e.Cancel(name)]
    ended = RunUpdate(name, RunState.CANCELED)
    finish = drive(machine, e.Seen(name, ended, GOOD))[-1]
    assert isinstance(finish, e.Finish)
    assert (finish.state, finish.attempt.cause) == (TrialState.PRUNED, "pruned at step 3")


def test_a_failure_is_explained_before_it_is_recorded() -> None:
    machine = new_machine()
    name = start(machine)
    failed = RunUpdate(name, RunState.FAILED, cause="exit code 1")
    assert drive(machine, e.Seen(name, failed, EMPTY)) == [
        e.Explain(attempt(0), failed, "exit code 1")
    ]
    finish = drive(machine, e.Explained(name, "exit code 1: no such file"))[-1]
    assert isinstance(finish, e.Finish)
    assert finish.attempt.cause == "exit code 1: no such file"
    assert machine.last_failure == "trial 0: exit code 1: no such file"


def test_a_retry_waits_for_its_delay() -> None:
    machine = new_machine()
    name = start(machine)
    full = RunUpdate(name, RunState.FAILED, transient=True, retry_after=30.0, cause="no capacity")
    close, retry, say = drive(machine, e.Seen(name, full, EMPTY))
    assert isinstance(close, e.Close)
    assert retry == e.Retry(attempt(0))
    assert say == e.Say(f"{name}: no capacity; retrying as trial-000000-2")
    following = e.Intended(attempt(0, 2))
    assert machine.handle(e.Committed((following,)), 0.0) == []
    assert machine.pause(0.0, tick=60.0) == 0.0, "other slots are free"
    assert machine.handle(e.Committed(), 29.0) == []
    assert machine.handle(e.Committed(), 30.0) == [e.Submit(following.attempt)]


def test_a_fatal_failure_is_recorded_for_the_next_call_and_submits_nothing() -> None:
    machine = new_machine()
    name = start(machine)
    refused = RunUpdate(name, RunState.FAILED, fatal=True, cause="no policy")
    drive(machine, e.Seen(name, refused, EMPTY))
    assert machine.fatal == f"{name}: no policy"
    assert drive(machine, e.Committed((e.Intended(attempt(0, 2)),))) == []


def test_a_suggestion_that_has_to_wait_does_not_spin() -> None:
    machine = new_machine()
    name = start(machine)
    drive(machine, e.NotSuggested())
    assert machine.pause(0.0, tick=5.0) == 5.0
    drive(machine, e.Seen(name, RunUpdate(name, RunState.SUCCEEDED), GOOD), e.Committed())
    assert machine.pause(0.0, tick=5.0) == 0.0


def test_a_canceled_trial_fails_and_completes_its_command() -> None:
    machine = new_machine()
    name = start(machine)
    command = e.Requested(Control(7, "cancel", {"trial": 0}))
    assert drive(machine, command) == [e.Cancel(name)]
    assert drive(machine, command) == [], "it is read again until it is completed"
    drive(machine, e.Seen(name, RunUpdate(name, RunState.CANCELED), EMPTY))
    finish = drive(machine, e.Explained(name, "canceled on request"))[-1]
    assert isinstance(finish, e.Finish)
    assert finish.state == TrialState.FAIL
    assert machine.budget.tally.canceled == 1, "no limit on failures counts it"
    assert drive(machine, e.Committed()) == [e.CompleteControl(7)]


def test_a_trial_that_waits_for_another_attempt_is_canceled() -> None:
    machine = new_machine()
    name = start(machine)
    lost = RunUpdate(name, RunState.FAILED, transient=True, retry_after=60.0)
    drive(machine, e.Seen(name, lost, EMPTY), e.Committed((e.Intended(attempt(0, 2)),)))
    assert machine.live == {}
    command = e.Requested(Control(7, "cancel", {"trial": 0}))
    (finish,) = drive(machine, command)
    assert isinstance(finish, e.Finish)
    assert (finish.attempt.name, finish.attempt.state) == (attempt(0, 2).name, "CANCELED")
    assert (finish.state, finish.attempt.cause) == (TrialState.FAIL, "canceled on request")
    assert drive(machine, command) == [], "it is completed with the next commit"
    assert drive(machine, e.Committed()) == [e.CompleteControl(7)]
    assert machine.handle(e.Committed(), 1e9) == [], "nothing is submitted later"


def test_an_interruption_stops_live_runs_and_closes_nothing() -> None:
    machine = new_machine()
    name = start(machine)
    say, cancel = drive(machine, e.Interrupted())
    assert isinstance(say, e.Say)
    assert cancel == e.Cancel(name)
    assert name in machine.live


def test_a_requested_end_starts_nothing_new() -> None:
    machine = new_machine()
    start(machine)
    drive(machine, e.EndRequested(End.FINISH))
    assert drive(machine, e.Ticked()) == []
    assert not machine.is_done(0.0)
    assert drive(machine, e.EndRequested(End.LEAVE)) == []
    assert machine.is_done(0.0)


def diverging(steps: int) -> Reading:
    nan = float("nan")
    values = dict.fromkeys(range(1, steps + 1), nan)
    return Reading(None, "x was nan", values, {}, {"x": nan}, "x was nan", steps)


def start_runs(driver: Driver) -> list[str]:
    driver.handle(e.Ticked())
    driver.commit()
    return list(driver.machine.live)


def test_a_run_that_diverges_is_stopped_only_after_the_decision_is_recorded() -> None:
    driver = Driver(World())
    driver.machine = TuningMachine(driver.machine.budget, divergence=Divergence("fail", steps=3))
    name = start_runs(driver)[0]
    for steps in (1, 2, 3, 4):
        driver.handle(e.Seen(name, RunUpdate(name, RunState.IN_PROGRESS), diverging(steps)))
        assert driver.machine.live[name].is_pruning == (steps >= 3)
        assert driver.pruning == ([name] if steps >= 3 else [])
    driver.commit()
    assert driver.world.runs[name] == RunState.CANCELED
    driver.handle(e.Seen(name, RunUpdate(name, RunState.CANCELED), diverging(4)))
    tally = driver.machine.budget.tally
    assert (tally.failed, tally.pruned, tally.diverged) == (1, 0, 1)
    assert driver.machine.last_failure == "trial 0: diverged: x was nan"


def test_it_is_said_once_that_all_trials_diverge() -> None:
    said = []
    driver = Driver(World())
    driver.machine = new_machine(n_trials=20)
    for _ in range(4):
        for name in start_runs(driver):
            update = RunUpdate(name, RunState.SUCCEEDED)
            seen = driver.machine.handle(e.Seen(name, update, diverging(1)), 0.0)
            said += [i.line for i in seen if isinstance(i, e.Say)]
            for instruction in seen:
                driver.perform(instruction)
    assert driver.machine.budget.tally.failed == 12
    assert not driver.machine.failure
    assert [line.partition(";")[0] for line in said] == ["the first 5 trials all diverged"]


def test_infeasible_configurations_are_promoted_after_all_feasible_ones() -> None:
    promotion = Promotion("epochs", minimum=1, maximum=9, factor=3)
    ladder = Ladder(promotion, maximize=True)
    rung = promotion.first_rung(0)
    for number, (value, violation) in enumerate([(0.9, 5.0), (0.8, 2.0), (0.1, 0.0)]):
        ladder.stand(number, rung, value, violation)
    assert ladder.candidate() == 2
    for number in range(3, 6):
        ladder.stand(number, rung, 0.9, 7.0)
    promoted = [ladder.promote(), ladder.promote()]
    assert [rung and rung.after for rung in promoted] == [2, 1]


def test_runs_that_are_stopped_or_retried_hold_their_slots() -> None:
    machine = new_machine()
    pruned, retried = start(machine, 0), start(machine, 1)
    drive(machine, e.PruneAdvised(pruned, 3, 3), e.Committed())
    assert machine.wanted(0.0) == SLOTS - 2
    full = RunUpdate(retried, RunState.FAILED, transient=True, retry_after=60.0)
    drive(machine, e.Seen(retried, full, EMPTY), e.Committed((e.Intended(attempt(1, 2)),)))
    assert list(machine.live) == [pruned]
    assert machine.wanted(0.0) == SLOTS - 2
    drive(machine, e.Suggested(2))
    assert machine.wanted(0.0) == SLOTS - 3, "not committed yet"


def learn_durations(machine: TuningMachine) -> None:
    """Let a run of ten steps take ten seconds, of which the start took two."""
    name = start(machine, 5)
    running = RunUpdate(name, RunState.IN_PROGRESS, started=2.0)
    ten = replace(GOOD, steps=dict.fromkeys(range(10), 0.5))
    ended = RunUpdate(name, RunState.SUCCEEDED, started=2.0, finished=12.0)
    machine.handle(e.Seen(name, running, EMPTY), 2.0)
    machine.handle(e.Seen(name, ended, ten), 12.0)


def advise(machine: TuningMachine, name: str, began: float, steps: int, now: float) -> list[object]:
    """Report a live run, and advise to prune it."""
    running = RunUpdate(name, RunState.IN_PROGRESS, started=began)
    machine.handle(e.Seen(name, running, EMPTY), now)
    return list(machine.handle(e.PruneAdvised(name, steps, steps), now))


def test_a_run_that_will_end_soon_is_stopped_only_if_it_does_not() -> None:
    machine = new_machine()
    learn_durations(machine)
    name = start(machine, 0)
    assert advise(machine, name, began=0.0, steps=9, now=9.0) == [], "a second is left"
    assert machine.handle(e.Ticked(new_trials=False), 10.9) == []
    (recorded,) = machine.handle(e.Ticked(new_trials=False), 11.1)
    assert isinstance(recorded, e.RecordPruning)
    assert machine.handle(e.Committed(), 11.1) == [e.Cancel(name)]


def test_a_run_with_much_left_to_do_is_stopped_at_once() -> None:
    machine = new_machine()
    learn_durations(machine)
    (recorded,) = advise(machine, start(machine, 0), began=0.0, steps=2, now=2.0)
    assert isinstance(recorded, e.RecordPruning)


def recovered(**plan: object) -> e.Recovered:
    return e.Recovered(Recovery(**plan), {})  # type: ignore[arg-type]


def test_what_an_earlier_owner_decided_to_stop_is_stopped_after_the_commit() -> None:
    machine = new_machine()
    pruned = replace(attempt(0), state=AttemptState.PRUNING)
    late, live = attempt(1), attempt(2)
    adopted = [(a, RunUpdate(a.name, RunState.IN_PROGRESS)) for a in (pruned, live)]
    closed = replace(late, state=AttemptState.LOST)
    answers = drive(machine, recovered(adopt=adopted, close=[closed], stop=[late]))
    assert e.Close(closed) in answers
    assert not any(isinstance(i, e.Cancel) for i in answers)
    assert drive(machine, e.Committed()) == [e.Cancel(pruned.name), e.Cancel(late.name)]


def test_what_an_earlier_owner_left_open_counts_as_started() -> None:
    machine = new_machine()
    states = (RunState.IN_PROGRESS, RunState.SUCCEEDED)
    (live, ended) = [(attempt(n), RunUpdate(attempt(n).name, s)) for n, s in enumerate(states)]
    intended, lost = attempt(2), replace(attempt(3), state=AttemptState.LOST)
    plan = Recovery(adopt=[live], harvest=[ended], submit=[intended], lost=[lost])
    answers = drive(machine, e.Recovered(plan, {}, unrecorded=(4,)))
    assert machine.budget.trials_left == N_TRIALS - 5
    assert [i for i in answers if isinstance(i, e.Retry | e.Intend)] == [e.Retry(lost), e.Intend(4)]
    committed = e.Committed((e.Intended(attempt(3, 2)), e.Intended(attempt(4))))
    submitted = [i.attempt for i in drive(machine, committed) if isinstance(i, e.Submit)]
    assert submitted == [attempt(3, 2), attempt(4), intended], "the same attempt, if intended"
