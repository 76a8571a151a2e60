"""Costs of job runs: hours, and money if prices are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.formatting import duration, html_table
from tune_jobs.core.nodes import parse_shape
from tune_jobs.errors import ConfigError

HOUR = 3600.0


@dataclass(frozen=True)
class Amount:
    """Run hours and their price; ``money`` is 0 without prices."""

    hours: float = 0.0
    money: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.hours + other.hours, self.money + other.money)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.hours - other.hours, self.money - other.money)

    def times(self, count: float) -> Amount:
        """Return the amount multiplied by ``count``."""
        return Amount(self.hours * count, self.money * count)

    @property
    def positive(self) -> Amount:
        """The amount with negative parts set to zero."""
        return Amount(max(0.0, self.hours), max(0.0, self.money))


@dataclass(frozen=True)
class Prices:
    """A price list.

    Args:
        per_hour: Money per run hour by compute shape, or by the backend's name (``local``). A run
            with several nodes costs so much for each.

    Raises:
        ConfigError: If a price is negative or infinite.
    """

    per_hour: Mapping[str, float]

    def __post_init__(self) -> None:
        for shape, price in self.per_hour.items():
            if not 0 <= price < float("inf"):
                raise ConfigError(f"prices: invalid price {price} of {shape!r}: use a number >= 0")

    def amount(self, seconds: float, shape: str | None, backend: str) -> Amount:
        """Return what a run of ``seconds`` costs; an unknown shape has the highest price."""
        highest = max(self.per_hour.values(), default=0.0)
        nodes, shape = parse_shape(shape or backend)
        price = nodes * self.per_hour.get(shape, self.per_hour.get(backend, highest))
        hours = max(0.0, seconds) / HOUR
        return Amount(hours, hours * price)

    def of(self, attempt: Attempt) -> Amount:
        """Return what an ended attempt cost."""
        if attempt.started is None or attempt.finished is None:
            return Amount()
        return self.amount(attempt.finished - attempt.started, attempt.shape, attempt.backend)


@dataclass(frozen=True)
class Costs:
    """Costs of a study.

    Args:
        spent: By ended runs, final runs included.
        committed: By live runs, up to their expected end.
        saved: What pruned runs would have used up to the mean duration of a whole run.
        forecast: Everything at the end of ``n_trials``; None if unknown.
        has_prices: Whether prices were given.
        controllers: By controllers that are job runs, until now.
    """

    spent: Amount = Amount()
    committed: Amount = Amount()
    saved: Amount = Amount()
    forecast: Amount | None = None
    has_prices: bool = False
    controllers: Amount = Amount()

    @property
    def used(self) -> Amount:
        """What is spent when the live runs have ended: what limits on hours and money are about."""
        return self.spent + self.committed + self.controllers

    def rows(self) -> list[tuple[str, str]]:
        """Return label and value of each figure that is not zero."""
        parts = [
            ("spent", self.spent),
            ("live runs", self.committed),
            ("saved by pruning", self.saved),
            ("forecast", self.forecast or Amount()),
            ("controllers", self.controllers),
        ]
        shown = [(label, amount) for label, amount in parts if amount.hours or label == "spent"]
        return [(label, self._format(amount)) for label, amount in shown]

    def _format(self, amount: Amount) -> str:
        time = f"{duration(amount.hours * HOUR)} of run time"
        return f"{time}, cost {amount.money:.4g}" if self.has_prices else time

    def __str__(self) -> str:
        return "\n".join(f"{label:<16} {value}" for label, value in self.rows())

    def _repr_html_(self) -> str:
        return html_table(self.rows())
