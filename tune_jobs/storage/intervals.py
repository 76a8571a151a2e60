"""How often a study is read and its lease renewed, by the kind of its storage.

A database answers in a millisecond for nothing. Each look into a bucket is a request that takes
tens of milliseconds, counts against the tenancy's rate and, in most clouds, is paid for: there a
tuner makes at most 1,000 requests an hour.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine


@dataclass(frozen=True)
class Intervals:
    """Intervals of one kind of storage, in seconds.

    Args:
        ttl: Without a heartbeat for so long, an owner may be replaced.
        renewal: Between two heartbeats of an owner that has nothing else to write.
        rival: Between two reads of another owner's heartbeat by a process that wants the study.
        commands: Between an owner's looks for commands of other processes.
        trials: Between an owner's looks for trials of other processes.
        progress: Between two looks of one who watches, such as the dashboard.
        answer: Between two looks of one who waits for the end of a command or of the tuning.
    """

    ttl: float
    renewal: float
    rival: float
    commands: float
    trials: float
    progress: float
    answer: float


DATABASE = Intervals(
    ttl=30.0, renewal=5.0, rival=0.5, commands=1.0, trials=5.0, progress=1.0, answer=0.5
)
"""Of a file, a folder or a database server."""

BUCKET = Intervals(
    ttl=90.0, renewal=20.0, rival=5.0, commands=5.0, trials=5.0, progress=5.0, answer=2.0
)
"""Of an object store."""

OBJECT_STORES = frozenset({"oci", "s3", "gs", "gcs", "az", "abfs", "abfss"})
"""Schemes of the URLs of studies in object stores, such as ``oci://`` and ``bucket+s3://``."""


def find_intervals(engine: Engine) -> Intervals:
    """Return the intervals of a storage."""
    scheme = engine.url.drivername.rpartition("+")[2]
    return BUCKET if scheme in OBJECT_STORES else DATABASE
