"""What job runs report goes to Optuna: values, and what is noted on a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.attempts import Attempt, AttemptState, trial_attempt_name
from tune_jobs.core.costs import Amount
from tune_jobs.core.objectives import Reading
from tune_jobs.core.observations import Observation
from tune_jobs.core.outcomes import Outcome
from tune_jobs.core.promotion import Ladder, Promotion, Rung
from tune_jobs.core.snapshot import Running
from tune_jobs.core.trial_attributes import (
    ARGUMENTS_ATTRIBUTE,
    CAUSE_ATTRIBUTE,
    COST_ATTRIBUTE,
    METRICS_ATTRIBUTE,
    REACHED_ATTRIBUTE,
    RUN_ATTRIBUTE,
    RUNG_ATTRIBUTE,
    note_run,
)
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.session import Session


class TrialReporter:
    """Optuna's side of the trials that have a job run.

    Args:
        session: The open study.
        mirror: The study that Optuna's samplers and pruners work on.
    """

    def __init__(self, session: Session, mirror: StudyMirror) -> None:
        self._session = session
        self._mirror = mirror
        self._single = len(session.definition.objectives.metrics) == 1
        self._trials: dict[int, optuna.Trial] = {}
        self._followed: set[int] = set()
        self._done_with: list[int] = []
        self.promotion: Promotion | None = session.definition.options.promotion
        self.ladder = self._climbed() if self.promotion else None

    def trial(self, number: int) -> optuna.Trial:
        """The trial, to be reported to."""
        if number not in self._trials:
            self._trials[number] = self._mirror.open_trial(number)
        return self._trials[number]

    def forget(self) -> None:
        """Trials have other numbers now."""
        self._trials.clear()
        self._followed.clear()

    def frozen(self, number: int) -> FrozenTrial:
        """The trial as it is; not to be changed."""
        return self._mirror.trial(number)

    # -- while the run is live ------------------------------------------------------------------

    def report(self, number: int, reading: Reading) -> Iterator[int]:
        """Report what Optuna does not know yet; yields each step when it is reported, in order.

        Of an adopted run the last known step comes again: whoever reported it may have been killed
        before the pruner's answer was written down.
        """
        if not self._single:
            return
        trial = self.trial(number)
        known = self.frozen(number).intermediate_values
        if reading.steps and number not in self._followed:
            self._followed.add(number)
            yield from sorted(reading.steps.keys() & known.keys())[-1:]
        for step in sorted(reading.steps.keys() - known.keys()):
            trial.report(reading.steps[step], step)
            yield step

    def should_prune(self, number: int) -> bool:
        """Whether the study's pruner wants a trial to end; under promotion the rungs decide."""
        return self.ladder is None and self.trial(number).should_prune()

    def running(self, attempt: Attempt) -> Running:
        """A live run, for people."""
        steps = {} if attempt.trial is None else self.frozen(attempt.trial).intermediate_values
        step = max(steps, default=None)
        stopping = attempt.state == AttemptState.PRUNING
        return Running(attempt.name, stopping, step, None if step is None else steps[step])

    # -- at its end -----------------------------------------------------------------------------

    def tell(
        self,
        observation: Observation,
        reading: Reading,
        outcome: Outcome,
        cause: str,
        cost: Amount,
    ) -> TrialState:
        """Tell Optuna how a trial ended; returns as what."""
        attempt, update = observation.attempt, observation.update
        assert attempt.trial is not None
        number, state = attempt.trial, outcome.trial_state
        trial, values = self.trial(number), reading.values
        for _ in self.report(number, reading):
            pass
        for name, violation in reading.violations.items():
            trial.set_constraint(name, violation)
        run_id = update.run_id or attempt.run_id
        note_run(trial, run_id, run_id and self._session.backend.console(run_id))
        if cause:
            trial.set_user_attr(CAUSE_ATTRIBUTE, cause)
        if cost.hours:
            trial.set_user_attr(COST_ATTRIBUTE, {"run_hours": cost.hours, "money": cost.money})
        if len(reading.last) > len(self._session.definition.objectives.metrics):
            trial.set_user_attr(METRICS_ATTRIBUTE, dict(reading.last))
        if state == TrialState.COMPLETE:
            assert values is not None
            state = self._reach(trial, values[0])
        final = list(values) if state == TrialState.COMPLETE and values else None
        self._mirror.tell(number, final, state)
        self._trials.pop(number, None)
        rung = _rung(self._mirror.trial(number))
        if rung is not None and rung.after is not None:
            self._done_with.append(rung.after)
        return state

    # -- promotion ------------------------------------------------------------------------------

    def _climbed(self) -> Ladder:
        """The ladder with everybody who stands on it already."""
        assert self.promotion is not None
        (maximize,) = self._session.definition.objectives.maximize
        ladder = Ladder(self.promotion, maximize=maximize)
        trials = self._mirror.study.get_trials(deepcopy=False)
        for trial in trials:
            rung = _rung(trial)
            told = trial.state.is_finished() and REACHED_ATTRIBUTE in trial.user_attrs
            if rung is not None and told:
                ladder.stand(trial.number, rung, trial.user_attrs[REACHED_ATTRIBUTE])
        for trial in trials:
            rung = _rung(trial)
            if rung is not None and rung.after is not None:
                ladder.leave(rung.after)
                if trial.state.is_finished():  # whoever told it may have removed nothing
                    self._done_with.append(rung.after)
        return ladder

    def _reach(self, trial: optuna.Trial, value: float) -> TrialState:
        """A run has used its budget; without all of it, the trial only waits on its rung."""
        rung = _rung(self.frozen(trial.number))
        if self.ladder is None or self.promotion is None or rung is None:
            return TrialState.COMPLETE
        self.ladder.stand(trial.number, rung, value)
        trial.set_user_attr(REACHED_ATTRIBUTE, value)
        if self.promotion.is_last(rung):
            return TrialState.COMPLETE
        if rung.budget not in self.frozen(trial.number).intermediate_values:
            trial.report(value, rung.budget)
        return TrialState.PRUNED

    def attempt(self, number: int, params: Mapping[str, Any], attempt: int = 1) -> Attempt:
        """The intention to run a trial's configuration, with what promotion adds to it.

        A later attempt goes on from the checkpoints of the earlier ones, if they left some.
        """
        resume = earlier_attempts(number, attempt)
        overrides = dict(self.frozen(number).user_attrs.get(ARGUMENTS_ATTRIBUTE, {}))
        rung = self._placed(number)
        if rung is not None and self.promotion is not None:
            overrides[self.promotion.argument] = rung.budget
            if rung.after is not None:
                resume += _attempts_of(self.frozen(rung.after))
        made = self._session.trial_attempt(number, params, attempt, overrides)
        self._mirror.set_user_attr(number, RUN_ATTRIBUTE, made.name)
        more: dict[str, Any] = {} if rung is None else {"budget": rung.budget}
        if resume:
            more["resume"] = resume
        return replace(made, invocation={**made.invocation, **more}) if more else made

    def _placed(self, number: int) -> Rung | None:
        """A trial's rung; the first one for a new trial."""
        rung = _rung(self.frozen(number))
        if rung is None and self.promotion is not None:
            rung = self.promotion.first_rung(number)
            self._mirror.set_user_attr(number, RUNG_ATTRIBUTE, rung.attribute())
        return rung

    @property
    def may_promote(self) -> bool:
        """Whether somebody has earned to go on."""
        return self.ladder is not None and self.ladder.candidate() is not None

    def promote(self) -> int | None:
        """A new trial that goes on with the best configuration that earned it.

        Returns:
            Its number; None: nobody has earned it.
        """
        if self.ladder is None or self.promotion is None:
            return None
        number = self.ladder.candidate()
        if number is None:
            return None
        self.ladder.leave(number)
        rung = _rung(self.frozen(number))
        assert rung is not None
        above = self.promotion.next_rung(rung, number)
        return self._mirror.promote(number, {RUNG_ATTRIBUTE: above.attribute()})

    def unneeded_checkpoints(self, more: int | None) -> list[str]:
        """Attempts whose checkpoints no run will go on from any more; each is named once.

        Args:
            more: Configurations that may still come; None: nobody knows.
        """
        if self.ladder is None or self.promotion is None or self.promotion.keep_checkpoints:
            return []
        numbers, self._done_with = self._done_with, []
        for number in self.ladder.eliminated(more) if more is not None else ():
            self.ladder.leave(number)
            numbers.append(number)
        return [name for number in numbers for name in _attempts_of(self.frozen(number))]


def _rung(trial: FrozenTrial) -> Rung | None:
    attribute = trial.user_attrs.get(RUNG_ATTRIBUTE)
    return None if attribute is None else Rung.read(attribute)


def _attempts_of(trial: FrozenTrial) -> list[str]:
    """The attempts of a trial that has had some, the last one first."""
    last = trial.user_attrs.get(RUN_ATTRIBUTE, "")
    return earlier_attempts(trial.number, int(last.rpartition("-")[2] or 0) + 1)


def earlier_attempts(number: int, attempt: int) -> list[str]:
    """The attempts of a trial before the given one, the last one first."""
    return [trial_attempt_name(number, n) for n in range(attempt - 1, 0, -1)]
