"""Which trials can be the best ones of a study, and which of them are.

A trial is a *candidate* if it is complete, its values are finite, it satisfies all constraints
(bounds on metrics, and Optuna's own), it is no replicate, and it had a run. Everything that names
a best trial, a Pareto front or a best value so far asks this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE, SAME_ATTRIBUTE


class Standing(StrEnum):
    """What a trial is when the best one is chosen; only a candidate can be the best."""

    CANDIDATE = "candidate"
    INFEASIBLE = "infeasible"
    REPLICATE = "replicate"
    REUSED = "reused"
    NOT_FINITE = "not finite"
    NO_VALUE = "no value"


@dataclass(frozen=True)
class Result:
    """A trial, as far as it matters for the choice of the best one.

    Args:
        number: Its number.
        values: One for each objective; empty unless the trial is complete.
        constraints: Optuna's constraints by name; a positive value is a violation.
        attributes: User attributes of the trial.
    """

    number: int
    values: Sequence[float] = ()
    constraints: Mapping[str, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def violations(self) -> dict[str, float]:
        """The constraints that are violated, each with the amount."""
        return {name: value for name, value in self.constraints.items() if not value <= 0.0}

    @property
    def violation(self) -> float:
        """The total violation, by which Optuna orders infeasible trials; 0 if feasible."""
        return sum(math.inf if math.isnan(v) else v for v in self.violations.values())

    @property
    def is_replicate(self) -> bool:
        """Whether it repeats another trial with another seed."""
        return REPLICATE_ATTRIBUTE in self.attributes

    @property
    def standing(self) -> Standing:
        """What it is when the best trial is chosen."""
        if not self.values:
            return Standing.NO_VALUE
        if self.is_replicate:
            return Standing.REPLICATE
        if SAME_ATTRIBUTE in self.attributes:
            return Standing.REUSED
        if self.violations:
            return Standing.INFEASIBLE
        if not all(map(math.isfinite, self.values)):
            return Standing.NOT_FINITE
        return Standing.CANDIDATE

    @property
    def is_candidate(self) -> bool:
        """Whether it can be the best trial."""
        return self.standing is Standing.CANDIDATE


def read_result(trial: FrozenTrial) -> Result:
    """Return what the choice of the best trial needs to know of a trial of Optuna."""
    complete = trial.state == TrialState.COMPLETE
    return Result(
        trial.number,
        tuple(trial.values or ()) if complete else (),
        trial.constraints,
        trial.user_attrs,
    )


def find_best(results: Iterable[Result], maximize: Sequence[bool]) -> list[Result]:
    """Return the best candidate, or the Pareto front of several objectives.

    Of equal candidates, the one with the lowest number counts. The front is ordered by its first
    objective, the best first.
    """
    candidates = [result for result in results if result.is_candidate]
    signs = [-1.0 if up else 1.0 for up in maximize]
    losses = {
        r.number: tuple(s * v for s, v in zip(signs, r.values, strict=True)) for r in candidates
    }
    by_number = {r.number: r for r in candidates}
    if len(signs) == 1:
        best = min(candidates, key=lambda r: (losses[r.number], r.number), default=None)
        return [] if best is None else [best]
    return [by_number[number] for number in find_front(losses)]


def find_best_trials(trials: Iterable[FrozenTrial], maximize: Sequence[bool]) -> list[FrozenTrial]:
    """Return the trials that `find_best` chooses."""
    by_number = {trial.number: trial for trial in trials}
    best = find_best(map(read_result, by_number.values()), maximize)
    return [by_number[result.number] for result in best]


def find_front(losses: Mapping[int, Sequence[float]]) -> list[int]:
    """Return the numbers of the points that no other point dominates, by their first loss.

    Args:
        losses: Points by number, smaller numbers being better. Equal points do not dominate each
            other.
    """
    front: list[int] = []
    for number in sorted(losses, key=lambda n: (tuple(losses[n]), n)):
        point = losses[number]
        # With two losses the last one on the front dominates whatever any of them does.
        if not any(_dominates(losses[other], point) for other in reversed(front)):
            front.append(number)
    return front


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return tuple(a) != tuple(b) and all(x <= y for x, y in zip(a, b, strict=True))
