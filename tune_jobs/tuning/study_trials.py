"""The trials of a study: asked for, reported to and finished through the study's mirror."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import optuna
from optuna.trial import TrialState

from tune_jobs.core.attempts import Attempt, earlier_attempts, trial_attempt_name
from tune_jobs.core.best_trials import read_result
from tune_jobs.core.events import (
    Committed,
    Finish,
    Finished,
    Intend,
    Intended,
    NotSuggested,
    Refused,
    Report,
    Retry,
)
from tune_jobs.core.promotion import Rung, trial_rung
from tune_jobs.core.pruner_questions import select_asked_steps
from tune_jobs.core.requests import read_arguments
from tune_jobs.core.snapshot import Running
from tune_jobs.core.strict_json import replace_nonfinite
from tune_jobs.core.trial_attributes import (
    CAUSE_ATTRIBUTE,
    COST_ATTRIBUTE,
    DIVERGED_ATTRIBUTE,
    METRICS_ATTRIBUTE,
    REACHED_ATTRIBUTE,
    RUN_ATTRIBUTE,
    RUNG_ATTRIBUTE,
    is_promoted,
    set_run,
)
from tune_jobs.errors import ConfigError, SpaceError
from tune_jobs.storage.mirror import Renumbered, StudyMirror
from tune_jobs.tuning.session import RunSession
from tune_jobs.tuning.suggest import Refusal, TrialSource, draw_configuration
from tune_jobs.tuning.trials import WriteLedger


class StudyTrials:
    """Trials of a study that this process owns.

    Args:
        session: The open study.
        mirror: The study that Optuna's samplers and pruners work on.
    """

    def __init__(self, session: RunSession, mirror: StudyMirror) -> None:
        self._session, self._mirror, self._spec = session, mirror, session.spec
        self._source = TrialSource(
            mirror, self._spec.space, self._spec.duplicates, session.messages.warn
        )
        self._single = len(self._spec.objectives.metrics) == 1
        self._params: dict[int, Mapping[str, Any]] = {}  # of trials that are not committed
        self._open: dict[int, optuna.Trial] = {}
        self._followed: set[str] = set()

    # -- new trials -----------------------------------------------------------------------------

    @property
    def exhausted(self) -> str:
        """See `Trials`."""
        return self._source.exhausted

    @property
    def has_changes(self) -> bool:
        """See `Trials`."""
        return self._mirror.has_changes

    def suggest(self) -> int | NotSuggested:
        """See `Trials.suggest`."""
        suggested = self._source.suggest()
        if isinstance(suggested, NotSuggested):
            return suggested
        number, self._params[number] = suggested
        return number

    def promote(self, rung: Rung) -> int:
        """See `Trials.promote`."""
        assert rung.after is not None
        return self._mirror.promote(rung.after, {RUNG_ATTRIBUTE: rung.attribute()})

    def _intend(self, intent: Intend | Retry) -> Intended:
        """Make the first attempt of a trial, or the one after another."""
        number = _number(intent)
        attempt = 1 if isinstance(intent, Intend) else intent.attempt.attempt + 1
        name = trial_attempt_name(number, attempt)
        rung, frozen = self._place(number), self._mirror.trial(number)
        overrides = read_arguments(frozen)
        resume, promotion = earlier_attempts(name), self._spec.promotion
        if rung is not None and promotion is not None:
            overrides[promotion.argument] = rung.budget
            if rung.after is not None:
                resume += self.attempts_of(rung.after)
        invocation = self._session.render(name, self._params_of(intent), overrides)
        invocation = replace(
            invocation, budget=None if rung is None else rung.budget, resume=resume
        )
        self._mirror.set_user_attr(number, RUN_ATTRIBUTE, name)
        if isinstance(intent, Retry) and intent.cause:
            self._mirror.set_user_attr(number, CAUSE_ATTRIBUTE, intent.cause)
        return Intended(self._session.intend(name, number, invocation, attempt), rung)

    def _params_of(self, intent: Intend | Retry) -> Mapping[str, Any]:
        """Return a trial's configuration.

        Raises:
            SpaceError: If it cannot be run.
        """
        number = _number(intent)
        if number in self._params:
            return self._params[number]
        trial, frozen = self.trial(number), self._mirror.trial(number)
        if isinstance(intent, Retry) or is_promoted(frozen):  # it was run before
            return self._spec.space.sample(trial)
        # A tuner that was killed before it recorded the attempt may have given it its rung.
        asked = copy.copy(frozen)
        asked.user_attrs = {k: v for k, v in frozen.user_attrs.items() if k != RUNG_ATTRIBUTE}
        drawn = draw_configuration(self._spec.space, trial, asked, enqueued=True)
        if isinstance(drawn, Refusal):
            raise SpaceError(drawn.reason)
        return drawn

    def _place(self, number: int) -> Rung | None:
        """Return a trial's rung; a new trial gets the first one."""
        rung = trial_rung(self._mirror.trial(number))
        if rung is None and self._spec.promotion is not None:
            rung = self._spec.promotion.first_rung(number)
            self._mirror.set_user_attr(number, RUNG_ATTRIBUTE, rung.attribute())
        return rung

    def attempts_of(self, number: int) -> tuple[str, ...]:
        """Return the names of a trial's attempts, the latest first."""
        last = self._mirror.trial(number).user_attrs.get(RUN_ATTRIBUTE, "")
        attempt = int(last.rpartition("-")[2] or 0)
        return earlier_attempts(trial_attempt_name(number, attempt + 1))

    # -- live and finished trials ---------------------------------------------------------------

    def trial(self, number: int) -> optuna.Trial:
        """Return the trial, to be reported to."""
        if number not in self._open:
            self._open[number] = self._mirror.open_trial(number)
        return self._open[number]

    def report(self, report: Report) -> int | None:
        """See `Trials.report`; under promotion the rungs decide, not the pruner."""
        number = report.attempt.trial
        assert number is not None
        ask = report.ask_pruner and self._spec.promotion is None
        trial, steps = self.trial(number), report.reading.steps
        new = self._new_steps(number, steps)
        advised = self._advice_on_known(trial, report, new) if ask else None
        asked = select_asked_steps(new, len(steps)) if ask else frozenset()
        for step in new:
            trial.report(steps[step], step)
            if step in asked and trial.should_prune() and advised is None:
                advised = step
        return advised

    def _new_steps(self, number: int, steps: Mapping[int, float]) -> list[int]:
        known = self._mirror.trial(number).intermediate_values
        return sorted(steps.keys() - known.keys()) if self._single else []

    def _advice_on_known(
        self, trial: optuna.Trial, report: Report, new: Collection[int]
    ) -> int | None:
        """Ask the pruner once about a run whose first steps its trial has already.

        These are the steps of an adopted run, or of an earlier attempt. The process that reported
        them may have been killed before it recorded the pruner's answer, or the run before it was
        stopped.
        """
        name, steps = report.attempt.name, report.reading.steps
        if not self._single or not steps or name in self._followed:
            return None
        self._followed.add(name)
        known = max(steps.keys() - set(new), default=None)
        return known if known is not None and trial.should_prune() else None

    def running(self, attempt: Attempt) -> Running:
        """Return a live run as it is shown."""
        steps = {}
        if attempt.trial is not None:
            steps = self._mirror.trial(attempt.trial).intermediate_values
        step = max(steps, default=None)
        return Running(
            attempt.name, attempt.is_pruning, step, None if step is None else steps[step]
        )

    def finish(self, result: Finish) -> Finished:
        """See `Trials.finish`."""
        attempt, reading = result.attempt, result.reading
        assert attempt.trial is not None
        number, trial = attempt.trial, self.trial(attempt.trial)
        self.report(Report(attempt, reading, ask_pruner=False))
        for name, violation in reading.violations.items():
            trial.set_constraint(name, violation)
        run_id = attempt.run_id
        set_run(trial, run_id, run_id and self._spec.backend.console(run_id))
        if CAUSE_ATTRIBUTE in trial.user_attrs:  # of an earlier attempt, which stopped the call
            trial.set_user_attr(CAUSE_ATTRIBUTE, "")
        for key, value in self._attributes(result).items():
            trial.set_user_attr(key, value)
        if result.rung is not None and result.reached is not None:
            self._report_reached(trial, result.rung, result.reached)
        values = reading.values if result.state == TrialState.COMPLETE else None
        self._mirror.tell(number, values, state=result.state)
        self._open.pop(number, None)
        self._params.pop(number, None)
        return Finished(result, (attempt,), read_result(self._mirror.trial(number)))

    def _attributes(self, result: Finish) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        if result.attempt.cause:
            attributes[CAUSE_ATTRIBUTE] = result.attempt.cause
        if result.cost.hours:
            cost = {"run_hours": result.cost.hours, "money": result.cost.money}
            attributes[COST_ATTRIBUTE] = cost
        if result.diverged or (result.state == TrialState.PRUNED and result.reading.diverged):
            attributes[DIVERGED_ATTRIBUTE] = True
        if len(result.reading.last) > len(self._spec.objectives.metrics):
            attributes[METRICS_ATTRIBUTE] = replace_nonfinite(dict(result.reading.last))
        if result.reached is not None:
            attributes[REACHED_ATTRIBUTE] = result.reached
        return attributes

    def _report_reached(self, trial: optuna.Trial, rung: Rung, reached: float) -> None:
        """Report a value on a rung at the step of its budget, unless the script did."""
        known = self._mirror.trial(trial.number).intermediate_values
        last = self._spec.promotion is not None and self._spec.promotion.is_last(rung)
        if not last and rung.budget not in known:
            trial.report(reached, rung.budget)

    # -- the stored study -----------------------------------------------------------------------

    def commit(self, intents: Sequence[Intend | Retry], write: WriteLedger) -> Committed:
        """See `Trials.commit`."""
        refused: list[Refused] = []
        while True:
            intended = []
            for intent in intents:
                try:
                    intended.append(self._intend(intent))
                except ConfigError as error:
                    refused.append(self._refuse(intent, error))
            intents = [i for i in intents if _number(i) not in {r.trial for r in refused}]
            try:
                self._mirror.commit(partial(write, intended))
            except Renumbered as renumbered:
                intents = self._renumber(intents, renumbered.numbers)
            else:
                self._params.clear()
                return Committed(tuple(intended), tuple(refused))

    def _refuse(self, intent: Intend | Retry, error: ConfigError) -> Refused:
        """Fail a trial whose configuration cannot be run.

        Raises:
            ConfigError: If the sampler suggested it: the definition of the study is to be changed.
        """
        number = _number(intent)
        if number in self._params and not self._mirror.is_stored(number):
            raise error
        trial, had_run = self.trial(number), isinstance(intent, Retry)
        if had_run:
            trial.set_user_attr(CAUSE_ATTRIBUTE, f"it cannot be run again: {error}")
        else:
            Refusal(str(error), TrialState.FAIL).record(trial)
        self._mirror.tell(number, state=TrialState.FAIL)
        self._open.pop(number, None)
        self._session.messages.warn(f"trial {number} is refused: {error}")
        promoted = is_promoted(self._mirror.trial(number))
        return Refused(number, str(error), promoted=promoted, had_run=had_run)

    def _renumber(
        self, intents: Sequence[Intend | Retry], numbers: Mapping[int, int]
    ) -> list[Intend | Retry]:
        """Other processes added trials: the uncommitted trials have new numbers."""
        self._params = {numbers.get(n, n): params for n, params in self._params.items()}
        self._open.clear()
        self._followed.clear()
        self._source.forget()
        return [
            Intend(numbers.get(intent.ticket, intent.ticket))
            if isinstance(intent, Intend)
            else intent
            for intent in intents
        ]

    def take_finished(self) -> Sequence[int]:
        """See `Trials.take_finished`."""
        return self._mirror.take_finished()

    def sync(self) -> None:
        """See `Trials.sync`."""
        self._mirror.sync()


def _number(intent: Intend | Retry) -> int:
    """Return the number of the trial that is to be run."""
    if isinstance(intent, Intend):
        return intent.ticket
    assert intent.attempt.trial is not None
    return intent.attempt.trial
