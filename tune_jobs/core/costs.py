"""What job runs cost: hours, and money where the user gave prices. Plain functions over data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.formatting import duration, html_table
from tune_jobs.errors import ConfigError

HOUR = 3600.0


@dataclass(frozen=True)
class Amount:
    """Run hours, and what they cost; ``money`` is 0 without prices."""

    hours: float = 0.0
    money: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.hours + other.hours, self.money + other.money)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.hours - other.hours, self.money - other.money)

    def times(self, count: float) -> Amount:
        """So many of it."""
        return Amount(self.hours * count, self.money * count)

    @property
    def positive(self) -> Amount:
        """Nothing instead of less than nothing."""
        return Amount(max(0.0, self.hours), max(0.0, self.money))


@dataclass(frozen=True)
class Prices:
    """A price list.

    Args:
        per_hour: Money per run hour by compute shape, or by the backend's name (``local``).

    Raises:
        ConfigError: a price is negative.
    """

    per_hour: Mapping[str, float]

    def __post_init__(self) -> None:
        for shape, price in self.per_hour.items():
            if not 0 <= price < float("inf"):
                raise ConfigError(f"prices: {shape!r} costs {price} an hour? Write a number >= 0")

    def amount(self, seconds: float, shape: str | None, backend: str) -> Amount:
        """What a run of ``seconds`` on a shape costs; an unknown shape costs as the dearest."""
        dearest = max(self.per_hour.values(), default=0.0)
        price = self.per_hour.get(shape or backend, self.per_hour.get(backend, dearest))
        hours = max(0.0, seconds) / HOUR
        return Amount(hours, hours * price)

    def of(self, attempt: Attempt) -> Amount:
        """What an attempt that has ended cost."""
        if attempt.started is None or attempt.finished is None:
            return Amount()
        return self.amount(attempt.finished - attempt.started, attempt.shape, attempt.backend)


@dataclass(frozen=True)
class Costs:
    """What a study costs.

    Args:
        spent: By runs that have ended, final runs included.
        committed: By live runs: what they have used, and what they will use until their
            expected end.
        saved: What pruned runs would have used up to the usual length of a whole run.
        forecast: At the end of ``n_trials``; None where that cannot be said.
        has_prices: Whether ``money`` means anything.
    """

    spent: Amount = Amount()
    committed: Amount = Amount()
    saved: Amount = Amount()
    forecast: Amount | None = None
    has_prices: bool = False

    def rows(self) -> list[tuple[str, str]]:
        """Label and text of each figure that says something."""
        parts = [
            ("spent", self.spent),
            ("live runs", self.committed),
            ("saved by pruning", self.saved),
            ("forecast", self.forecast or Amount()),
        ]
        said = [(label, amount) for label, amount in parts if amount.hours or label == "spent"]
        return [(label, self._text(amount)) for label, amount in said]

    def _text(self, amount: Amount) -> str:
        time = f"{duration(amount.hours * HOUR)} of run time"
        return f"{time}, cost {amount.money:.4g}" if self.has_prices else time

    def __str__(self) -> str:
        return "\n".join(f"{label:<16} {text}" for label, text in self.rows())

    def _repr_html_(self) -> str:
        return html_table(self.rows())
