"""Faults on demand of the network and the services."""

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
    """Fault that affects requests.

    Args:
        kind: ``throttle`` (429), ``error`` (``status`` and ``code``), ``drop_before`` and
            ``drop_after`` (the connection is closed before, or after, the effect), ``slow`` and
            ``stale`` (``seconds``). Of Object Storage also ``frozen`` (objects as they were at the
            time ``at``), ``empty`` (a listing without objects) and ``false`` (a listing in which
            all etags and sizes are the same).
        operation: The operation that is affected, by the SDK's name; None for all.
        times: Number of requests that are affected; None for no limit.
        after: Number of requests that pass first.
        every: Of the rest, each n-th is affected.
        path: Part of the path of affected requests, such as ``/metrics/``.
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
    path: str = ""


class Faults:
    """Set of faults that are active."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._requests: dict[int, int] = {}
        self._hits: dict[int, int] = {}
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()
            self._requests.clear()
            self._hits.clear()

    def select(self, operation: str, path: str = "") -> list[Fault]:
        """Return the faults that affect a request, and count it."""
        with self._lock:
            return [
                f
                for i, f in enumerate(self._faults)
                if f.operation in (None, operation) and f.path in path and self._affects(i, f)
            ]

    def _affects(self, index: int, fault: Fault) -> bool:
        requests = self._requests[index] = self._requests.get(index, 0) + 1
        if requests <= fault.after or (requests - fault.after) % fault.every:
            return False
        hits = self._hits[index] = self._hits.get(index, 0) + 1
        return fault.times is None or hits <= fault.times
