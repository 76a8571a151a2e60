"""Progress of a call, as it is shown to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tune_jobs.core.costs import Costs
from tune_jobs.core.formatting import duration

Verbosity = Literal["quiet", "normal", "verbose"]
"""What is shown: only warnings; progress and results; or also every start and refusal."""


@dataclass(frozen=True)
class Running:
    """A live run, with its latest intermediate value if it has reported one."""

    name: str
    stopping: bool
    step: int | None
    value: float | None


@dataclass(frozen=True)
class Snapshot:
    """Progress of a call of ``optimize``.

    Args:
        n_trials: Trials to finish; None without such a limit.
        promoted: Finished runs of promoted configurations.
        costs: Costs of the study so far.
        running: Some of the live runs.
        best: Trial number and values of the best trials (one, or some of the Pareto front).
        elapsed: Seconds since the call began; None if nothing is tuned.
        no_best: Why there is no best trial; empty if there is one.
        earlier: Trials that had finished before ``elapsed`` began.
    """

    study: str
    n_trials: int | None
    complete: int
    pruned: int
    failed: int
    live: int
    max_parallel: int
    metric: str
    best: tuple[tuple[int, tuple[float, ...]], ...]
    best_params: Mapping[str, Any]
    elapsed: float | None
    promoted: int = 0
    costs: Costs = field(default_factory=Costs)
    running: tuple[Running, ...] = ()
    no_best: str = ""
    earlier: int = 0

    @property
    def done(self) -> int:
        """Finished trials."""
        return self.complete + self.pruned + self.failed

    @property
    def per_minute(self) -> float:
        """Finished trials per minute so far."""
        return 60.0 * (self.done - self.earlier) / self.elapsed if self.elapsed else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds until ``n_trials`` are finished at this rate; None if unknown."""
        if self.n_trials is None or not self.done or not self.elapsed:
            return None
        return max(0.0, (self.n_trials - self.done) * self.elapsed / self.done)

    def counts(self) -> list[tuple[str, str]]:
        """Return label and value of every figure, in the order of display."""
        of = f" of {self.n_trials}" if self.n_trials is not None else ""
        rows = [
            ("trials", f"{self.done}{of} done"),
            ("running", f"{self.live} of {self.max_parallel} slots"),
            ("pruned", str(self.pruned)),
            ("failed", str(self.failed)),
        ]
        if self.elapsed is not None:
            rows.append(("rate", f"{self.per_minute:.1f} trials/min"))
            rows.append(("elapsed", duration(self.elapsed)))
        if self.promoted:
            rows.insert(3, ("promoted", str(self.promoted)))
        if self.costs.has_prices:
            rows.append(("cost", f"{self.costs.used.money:.4g} with the live runs"))
        if self.eta is not None:
            rows.append(("left", f"about {duration(self.eta)}"))
        if self.best:
            values = "; ".join(
                f"{', '.join(format(v, '.6g') for v in values)} (trial {number})"
                for number, values in self.best
            )
            rows.append((f"best {self.metric}", values))
        elif self.no_best:
            rows.append((f"best {self.metric}", self.no_best))
        return rows

    def line(self) -> str:
        """Return all figures in one line."""
        return f"{self.study}: " + ", ".join(
            value if label == "trials" else f"{label} {value}" for label, value in self.counts()
        )


class Progress(Protocol):
    """A display of progress; only for eyes, everything is logged as well.

    A display whose attribute ``shows_trials`` is true gets a line about each finished trial, and
    about the best ones at the end.
    """

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        """Show the progress; the snapshot is made only when it is shown."""
        ...

    def say(self, line: str) -> None:
        """Show a line about something that happened."""
        ...

    def close(self) -> None:
        """Leave the display as it is."""
        ...
