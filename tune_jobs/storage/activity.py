"""Who is at work on a study, from its leases and records; writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from tune_jobs.core.controllers import LOCAL, ControllerRecord
from tune_jobs.storage.controllers import read_controllers
from tune_jobs.storage.owner_identity import describe, is_dead
from tune_jobs.storage.schema import attempts, owners, studies

HAND_OVER_SECONDS = 15.0
"""Seconds after which a controller that owns the study no more is known to have ended.

Between the trials and the final run it does not own it either.
"""


@dataclass(frozen=True)
class Activity:
    """Who is at work on a study.

    Args:
        owner: The process that tunes it; None if there is none, or one that is known to be dead.
        since: When it became the owner; seconds since the epoch.
        controllers: Controllers that may live.
        live: Number of job runs whose ends are not recorded.
    """

    owner: str | None
    since: float | None
    controllers: Sequence[ControllerRecord]
    live: int

    @staticmethod
    def describe(record: ControllerRecord) -> str:
        """Return the process and the machine of a local controller."""
        return "not known yet" if record.run_id is None else describe(record.run_id)


def read_activity(engine: Engine, study: str) -> Activity:
    """Return who is at work on the last study of a name that is registered."""
    by_name = select(studies.c.uid).where(studies.c.study_name == study)
    with engine.connect() as connection:
        uids = [row.uid for row in connection.execute(by_name)]
        owned = connection.execute(
            select(owners.c.owner, owners.c.since).where(
                owners.c.study.in_(uids), owners.c.owner.is_not(None)
            )
        ).first()
        live = connection.execute(
            select(func.count()).where(attempts.c.study.in_(uids), attempts.c.told.is_(None))
        ).scalar()
    controllers = [record for uid in uids for record in read_controllers(engine, uid)]
    is_owned = owned is not None and not is_dead(str(owned.owner))
    return Activity(
        owner=describe(owned.owner) if owned is not None and is_owned else None,
        since=float(owned.since) if owned is not None and is_owned and owned.since else None,
        controllers=[record for record in controllers if _may_live(record)],
        live=int(live or 0),
    )


def find_patience(controllers: Sequence[ControllerRecord], now: float) -> float | None:
    """Return for how many seconds a study may have no owner while it is tuned.

    Args:
        controllers: The study's controllers.
        now: Seconds since the epoch.

    Returns:
        None while a controller is about to begin; 0 if nothing is to be expected.
    """
    patience = 0.0
    for record in filter(_may_live, controllers):
        if record.may_begin(now):
            return None
        if record.has_begun:
            patience = HAND_OVER_SECONDS
    return patience


def _may_live(record: ControllerRecord) -> bool:
    if not record.is_open:
        return False
    return not (record.place == LOCAL and record.run_id is not None and is_dead(record.run_id))
