"""The tuning machine, driven by events in any order against a model of the world around it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from optuna.trial import TrialState

from tune_jobs.core import events as e
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation, trial_attempt_name
from tune_jobs.core.best_trials import Result
from tune_jobs.core.budget import Budget
from tune_jobs.core.commands import Control, End
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.limits import Limits
from tune_jobs.core.machine import TuningMachine
from tune_jobs.core.objectives import Reading
from tune_jobs.core.outcomes import Divergence
from tune_jobs.core.promotion import Ladder, Promotion
from tune_jobs.core.recovery import Recovery, plan_recovery
from tune_jobs.core.usage import RunStatistics

N_TRIALS, SLOTS = 6, 3
EMPTY = Reading(None, "metric 'value' was not reported", {}, {}, {})
GOOD = Reading((0.5,), "", {1: 0.5}, {}, {"value": 0.5})


def new_machine(**limits: object) -> TuningMachine:
    given = Limits(n_trials=N_TRIALS, deadline=None, max_parallel=SLOTS)
    return TuningMachine(Budget(replace(given, **limits), RunStatistics({})), "test")  # type: ignore[arg-type]


def attempt(trial: int, number: int = 1) -> Attempt:
    name = trial_attempt_name(trial, number)
    return Attempt(name, trial, number, "test", AttemptState.INTENDED, Invocation(), 0.0)


@dataclass
class World:
    """A study, its ledger and a service, as far as the machine has to do with them."""

    open: dict[str, Attempt] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    submitted: Counter[str] = field(default_factory=Counter)
    finished: Counter[int] = field(default_factory=Counter)
    trials: int = 0
    recorded_pruning: set[str] = field(default_factory=set)


class Driver:
    """Carries out instructions as the engine does, on a `World`."""

    def __init__(self, world: World) -> None:
        self.world, self.machine = world, new_machine()
        self.now = 0.0
        self.intents: list[e.Intend | e.Retry] = []
        self.to_close: list[str] = []
        self.to_finish: list[int] = []
        self.pruning: list[str] = []
        self.requested: set[str] = set()
        self.updates: dict[str, RunUpdate] = {}

    def handle(self, event: e.Event) -> None:
        pending = self.machine.handle(event, self.now)
        while pending:
            answer = self.perform(pending.pop(0))
            if answer is not None:
                pending = [*self.machine.handle(answer, self.now), *pending]

    def perform(self, instruction: e.Instruction) -> e.Event | None:
        world = self.world
        match instruction:
            case e.Suggest():
                world.trials += 1
                return e.Suggested(world.trials - 1)
            case e.Explain(subject, _, cause):
                return e.Explained(subject.name, cause)
            case e.Intend() | e.Retry():
                self.intents.append(instruction)
            case e.Close(closed):
                self.to_close.append(closed.name)
            case e.Finish(closed):
                self.to_close.append(closed.name)
                assert closed.trial is not None
                self.to_finish.append(closed.trial)
                complete = instruction.state == TrialState.COMPLETE
                values = (instruction.reading.values or ()) if complete else ()
                return e.Finished(instruction, (closed,), Result(closed.trial, values))
            case e.RecordPruning(decided):
                self.pruning.append(decided.name)
            case e.Submit(subject):
                assert subject.name in world.open, "submitted before it was recorded"
                world.submitted[subject.name] += 1
                world.runs.setdefault(subject.name, RunState.IN_PROGRESS)
                return e.Submitted(subject.name, f"id-{subject.name}")
            case e.Cancel(name):
                pruned = self.machine.live.get(name, attempt(0)).is_pruning
                if pruned and name not in self.requested:  # a command is durable already
                    assert name in world.recorded_pruning, "stopped before it was recorded"
                if not world.runs[name].is_terminal:
                    world.runs[name] = RunState.CANCELED
            case e.Track(_, update):
                self.updates[update.name] = update
            case _:
                pass
        return None

    def commit(self) -> None:
        world = self.world
        intended = []
        for intent in self.intents:
            made = (
                attempt(intent.ticket)
                if isinstance(intent, e.Intend)
                else attempt(intent.attempt.trial or 0, intent.attempt.attempt + 1)
            )
            world.open[made.name] = made
            intended.append(e.Intended(made))
        for name in self.pruning:
            world.open[name] = replace(world.open[name], state=AttemptState.PRUNING, cause="pruned")
        for name in self.to_close:
            del world.open[name]
        world.finished.update(self.to_finish)
        world.recorded_pruning.update(self.pruning)
        self.intents, self.to_close, self.to_finish, self.pruning = [], [], [], []
        self.handle(e.Committed(tuple(intended)))

    def recover(self) -> None:
        world = self.world
        found = {n: RunUpdate(n, s) for n, s in world.runs.items() if n in world.open}
        plan = plan_recovery(list(world.open.values()), found, frozenset(world.finished))
        known = {a.trial for a in world.open.values()} | set(world.finished)
        unrecorded = tuple(n for n in range(world.trials) if n not in known)
        self.machine.budget.limits = replace(
            self.machine.budget.limits, n_trials=max(0, N_TRIALS - len(world.finished))
        )
        self.handle(e.Recovered(plan, {}, unrecorded))
        self.commit()

    def see(self, name: str) -> None:
        state = self.world.runs[name]
        reading = GOOD if state == RunState.SUCCEEDED else EMPTY
        update = RunUpdate(name, state, f"id-{name}", transient=state == RunState.FAILED)
        self.handle(e.Seen(name, update, reading))


class Machine(RuleBasedStateMachine):
    """Events in any order; kills between any two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.driver = Driver(self.world)

    @rule(seconds=st.floats(0.0, 1000.0))
    def turn(self, seconds: float) -> None:
        self.driver.now += seconds
        self.driver.handle(e.Ticked())
        self.driver.commit()

    @rule()
    def turn_without_its_commit(self) -> None:
        self.driver.handle(e.Ticked())

    @precondition(lambda self: self.driver.machine.live)
    @rule(data=st.data(), state=st.sampled_from(["SUCCEEDED", "SUCCEEDED", "FAILED", "CANCELED"]))
    def run_ends(self, data: st.DataObject, state: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.driver.machine.live)))
        if not self.world.runs[name].is_terminal:
            last = int(name.rpartition("-")[2]) >= 3  # trouble ends, or the trial rightly fails
            self.world.runs[name] = RunState.SUCCEEDED if last else RunState(state)
        self.driver.see(name)
        self.driver.see(name)  # a second observation changes nothing

    @precondition(lambda self: self.driver.machine.live)
    @rule(data=st.data())
    def pruner_advises(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.driver.machine.live)))
        self.driver.see(name)
        self.driver.handle(e.PruneAdvised(name, 1, 1))

    @rule()
    def killed(self) -> None:
        """The process dies: what it had not committed never happened."""
        lost = {i.ticket for i in self.driver.intents if isinstance(i, e.Intend)}
        if lost == set(range(self.world.trials - len(lost), self.world.trials)):
            self.world.trials -= len(lost)
        self.driver = Driver(self.world)
        self.driver.recover()

    @rule(number=st.integers(0, N_TRIALS))
    def cancel_requested(self, number: int) -> None:
        live = self.driver.machine.live.values()
        self.driver.requested |= {a.name for a in live if a.trial == number}
        self.driver.handle(e.Requested(Control(1, "cancel", {"trial": number})))

    @invariant()
    def slots_are_respected(self) -> None:
        assert len(self.driver.machine.live) <= SLOTS

    @invariant()
    def nothing_happens_twice(self) -> None:
        assert set(self.world.finished.values()) <= {1}
        submitted = {name.rpartition("-")[0] for name in self.world.submitted}
        assert len(submitted) <= self.world.trials

    def teardown(self) -> None:
        """Left alone, the call ends with every trial finished and nothing open."""
        self.driver.commit()
        for _ in range(60):
            for name in list(self.driver.machine.live):
                if not self.world.runs[name].is_terminal:
                    self.world.runs[name] = RunState.SUCCEEDED
                self.driver.see(name)
            self.driver.now += 1000.0
            self.driver.handle(e.Ticked())
            self.driver.commit()
            if self.driver.machine.is_done(self.driver.now):
                break
        assert self.driver.machine.is_done(self.driver.now)
        assert not self.driver.machine.live
        assert not self.world.open
        assert len(self.world.finished) == N_TRIALS


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase


def drive(machine: TuningMachine, *events: e.Event) -> list[e.Instruction]:
    return [i for event in events for i in machine.handle(event, 0.0)]


def start(machine: TuningMachine, trial: int = 0) -> str:
    """Bring one run to life; return its name."""
    made = attempt(trial)
    drive(machine, e.Suggested(trial), e.Committed((e.Intended(made),)))
    return made.name


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
