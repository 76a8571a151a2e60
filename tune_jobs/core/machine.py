"""The tuning machine: every decision of a call, as a pure state machine.

`TuningMachine.handle` takes an event and the time and returns instructions. It does no I/O and
reads no clock, so the same decisions run for real, in simulations, under fault injection and in
property tests. Its driver (`tuning.engine`) waits for news, commits, and carries out instructions.

Two rules hold by construction:

- A run is submitted, and a run is stopped for good, only after the transaction that records it:
  `Submit` and the `Cancel` of a pruned run are answers to `Committed`.
- A trial is finished at most once: its attempt leaves ``live`` with the event that ends it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from optuna.trial import TrialState

from tune_jobs.core import events as e
from tune_jobs.core.attempts import Attempt, AttemptState, attempt_name
from tune_jobs.core.budget import Budget
from tune_jobs.core.commands import Control, ControlState, End, apply_control
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.limits import always_diverging
from tune_jobs.core.objectives import Reading
from tune_jobs.core.outcomes import (
    DIVERGED,
    Action,
    Divergence,
    Outcome,
    classify_outcome,
    close_attempt,
    stops_call,
)
from tune_jobs.core.promotion import Ladder, Rung
from tune_jobs.core.prune_deferral import PruneDeferral

BURST = 8
"""New trials in one turn: the first of many runs start while the others are being suggested."""

_CANCELED_ON_REQUEST = "canceled on request"
_Instructions = list[e.Instruction]


class TuningMachine:
    """The state of one call, and what to do next.

    Args:
        budget: Limits, tally and statistics of the call.
        backend: Name of the backend, for prices.
        ladder: The rungs under promotion.
        divergence: What happens to runs whose metric is not finite.
    """

    def __init__(
        self,
        budget: Budget,
        backend: str = "",
        ladder: Ladder | None = None,
        divergence: Divergence | None = None,
    ) -> None:
        self.budget = budget
        self.control = ControlState()
        self.ladder = ladder
        self.fatal = ""
        """Why no run can be started without intervention."""
        self.in_trouble = False
        """Whether that is the machine's trouble: then live runs continue."""
        self.last_failure = ""
        self.reason = ""
        """Why the call ends before its number of trials, unless nothing is left to try."""
        self._backend = backend
        self._divergence = divergence or Divergence()
        self._deferral = PruneDeferral(budget.statistics)
        self._live: dict[str, Attempt] = {}
        self._waiting: list[Attempt] = []
        self._not_before: dict[str, float] = {}
        self._uncommitted = 0  # attempts to come with the next commit
        self._unacknowledged: set[str] = set()
        self._to_submit: list[Attempt] = []  # recorded by an earlier call
        self._to_cancel: list[str] = []  # once the decision is recorded
        self._to_fail: dict[str, Control] = {}
        self._completed: list[int] = []
        self._exhausted = ""
        self._blocked = False  # no new trial until a live run has ended
        self._rungs: dict[int, Rung] = {}
        self._ending: dict[str, tuple[Attempt, RunUpdate, Reading, Outcome]] = {}

    # -- what the machine is asked --------------------------------------------------------------

    @property
    def live(self) -> Mapping[str, Attempt]:
        """Attempts whose run holds a slot, by name; one that is being stopped still does."""
        return self._live

    @property
    def failure(self) -> str:
        """Why the call is given up, or an empty string."""
        limit = self.budget.failure_limit()
        return f"{limit}. The last one: {self.last_failure}" if limit else ""

    @property
    def end_reason(self) -> str:
        """Why the call has ended, or ends, before its number of trials; or an empty string."""
        if self.control.end is not None and not self.reason:
            return "handed over" if self.control.end is End.LEAVE else "stopped on request"
        return self.reason or (self._exhausted if self.budget.trials_left != 0 else "")

    def pause(self, now: float, tick: float) -> float:
        """Return how many seconds to wait for news, at most ``tick``."""
        if self._free(now) > 0:
            return 0.0
        due = min((self._not_before.get(a.name, 0.0) for a in self._waiting), default=math.inf)
        return max(0.0, min(tick, min(due, self._deferral.due) - now))

    def is_done(self, now: float) -> bool:
        """Return whether the call has nothing more to do."""
        if self.control.end in (End.CANCEL, End.LEAVE):
            return True
        busy = bool(self._live or self._waiting or self._uncommitted)
        if busy or self._free(now) > 0:
            return False
        return not (self.control.paused and self.wanted(now) > 0)

    def wanted(self, now: float) -> int:
        """Return how many more runs there is room and use for."""
        if self.control.end is not None or self.reason:
            return 0
        holding = len(self._live) + len(self._waiting) + self._uncommitted
        free = self.budget.slots(holding, now)
        if not free or not (self._new_trials_left() or self._may_promote()):
            return 0
        room = self.budget.affordable_runs(self._live, now, *self._next_run())
        return free if room is None else min(free, room)

    # -- events ---------------------------------------------------------------------------------

    def handle(self, event: e.Event, now: float) -> _Instructions:
        """Return what to do after an event; ``now`` in seconds since the epoch."""
        match event:
            case e.Seen():
                return self._seen(event, now)
            case e.Ticked():
                return self._ticked(event, now)
            case e.Suggested():
                return self._suggested(event)
            case e.Committed():
                return self._committed(event, now)
            case e.Submitted():
                return self._acknowledge(event.name, event.run_id, now)
            case e.PruneAdvised():
                return self._prune_advised(event, now)
            case e.Explained():
                return self._explained(event)
            case e.Finished():
                return self._finished(event)
            case e.Recovered():
                return self._recovered(event)
            case e.Requested():
                return self._requested(event.control)
            case e.NotSuggested():
                self._blocked = event.until_end and bool(self._live)
            case e.SpaceExhausted():
                self._exhausted = event.reason
            case e.EndRequested():
                self.control = replace(self.control, paused=False, end=event.end)
            case e.Interrupted():
                return self._interrupted()
        return []

    # -- a turn: suggest, commit ----------------------------------------------------------------

    def _ticked(self, event: e.Ticked, now: float) -> _Instructions:
        """Check the limits and ask for new trials."""
        instructions: _Instructions = []
        for attempt, cause in self._deferral.overdue(self._live, now):
            instructions += self._prune(attempt, cause)
        if reason := self.budget.exhausted(self._live, now):
            instructions += self._end_and_prune(reason)
        if self.budget.is_overdue(now) and self._new_trials_left():
            self._end_because("the timeout is reached")
        if reason := self.budget.stopping_reason():
            if reason.startswith("target"):
                instructions += self._end_and_prune(reason)
            self._end_because(reason)
        if not self._live and not self._waiting and self.budget.has_no_room(now, *self._next_run()):
            self._end_because(self.budget.no_room)
        if event.new_trials and not self.budget.failure_limit():
            instructions += self._new_trials(min(BURST, self._free(now)))
        return instructions

    def _new_trials(self, count: int) -> _Instructions:
        """Promote who has earned it, then ask the sampler."""
        instructions: _Instructions = []
        left = self.budget.trials_left
        for _ in range(count):
            rung = self.ladder.promote() if self.ladder else None
            if rung is not None:
                instructions.append(e.Promote(rung))
            elif not self._exhausted and (left is None or left > 0):
                left = None if left is None else left - 1
                instructions.append(e.Suggest())
        return instructions

    def _suggested(self, event: e.Suggested) -> _Instructions:
        self._uncommitted += 1
        if not event.promoted:
            self.budget.start(1)
        return [e.Intend(event.ticket)]

    def _committed(self, event: e.Committed, now: float) -> _Instructions:
        """Everything recorded may take effect now."""
        self._uncommitted = 0
        for refused in event.refused:
            self._refused(refused)
        for intended in event.intended:
            if intended.rung is not None and intended.attempt.trial is not None:
                self._rungs[intended.attempt.trial] = intended.rung
        attempts = [*self._waiting, *(i.attempt for i in event.intended), *self._to_submit]
        self._waiting, self._to_submit = [], []
        if self.fatal:
            return []  # they are recorded: the next call submits them
        instructions: _Instructions = []
        for attempt in attempts:
            if self._not_before.get(attempt.name, now) > now:
                self._waiting.append(attempt)
            else:
                instructions.append(self._submit(attempt, now))
        instructions += self._stop_recorded(now)
        instructions += [e.CompleteControl(number) for number in self._completed]
        self._completed.clear()
        return instructions + self._remove_checkpoints(self._runs_to_come())

    def _refused(self, refused: e.Refused) -> None:
        """Count a trial that failed as it was to be run; without any run it does not count."""
        if not refused.had_run:
            self.budget.start(0 if refused.promoted else -1)
            return
        self._rungs.pop(refused.trial, None)
        self.last_failure = f"trial {refused.trial}: {refused.cause}"
        self.budget.finish(TrialState.FAIL, promoted=refused.promoted)

    def _submit(self, attempt: Attempt, now: float) -> e.Submit:
        self._not_before.pop(attempt.name, None)
        self._live[attempt.name] = attempt
        self._unacknowledged.add(attempt.name)
        self.budget.statistics.submitted(attempt, now)
        return e.Submit(attempt)

    def _stop_recorded(self, now: float) -> _Instructions:
        """Cancel the runs whose end is recorded."""
        names, self._to_cancel = self._to_cancel, []
        for name in names:
            self.budget.statistics.stopping(name, now)
        return [e.Cancel(name) for name in names]

    def _acknowledge(self, name: str, run_id: str | None, now: float) -> _Instructions:
        if run_id is None or name not in self._unacknowledged:
            return []
        self._unacknowledged.remove(name)
        return [e.RecordSubmission(name, run_id, now)]

    # -- runs -----------------------------------------------------------------------------------

    def _seen(self, event: e.Seen, now: float) -> _Instructions:
        attempt = self._live.get(event.name)
        if attempt is None:
            return []  # it has ended already
        instructions = self._acknowledge(event.name, event.update.run_id, now)
        began = self.budget.statistics.seen(event.update, now)
        if began is not None:
            instructions.append(e.RecordStart(event.name, began))
        if event.update.state.is_terminal:
            return instructions + self._ended(attempt, event, now)
        if attempt.is_final or attempt.trial is None:
            return instructions
        if self._divergence.is_hopeless(event.reading):
            cause = f"{DIVERGED}{event.reading.diverged}"
            instructions += self._stop_early(attempt, cause, len(event.reading.steps), now)
        return [*instructions, e.Report(attempt, event.reading, not attempt.is_pruning)]

    def _prune_advised(self, event: e.PruneAdvised, now: float) -> _Instructions:
        attempt = self._live.get(event.name)
        if attempt is None:
            return []
        return self._stop_early(attempt, f"pruned at step {event.step}", event.steps, now)

    def _stop_early(self, attempt: Attempt, cause: str, steps: int, now: float) -> _Instructions:
        """Stop a run for good, unless it will have ended before another could start."""
        if attempt.is_pruning or self._deferral.defer(attempt, cause, steps, now):
            return []
        return self._prune(attempt, cause)

    def _prune(self, attempt: Attempt, cause: str) -> _Instructions:
        """Decide to stop a run for good; it is stopped once that is recorded."""
        if attempt.is_pruning:
            return []
        decided = replace(attempt, state=AttemptState.PRUNING, cause=cause)
        self._live[attempt.name] = decided
        self._to_cancel.append(attempt.name)
        return [e.RecordPruning(decided)]

    def _ended(self, attempt: Attempt, event: e.Seen, now: float) -> _Instructions:
        del self._live[attempt.name]
        self._blocked = False
        self._unacknowledged.discard(attempt.name)
        outcome = classify_outcome(attempt, event.update, event.reading, self._divergence)
        if attempt.name in self._to_fail:
            self._completed.append(self._to_fail.pop(attempt.name).id)
            outcome = replace(
                outcome,
                action=Action.FINISH,
                trial_state=TrialState.FAIL,
                cause=_CANCELED_ON_REQUEST,
                diverged=False,
                is_requested=True,
            )
        if outcome.action is Action.RETRY:
            return self._retry(attempt, event.update, outcome, now)
        if outcome.diverged:
            self.last_failure = f"{_subject(attempt)}: {outcome.cause}"
        if outcome.diverged or outcome.trial_state != TrialState.FAIL:
            return self._finish(attempt, event.update, event.reading, outcome)
        self._ending[attempt.name] = (attempt, event.update, event.reading, outcome)
        return [e.Explain(attempt, event.update, outcome.cause)]

    def _explained(self, event: e.Explained) -> _Instructions:
        attempt, update, reading, outcome = self._ending.pop(event.name)
        self.last_failure = f"{_subject(attempt)}: {event.cause}"
        return self._finish(attempt, update, reading, replace(outcome, cause=event.cause))

    def _retry(
        self, attempt: Attempt, update: RunUpdate, outcome: Outcome, now: float
    ) -> _Instructions:
        """Close an attempt and run the same configuration again."""
        closed = close_attempt(attempt, update, outcome.attempt_state, outcome.cause)
        self.budget.statistics.ended(closed)
        following = attempt_name(attempt, attempt.attempt + 1)
        self._uncommitted += 1
        if outcome.delay:
            self._not_before[following] = now + outcome.delay
        is_hopeless = stops_call(attempt, update)
        hopeless_cause = outcome.cause if is_hopeless else ""
        instructions: _Instructions = [e.Close(closed), e.Retry(attempt, hopeless_cause)]
        if is_hopeless:
            self.fatal, self.in_trouble = f"{attempt.name}: {outcome.cause}", update.trouble
        elif update.transient:
            instructions.append(e.Say(f"{attempt.name}: {outcome.cause}; retrying as {following}"))
        return instructions

    def _finish(
        self, attempt: Attempt, update: RunUpdate, reading: Reading, outcome: Outcome
    ) -> _Instructions:
        """Close an attempt and finish its trial."""
        closed = close_attempt(attempt, update, outcome.attempt_state, outcome.cause)
        statistics, number, state = self.budget.statistics, attempt.trial, outcome.trial_state
        statistics.ended(closed, len(reading.steps))
        if attempt.is_final or number is None:
            return [e.Finish(closed, state, reading)]
        rung, reached = self._rungs.pop(number, None), None
        if self.ladder and rung and state == TrialState.COMPLETE and reading.values:
            reached = reading.values[0]
            state = state if self.ladder.promotion.is_last(rung) else TrialState.PRUNED
        if self.ladder and rung and rung.after is not None:
            self.ladder.forget(rung.after)
        promoted = rung is not None and rung.after is not None
        self.budget.finish(
            state, promoted=promoted, diverged=outcome.diverged, canceled=outcome.is_requested
        )
        cost = statistics.of_trial(number)
        finish = e.Finish(closed, state, reading, cost, rung, reached, outcome.diverged)
        return [finish, *self._mention_divergence(outcome)]

    def _mention_divergence(self, outcome: Outcome) -> _Instructions:
        """Warn once if all trials so far diverged; the call continues."""
        if not outcome.diverged or not always_diverging(self.budget.tally):
            return []
        line = f"the first {self.budget.tally.diverged} trials all diverged; the last one: "
        return [e.Say(f"{line}{self.last_failure}. max_failures=... would end the call")]

    def _finished(self, event: e.Finished) -> _Instructions:
        """Compare a result with the others: for the limits, and on its rung."""
        finish, result = event.finish, event.result
        if result is None:
            return []
        self.budget.rank(result)
        rung, reached = finish.rung, finish.reached
        if self.ladder and rung and reached is not None:
            if result.is_replicate:
                self.ladder.forget(result.number)
            else:
                self.ladder.stand(result.number, rung, reached, result.violation)
        return []

    # -- recovery -------------------------------------------------------------------------------

    def _recovered(self, event: e.Recovered) -> _Instructions:
        """Take over what an earlier call left open."""
        plan = event.plan
        self._rungs.update(event.rungs)
        resumed = [*plan.lost, *plan.submit, *(a for a, _ in (*plan.adopt, *plan.harvest))]
        self.budget.start(len(resumed) + len(event.unrecorded) - event.continued)
        instructions: _Instructions = []
        for attempt in (*plan.close, *plan.lost):
            self.budget.statistics.ended(attempt)
            instructions.append(e.Close(attempt))
        instructions += [e.Retry(attempt) for attempt in plan.lost]
        instructions += [e.Intend(ticket) for ticket in event.unrecorded]
        self._uncommitted += len(plan.lost) + len(event.unrecorded)
        for attempt, update in (*plan.adopt, *plan.harvest):
            instructions.append(self._adopt(attempt, update))
        self._to_cancel += [a.name for a, _ in plan.adopt if a.is_pruning]
        self._to_cancel += [a.name for a in plan.stop]
        self._to_submit += plan.submit
        if str(plan):
            instructions.append(e.Say(f"recovered: {plan}"))
        return instructions

    def _adopt(self, attempt: Attempt, update: RunUpdate) -> e.Track:
        self._live[attempt.name] = attempt
        self.budget.statistics.adopted(attempt)
        return e.Track(attempt, update)

    # -- commands and the end -------------------------------------------------------------------

    def _requested(self, control: Control) -> _Instructions:
        self.control = apply_control(self.control, control)
        if control.command == "set":
            self.budget.change(control)
        instructions: _Instructions = []
        if control.command == "cancel":
            instructions = self._fail(control)
            if instructions or control in self._to_fail.values() or control.id in self._completed:
                return instructions  # completed when the trial has failed
        return [e.Say(f"request: {control}"), e.CompleteControl(control.id)]

    def _fail(self, control: Control) -> _Instructions:
        """Stop the run of a trial that is to fail, or its wait for another attempt."""
        number = control.argument.get("trial")
        for attempt in self._waiting:
            if attempt.trial == number and not attempt.is_final:
                return self._fail_waiting(attempt, control)
        live = [a for a in self._live.values() if a.trial == number]
        new = [a.name for a in live if a.name not in self._to_fail and not a.is_final]
        self._to_fail.update(dict.fromkeys(new, control))
        return [e.Cancel(name) for name in new]

    def _fail_waiting(self, attempt: Attempt, control: Control) -> _Instructions:
        self._waiting.remove(attempt)
        self._not_before.pop(attempt.name, None)
        self._completed.append(control.id)
        canceled = RunUpdate(attempt.name, RunState.CANCELED)
        outcome = Outcome(
            Action.FINISH,
            AttemptState.CANCELED,
            TrialState.FAIL,
            _CANCELED_ON_REQUEST,
            is_requested=True,
        )
        return self._finish(attempt, canceled, Reading(None, "", {}, {}, {}), outcome)

    def _interrupted(self) -> _Instructions:
        """Stop the live runs; their attempts stay open, so that the next call retries them."""
        if not self._live:
            return []
        line = f"stopping {len(self._live)} live job runs; the next call resumes their trials"
        return [e.Say(line), *(e.Cancel(name) for name in self._live)]

    def _end_and_prune(self, cause: str) -> _Instructions:
        self._end_because(cause)
        return [i for attempt in list(self._live.values()) for i in self._prune(attempt, cause)]

    def _end_because(self, reason: str) -> None:
        self.reason = self.reason or reason

    # -- small questions ------------------------------------------------------------------------

    def _free(self, now: float) -> int:
        return 0 if self.control.paused or self._blocked else self.wanted(now)

    def _next_run(self) -> tuple[int | None, str]:
        """Return the budget and the backend of a new run."""
        return (self.ladder.promotion.minimum if self.ladder else None), self._backend

    def _new_trials_left(self) -> bool:
        left = self.budget.trials_left
        return not self._exhausted and (left is None or left > 0)

    def _may_promote(self) -> bool:
        return self.ladder is not None and self.ladder.candidate() is not None

    def _runs_to_come(self) -> int | None:
        left = self.budget.trials_left
        return None if left is None else left + len(self._live)

    def last_checkpoints(self, now: float) -> Sequence[e.RemoveCheckpoints]:
        """Return which checkpoints to remove at the regular end of a call."""
        if self.control.end is not None or self.wanted(now):
            return []
        return self._remove_checkpoints(0)

    def _remove_checkpoints(self, more: int | None) -> list[e.RemoveCheckpoints]:
        """Name the trials whose checkpoints are not needed if ``more`` trials may come."""
        trials = self.ladder.unneeded(more) if self.ladder else ()
        return [e.RemoveCheckpoints(tuple(trials))] if trials else []


def _subject(attempt: Attempt) -> str:
    return attempt.name if attempt.is_final else f"trial {attempt.trial}"
