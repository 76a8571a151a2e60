"""What was seen of one attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.runtime.records import Record


@dataclass(frozen=True)
class Observation:
    """What was seen of one attempt: its state, and all its metrics so far."""

    attempt: Attempt
    update: RunUpdate
    records: Sequence[Record]

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.update.state.is_terminal
