"""The loop: wait, take what happened, ask, commit, act. One thread drives Optuna.

A turn reads like this:

    wait      what happened to the live runs (nothing is polled run by run)
    take      metrics go to Optuna; an ended run is judged: told, or tried again
    ask       every free slot gets a new trial, at once and never in batches
    commit    one transaction: what Optuna is told, the new trials, and the intention to run them
    act       only now: job runs are started, those that will not pay off are stopped

Whatever kills the tuner between two of these, the next one finds in the ledger what was intended
and asks the backend what became of it (`_recover`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.budget import Budget
from tune_jobs.core.commands import Control
from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.core.objectives import Reading
from tune_jobs.core.observations import Observation
from tune_jobs.core.outcomes import (
    Action,
    ControlState,
    End,
    Limits,
    Outcome,
    apply_control,
    classify_outcome,
    closed,
    recover,
)
from tune_jobs.core.prune_deferral import PruneDeferral
from tune_jobs.core.snapshot import Progress, Snapshot
from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE, goes_on
from tune_jobs.core.usage import RunStatistics
from tune_jobs.errors import BackendError, TuningStopped
from tune_jobs.storage.lease import LeaseLost
from tune_jobs.storage.mirror import Renumbered, StudyMirror
from tune_jobs.tuning.interruption import Interruption
from tune_jobs.tuning.session import Session
from tune_jobs.tuning.submit_queue import SubmitQueue
from tune_jobs.tuning.suggest import TrialSource
from tune_jobs.tuning.trial_reporter import TrialReporter

TICK = 0.5
"""Seconds after which the loop looks around although nothing happened."""

BURST = 8
"""Trials that one turn may ask for: the first of many runs start while the rest are asked for."""

LOOK_SECONDS = 1.0
"""Seconds between two looks at what others ask for."""

SYNC_SECONDS = 5.0
"""Seconds between two looks at what others did to the study."""

SHOWN = 8
"""Live runs that the progress shows."""

STOP_SECONDS = 15.0
"""Seconds to wait for the end of runs that are stopped because the loop ends early."""


@dataclass
class _Turn:
    """What one turn decided and has not yet done."""

    new: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    intended: list[Attempt] = field(default_factory=list)
    ended: list[Attempt] = field(default_factory=list)
    pruning: list[Attempt] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new or self.intended or self.ended or self.pruning)


class Loop:
    """One call of ``optimize``.

    Args:
        session: The open study.
        limits: What may be spent.
        progress: Where a person looks.
    """

    def __init__(self, session: Session, limits: Limits, progress: Progress) -> None:
        self._session = session
        self._definition = session.definition
        self._runs = session.runs
        self._progress = progress
        self._clock = session.clock
        lease = session.lease if session.lease.held else None
        self._mirror = StudyMirror(self._definition.study, lease, session.retry)
        self._reporter = TrialReporter(session, self._mirror)
        self._source = TrialSource(
            self._mirror, self._definition.space, self._definition.duplicates
        )
        self._statistics = RunStatistics(
            self._definition.options.prices or {}, session.ledger.ended_attempts()
        )
        trials = self._mirror.study.get_trials(deepcopy=False)
        self._deferral = PruneDeferral(self._statistics)
        self._budget = Budget(limits, self._statistics, trials)
        self._turn = _Turn()
        self._queue = SubmitQueue(self._runs)
        self._fatal = ""
        self._last_failure = ""
        self._began = self._clock()
        self._next_sync = self._next_look = time.monotonic()  # others live by the real clock
        self._interruption = Interruption()
        self._done_because = ""
        self._control = ControlState()
        self._to_fail: dict[str, Control] = {}
        self._done: list[int] = []
        # For people to see; it waits for a transaction that is needed anyway.
        self._running_since: list[tuple[str, float]] = []

    def end(self, how: End) -> None:
        """Ask the loop to end, from another thread."""
        self._control = replace(self._control, paused=False, end=how)

    def run(self) -> None:
        """Until the budget is used and every run has ended.

        Raises:
            TuningStopped: a limit on failures fired; live runs were stopped.
            KeyboardInterrupt: interrupted; live runs were stopped, the next call goes on.
        """
        with self._interruption:
            try:
                self._recover()
                while self._one_turn():
                    pass
            except LeaseLost:
                raise  # the live runs are somebody else's now
            except BaseException:
                self._stop_runs()
                raise
        if self._control.end is End.CANCEL:
            self._stop_runs()
        elif self._control.end is None and not self._wanted():
            self._remove_checkpoints(0)
        self._progress.update(self._snapshot, last=True)
        if self._done_because:
            self._progress.say(f"ended: {self._done_because}")

    def _one_turn(self) -> bool:
        """One turn; whether there is more to do."""
        for observation in self._runs.wait(self._patience()):
            self._take(observation)
        self._account()
        self._ask()
        self._commit()
        if self._fatal:
            raise BackendError(self._fatal)
        self._act()
        self._progress.update(self._snapshot)
        if self._interruption.asked:
            raise KeyboardInterrupt
        if reason := self._budget.failure_limit():
            raise TuningStopped(f"{reason}. The last one: {self._last_failure}")
        if self._control.end in (End.CANCEL, End.LEAVE):
            return False
        busy = bool(self._runs.live or self._queue.waiting)
        return busy or self._free() > 0 or (self._control.paused and self._wanted() > 0)

    def _patience(self) -> float:
        """Seconds to wait for news, at most."""
        if self._free() > 0:
            return 0.0
        due = min(self._queue.due, self._deferral.due) - self._clock()
        return max(0.0, min(self._session.backend.tick, due))

    def _free(self) -> int:
        return 0 if self._control.paused else self._wanted()

    def _wanted(self) -> int:
        """How many runs there is room and use for: new trials, and some that go on."""
        if self._control.end is not None or self._done_because:
            return 0
        live = len(self._runs.live) + len(self._turn.intended) + self._queue.waiting
        free = self._budget.slots(live, self._clock())
        if not free:
            return 0
        if not self._new_trials_left() and not self._reporter.may_promote:
            return 0
        promotion = self._reporter.promotion
        kind = promotion.minimum if promotion else None
        room = self._budget.affordable_runs(
            self._runs.live, self._clock(), kind, self._session.backend.name
        )
        if room == 0 and not live:
            self._end_because(self._budget.no_room)
        return free if room is None else min(free, room)

    def _new_trials_left(self) -> bool:
        left = self._budget.trials_left
        return not self._mirror.exhausted and (left is None or left > 0)

    # -- take -----------------------------------------------------------------------------------

    def _take(self, observation: Observation) -> None:
        name = observation.attempt.name
        self._queue.heard(observation.update, self._clock())
        began = self._statistics.seen(observation.update, self._clock())
        if began is not None:
            self._running_since.append((name, began))
        reading = self._definition.objectives.read(observation.records)
        if not observation.ended:
            self._follow(observation.attempt, reading)
            return
        outcome = classify_outcome(observation.attempt, observation.update, reading)
        if name in self._to_fail:
            outcome = replace(outcome, action=Action.TELL, trial_state=TrialState.FAIL)
            outcome = replace(outcome, cause="canceled on request")
            self._done.append(self._to_fail.pop(name).id)
        if outcome.action is Action.RETRY:
            self._try_again(observation.attempt, observation.update, outcome)
        else:
            self._tell(observation, reading, outcome)

    def _follow(self, attempt: Attempt, reading: Reading) -> None:
        """New metrics of a live run: to Optuna, and to its pruner."""
        if attempt.trial is None:
            return
        for step in self._reporter.report(attempt.trial, reading):
            if attempt.state != AttemptState.PRUNING and self._reporter.should_prune(attempt.trial):
                cause, steps = f"pruned at step {step}", len(reading.steps)
                if not self._deferral.spares(attempt, cause, steps, self._clock()):
                    attempt = self._prune(attempt, cause)

    def _prune(self, attempt: Attempt, cause: str) -> Attempt:
        """Decide that a run is stopped for good; it is, once that is written down."""
        decided = replace(attempt, state=AttemptState.PRUNING, cause=cause)
        self._runs.track(decided)
        self._turn.pruning.append(decided)
        return decided

    def _tell(self, observation: Observation, reading: Reading, outcome: Outcome) -> None:
        attempt, update = observation.attempt, observation.update
        assert attempt.trial is not None
        cause = outcome.cause
        if outcome.trial_state == TrialState.FAIL:
            cause = self._runs.explain(observation, cause, self._definition.objectives.names)
            self._last_failure = f"trial {attempt.trial}: {cause}"
        ended = closed(attempt, update, outcome.ledger_state, cause)
        self._end(ended, steps=len(reading.steps))
        going_on = goes_on(self._reporter.frozen(attempt.trial))
        cost = self._statistics.of_trial(attempt.trial)
        state = self._reporter.tell(observation, reading, outcome, cause, cost)
        values = reading.values if state == TrialState.COMPLETE else None
        self._budget.told(state, values, going_on=going_on)

    def _end(self, ended: Attempt, steps: int = 0) -> None:
        """An attempt is over."""
        self._turn.ended.append(ended)
        self._statistics.ended(ended, steps)

    def _try_again(self, attempt: Attempt, update: RunUpdate, outcome: Outcome) -> None:
        """The same configuration as a new attempt; the old one is closed."""
        assert attempt.trial is not None
        self._end(closed(attempt, update, outcome.ledger_state, outcome.cause))
        again = self._next_attempt(attempt)
        self._turn.intended.append(again)
        if outcome.delay:
            self._queue.delay(again, self._clock() + outcome.delay)
        if update.fatal:
            self._fatal = f"{attempt.name}: {outcome.cause}"
        elif update.transient:
            self._progress.say(f"{attempt.name}: {outcome.cause}; trying again as {again.name}")

    def _next_attempt(self, attempt: Attempt) -> Attempt:
        assert attempt.trial is not None
        params = self._definition.space.sample(self._reporter.trial(attempt.trial))
        return self._reporter.attempt(attempt.trial, params, attempt.attempt + 1)

    # -- ask ------------------------------------------------------------------------------------

    def _ask(self) -> None:
        if self._interruption.asked or self._budget.failure_limit():
            return
        for _ in range(min(BURST, self._free())):
            going_on = self._reporter.promote()
            if going_on is not None:
                trial = self._reporter.trial(going_on)
                self._turn.new.append((going_on, self._definition.space.sample(trial)))
            elif not self._new_trials_left() or (asked := self._source.next()) is None:
                break
            else:
                self._turn.new.append(asked)
                self._budget.started(1)

    # -- commit ---------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Write the turn, if there is anything to write."""
        if not (self._turn or self._queue.taken or self._mirror.has_changes):
            self._session.renew()
            return
        while True:
            intended = [*self._turn.intended, *map(self._intend, self._turn.new)]
            try:
                self._mirror.commit(partial(self._write, intended))
            except Renumbered as renumbered:
                self._turn.new = [(renumbered.numbers[n], params) for n, params in self._turn.new]
                self._reporter.forget()
                self._source.forget()
                continue
            self._turn.intended = intended
            self._queue.taken.clear()
            self._running_since.clear()
            self._session.retry.call(partial(self._session.controls.done, *self._done))
            self._done.clear()
            return

    def _intend(self, asked: tuple[int, Mapping[str, Any]]) -> Attempt:
        number, params = asked
        return self._reporter.attempt(number, params)

    def _write(self, intended: Sequence[Attempt], connection: Connection | None) -> None:
        """The ledger's part of the turn's transaction."""
        ledger, now = self._session.ledger, self._clock()
        ledger.submitted(connection, self._queue.taken)
        ledger.began(connection, self._running_since)
        ledger.pruning(connection, self._turn.pruning)
        ledger.ended(connection, self._turn.ended, now)
        ledger.intend(connection, intended)

    # -- act ------------------------------------------------------------------------------------

    def _act(self) -> None:
        turn, self._turn = self._turn, _Turn()
        now = self._clock()
        self._session.verify()
        for attempt in self._queue.start(turn.intended, now):
            self._statistics.submitted(attempt, now)
        for attempt in turn.pruning:
            self._statistics.stopping(attempt.name, now)
            self._runs.cancel(attempt.name)
        self._look_around()
        left = self._budget.trials_left
        self._remove_checkpoints(None if left is None else left + len(self._runs.live))

    def _look_around(self) -> None:
        """What others do to the study, and what they ask for."""
        now = time.monotonic()
        if now >= self._next_sync:
            self._next_sync = now + SYNC_SECONDS
            self._mirror.sync()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._obey()

    def _remove_checkpoints(self, more: int | None) -> None:
        """Those that no run will go on from, if ``more`` configurations may still come."""
        if names := self._reporter.unneeded_checkpoints(more):
            self._session.store.remove_checkpoints(names)

    # -- account --------------------------------------------------------------------------------

    def _account(self) -> None:
        """Look whether the call is at one of its ends, and which runs overstay theirs."""
        now = self._clock()
        for attempt, cause in self._deferral.overdue(self._runs.live, now):
            if attempt.state != AttemptState.PRUNING:
                self._prune(attempt, cause)
        if reason := self._budget.exhausted_budget(self._runs.live, now):
            self._end_because(reason)
            self._prune_all(reason)
        if reason := self._budget.stopping_reason():
            self._end_because(reason)
            if reason.startswith("target"):
                self._prune_all(reason)

    def _end_because(self, reason: str) -> None:
        self._done_because = self._done_because or reason

    def _prune_all(self, cause: str) -> None:
        for attempt in list(self._runs.live.values()):
            if attempt.state != AttemptState.PRUNING:
                self._prune(attempt, cause)

    # -- obey -----------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Do what others ask for."""
        controls, retry = self._session.controls, self._session.retry
        for control in retry.call(controls.pending):
            self._control = apply_control(self._control, control)
            if control.command == "set":
                self._budget.change(control)
            if control.command == "cancel" and self._fail(control):
                continue  # done when it is told
            self._progress.say(f"asked for: {control}")
            retry.call(partial(controls.done, control.id))

    def _fail(self, control: Control) -> bool:
        """Stop the run of a trial that is to fail; whether it has one."""
        live = [a for a in self._runs.live.values() if a.trial == control.argument["trial"]]
        for attempt in live:
            if attempt.name not in self._to_fail:
                self._to_fail[attempt.name] = control
                self._runs.cancel(attempt.name)
        return bool(live)

    # -- recover --------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Take over what an earlier tuner of this study left open."""
        left = [a for a in self._session.ledger.open_attempts() if not a.is_final]
        trials = self._mirror.study.get_trials(deepcopy=False)
        finished = frozenset(t.number for t in trials if t.state.is_finished())
        found = self._session.service.find([a.name for a in left])
        plan = recover(left, found, finished)
        unrecorded = self._unrecorded(trials)
        ours = [n for a in [*left, *unrecorded] if (n := a.trial) is not None and n not in finished]
        for number in ours:
            self._mirror.own(number)
        self._budget.started(sum(not goes_on(self._reporter.frozen(n)) for n in ours))
        for attempt in [*plan.close, *(replace(a, state=AttemptState.LOST) for a in plan.lost)]:
            self._end(attempt)
        self._turn.intended = [*map(self._next_attempt, plan.lost), *unrecorded]
        for attempt, update in [*plan.watch, *plan.harvest]:
            self._runs.track(attempt, update)
        self._turn.pruning = [a for a, _ in plan.watch if a.state == AttemptState.PRUNING]
        self._commit()
        for attempt in plan.stop:
            self._session.service.cancel(attempt.name)
        self._turn.intended += plan.submit
        self._act()
        if str(plan):
            self._progress.say(f"recovered: {plan}")

    def _unrecorded(self, trials: Sequence[FrozenTrial]) -> list[Attempt]:
        """First attempts of trials of ours whose tuner was killed right then.

        Enqueued ones that it had only claimed; and where Optuna's storage and the ledger are not
        written in one transaction, new ones.
        """
        ours = [
            t for t in trials if t.state == TrialState.RUNNING and t.user_attrs.get(RUN_ATTRIBUTE)
        ]
        recorded = self._session.ledger.trials() if ours else set()
        attempts = []
        for trial in ours:
            if trial.number not in recorded:
                params = self._definition.space.sample(self._reporter.trial(trial.number))
                attempts.append(self._reporter.attempt(trial.number, params))
        return attempts

    def _stop_runs(self) -> None:
        """Stop what is live; its attempts stay open, so the next call runs them again."""
        count = len(self._runs.live)
        if not count:
            return
        self._progress.say(
            f"stopping {count} live job runs; optimize() goes on with their configurations"
        )
        give_up_at = self._clock() + STOP_SECONDS
        with contextlib.suppress(BackendError):  # the next call asks what became of them
            for name in list(self._runs.live):
                self._runs.cancel(name)
            while self._runs.live and self._clock() < give_up_at:
                self._runs.wait(TICK)

    # -- progress -------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        study, tally, limits = self._mirror.study, self._budget.tally, self._budget.limits
        best = study.best_trials if tally.ever_complete else []
        return Snapshot(
            study=study.study_name,
            n_trials=limits.n_trials,
            complete=tally.complete,
            pruned=tally.pruned,
            failed=tally.failed,
            live=len(self._runs.live),
            max_parallel=limits.max_parallel,
            metric=", ".join(m.name for m in self._definition.objectives.metrics),
            best=tuple((t.number, tuple(t.values)) for t in best[:3]),
            best_params=dict(best[0].params) if best else {},
            elapsed=self._clock() - self._began,
            promoted=tally.promoted,
            running=tuple(map(self._reporter.running, list(self._runs.live.values())[:SHOWN])),
            costs=self._budget.costs(self._runs.live, self._clock()),
        )
