"""One model class as an in-memory study of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

_is_muted: ContextVar[bool] = ContextVar("_is_muted", default=False)


@dataclass
class ClassStudy:
    """Trials of one model class, without the parameter that selects the class.

    Trials are identified by their numbers in the study of all classes.

    Args:
        study: In-memory study with the sampler of the class.
        space: Parameters that all trials of the class have; None before the first has finished.
        open: Running trials of ``study``.
        finished: Numbers of the finished trials.
        seen: Numbers of all trials.
        values: Values of the trials that can be the best one (`can_be_best`).
    """

    study: Study
    space: dict[str, BaseDistribution] | None = None
    open: dict[int, Trial] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    values: dict[int, float] = field(default_factory=dict)

    def ask(self, number: int, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        """Start a trial and return its parameters."""
        trial = self.open[number] = self.study.ask(dict(space))
        return dict(trial.params)

    def suggest(self, number: int, name: str, distribution: BaseDistribution) -> Any:
        """Return a further parameter of a trial that was started by `ask`."""
        return self.open[number]._suggest(name, distribution)

    def discard(self, number: int) -> None:
        """Fail the open trial with this number, if any: the number is being used again."""
        trial = self.open.pop(number, None)
        if trial is not None:
            self.study.tell(trial, state=TrialState.FAIL)

    def sync(self, trial: FrozenTrial, parameter: str) -> None:
        """Take over the state of a trial.

        Args:
            trial: Trial of the study of all classes.
            parameter: Name of the parameter that selects the class.
        """
        self.seen.add(trial.number)
        if trial.number in self.finished:
            return
        space = {n: d for n, d in trial.distributions.items() if n != parameter}
        if not trial.state.is_finished():
            if trial.number not in self.open and space:
                # Started by an earlier process: make it pending for this sampler, too.
                self.study.enqueue_trial({n: trial.params[n] for n in space})
                self.open[trial.number] = self.study.ask(space)
            return
        self.finished.add(trial.number)
        if trial.state != TrialState.FAIL:
            common = space if self.space is None else self.space
            self.space = {n: d for n, d in common.items() if space.get(n) == d}
        if can_be_best(trial):
            self.values[trial.number] = trial.values[0]
        self._finish(trial, space)

    def _finish(self, trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> None:
        """Tell the open trial, or add a new one if there is none with these parameters."""
        pending = self.open.pop(trial.number, None)
        params = {n: trial.params[n] for n in space}
        if pending is not None and pending.params == params and trial.state != TrialState.PRUNED:
            for name, value in trial.constraints.items():
                pending.set_constraint(name, value)
            values = trial.values if trial.state == TrialState.COMPLETE else None
            self.study.tell(pending, values, state=trial.state)
            return
        if pending is not None:
            self.study.tell(pending, state=TrialState.FAIL)
        if trial.state != TrialState.FAIL:
            self.study.add_trial(
                create_trial(
                    state=trial.state,
                    values=trial.values,
                    params=params,
                    distributions=dict(space),
                    intermediate_values=trial.intermediate_values,
                    system_attrs=dict(trial.system_attrs),
                )
            )


def can_be_best(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete and feasible, with finite values, and no replicate.

    A tuner marks trials that repeat another one with another seed. The folder of WarmStartSampler
    has the same function, as each folder must work without the others.
    """
    return (
        trial.state == TrialState.COMPLETE
        and all(math.isfinite(value) for value in trial.values)
        and all(value <= 0.0 for value in trial.constraints.values())
        and "tune_jobs:replicate_of" not in trial.user_attrs
    )


def create_class_study(sampler: BaseSampler, direction: StudyDirection) -> ClassStudy:
    """Create an empty in-memory study, without Optuna's log line about it in this thread."""
    logging.getLogger("optuna.storages._in_memory").addFilter(_is_announced)  # has it once
    before = _is_muted.set(True)
    try:
        return ClassStudy(optuna.create_study(sampler=sampler, direction=direction))
    finally:
        _is_muted.reset(before)


def _is_announced(record: logging.LogRecord) -> bool:
    return not _is_muted.get()
