"""Wait for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60.0, pause: float = 0.02) -> None:
    """Wait until a condition holds.

    Args:
        condition: Looks at the state of something outside of this process.
        seconds: Until the test fails.
        pause: Seconds between two looks.
    """
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"not within {seconds:.0f} s"
        time.sleep(pause)  # another process, which does not say when it is done
