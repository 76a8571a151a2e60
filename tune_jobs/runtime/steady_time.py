"""Time of day that changes of the system clock do not affect. Python 3.8 and newer.

Durations, time limits and delays must not depend on a system clock that is corrected, or set,
in the middle of a study.
"""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_uptime() -> float:
    """Return monotonic seconds; where possible they advance while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


_OFFSET = time.time() - read_uptime()


def read_time() -> float:
    """Return the seconds since the epoch, by the system clock as it was when this was imported."""
    return _OFFSET + read_uptime()
