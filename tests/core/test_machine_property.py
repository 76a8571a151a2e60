"""The tuning machine, driven by events in any order against a model of the world around it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.core.machine_driver import (
    N_TRIALS,
    SLOTS,
    Driver,
    World,
)
from tune_jobs.core import events as e
from tune_jobs.core.commands import Control
from tune_jobs.core.job_runs import RunState


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
