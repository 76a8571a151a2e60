"""Exponential backoff. Standard library only, Python 3.8 on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Pauses between attempts, which grow by a factor up to a limit.

    Args:
        first: Seconds to wait after the first failed attempt.
        longest: Seconds to wait at most.
        factor: Ratio of a pause to the one before.
    """

    first: float
    longest: float
    factor: float = 2.0

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after the failed attempt with this number, from 1."""
        try:
            return min(self.longest, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            return self.longest
