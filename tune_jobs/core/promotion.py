"""Promotion: the best configurations resume from their checkpoints with a larger budget.

Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter
Tuning", algorithm 2), where every rung of a configuration is a job run and a trial of its own:

    trial 4     --epochs=1   0.61   PRUNED: it waits on the first rung
    trial 9     --epochs=3   0.74   PRUNED, resumed from trial 4's checkpoint
    trial 23    --epochs=9   0.88   COMPLETE: the whole budget

Only configurations with the whole budget are COMPLETE and can be the best one; to Optuna's samplers
the others are pruned trials. All state is stored with the trials.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import FrozenTrial

from tune_jobs.arguments.calls import strict_types
from tune_jobs.core.best_trials import read_result
from tune_jobs.core.trial_attributes import REACHED_ATTRIBUTE, RUNG_ATTRIBUTE
from tune_jobs.errors import ConfigError


@dataclass(frozen=True)
class Rung:
    """A trial's rung, stored as its attribute `RUNG_ATTRIBUTE`.

    Args:
        bracket, index: The rung within its bracket; ``index`` counts from 0.
        budget: The budget of the trial's run.
        after: The trial whose checkpoint it resumes from; None if it starts from scratch.
    """

    bracket: int
    index: int
    budget: int
    after: int | None = None

    def attribute(self) -> dict[str, Any]:
        """Return the value of the trial's attribute."""
        return asdict(self)

    @classmethod
    def read(cls, attribute: Mapping[str, Any]) -> Rung:
        """Read the value of a trial's attribute."""
        return cls(**{name: attribute[name] for name in ("bracket", "index", "budget", "after")})


