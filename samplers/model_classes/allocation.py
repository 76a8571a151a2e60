"""Allocation of trials to model classes: a best-arm problem whose arms improve when pulled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEADER_WEIGHT = 4.0
CANDIDATE_WEIGHT = 1.0
ELIMINATED_WEIGHT = 0.25
"""Trials per class are proportional to these weights; even an eliminated class keeps a few."""


@dataclass(frozen=True)
class Arm:
    """One model class.

    Args:
        values: Values of its trials that can be the best one, to be minimized, in the order of
            trial numbers.
        n_trials: Number of all its trials, including pending, pruned and failed ones.
    """

    values: Sequence[float]
    n_trials: int


def select_arm(arms: Sequence[Arm], trials_each: int) -> int:
    """Return the index of the class that gets the next trial.

    First every class gets ``trials_each`` trials. Then a class is eliminated if it would not
    overtake the leader even at its current rate of improvement (`extrapolate`), as in Rising
    Bandits (Li et al. 2020, *Efficient Automatic CASH via Rising Bandits*), except that
    elimination is neither total nor final: further trials are shared by weight among the leader,
    the classes that may overtake it, and the eliminated ones.

    Args:
        arms: The classes.
        trials_each: Number of trials that each class gets before any is eliminated.
    """
    counts = [arm.n_trials for arm in arms]
    values = [value for arm in arms for value in arm.values]
    if min(counts) < trials_each or not values:
        return _argmin(counts)
    best = min(values)
    return _argmin([(arm.n_trials - trials_each) / _weigh(arm, best, trials_each) for arm in arms])


def extrapolate(values: Sequence[float]) -> float:
    """Return an optimistic prediction of the best value after twice as many trials.

    The best value so far is roughly convex in the number of trials, so the line through its
    second half, continued for as many trials again, is a lower bound.

    Args:
        values: Values in the order of trials, to be minimized; at least one.
    """
    best = np.minimum.accumulate(np.asarray(values, dtype=float))
    middle = len(best) // 2
    if middle == len(best) - 1:
        return float(best[-1])
    slope = (best[middle] - best[-1]) / (len(best) - 1 - middle)
    return float(best[-1] - slope * len(best))


def _weigh(arm: Arm, best: float, trials_each: int) -> float:
    if best in arm.values:
        return LEADER_WEIGHT
    # Too few complete trials, as after many failures, say nothing about a class.
    is_candidate = len(arm.values) < trials_each / 2 or extrapolate(arm.values) < best
    return CANDIDATE_WEIGHT if is_candidate else ELIMINATED_WEIGHT


def _argmin(numbers: Sequence[float]) -> int:
    return min(range(len(numbers)), key=lambda index: numbers[index])
