"""Promotion: a configuration that earns it goes on from its checkpoint with a larger budget.

Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter
Tuning", algorithm 2), where every rung of a configuration is a job run and a trial of its own:

    trial 4     --epochs=1   0.61   PRUNED: it waits on the first rung
    trial 9     --epochs=3   0.74   PRUNED, went on from trial 4's checkpoint
    trial 23    --epochs=9   0.88   COMPLETE: the whole budget

So only configurations with the whole budget are COMPLETE and can be the best, the others are what
Optuna's samplers know as pruned, and everything that this decides from is kept with the trials.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tune_jobs.errors import ConfigError


@dataclass(frozen=True)
class Rung:
    """Where a trial stands; kept as its attribute `RUNG_ATTRIBUTE`.

    Args:
        bracket, index: The rung: each bracket has its own, ``index`` counts from 0.
        budget: What the trial's run gets.
        after: The trial whose checkpoint it goes on from; None: it starts afresh.
    """

    bracket: int
    index: int
    budget: int
    after: int | None = None

    def attribute(self) -> dict[str, Any]:
        """As it is kept on the trial."""
        return asdict(self)

    @classmethod
    def read(cls, attribute: Mapping[str, Any]) -> Rung:
        """From what is kept on a trial."""
        return cls(**{name: attribute[name] for name in ("bracket", "index", "budget", "after")})


@dataclass(frozen=True)
class Promotion:
    """The rungs of asynchronous successive halving.

    Args:
        argument: The script's argument that is the budget, such as ``epochs``.
        minimum: Its value on the first rung.
        maximum: Its value on the last one.
        factor: One of so many goes on to the next rung, with so many times the budget.
        brackets: With several, some configurations begin on a higher rung: protection against
            curves that start badly.
        keep_checkpoints: Keep even those that no run will go on from.

    Raises:
        ConfigError: the numbers make no rungs.
    """

    argument: str
    minimum: int
    maximum: int
    factor: int = 3
    brackets: int = 1
    keep_checkpoints: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.minimum < self.maximum:
            raise ConfigError(
                f"promotion: minimum={self.minimum} and maximum={self.maximum} must be whole "
                "numbers with 1 <= minimum < maximum"
            )
        if self.factor < 2:
            raise ConfigError(f"promotion: factor={self.factor} must be at least 2")
        rungs = len(self.budgets(0))
        if not 1 <= self.brackets <= rungs:
            raise ConfigError(
                f"promotion: brackets={self.brackets} must be between 1 and the number of rungs, "
                f"which is {rungs}"
            )

    def budgets(self, bracket: int) -> tuple[int, ...]:
        """The budget of each rung of a bracket, the last one ``maximum``."""
        budgets = []
        budget = self.minimum * self.factor**bracket
        while budget < self.maximum:
            budgets.append(budget)
            budget *= self.factor
        return (*budgets, self.maximum)

    def first_rung(self, number: int) -> Rung:
        """Where a new trial begins: the brackets get shares as in Hyperband, by trial number."""
        bracket = self._bracket(zlib.crc32(f"{self.argument}/{number}".encode()) / 2**32)
        return Rung(bracket, 0, self.budgets(bracket)[0])

    def _bracket(self, uniform: float) -> int:
        # Li et al. 2018, algorithm 1: configurations of a bracket at the same total budget.
        last = self.brackets - 1
        shares = [self.factor ** (last - b) / (last - b + 1) for b in range(self.brackets)]
        below = 0.0
        for bracket, share in enumerate(shares):
            below += share / sum(shares)
            if uniform < below:
                return bracket
        return last

    def next_rung(self, rung: Rung, number: int) -> Rung:
        """The rung above that of trial ``number``."""
        index = rung.index + 1
        return Rung(rung.bracket, index, self.budgets(rung.bracket)[index], after=number)

    def is_last(self, rung: Rung) -> bool:
        """Whether a rung has the whole budget."""
        return rung.budget >= self.maximum


class Ladder:
    """Who stands on which rung of a study, and who may go on.

    Args:
        promotion: The rungs.
        maximize: Whether more is better.
    """

    def __init__(self, promotion: Promotion, *, maximize: bool) -> None:
        self._promotion = promotion
        self._sign = -1.0 if maximize else 1.0
        rungs = [(b, i) for b in range(promotion.brackets) for i in range(self._height(b))]
        # On each rung: everybody who ever stood there, and those who still wait, best first.
        self._all: dict[tuple[int, int], list[tuple[float, int]]] = {r: [] for r in rungs}
        self._waiting: dict[tuple[int, int], list[tuple[float, int]]] = {r: [] for r in rungs}
        self._key: dict[int, tuple[tuple[int, int], tuple[float, int]]] = {}
        self._known: set[int] = set()

    def _height(self, bracket: int) -> int:
        return len(self._promotion.budgets(bracket))

    def stand(self, number: int, rung: Rung, value: float) -> None:
        """A trial has reached a rung; a trial does so once."""
        place, key = (rung.bracket, rung.index), (self._sign * value, number)
        if number in self._known or place not in self._all:
            return  # or it is of a call with other rungs
        self._known.add(number)
        insort(self._all[place], key)
        if not self._promotion.is_last(rung):
            insort(self._waiting[place], key)
            self._key[number] = (place, key)

    def leave(self, number: int) -> None:
        """A trial has gone on, or nobody wants it to: it waits no more."""
        found = self._key.pop(number, None)
        if found is not None:
            place, key = found
            waiting = self._waiting[place]
            del waiting[bisect_left(waiting, key)]

    def candidate(self) -> int | None:
        """The trial that goes on next, from the highest rung where one may; None: nobody."""
        for place in sorted(self._waiting, key=lambda place: -place[1]):
            if waiting := self._waiting[place]:
                rank = bisect_left(self._all[place], waiting[0])
                if rank < len(self._all[place]) // self._promotion.factor:
                    return waiting[0][1]
        return None

    def eliminated(self, more: int) -> list[int]:
        """Trials that wait in vain, even if ``more`` new configurations come."""
        found = []
        for bracket in range(self._promotion.brackets):
            most = more
            for index in range(self._height(bracket)):
                place = (bracket, index)
                most = max(len(self._all[place]), most) if index else len(self._all[place]) + most
                most //= self._promotion.factor
                for key in reversed(self._waiting[place]):  # the worst first
                    if bisect_left(self._all[place], key) < most:
                        break
                    found.append(key[1])
        return found
