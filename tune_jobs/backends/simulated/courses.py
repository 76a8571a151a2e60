"""Courses of simulated runs: what they report and when they end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SimulatedReport:
    """Metrics that a run reports at a time.

    Args:
        seconds: Time since the start of its script.
        step: The epoch or the like; None if the script does not report it.
        values: The metrics by name.
    """

    seconds: float
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Course:
    """Course of a run.

    Args:
        reports: What it reports, in the order of time.
        seconds: Time from the start of its script to the end; None to end with the last report.
        exit_code: The script's exit code; the run fails unless it is 0.
    """

    reports: Sequence[SimulatedReport]
    seconds: float | None = None
    exit_code: int = 0

    @property
    def end(self) -> float:
        """Seconds from the start of the script to its end."""
        if self.seconds is not None:
            return self.seconds
        return self.reports[-1].seconds if self.reports else 0.0


@dataclass(frozen=True)
class SimulatedRun:
    """Run, as a curve sees it.

    Args:
        name: Its name, such as ``trial-000012-1``.
        trial: The number of its trial; None for other runs.
        argv: Its arguments.
        resume_step: The last step in the checkpoint that it resumes from, if any.
        random: Random generator of its own, the same in every simulation with the same seed.
    """

    name: str
    trial: int | None
    argv: Sequence[str]
    resume_step: int | None
    random: random.Random = field(repr=False, compare=False)

    @property
    def arguments(self) -> dict[str, str]:
        """Values of ``--name=value`` and ``--name value`` by name, with ``_`` for ``-``."""
        values: dict[str, str] = {}
        pending: str | None = None
        for word in self.argv:
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                pending = name.replace("-", "_")
                values[pending] = value if equals else "true"
                if equals:
                    pending = None
            elif pending is not None:
                values[pending], pending = word, None
        return values

    def number(self, name: str) -> float:
        """Return an argument as a number.

        Raises:
            KeyError: If there is no such argument.
            ValueError: If it is not a number.
        """
        return float(self.arguments[name])


Curve = Callable[[SimulatedRun], Course | Sequence[SimulatedReport]]
"""Returns the course of a run."""
