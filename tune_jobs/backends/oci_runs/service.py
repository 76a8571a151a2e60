"""Protocol of a service's runs, which Data Science implements for its job runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ServiceRun:
    """Run as the service lists it.

    Args:
        state: The service's ``lifecycleState``, whether or not the SDK knows it.
        details: ``lifecycleDetails``, free text.
        accepted, started, finished: Seconds since the epoch.
        job: OCID of what it is a run of.
    """

    id: str
    name: str
    state: str
    details: str
    tags: Mapping[str, str]
    accepted: float | None
    started: float | None
    finished: float | None
    job: str = ""


class ServiceRuns(Protocol):
    """Runs of one compartment.

    Attributes:
        policy: The statement that allows the caller to manage them.
    """

    policy: str

    def cancel(self, run_id: str) -> None:
        """Cancel a run; a run that has ended or does not exist is left alone."""
        ...

    def get(self, run_id: str) -> ServiceRun | None:
        """Return a run; None if it does not exist."""
        ...

    def list_by_id(self, job: str, run_ids: Collection[str]) -> dict[str, ServiceRun]:
        """Return these runs of a job by OCID; a run that does not exist is absent."""
        ...

    def list_by_name(
        self, job: str, names: Collection[str], tags: Mapping[str, str]
    ) -> dict[str, ServiceRun]:
        """Return the runs of a job with these display names and tags, by name."""
        ...
