"""Time as job runs on OCI see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tune_jobs.runtime.steady_time import read_time


def _wait(event: threading.Event, timeout: float | None, busy: bool) -> bool:
    return event.wait(timeout)


@dataclass(frozen=True)
class Clock:
    """Passing of time; studies of a day are tested with a faster one.

    Args:
        now: Returns the seconds since the epoch.
        monotonic: Returns seconds that no one sets.
        sleep: Waits for a number of seconds.
        wait: Waits for an event, for a number of seconds at most; told whether a request is under
            way that will set it, so that a faster clock has to stand still.
    """

    now: Callable[[], float] = read_time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    wait: Callable[[threading.Event, float | None, bool], bool] = _wait
