"""Who gets the next trial: a best-arm problem whose arms become better with each pull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEADER = 4
"""How many trials the leader gets for one of a class that is alive."""

TRICKLE = 16
"""How many trials the leader gets for one of a class that was given up: nothing is for ever."""


@dataclass(frozen=True)
class Arm:
    """One class.

    Args:
        values: Of its finished trials, as they began; less is better.
        given: How many trials it was given in all, pending and failed ones too.
    """

    values: Sequence[float]
    given: int


def next_arm(arms: Sequence[Arm], trials_each: int) -> int:
    """The index of the class that gets the next trial.

    First all get the same. From `trials_each` finished trials on a class is alive as long as it
    might become the best, if it went on to improve as it did: its best value against the number
    of trials is convex, more or less, so a line through its later half is optimistic (Li et al.
    2020, *Efficient Automatic CASH via Rising Bandits*). Then most go to the leader, few to those
    that are alive, and very few to the rest.

    Args:
        arms: The classes.
        trials_each: So many trials of a class say something of it.
    """
    given = [arm.given for arm in arms]
    finished = [value for arm in arms for value in arm.values]
    if min(given) < trials_each or not finished:
        return _least(given)
    best = min(finished)
    # What all were given at first counts for nobody.
    return _least([(arm.given - trials_each) / _share(arm, best, trials_each) for arm in arms])


def _share(arm: Arm, best: float, trials_each: int) -> float:
    if best in arm.values:
        return LEADER
    alive = len(arm.values) < trials_each / 2 or outlook(arm.values) < best
    return 1.0 if alive else LEADER / TRICKLE


def outlook(values: Sequence[float]) -> float:
    """The best value after as many trials again, if it went on as it did."""
    best = np.minimum.accumulate(np.asarray(values, dtype=float))
    middle = len(best) // 2
    if middle == len(best) - 1:
        return float(best[-1])
    slope = (best[middle] - best[-1]) / (len(best) - 1 - middle)
    return float(best[-1] - slope * len(best))


def _least(counts: Sequence[float]) -> int:
    return min(range(len(counts)), key=lambda index: counts[index])
