"""What a notebook shows of a study: progress, the best trial, live runs, failures, what to do next.

`describing` makes it; `html` and `live` draw it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shower = Literal["tuner", "monitor"]
"""The object that shows the study; what to call next is a method of it."""

CURVE_WIDTH, CURVE_HEIGHT = 120, 24
"""Size of the coordinates of a curve."""


@dataclass(frozen=True)
class LiveRun:
    """A live run.

    Args:
        name: Its name, such as ``trial-000012-1``.
        trial: Its trial, or what else it is for.
        state: Its state and latest intermediate value.
        curve: Points of its learning curve for an SVG polyline; empty without two values.
    """

    name: str
    trial: str
    state: str
    curve: str


@dataclass(frozen=True)
class StudyState:
    """A study as a notebook shows it; all strings are bounded.

    Args:
        name: Name of the study.
        status: Who tunes it.
        is_tuned: Whether a process tunes it.
        is_paused: Whether that process starts no new trials.
        done: Finished trials.
        total: Trials to finish; None without such a limit.
        best: The best values, or why there are none.
        params: Parameters of the best trial.
        facts: Label and value of the other figures.
        runs: Some of the live runs.
        n_live: Number of live runs.
        failures: Trial and cause of the latest failed trials.
        n_failed: Number of failed trials.
        problems: What is wrong.
        advice: What to call next.
        at: When it was seen; seconds since the epoch.
    """

    name: str
    status: str
    is_tuned: bool
    is_paused: bool
    done: int
    total: int | None
    best: str
    params: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    runs: tuple[LiveRun, ...]
    n_live: int
    failures: tuple[tuple[str, str], ...]
    n_failed: int
    problems: tuple[str, ...]
    advice: str
    at: float

    @property
    def progress(self) -> str:
        """The number of finished trials as a string."""
        of = f" of {self.total}" if self.total is not None else ""
        return f"{self.done}{of} done"

    def line(self) -> str:
        """Return the state in a line."""
        parts = [self.progress, self.best and f"best: {self.best}"]
        parts += [f"{label}: {value}" for label, value in self.facts]
        parts += [self.status, *self.problems]
        return f"{self.name}: {', '.join(part for part in parts if part)}"
