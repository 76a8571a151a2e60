"""Faults on demand: what a network and a service do when they feel like it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "throttle",
    "error",
    "drop_before",
    "drop_after",
    "slow",
    "stale",
    "frozen",
    "empty",
    "false",
]


@dataclass(frozen=True)
class Fault:
    """One kind of trouble.

    Args:
        kind: ``throttle`` (429), ``error`` (``status`` and ``code``), ``drop_before`` and
            ``drop_after`` (the connection is closed before, or after, the effect), ``slow`` and
            ``stale`` (``seconds``). Of Object Storage also ``frozen`` (objects as they were at the
            time ``at``), ``empty`` (a listing without objects) and ``false`` (a listing in which
            all etags and sizes are the same).
        operation: Which operation it hits, by the SDK's name; None: any.
        times: How often; None: always.
        after: How many of its requests are let through first.
        every: Of the rest, each n-th is hit.
    """

    kind: Kind
    operation: str | None = None
    times: int | None = None
    after: int = 0
    every: int = 1
    seconds: float = 0.0
    at: float = 0.0
    status: int = 503
    code: str = "ServiceUnavailable"


class Faults:
    """The faults that are set, and what they have hit."""

    def __init__(self) -> None:
        self._set: list[Fault] = []
        self._seen: dict[int, int] = {}
        self._hit: dict[int, int] = {}
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Set a fault, beside those that are."""
        with self._lock:
            self._set.append(fault)

    def clear(self) -> None:
        """No faults any more."""
        with self._lock:
            self._set.clear()
            self._seen.clear()
            self._hit.clear()

    def hits(self, operation: str) -> list[Fault]:
        """The faults that hit this request."""
        with self._lock:
            return [
                f
                for i, f in enumerate(self._set)
                if f.operation in (None, operation) and self._hits(i, f)
            ]

    def _hits(self, index: int, fault: Fault) -> bool:
        seen = self._seen[index] = self._seen.get(index, 0) + 1
        if seen <= fault.after or (seen - fault.after) % fault.every:
            return False
        hit = self._hit[index] = self._hit.get(index, 0) + 1
        return fault.times is None or hit <= fault.times
