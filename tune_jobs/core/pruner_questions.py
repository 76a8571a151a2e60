"""At which of a run's new steps the pruner is asked.

Pruners read all values of a trial, so asking at every step of a long curve would cost time that
grows with the square of its length.
"""

from __future__ import annotations

from collections.abc import Sequence

ASK_WORK = 200_000
"""Values that pruners may read for the new steps of one look at a run."""


def select_asked_steps(new: Sequence[int], total: int) -> frozenset[int]:
    """Return at which steps the pruner is asked: every one, as long as the curve is short.

    Args:
        new: The new steps, in order.
        total: How many steps the run has.

    Returns:
        Steps at equal distances, with the last one, as many as `ASK_WORK` allows.
    """
    count = max(1, ASK_WORK // max(1, total))
    if len(new) <= count:
        return frozenset(new)
    return frozenset(new[-1 - (i * len(new)) // count] for i in range(count))
