"""State that the services share: identities, time, limits."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

REGION = "us-ashburn-1"
BUCKET = "tune-jobs"


@dataclass
class Delays:
    """Delays, in seconds.

    Args:
        accepted: From ACCEPTED to IN_PROGRESS.
        canceling: From CANCELING to CANCELED.
        log: From the printing of a line until it is found.
    """

    accepted: float = 0.0
    canceling: float = 0.0
    log: float = 0.0


@dataclass
class Limits:
    """Limits of the tenancy.

    Args:
        max_live_runs: Number of live runs over which a run is refused with LimitExceeded.
        capacity: By shape, the number of live runs over which an accepted run fails.
    """

    max_live_runs: int | None = None
    capacity: dict[str, int] = field(default_factory=dict)


@dataclass
class World:
    """Tenancy with one compartment."""

    folder: Path
    delays: Delays
    limits: Limits
    execute: bool
    tenancy: str = "ocid1.tenancy.oc1..emulated"
    user: str = "ocid1.user.oc1..emulated"
    compartment: str = "ocid1.compartment.oc1..emulated"
    project: str = f"ocid1.datascienceproject.oc1.{REGION}.emulated"
    namespace: str = "emulated"
    region: str = REGION
    endpoint: str = ""
    config_file: Path = Path()
    clock: Callable[[], float] = time.time
    lock: threading.RLock = field(default_factory=threading.RLock)

    def new_ocid(self, kind: str) -> str:
        """Return a new OCID."""
        return f"ocid1.{kind}.oc1.{self.region}.{secrets.token_hex(20)}"
