"""What a call of ``optimize`` may still spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core import limits as rules
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import Result
from tune_jobs.core.commands import Control
from tune_jobs.core.costs import Costs
from tune_jobs.core.limits import Limits
from tune_jobs.core.trial_attributes import counts_as_finished
from tune_jobs.core.usage import RunStatistics


class Budget:
    """The account of one call: its limits, its progress, and what runs use.

    Args:
        limits: What may be spent.
        statistics: What runs of the study have used.
        trials: The trials that the study has already.
    """

    def __init__(
        self, limits: Limits, statistics: RunStatistics, trials: Sequence[FrozenTrial] = ()
    ) -> None:
        self.limits = limits
        self.statistics = statistics
        self.tally = rules.start_tally(trials, maximize=limits.maximize)
        self._finished_before = sum(counts_as_finished(t) for t in trials)

    @property
    def trials_left(self) -> int | None:
        """Trials that may still be started; None without such a limit."""
        return rules.trials_left(self.limits, self.tally)

    def start(self, count: int) -> None:
        """Count trials that are given a run."""
        self.tally = replace(self.tally, started=self.tally.started + count)

    def finish(
        self, state: TrialState, *, promoted: bool, diverged: bool = False, canceled: bool = False
    ) -> None:
        """Count a finished trial; see `Tally.with_trial`."""
        self.tally = self.tally.with_trial(
            state, promoted=promoted, diverged=diverged, canceled=canceled
        )

    def rank(self, result: Result) -> None:
        """Take the result of a finished trial into account, if it can be the best."""
        self.tally = self.tally.with_result(result, maximize=self.limits.maximize)

    def change(self, control: Control) -> None:
        """Apply a ``set`` command."""
        self.limits = rules.change_limits(self.limits, control, self._finished_before)

    def slots(self, holding: int, now: float) -> int:
        """Return how many runs may be started beside ``holding`` ones."""
        return rules.free_slots(self.limits, replace(self.tally, live=holding), now)

    def costs(self, live: Mapping[str, Attempt], now: float) -> Costs:
        """Return what was spent and what will be."""
        return self.statistics.costs(live, now, self.trials_left)

    def affordable_runs(
        self, live: Mapping[str, Attempt], now: float, budget: int | None, backend: str
    ) -> int | None:
        """Return how many more runs the limits on hours and money allow; None if any number.

        Args:
            live: Runs that hold a slot.
            now: Seconds since the epoch.
            budget, backend: Budget (under promotion) and backend of a new run.
        """
        if not self.limits.on_usage:
            return None
        run = self.statistics.amount_of(budget, backend)
        return rules.affordable_runs(self.limits, self.costs(live, now).used, run)

    def is_overdue(self, now: float) -> bool:
        """Return whether the time in which trials may be started is over."""
        return self.limits.deadline is not None and now >= self.limits.deadline

    def has_no_room(self, now: float, budget: int | None, backend: str) -> bool:
        """Return whether not even one run is affordable, with no run live."""
        return self.affordable_runs({}, now, budget, backend) == 0

    @property
    def no_room(self) -> str:
        """The message for `has_no_room`."""
        limits = {"max_run_hours": self.limits.max_run_hours, "max_cost": self.limits.max_cost}
        given = " and ".join(f"{k}={v:g}" for k, v in limits.items() if v is not None)
        return f"{given} leaves no room for another run"

    def exhausted(self, live: Mapping[str, Attempt], now: float) -> str:
        """Return which limit on hours or money is reached, or an empty string."""
        if not self.limits.on_usage:
            return ""
        return rules.exhausted_budget(self.limits, self.statistics.accrued(live, now))

    def stopping_reason(self) -> str:
        """Return the reason to stop early, or an empty string."""
        return rules.stopping_reason(self.limits, self.tally)

    def failure_limit(self) -> str:
        """Return which limit on failures is exceeded, or an empty string."""
        return rules.failure_limit(self.limits, self.tally)
