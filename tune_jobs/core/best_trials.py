"""Which trials can be the best ones of a study, and which of them are.

A trial is a *candidate* if it is complete, its values are finite, it satisfies all constraints
(bounds on metrics, and Optuna's own), it is no replicate, and it had a run. Everything that names
a best trial, a Pareto front or a best value so far asks this module.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.trial_attributes import (
    DIVERGED_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    SAME_ATTRIBUTE,
)


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
    def has_diverged(self) -> bool:
        """Whether its run worked, and its metric was not finite."""
        return DIVERGED_ATTRIBUTE in self.attributes

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
    """Return the best candidates: of several objectives the Pareto front.

    The best of the first objective come first, equal ones by number. As in Optuna, there are
    several best trials of a single objective only if their values are equal.
    """
    signs = [-1.0 if up else 1.0 for up in maximize]
    by_losses: dict[tuple[float, ...], list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda r: r.number):
        if result.is_candidate:
            losses = tuple(s * v for s, v in zip(signs, result.values, strict=True))
            by_losses[losses].append(result)
    return [result for losses in find_front(by_losses) for result in by_losses[losses]]


def find_best_trials(trials: Iterable[FrozenTrial], maximize: Sequence[bool]) -> list[FrozenTrial]:
    """Return the trials that `find_best` chooses."""
    by_number = {trial.number: trial for trial in trials}
    best = find_best(map(read_result, by_number.values()), maximize)
    return [by_number[result.number] for result in best]


def find_front(points: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Return the points that no other one dominates, in ascending order.

    Args:
        points: Distinct points; smaller coordinates are better.
    """
    ordered = sorted(points)
    if ordered and len(ordered[0]) > 2:
        return _find_front_of_many(ordered)
    front: list[tuple[float, ...]] = []
    for point in ordered:
        # With two coordinates, the last point of the front dominates what any of them does.
        if not any(_dominates(other, point) for other in reversed(front)):
            front.append(point)
    return front


def _find_front_of_many(ordered: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Return the front of sorted points with many coordinates, of which it may contain most."""
    import numpy as np

    found = np.empty((len(ordered), len(ordered[0])))
    front: list[tuple[float, ...]] = []
    for point in ordered:
        if not (found[: len(front)] <= point).all(axis=1).any():
            found[len(front)] = point
            front.append(point)
    return front


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))