@strict_types
@dataclass(frozen=True)
class Promotion:
    """The rungs of asynchronous successive halving.

    Args:
        argument: The script's argument that is the budget, such as ``epochs``.
        minimum: Its value on the first rung.
        maximum: Its value on the last one.
        factor: Reduction factor η: the top 1/η of a rung is promoted with η times the budget.
        brackets: With several, some configurations start on a higher rung, which protects curves
            that start badly.
        keep_checkpoints: Keep checkpoints that no run will resume from.

    Raises:
        ConfigError: If the numbers do not define at least two rungs.
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
        """Return the budget of each rung of a bracket; the last one is ``maximum``."""
        budgets = []
        budget = self.minimum * self.factor**bracket
        while budget < self.maximum:
            budgets.append(budget)
            budget *= self.factor
        return (*budgets, self.maximum)

    def first_rung(self, number: int) -> Rung:
        """Return the first rung of a new trial; brackets get shares as in Hyperband, by number."""
        bracket = self._bracket(zlib.crc32(f"{self.argument}/{number}".encode()) / 2**32)
        return Rung(bracket, 0, self.budgets(bracket)[0])

    def _bracket(self, uniform: float) -> int:
        # Li et al. 2018 (Hyperband), algorithm 1: every bracket has the same total budget.
        last = self.brackets - 1
        shares = [self.factor ** (last - b) / (last - b + 1) for b in range(self.brackets)]
        below = 0.0
        for bracket, share in enumerate(shares):
            below += share / sum(shares)
            if uniform < below:
                return bracket
        return last

    def next_rung(self, rung: Rung, number: int) -> Rung:
        """Return the rung above that of trial ``number``."""
        index = rung.index + 1
        return Rung(rung.bracket, index, self.budgets(rung.bracket)[index], after=number)

    def is_last(self, rung: Rung) -> bool:
        """Return whether a rung has the whole budget."""
        return rung.budget >= self.maximum


_Key = tuple[float, float, int]
"""Order on a rung: total violation of constraints, value to be minimized, trial number."""


class Ladder:
    """The rungs of a study, the trials on them, and which of them are promoted.

    Args:
        promotion: Defines the rungs.
        maximize: Whether larger values are better.
    """

    def __init__(self, promotion: Promotion, *, maximize: bool) -> None:
        self.promotion = promotion
        self._sign = -1.0 if maximize else 1.0
        rungs = [(b, i) for b in range(promotion.brackets) for i in range(self._height(b))]
        # By rung, best first: all trials that reached it, and those that may still be promoted.
        self._all: dict[tuple[int, int], list[_Key]] = {r: [] for r in rungs}
        self._waiting: dict[tuple[int, int], list[_Key]] = {r: [] for r in rungs}
        self._key: dict[int, tuple[tuple[int, int], _Key]] = {}
        self._known: set[int] = set()
        self._unneeded: list[int] = []

    @classmethod
    def from_trials(
        cls, promotion: Promotion, trials: Sequence[FrozenTrial], *, maximize: bool
    ) -> Ladder:
        """Return the ladder with the trials that a study has already."""
        ladder = cls(promotion, maximize=maximize)
        for trial in trials:
            reached = trial.user_attrs.get(REACHED_ATTRIBUTE)
            rung = trial_rung(trial)
            if rung is not None and reached is not None and trial.state.is_finished():
                result = read_result(trial)
                if not result.is_replicate:
                    ladder.stand(trial.number, rung, reached, result.violation)
        for trial in trials:
            rung = trial_rung(trial)
            if rung is not None and rung.after is not None:
                ladder.leave(rung.after)
                if trial.state.is_finished():
                    ladder.forget(rung.after)
        return ladder

    def _height(self, bracket: int) -> int:
        return len(self.promotion.budgets(bracket))

    def stand(self, number: int, rung: Rung, value: float, violation: float = 0.0) -> None:
        """Place a trial that has reached a rung; repeated calls have no effect.

        Feasible trials come first, by value; then infeasible ones, by their total violation.
        """
        place, key = (rung.bracket, rung.index), (violation, self._sign * value, number)
        if number in self._known or place not in self._all:
            return  # the latter: of a call with other rungs
        self._known.add(number)
        insort(self._all[place], key)
        if not self.promotion.is_last(rung):
            insort(self._waiting[place], key)
            self._key[number] = (place, key)

    def leave(self, number: int) -> None:
        """Exclude a trial from promotion: it was promoted, or never will be."""
        found = self._key.pop(number, None)
        if found is not None:
            place, key = found
            waiting = self._waiting[place]
            del waiting[bisect_left(waiting, key)]

    def candidate(self) -> int | None:
        """Return the trial to promote next, from the highest rung possible; None without one."""
        for place in sorted(self._waiting, key=lambda place: -place[1]):
            if waiting := self._waiting[place]:
                rank = bisect_left(self._all[place], waiting[0])
                if rank < len(self._all[place]) // self.promotion.factor:
                    return waiting[0][-1]
        return None

    def promote(self) -> Rung | None:
        """Promote the next candidate; return its new rung, or None without a candidate."""
        number = self.candidate()
        if number is None:
            return None
        (bracket, index), _ = self._key[number]
        self.leave(number)
        budget = self.promotion.budgets(bracket)[index]
        return self.promotion.next_rung(Rung(bracket, index, budget), number)

    def eliminated(self, more: int) -> list[int]:
        """Return the trials that will not be promoted even if ``more`` new trials come."""
        found = []
        for bracket in range(self.promotion.brackets):
            most = more
            for index in range(self._height(bracket)):
                place = (bracket, index)
                most = max(len(self._all[place]), most) if index else len(self._all[place]) + most
                most //= self.promotion.factor
                for key in reversed(self._waiting[place]):  # the worst first
                    if bisect_left(self._all[place], key) < most:
                        break
                    found.append(key[-1])
        return found

    def forget(self, number: int) -> None:
        """Note that the run which resumed from a trial's checkpoint has ended."""
        self._unneeded.append(number)

    def unneeded(self, more: int | None) -> list[int]:
        """Return, once, the trials whose checkpoints no run will resume from.

        Args:
            more: Trials that may still come; None if unknown.
        """
        if self.promotion.keep_checkpoints:
            return []
        numbers, self._unneeded = self._unneeded, []
        for number in self.eliminated(more) if more is not None else ():
            self.leave(number)
            numbers.append(number)
        return numbers


def trial_rung(trial: FrozenTrial) -> Rung | None:
    """Return a trial's rung; None without promotion, or if the attribute is not a rung."""
    return read_rung(trial.user_attrs)


def read_rung(attributes: Mapping[str, Any]) -> Rung | None:
    """Return the rung in a trial's user attributes; None if there is none."""
    attribute = attributes.get(RUNG_ATTRIBUTE)
    if not isinstance(attribute, Mapping):
        return None
    after = attribute.get("after")
    numbers = [attribute.get(name) for name in ("bracket", "index", "budget")]
    numbers += [] if after is None else [after]
    # Anybody may set the attribute on a trial that is enqueued.
    return Rung.read(attribute) if all(type(n) is int for n in numbers) else None
