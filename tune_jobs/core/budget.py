"""What a call of ``optimize`` may still spend: its limits, how far it is, and what runs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.commands import Control
from tune_jobs.core.costs import Costs
from tune_jobs.core.outcomes import (
    Limits,
    affordable_runs,
    changed,
    counted,
    exhausted_budget,
    failure_limit,
    free_slots,
    start_tally,
    stopping_reason,
    trials_left,
)
from tune_jobs.core.trial_attributes import is_told
from tune_jobs.core.usage import RunStatistics


class Budget:
    """The account of one call.

    Args:
        limits: What may be spent.
        statistics: What runs take.
        trials: Those that the study has already.
    """

    def __init__(
        self, limits: Limits, statistics: RunStatistics, trials: Sequence[FrozenTrial]
    ) -> None:
        self.limits = limits
        self.statistics = statistics
        self.tally = start_tally(trials, maximize=limits.maximize)
        self._told_before = sum(is_told(t) for t in trials)

    @property
    def trials_left(self) -> int | None:
        """Trials that may still be started; None: as many as there is time for."""
        return trials_left(self.limits, self.tally)

    def started(self, count: int) -> None:
        """So many trials were given a run."""
        self.tally = replace(self.tally, started=self.tally.started + count)

    def told(self, state: TrialState, values: Sequence[float] | None, *, going_on: bool) -> None:
        """A trial was told, with ``values`` if it is complete."""
        self.tally = counted(self.tally, state, going_on=going_on)
        if values is not None and len(values) == 1:
            self.tally = self.tally.with_value(values[0], maximize=self.limits.maximize)

    def change(self, control: Control) -> None:
        """Other limits, asked for from outside."""
        self.limits = changed(self.limits, control, self._told_before)

    def slots(self, holding: int, now: float) -> int:
        """How many runs there is room for beside ``holding`` ones."""
        return free_slots(self.limits, replace(self.tally, live=holding), now)

    def costs(self, live: Mapping[str, Attempt], now: float) -> Costs:
        """What was spent, and what will be."""
        return self.statistics.costs(live, now, self.trials_left)

    def affordable_runs(
        self, live: Mapping[str, Attempt], now: float, kind: int | None, backend: str
    ) -> int | None:
        """How many more runs the limits on hours and money allow; None: any number.

        Args:
            live: Runs that hold a slot.
            now: Seconds since the epoch.
            kind, backend: Of a new run.
        """
        if not self.limits.of_money:
            return None
        costs = self.costs(live, now)
        run = self.statistics.amount_of(kind, backend)
        return affordable_runs(self.limits, costs.spent + costs.committed, run)

    @property
    def no_room(self) -> str:
        """What to say where not even one run is affordable."""
        limits = {"max_run_hours": self.limits.max_run_hours, "max_cost": self.limits.max_cost}
        said = " and ".join(f"{k}={v:g}" for k, v in limits.items() if v is not None)
        return f"{said} leaves no room for another run"

    def exhausted_budget(self, live: Mapping[str, Attempt], now: float) -> str:
        """The limit on hours or money that is reached; empty if none is."""
        if not self.limits.of_money:
            return ""
        return exhausted_budget(self.limits, self.statistics.accrued(live, now))

    def stopping_reason(self) -> str:
        """Why nothing more need be tried; empty if it need."""
        return stopping_reason(self.limits, self.tally)

    def failure_limit(self) -> str:
        """Why going on is pointless; empty if it is not."""
        return failure_limit(self.limits, self.tally)
