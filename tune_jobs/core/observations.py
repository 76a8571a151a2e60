"""What was seen of a job run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.runtime.records import Record


@dataclass(frozen=True)
class Observation:
    """A run's latest state, and all its metrics so far, oldest first."""

    update: RunUpdate
    records: Sequence[Record]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.update.name

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.update.state.is_terminal
