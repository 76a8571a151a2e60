"""What the runs of a study take: time, money, and what it costs to start one.

Everything is measured on the study's own runs, those of earlier calls included.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from statistics import fmean, median

from tune_jobs.core.attempts import Attempt, AttemptState
from tune_jobs.core.costs import Amount, Costs, Prices
from tune_jobs.core.job_runs import RunState, RunUpdate

REMEMBERED = 32
"""Runs of each kind that expectations are made from, the latest ones."""


def _latest() -> deque[float]:
    return deque(maxlen=REMEMBERED)


class RunStatistics:
    """Counts what runs take.

    Args:
        prices: Per shape.
        past: Attempts of earlier calls.
    """

    def __init__(self, prices: Mapping[str, float], past: Iterable[Attempt] = ()) -> None:
        self._prices = Prices(prices)
        self._spent = Amount()
        self._cut_short: list[Amount] = []
        self._trial_runs = 0
        self._of_trial: dict[int, Amount] = defaultdict(Amount)
        self._trial_amount = Amount()
        self._whole: dict[int | None, deque[float]] = defaultdict(_latest)
        self._steps: deque[float] = _latest()
        self._boots: dict[str | None, deque[float]] = defaultdict(_latest)
        self._stops: dict[str | None, deque[float]] = defaultdict(_latest)
        self._began: dict[str, float] = {}
        self._accepted: dict[str, float] = {}
        self._shape: dict[str, str | None] = {}
        self._asked_to_stop: dict[str, float] = {}
        for attempt in past:
            self.ended(attempt)

    # -- what happens ---------------------------------------------------------------------------

    def submitted(self, attempt: Attempt, now: float) -> None:
        """A run was asked for."""
        self._accepted[attempt.name] = now

    def adopted(self, attempt: Attempt) -> None:
        """A live run that somebody else started."""
        if attempt.accepted is not None:
            self._began[attempt.name] = attempt.accepted

    def seen(self, update: RunUpdate, now: float) -> float | None:
        """News of a live run; returns when its script was started, the first time it is known."""
        if update.state != RunState.IN_PROGRESS or update.name in self._shape:
            return None
        self._began[update.name] = began = now if update.started is None else update.started
        self._shape[update.name] = update.shape
        return began

    def stopping(self, name: str, now: float) -> None:
        """A run was asked to stop."""
        self._asked_to_stop.setdefault(name, now)

    def ended(self, attempt: Attempt, steps: int = 0) -> None:
        """A run has ended.

        Args:
            attempt: As the ledger has it.
            steps: How many steps it reported.
        """
        name, amount = attempt.name, self._prices.of(attempt)
        asked = self._asked_to_stop.pop(name, None)
        accepted = self._accepted.pop(name, attempt.accepted)
        self._began.pop(name, None)
        self._shape.pop(name, None)
        self._spent += amount
        if attempt.started is None or attempt.finished is None:
            return
        if accepted is not None:
            self._boots[attempt.shape].append(max(0.0, attempt.started - accepted))
        if asked is not None:
            self._stops[attempt.shape].append(max(0.0, attempt.finished - asked))
        if attempt.is_final:
            return
        if attempt.trial is not None:
            self._of_trial[attempt.trial] += amount
        self._trial_runs += 1
        self._trial_amount += amount
        if attempt.state == AttemptState.SUCCEEDED:
            self._whole[run_kind(attempt)].append(attempt.finished - attempt.started)
            if steps:
                self._steps.append(steps)
        elif (attempt.cause or "").startswith("pruned"):
            self._cut_short.append(amount)

    def of_trial(self, number: int) -> Amount:
        """What the attempts of a trial took."""
        return self._of_trial.get(number, Amount())

    # -- what is to be expected -----------------------------------------------------------------

    def seconds_of(self, kind: int | None) -> float | None:
        """How long a whole run takes at most, as far as is known; None: nobody knows yet.

        Args:
            kind: Its budget under promotion; runs with another budget say it in proportion.
        """
        if self._whole.get(kind):
            return max(self._whole[kind])
        known = [k for k, seconds in self._whole.items() if k is not None and seconds]
        if kind is None or not known:
            return None
        nearest = min(known, key=lambda k: abs(k - kind))
        return max(self._whole[nearest]) * kind / nearest

    def seconds_left(self, attempt: Attempt, steps: int, now: float) -> float | None:
        """How long a live run will still take, by the steps that whole runs have."""
        began = self._began.get(attempt.name)
        if began is None or not steps or not self._steps:
            return None
        return (now - began) * max(0.0, median(self._steps) / steps - 1.0)

    def overhead(self, shape: str | None) -> float:
        """Seconds that it takes to stop a run and have another one in its place."""
        boots = self._boots.get(shape) or [s for known in self._boots.values() for s in known]
        stops = self._stops.get(shape) or [s for known in self._stops.values() for s in known]
        return (median(boots) if boots else 0.0) + (median(stops) if stops else 0.0)

    def amount_of(self, kind: int | None, backend: str) -> Amount | None:
        """What a new run will cost at most, as far as is known."""
        seconds = self.seconds_of(kind)
        return None if seconds is None else self._prices.amount(seconds, None, backend)

    def accrued(self, live: Mapping[str, Attempt], now: float) -> Amount:
        """What was used until now, by ended and by live runs."""
        total = self._spent
        for attempt in live.values():
            total += self._amount(attempt, now - self._began.get(attempt.name, now))
        return total

    def costs(self, live: Mapping[str, Attempt], now: float, trials_left: int | None) -> Costs:
        """The whole account.

        Args:
            live: Runs that hold a slot.
            now: Seconds since the epoch.
            trials_left: That will still be started; None: nobody knows.
        """
        committed = Amount()
        for attempt in live.values():
            elapsed = now - self._began.get(attempt.name, now)
            usual = self.seconds_of(run_kind(attempt)) or 0.0
            committed += self._amount(attempt, max(elapsed, usual))
        return Costs(
            spent=self._spent,
            committed=committed,
            saved=self._saved(),
            forecast=self._forecast(committed, trials_left),
            has_prices=bool(self._prices.per_hour),
        )

    def _amount(self, attempt: Attempt, seconds: float) -> Amount:
        return self._prices.amount(seconds, self._shape.get(attempt.name), attempt.backend)

    def _saved(self) -> Amount:
        whole = self._whole.get(None)
        if not whole or not self._cut_short:
            return Amount()
        hours = fmean(whole) / 3600.0
        saved = Amount()
        for amount in self._cut_short:
            price = amount.money / amount.hours if amount.hours else 0.0
            saved += (Amount(hours, hours * price) - amount).positive
        return saved

    def _forecast(self, committed: Amount, trials_left: int | None) -> Amount | None:
        if trials_left is None or not self._trial_runs:
            return None
        usual = self._trial_amount.times(1.0 / self._trial_runs)
        return self._spent + committed + usual.times(trials_left)


def run_kind(attempt: Attempt) -> int | None:
    """What runs are compared with each other: those with the same budget."""
    budget = attempt.invocation.get("budget")
    return None if budget is None else int(budget)
