"""The clock of OCI, by which the times of job runs are given."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

TOLERANCE = 5.0
"""Seconds of difference that are no skew: the header has whole seconds, and answers take time."""


def measure_clock_offset(headers: Mapping[str, str], now: float) -> float:
    """Return by how many seconds OCI's clock is ahead of this machine's.

    Args:
        headers: Headers of an answer.
        now: This machine's time when the answer arrived, in seconds since the epoch.
    """
    try:
        offset = parsedate_to_datetime(headers["date"]).timestamp() - now
    except (KeyError, TypeError, ValueError):
        return 0.0
    return offset if abs(offset) > TOLERANCE else 0.0
