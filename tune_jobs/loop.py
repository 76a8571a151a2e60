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
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import FrameType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from tune_jobs.backends.base import RunUpdate
from tune_jobs.controls import Control
from tune_jobs.decide import (
    Action,
    End,
    Limits,
    Orders,
    Tally,
    Verdict,
    changed,
    closed,
    free_slots,
    gave_up,
    judge,
    obey,
    recover,
)
from tune_jobs.dispatch import Dispatch
from tune_jobs.errors import BackendError, SpaceError, TuningStopped
from tune_jobs.lease import LeaseLost
from tune_jobs.ledger import Attempt, AttemptState
from tune_jobs.marks import (
    CAUSE_ATTRIBUTE,
    METRICS_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    RUN_ATTRIBUTE,
    is_told,
    note_run,
)
from tune_jobs.metrics.objective import Reading
from tune_jobs.progress import Progress, Snapshot
from tune_jobs.runs import Observation
from tune_jobs.session import Session
from tune_jobs.space_check import out_of_range
from tune_jobs.study_mirror import Renumbered, StudyMirror

TICK = 0.5
"""Seconds after which the loop looks around although nothing happened."""

BURST = 8
"""Trials that one turn may ask for: the first of many runs start while the rest are asked for."""

LOOK_SECONDS = 1.0
"""Seconds between two looks at what others ask for."""

SYNC_SECONDS = 5.0
"""Seconds between two looks at what others did to the study."""

STOP_SECONDS = 15.0
"""Seconds to wait for the end of runs that are stopped because the loop ends early."""

