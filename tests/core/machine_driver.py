"""Drive the tuning machine by events, on a model of the world around it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from optuna.trial import TrialState

from tune_jobs.core import events as e
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation, trial_attempt_name
from tune_jobs.core.best_trials import Result
from tune_jobs.core.budget import Budget
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.limits import Limits
from tune_jobs.core.machine import TuningMachine
from tune_jobs.core.objectives import Reading
from tune_jobs.core.recovery import plan_recovery
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


def drive(machine: TuningMachine, *events: e.Event) -> list[e.Instruction]:
    return [i for event in events for i in machine.handle(event, 0.0)]


def start(machine: TuningMachine, trial: int = 0) -> str:
    """Bring one run to life; return its name."""
    made = attempt(trial)
    drive(machine, e.Suggested(trial), e.Committed((e.Intended(made),)))
    return made.name
