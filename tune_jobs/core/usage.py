"""How long the runs of a study take and what they cost, measured on its own runs."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.controllers import ControllerRecord, measure_controllers
from tune_jobs.core.costs import HOUR, Amount, Costs, Prices
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.core.nodes import parse_shape

REMEMBERED = 32
"""How many of the latest runs of each kind expectations are based on."""


def _latest() -> deque[float]:
    return deque(maxlen=REMEMBERED)


class RunStatistics:
    """Durations and costs of the runs of a study, earlier calls included.

    Args:
        prices: Money per run hour, by shape.
        past: Attempts of earlier calls.
        controllers: Controllers of the study; one without an end is at work.
    """

    def __init__(
        self,
        prices: Mapping[str, float],
        past: Iterable[Attempt] = (),
        controllers: Sequence[ControllerRecord] = (),
    ) -> None:
        self._prices, self._controllers = Prices(prices), controllers
        self._spent = Amount()
        self._cut_short: list[Amount] = []
        self._trial_runs = 0
        self._of_trial: dict[int, Amount] = defaultdict(Amount)
        self._trial_amount = Amount()
        self._whole: dict[int | None, deque[float]] = defaultdict(_latest)
        self._steps: deque[float] = _latest()
        self._startups: dict[str | None, deque[float]] = defaultdict(_latest)
        self._stops: dict[str | None, deque[float]] = defaultdict(_latest)
        self._began: dict[str, float] = {}
        self._accepted: dict[str, float] = {}
        self._shape: dict[str, str | None] = {}
        self._stop_requested: dict[str, float] = {}
        self._nodes = 1  # of the latest run
        for attempt in past:
            self.ended(attempt)

    # -- events ---------------------------------------------------------------------------------

    def submitted(self, attempt: Attempt, now: float) -> None:
        """Count a run that is submitted."""
        self._accepted[attempt.name] = now

    def adopted(self, attempt: Attempt) -> None:
        """Count a live run of an earlier call."""
        if attempt.accepted is not None:
            self._began[attempt.name] = attempt.accepted

    def seen(self, update: RunUpdate, now: float) -> float | None:
        """Count an update of a live run; return when its script started, the first time only."""
        if update.state != RunState.IN_PROGRESS or update.name in self._shape:
            return None
        self._began[update.name] = began = now if update.started is None else update.started
        self._shape[update.name] = update.shape
        self._nodes, _ = parse_shape(update.shape or "")
        return began

    def stopping(self, name: str, now: float) -> None:
        """Count a request to stop a run."""
        self._stop_requested.setdefault(name, now)

    def ended(self, attempt: Attempt, steps: int = 0) -> None:
        """Count a run that has ended.

        Args:
            attempt: The closed attempt.
            steps: How many steps it reported.
        """
        name, amount = attempt.name, self._prices.of(attempt)
        stop_requested = self._stop_requested.pop(name, None)
        accepted = self._accepted.pop(name, attempt.accepted)
        self._began.pop(name, None)
        self._shape.pop(name, None)
        self._spent += amount
        if attempt.started is None or attempt.finished is None:
            return
        self._nodes, _ = parse_shape(attempt.shape or "")
        if accepted is not None:
            self._startups[attempt.shape].append(max(0.0, attempt.started - accepted))
        if stop_requested is not None:
            self._stops[attempt.shape].append(max(0.0, attempt.finished - stop_requested))
        if not attempt.is_final:
            self._trial_run_ended(attempt, amount, attempt.finished - attempt.started, steps)

    def _trial_run_ended(
        self, attempt: Attempt, amount: Amount, seconds: float, steps: int
    ) -> None:
        if attempt.trial is not None:
            self._of_trial[attempt.trial] += amount
        self._trial_runs += 1
        self._trial_amount += amount
        if attempt.state == AttemptState.SUCCEEDED:
            self._whole[attempt.invocation.budget].append(seconds)
            if steps:
                self._steps.append(steps)
        elif (attempt.cause or "").startswith("pruned"):
            self._cut_short.append(amount)

    # -- expectations ---------------------------------------------------------------------------

    def of_trial(self, number: int) -> Amount:
        """Return what the attempts of a trial have used."""
        return self._of_trial.get(number, Amount())

    def seconds_of(self, budget: int | None) -> float | None:
        """Return the longest duration of a whole run; None if unknown.

        Args:
            budget: The run's budget under promotion. Without runs of that budget, the duration
                is scaled from the nearest one.
        """
        if self._whole.get(budget):
            return max(self._whole[budget])
        known = [b for b, seconds in self._whole.items() if b is not None and seconds]
        if budget is None or not known:
            return None
        nearest = min(known, key=lambda b: abs(b - budget))
        return max(self._whole[nearest]) * budget / nearest

    def seconds_left(self, attempt: Attempt, steps: int, now: float) -> float | None:
        """Return the expected remaining time of a live run, by its steps; None if unknown."""
        began = self._began.get(attempt.name)
        if began is None or not steps or not self._steps:
            return None
        return (now - began) * max(0.0, median(self._steps) / steps - 1.0)

    def overhead(self, shape: str | None) -> float:
        """Return the seconds it takes to stop a run and to start another one."""
        startups = self._startups.get(shape) or [s for d in self._startups.values() for s in d]
        stops = self._stops.get(shape) or [s for d in self._stops.values() for s in d]
        return (median(startups) if startups else 0.0) + (median(stops) if stops else 0.0)

    def amount_of(self, budget: int | None, backend: str) -> Amount | None:
        """Return what a new run will use at most; None if unknown."""
        seconds = self.seconds_of(budget)
        if seconds is None:
            return None
        amount = self._prices.amount(seconds, None, backend)
        return Amount(amount.hours, self._nodes * amount.money)

    def accrued(self, live: Mapping[str, Attempt], now: float) -> Amount:
        """Return what ended and live runs, and controllers, have used until now."""
        total = self._spent + measure_controllers(self._controllers, self._prices, now)
        for attempt in live.values():
            total += self._amount(attempt, now - self._began.get(attempt.name, now))
        return total

    def costs(self, live: Mapping[str, Attempt], now: float, trials_left: int | None) -> Costs:
        """Return the whole account.

        Args:
            live: Runs that hold a slot.
            now: Seconds since the epoch.
            trials_left: Trials that will still be started; None if unknown.
        """
        committed = Amount()
        for attempt in live.values():
            elapsed = now - self._began.get(attempt.name, now)
            expected = self.seconds_of(attempt.invocation.budget) or 0.0
            committed += self._amount(attempt, max(elapsed, expected))
        costs = Costs(
            spent=self._spent,
            committed=committed,
            saved=self._saved(),
            has_prices=bool(self._prices.per_hour),
            controllers=measure_controllers(self._controllers, self._prices, now),
        )
        return replace(costs, forecast=self._forecast(costs, trials_left))

    def _amount(self, attempt: Attempt, seconds: float) -> Amount:
        return self._prices.amount(seconds, self._shape.get(attempt.name), attempt.backend)

    def _saved(self) -> Amount:
        whole = self._whole.get(None)
        if not whole or not self._cut_short:
            return Amount()
        hours = fmean(whole) / HOUR
        saved = Amount()
        for amount in self._cut_short:
            price = amount.money / amount.hours if amount.hours else 0.0
            saved += (Amount(hours, hours * price) - amount).positive
        return saved

    def _forecast(self, costs: Costs, trials_left: int | None) -> Amount | None:
        """Return the amount at the end: the trials that are left need what the others needed."""
        if trials_left is None or not self._trial_runs:
            return None
        mean = (self._trial_amount + costs.controllers).times(1.0 / self._trial_runs)
        return costs.used + mean.times(trials_left)
