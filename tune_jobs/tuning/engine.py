"""Drives a tuning machine: waits for news, commits a turn, carries out its effects.

One turn:

    wait      for what happens to the live runs: one call for all of them
    decide    the machine answers events with instructions (`core.machine`)
    commit    one transaction: results for Optuna, new trials, and the intention to run them
    act       only now runs are started, and those that are not worth finishing are stopped

Whatever kills the process between two of these, the next owner finds in the ledger what was
intended and asks the backend for the rest (`recover`).
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tune_jobs.core import events as e
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.commands import End
from tune_jobs.core.machine import TuningMachine
from tune_jobs.core.observations import Observation
from tune_jobs.core.promotion import Rung
from tune_jobs.core.recovery import plan_recovery
from tune_jobs.errors import BackendError, MachineTrouble, StoreError, TuningStopped
from tune_jobs.storage.lease import LeaseLost
from tune_jobs.tuning.interruption import Interruption
from tune_jobs.tuning.session import RunSession
from tune_jobs.tuning.step_hints import explain_unread_step
from tune_jobs.tuning.tracker import LOG_TAIL
from tune_jobs.tuning.trials import Trials

if TYPE_CHECKING:
    from sqlalchemy import Connection

TICK = 0.5
"""Longest pause between two looks at runs that are being stopped, in seconds."""

STOP_SECONDS = 15.0
"""Seconds to wait for the end of live runs when a call ends early."""


@dataclass
class _Turn:
    """What a turn has decided and not committed yet."""

    intents: list[e.Intend | e.Retry] = field(default_factory=list)
    closed: list[Attempt] = field(default_factory=list)
    pruning: list[Attempt] = field(default_factory=list)
    submitted: list[e.RecordSubmission] = field(default_factory=list)
    # Only for people: waits for a transaction that is needed anyway.
    started: list[e.RecordStart] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.intents or self.closed or self.pruning or self.submitted)


class Engine:
    """Runs one call of ``optimize``, ``objective`` or ``train_best``.

    Args:
        session: The open study, owned by this process.
        machine: Decides.
        trials: Where trials come from, and where their results go.
        on_turn: Called after each turn.
        on_finished: Called with the number of each finished trial, after its commit.
    """

    def __init__(
        self,
        session: RunSession,
        machine: TuningMachine,
        trials: Trials,
        *,
        on_turn: Callable[[], None] = lambda: None,
        on_finished: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.machine = machine
        self._session, self._trials = session, trials
        self._on_turn, self._on_finished = on_turn, on_finished
        self._clock = session.clock
        self._intervals = session.lease.intervals
        self._turn = _Turn()
        self._has_seen_steps = False
        self._posted: SimpleQueue[e.Event] = SimpleQueue()
        self.interruption = Interruption(lambda: session.retry.is_stalled)
        session.retry.is_interrupted = lambda: self.interruption.asked
        # Other processes live by the real clock.
        self._next_sync = self._next_control = time.monotonic()

    # -- a call ---------------------------------------------------------------------------------

    def run(self, begin: Callable[[], None]) -> None:
        """Take turns until the machine is done.

        Args:
            begin: Recovers what an earlier call left open, and starts what the call is for.

        Raises:
            TuningStopped: If a limit on failures is exceeded; live runs are stopped.
            BackendError: If no run can be started or watched now; live runs continue.
            StoreError: If the store cannot be read; live runs continue.
            LeaseLost: If another process has taken the study over; its live runs are left alone.
            KeyboardInterrupt: If interrupted; live runs are stopped, or left to the next call (see
                `leave_on_termination`).
        """
        with self.interruption:
            try:
                begin()
                while not self.is_done():
                    self.turn()
            except (KeyboardInterrupt, SystemExit, TuningStopped):
                if self.interruption.leaves:
                    self._leave_runs(KeyboardInterrupt())
                elif not self._session.is_inherited:
                    self.stop_runs()
                raise
            except BaseException as error:
                self._leave_runs(error)
                raise
        if self.machine.control.end is End.CANCEL:
            self.stop_runs()

    def _leave_runs(self, error: BaseException) -> None:
        """Say that live runs continue: what is paid for is stopped on purpose only."""
        live, session = len(self.machine.live), self._session
        is_said = isinstance(error, (MachineTrouble, LeaseLost)) or session.is_inherited
        if live and session.ledger.durable and not is_said:
            runs = "1 live job run continues" if live == 1 else f"{live} live job runs continue"
            session.messages.warn(f"{runs}; the next call adopts what is live then")

    def post(self, event: e.Event) -> None:
        """Give an event to the machine in its next turn; from any thread."""
        self._posted.put(event)

    def is_done(self) -> bool:
        """Return whether the call has nothing more to do."""
        return self.machine.is_done(self._clock())

    def turn(self) -> None:
        """Take one turn.

        Raises:
            KeyboardInterrupt, TuningStopped, BackendError, LeaseLost: See `run`.
        """
        tick = self._session.spec.backend.tick
        self.take(self.wait(self.machine.pause(self._clock(), tick)))
        self._on_turn()
        if self.interruption.asked:
            raise KeyboardInterrupt
        if failure := self.machine.failure:
            raise TuningStopped(failure)

    def wait(self, timeout: float) -> list[Observation]:
        """Return what happens to the live runs within ``timeout`` seconds."""
        return self._session.runs.wait(timeout)

    def take(self, observations: Sequence[Observation]) -> None:
        """Decide on observations and the time, commit and act."""
        for observation in observations:
            self._observe(observation)
        while not self._posted.empty():
            self.handle(self._posted.get())
        if reason := self._trials.exhausted:
            self.handle(e.SpaceExhausted(reason))
        self.handle(e.Ticked(new_trials=not self.interruption.asked))
        self.commit()
        self._look_around()

    def _observe(self, observation: Observation) -> None:
        reading = self._session.spec.objectives.read(observation.records)
        self.handle(e.Seen(observation.name, observation.update, reading))

    def stop_runs(self) -> None:
        """Stop what is live; its attempts stay open, so that the next call retries them."""
        give_up_at = self._clock() + STOP_SECONDS
        with contextlib.suppress(BackendError):  # the next call asks for their end
            self.handle(e.Interrupted())
            while self._session.runs.live and self._clock() < give_up_at:
                self._session.runs.wait(TICK)

    # -- decide ---------------------------------------------------------------------------------

    def handle(self, event: e.Event) -> None:
        """Give an event to the machine and carry out its instructions, and those they lead to."""
        pending = deque(self.machine.handle(event, self._clock()))
        while pending:
            answer = self.perform(pending.popleft())
            if isinstance(answer, e.NotSuggested):
                pending = deque(i for i in pending if not isinstance(i, e.Suggest))
            if answer is not None:
                pending.extendleft(reversed(self.machine.handle(answer, self._clock())))

    def perform(self, instruction: e.Instruction) -> e.Event | None:
        """Carry out an instruction, or note it for the commit; return its answer."""
        match instruction:
            case e.Suggest() | e.Promote() | e.Report() | e.Explain():
                return self._ask(instruction)
            case e.Intend() | e.Retry():
                self._turn.intents.append(instruction)
            case e.Finish():
                finished = self._trials.finish(instruction)
                self._turn.closed += finished.closed
                self._check_steps(instruction)
                return finished
            case e.Close(attempt):
                self._turn.closed.append(attempt)
            case e.RecordPruning(attempt):
                self._turn.pruning.append(attempt)
            case e.RecordSubmission():
                self._turn.submitted.append(instruction)
            case e.RecordStart():
                self._turn.started.append(instruction)
            case e.Say(line):
                self._session.messages.say(line)
            case _:
                return self._act(instruction)
        return None

    def _ask(self, instruction: e.Suggest | e.Promote | e.Report | e.Explain) -> e.Event | None:
        """Ask the sampler, the pruner, or the log."""
        match instruction:
            case e.Suggest():
                ticket = self._trials.suggest()
                return e.Suggested(ticket) if isinstance(ticket, int) else ticket
            case e.Promote(rung):
                return e.Suggested(self._trials.promote(rung), promoted=True)
            case e.Report(attempt, reading):
                step = self._trials.report(instruction)
                if step is not None:
                    return e.PruneAdvised(attempt.name, step, len(reading.steps))
                return None
            case e.Explain(attempt, update, cause):
                find_hint = partial(self._session.find_hint, attempt, cause)
                explain, sources = self._session.runs.explain, self._session.spec.sources
                return e.Explained(attempt.name, explain(update, cause, sources, find_hint))

    def _check_steps(self, finish: e.Finish) -> None:
        """Say why no step is found; of the first run only, since the others are of its script."""
        step = self._session.spec.sources.step
        if step is None or self._has_seen_steps or not finish.reading.steps:
            return
        self._has_seen_steps = True
        if finish.reading.is_counted:
            with contextlib.suppress(StoreError):
                log = self._session.store.log(finish.attempt.name, LOG_TAIL)
                why = explain_unread_step(log.encode(), step)
                name = finish.attempt.name
                self._session.messages.say(
                    f"the values of {name} have no steps and are counted from 0: {why}"
                )

    # -- commit and act -------------------------------------------------------------------------

    def commit(self) -> None:
        """Write the turn, if there is anything to write; then act."""
        committed = self.write()
        if self.machine.fatal:
            kind = MachineTrouble if self.machine.in_trouble else BackendError
            raise kind(self.machine.fatal)
        self._session.verify()
        self.handle(committed)
        for number in self._trials.take_finished():
            self._on_finished(number)

    def write(self) -> e.Committed:
        """Write the turn in one transaction."""
        turn = self._turn
        if not turn and not self._trials.has_changes:
            self._session.renew()
            return e.Committed()
        committed = self._trials.commit(turn.intents, partial(self._write_ledger, turn))
        self._turn = _Turn()
        return committed

    def _write_ledger(
        self, turn: _Turn, intended: Sequence[e.Intended], connection: Connection | None
    ) -> None:
        """Write the ledger's part of the turn's transaction."""
        ledger = self._session.ledger
        ledger.record_submitted(connection, [(s.name, s.run_id, s.at) for s in turn.submitted])
        ledger.record_started(connection, [(s.name, s.at) for s in turn.started])
        ledger.record_pruning(connection, turn.pruning)
        ledger.record_ended(connection, turn.closed, self._clock())
        ledger.record_intended(connection, [i.attempt for i in intended])

    def _act(self, instruction: e.Instruction) -> e.Event | None:
        """Carry out an effect outside of this process."""
        session = self._session
        match instruction:
            case e.Submit(attempt):
                session.messages.detail(partial(_describe_start, attempt))
                run_id = session.runs.submit(attempt)
                return None if run_id is None else e.Submitted(attempt.name, run_id)
            case e.Track(_, update):
                session.runs.track(update)
            case e.Cancel(name):
                session.runs.cancel(name)
            case e.CompleteControl(control_id):
                session.retry.call(partial(session.controls.mark_done, control_id))
            case e.RemoveCheckpoints(trials):
                names = [name for number in trials for name in self._trials.attempts_of(number)]
                session.store.remove_checkpoints(names)
        return None

    def _look_around(self) -> None:
        """Look for trials and commands of other processes."""
        now = time.monotonic()
        if now >= self._next_sync:
            self._next_sync = now + self._intervals.trials
            self._trials.sync()
        if now >= self._next_control:
            self._next_control = now + self._intervals.commands
            for control in self._session.retry.call(self._session.controls.read_pending):
                if control.command == "set":
                    self._session.ledger.write_limits(control.argument)
                self.handle(e.Requested(control))

    # -- recover --------------------------------------------------------------------------------

    def recover(
        self,
        open_attempts: Sequence[Attempt],
        finished: frozenset[int] = frozenset(),
        *,
        rungs: Mapping[int, Rung] | None = None,
        unrecorded: Sequence[int] = (),
        continued: int = 0,
    ) -> None:
        """Take over what an earlier call left open.

        Args:
            open_attempts: Attempts whose end is not recorded.
            finished: Numbers of the trials that Optuna has a result of.
            rungs, unrecorded, continued: See `core.events.Recovered`.
        """
        service = self._session.service
        found = service.find([a.name for a in open_attempts])
        unknown = {a.name: a.run_id for a in open_attempts if a.run_id and a.name not in found}
        if unknown:
            found = {**found, **service.find_by_id(unknown)}
        plan = plan_recovery(open_attempts, found, finished)
        self.handle(e.Recovered(plan, dict(rungs or {}), tuple(unrecorded), continued))
        self.commit()


def _describe_start(attempt: Attempt) -> str:
    return f"{attempt.name}: starting {shlex.join(attempt.invocation.argv)}"
