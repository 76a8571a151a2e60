"""Controllers: the processes that tune a study detached from the person who launched them.

launched ──▶ started ──▶ finished
(its record is   (it runs)     (it ended, or is known to have ended)
 written first)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tune_jobs.core.costs import HOUR, Amount, Prices

LOCAL = "local"
"""Place of a controller that is a process of a machine."""

PREFIX = "controller-"

JOB_RUN = "JOB_RUN_OCID"
"""Variable that OCI sets in every job run."""

PENDING_SECONDS = 3600.0
"""Seconds after its launch during which a controller may begin."""


@dataclass(frozen=True)
class ControllerRecord:
    """A controller, as the ledger records it.

    Args:
        name: ``controller-1``; unique within the study.
        place: ``local``, or the name of the backend whose job run it is.
        user: Who launched it: ``user@host``.
        run_id: Identity of its process, or OCID of its job run; None until it is known.
        shape: Compute shape of its job run.
        log: Path or URI of its log.
        launched, started, finished: Seconds since the epoch.
    """

    name: str
    place: str
    user: str
    launched: float
    run_id: str | None = None
    shape: str | None = None
    log: str = ""
    started: float | None = None
    finished: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether its end is not recorded."""
        return self.finished is None

    def may_begin(self, now: float) -> bool:
        """Return whether it was launched and may still begin, at a time since the epoch."""
        return self.is_open and not self.has_begun and now - self.launched < PENDING_SECONDS

    @property
    def has_begun(self) -> bool:
        """Whether it ran, or runs."""
        return self.started is not None


def measure_controllers(
    records: Sequence[ControllerRecord], prices: Prices, known_until: float
) -> Amount:
    """Return the hours of a study's controllers that are job runs, and their price.

    Args:
        records: All controllers of the study.
        prices: Price of an hour by shape; a controller whose shape has none costs nothing.
        known_until: Time up to which a controller counts whose end is not recorded.
    """
    total = Amount()
    for record in records:
        if record.place == LOCAL or record.started is None:
            continue
        end = known_until if record.finished is None else record.finished
        hours = max(0.0, end - record.started) / HOUR
        price = prices.per_hour.get(record.shape or "", 0.0)
        total += Amount(hours, hours * price)
    return total


def close_abandoned(
    records: Sequence[ControllerRecord], own_id: str | None, last_event: float
) -> list[ControllerRecord]:
    """Return controllers with an end for those that were killed, for a process that owns the study.

    Args:
        records: All controllers of the study.
        own_id: Id of the job run that the owner is, if it is one.
        last_event: The last time that is known of the study.
    """
    return [
        replace(record, finished=max(record.started, last_event))
        if record.is_open and record.started is not None and record.run_id != own_id
        else record
        for record in records
    ]


def is_controller(name: str) -> bool:
    """Return whether a name is that of a controller, or the word for the last one."""
    return name == PREFIX.rstrip("-") or name.startswith(PREFIX)
