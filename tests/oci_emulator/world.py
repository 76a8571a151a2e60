"""What all services of the emulator share: identities, time, limits."""

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
    """How long things take, in seconds.

    Args:
        accepted: From ACCEPTED to IN_PROGRESS.
        canceling: From CANCELING to CANCELED.
        log: Until a line that was printed can be found.
    """

    accepted: float = 0.0
    canceling: float = 0.0
    log: float = 0.0


@dataclass
class Limits:
    """What the tenancy may have.

    Args:
        max_live_runs: Over it a run is refused with LimitExceeded.
        capacity: Live runs that a shape has room for; over it an accepted run fails.
    """

    max_live_runs: int | None = None
    capacity: dict[str, int] = field(default_factory=dict)


@dataclass
class World:
    """One tenancy with one compartment."""

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
        """A name that nothing else has."""
        return f"ocid1.{kind}.oc1.{self.region}.{secrets.token_hex(20)}"