MAX_REFUSALS = 1000
"""Configurations in a row that the constraints may refuse."""


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
        self._limits = limits
        self._progress = progress
        self._clock = session.clock
        lease = session.lease if session.lease.held else None
        self._mirror = StudyMirror(self._definition.study, lease, session.outage)
        trials = self._mirror.study.get_trials(deepcopy=False)
        self._tally = Tally(ever_complete=any(t.state == TrialState.COMPLETE for t in trials))
        self._told_before = sum(is_told(t) for t in trials)
        self._trials: dict[int, optuna.Trial] = {}
        self._turn = _Turn()
        self._dispatch = Dispatch(self._runs)
        self._hopeless = ""
        self._last_failure = ""
        self._began = self._next_sync = self._next_look = self._clock()
        self._interrupted = False
        self._orders = Orders()
        self._to_fail: dict[str, Control] = {}
        self._done: list[int] = []

    def run(self) -> None:
        """Until the budget is used and every run has ended.

        Raises:
            TuningStopped: a limit on failures fired; live runs were stopped.
            KeyboardInterrupt: interrupted; live runs were stopped, the next call goes on.
        """
        with self._interruptible():
            try:
                self._recover()
                while self._one_turn():
                    pass
            except LeaseLost:
                raise  # the live runs are somebody else's now
            except BaseException:
                self._stop_runs()
                raise
        if self._orders.end is End.CANCEL:
            self._stop_runs()
        self._progress.update(self._snapshot, last=True)

    def _one_turn(self) -> bool:
        """One turn; whether there is more to do."""
        for observation in self._runs.wait(self._patience()):
            self._take(observation)
        self._ask()
        self._commit()
        if self._hopeless:
            raise BackendError(self._hopeless)
        self._act()
        self._progress.update(self._snapshot)
        if self._interrupted:
            raise KeyboardInterrupt
        if reason := gave_up(self._limits, self._tally):
            raise TuningStopped(f"{reason}. The last one: {self._last_failure}")
        if self._orders.end in (End.CANCEL, End.LEAVE):
            return False
        busy = bool(self._runs.live or self._dispatch.waiting)
        return busy or self._free() > 0 or (self._orders.paused and self._wanted() > 0)

    def _patience(self) -> float:
        return 0.0 if self._free() > 0 else TICK

    def _free(self) -> int:
        return 0 if self._orders.paused else self._wanted()

    def _wanted(self) -> int:
        """How many trials there is room for."""
        if self._mirror.exhausted or self._orders.end is not None:
            return 0
        live = len(self._runs.live) + len(self._turn.intended) + self._dispatch.waiting
        return free_slots(self._limits, replace(self._tally, live=live), self._clock())

    # -- take -----------------------------------------------------------------------------------

    def _take(self, observation: Observation) -> None:
        name = observation.attempt.name
        self._dispatch.heard(observation.update)
        reading = self._definition.objectives.read(observation.records)
        if not observation.ended:
            self._follow(observation.attempt, reading)
            return
        verdict = judge(observation.attempt, observation.update, reading)
        if name in self._to_fail:
            verdict = replace(verdict, action=Action.TELL, trial_state=TrialState.FAIL)
            verdict = replace(verdict, cause="canceled on request")
            self._done.append(self._to_fail.pop(name).id)
        if verdict.action is Action.TRY_AGAIN:
            self._try_again(observation.attempt, observation.update, verdict)
        else:
            self._tell(observation, reading, verdict)

    def _follow(self, attempt: Attempt, reading: Reading) -> None:
        """New metrics of a live run: to Optuna, and to its pruner."""
        if attempt.trial is None or len(self._definition.objectives.metrics) > 1:
            return
        trial = self._trial(attempt.trial)
        for step in self._report(trial, reading):
            if attempt.state != AttemptState.PRUNING and trial.should_prune():
                decided = replace(
                    attempt, state=AttemptState.PRUNING, cause=f"pruned at step {step}"
                )
                self._runs.watch(decided)
                self._turn.pruning.append(decided)
                return

    def _report(self, trial: optuna.Trial, reading: Reading) -> Iterator[int]:
        """Report the steps that Optuna does not know yet, in order."""
        known = self._mirror.trial(trial._trial_id).intermediate_values
        for step in sorted(reading.steps.keys() - known.keys()):
            trial.report(reading.steps[step], step)
            yield step

    def _tell(self, observation: Observation, reading: Reading, verdict: Verdict) -> None:
        attempt, update = observation.attempt, observation.update
        assert attempt.trial is not None
        trial, study = self._trial(attempt.trial), self._mirror.study
        cause = verdict.cause
        if verdict.trial_state == TrialState.FAIL:
            cause = self._runs.explain(observation, cause, self._definition.objectives.names)
            self._last_failure = f"trial {attempt.trial}: {cause}"
        if len(self._definition.objectives.metrics) == 1:
            for _ in self._report(trial, reading):
                pass
        for name, violation in reading.violations.items():
            trial.set_constraint(name, violation)
        run_id = update.run_id or attempt.run_id
        note_run(trial, run_id, run_id and self._session.backend.console(run_id))
        if cause:
            trial.set_user_attr(CAUSE_ATTRIBUTE, cause)
        if len(reading.last) > len(self._definition.objectives.metrics):
            trial.set_user_attr(METRICS_ATTRIBUTE, dict(reading.last))
        complete = verdict.trial_state == TrialState.COMPLETE
        assert reading.values is not None or not complete
        study.tell(
            trial,
            list(reading.values) if complete and reading.values else None,
            state=verdict.trial_state,
        )
        self._trials.pop(attempt.trial, None)
        self._turn.ended.append(closed(attempt, update, verdict.ledger_state, cause))
        self._count(verdict.trial_state)

    def _try_again(self, attempt: Attempt, update: RunUpdate, verdict: Verdict) -> None:
        """The same configuration as a new attempt; the old one is closed."""
        assert attempt.trial is not None
        self._turn.ended.append(closed(attempt, update, verdict.ledger_state, verdict.cause))
        again = self._next_attempt(attempt)
        self._turn.intended.append(again)
        if verdict.delay:
            self._dispatch.delay(again, self._clock() + verdict.delay)
        if update.hopeless:
            self._hopeless = f"{attempt.name}: {verdict.cause}"
        elif update.transient:
            self._progress.say(f"{attempt.name}: {verdict.cause}; trying again as {again.name}")

    def _next_attempt(self, attempt: Attempt) -> Attempt:
        assert attempt.trial is not None
        number = attempt.attempt + 1
        params = self._definition.space.sample(self._trial(attempt.trial))
        return self._session.trial_attempt(attempt.trial, params, number)

    def _count(self, state: TrialState) -> None:
        tally = self._tally
        match state:
            case TrialState.COMPLETE:
                self._tally = replace(tally, complete=tally.complete + 1, ever_complete=True)
            case TrialState.PRUNED:
                self._tally = replace(tally, pruned=tally.pruned + 1)
            case _:
                self._tally = replace(tally, failed=tally.failed + 1)

    def _trial(self, number: int) -> optuna.Trial:
        if number not in self._trials:
            self._trials[number] = self._mirror.open_trial(number)
        return self._trials[number]

    # -- ask ------------------------------------------------------------------------------------

    def _ask(self) -> None:
        if self._interrupted or gave_up(self._limits, self._tally):
            return
        for _ in range(min(BURST, self._free())):
            self._turn.new.append(self._ask_one())
        self._tally = replace(self._tally, started=self._tally.started + len(self._turn.new))

    def _ask_one(self) -> tuple[int, dict[str, Any]]:
        """A trial whose configuration the constraints accept, and what goes on its command line.

        A refused configuration becomes a pruned trial without a value: the sampler learns to stay
        away, and no run is started.
        """
        refusal = None
        for _ in range(MAX_REFUSALS):
            trial = self._mirror.study.ask()
            params = self._definition.space.sample(trial)
            refusal = out_of_range(
                self._mirror.trial(trial._trial_id)
            ) or self._definition.space.refusal(params)
            if refusal is None:
                return trial._trial_id, params
            trial.set_user_attr(REFUSED_ATTRIBUTE, refusal)
            self._mirror.study.tell(trial, state=TrialState.PRUNED)
        raise SpaceError(
            f"{MAX_REFUSALS} configurations in a row were refused ({refusal}): the constraints "
            "leave (almost) nothing of the search space"
        )

    # -- commit ---------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Write the turn, if there is anything to write."""
        if not (self._turn or self._dispatch.taken or self._mirror.has_changes):
            self._session.renew()
            return
        while True:
            intended = [*self._turn.intended, *map(self._intend, self._turn.new)]
            try:
                self._mirror.commit(partial(self._write, intended))
            except Renumbered as renumbered:
                self._turn.new = [(renumbered.ids[t], params) for t, params in self._turn.new]
                self._trials.clear()
                continue
            self._turn.intended = intended
            self._dispatch.taken.clear()
            self._session.outage.outlast(partial(self._session.controls.done, *self._done))
            self._done.clear()
            return

    def _intend(self, asked: tuple[int, Mapping[str, Any]]) -> Attempt:
        trial_id, params = asked
        attempt = self._session.trial_attempt(self._mirror.trial(trial_id).number, params)
        self._mirror.set_trial_user_attr(trial_id, RUN_ATTRIBUTE, attempt.name)
        return attempt

    def _write(self, intended: Sequence[Attempt], connection: Connection | None) -> None:
        """The ledger's part of the turn's transaction."""
        ledger, now = self._session.ledger, self._clock()
        ledger.submitted(connection, self._dispatch.taken, now)
        ledger.pruning(connection, self._turn.pruning)
        ledger.ended(connection, self._turn.ended, now)
        ledger.intend(connection, intended)

    # -- act ------------------------------------------------------------------------------------

    def _act(self) -> None:
        turn, self._turn = self._turn, _Turn()
        now = self._clock()
        self._session.assure()
        self._dispatch.start(turn.intended, now)
        for attempt in turn.pruning:
            self._runs.cancel(attempt.name)
        if now >= self._next_sync:
            self._next_sync = now + SYNC_SECONDS
            self._mirror.sync()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._obey()

    # -- obey -----------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Do what others ask for."""
        controls, outage = self._session.controls, self._session.outage
        for control in outage.outlast(controls.pending):
            self._orders = obey(self._orders, control)
            if control.command == "set":
                self._limits = changed(self._limits, control, self._told_before)
            if control.command == "cancel" and self._fail(control):
                continue  # done when it is told
            self._progress.say(f"asked for: {control}")
            outage.outlast(partial(controls.done, control.id))

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
        ledger, controls = self._session.ledger, self._session.controls
        # What was asked of an owner who is gone; to cancel a trial still makes sense.
        controls.done(*(c.id for c in controls.pending() if c.command != "cancel"))
        left = [a for a in ledger.open_attempts() if not a.is_final]
        trials = self._mirror.study.get_trials(deepcopy=False)
        finished = frozenset(t.number for t in trials if t.state.is_finished())
        found = self._session.backend.find([a.name for a in left])
        plan = recover(left, found, finished)
        for attempt in left:
            if attempt not in plan.close and attempt.trial is not None:
                self._mirror.own(self._trial(attempt.trial)._trial_id)
        unrecorded = self._unrecorded(trials)
        self._turn.ended = [replace(a, state=AttemptState.LOST) for a in [*plan.close, *plan.lost]]
        self._turn.intended = [*map(self._next_attempt, plan.lost), *unrecorded]
        for attempt in plan.watch:
            self._runs.watch(attempt)
            if attempt.state == AttemptState.PRUNING:
                self._turn.pruning.append(attempt)
        for attempt, update in plan.harvest:
            self._runs.watch(attempt, update)
        self._tally = replace(self._tally, started=len(left) - len(plan.close) + len(unrecorded))
        self._commit()
        for attempt in plan.stop:
            self._session.backend.cancel(attempt.name)
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
            t for t in trials if t.state == TrialState.RUNNING and RUN_ATTRIBUTE in t.user_attrs
        ]
        recorded = self._session.ledger.trials() if ours else set()
        attempts = []
        for trial in ours:
            if trial.number not in recorded:
                params = self._definition.space.sample(self._trial(trial.number))
                self._mirror.own(self._trial(trial.number)._trial_id)
                attempts.append(self._session.trial_attempt(trial.number, params))
        return attempts

    # -- interruption ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C asks the loop to end after its turn; a second one ends it where it stands."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

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
        study, tally = self._mirror.study, self._tally
        best = study.best_trials if tally.ever_complete else []
        return Snapshot(
            study=study.study_name,
            n_trials=self._limits.n_trials,
            complete=tally.complete,
            pruned=tally.pruned,
            failed=tally.failed,
            live=len(self._runs.live),
            max_parallel=self._limits.max_parallel,
            metric=", ".join(m.name for m in self._definition.objectives.metrics),
            best=tuple((t.number, tuple(t.values)) for t in best[:3]),
            best_params=dict(best[0].params) if best else {},
            elapsed=self._clock() - self._began,
        )
