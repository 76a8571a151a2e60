"""State that the services share: compartments, policies, time, limits, deviations."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from werkzeug import Request

from tests.oci_emulator.errors import not_found
from tests.oci_emulator.policies import Access, Compartment, Principal, Target

REGION = "us-ashburn-1"
BUCKET = "tune-jobs"


@dataclass
class Delays:
    """Delays, in seconds.

    Args:
        accepted: From ACCEPTED to IN_PROGRESS.
        canceling: From CANCELING to CANCELED.
        log: From the printing of a line until it is found.
        grace: From TERM to KILL when a run is canceled [assumed].
    """

    accepted: float = 0.0
    canceling: float = 0.0
    log: float = 0.0
    grace: float = 5.0


@dataclass
class Limits:
    """Limits of the tenancy.

    Args:
        max_live_runs: Number of live runs over which a run is refused with LimitExceeded.
        capacity: By shape, the number of live runs over which an accepted run fails.
        available: By the name of a service limit, how much of it is left.
        shapes: Shapes that the service has for jobs.
    """

    max_live_runs: int | None = None
    capacity: dict[str, int] = field(default_factory=dict)
    available: dict[str, int] = field(
        default_factory=lambda: {"ds-standard-e4-flex-core-count": 100}
    )
    shapes: tuple[str, ...] = (
        *("VM.Standard2.1", "VM.Standard.E3.Flex", "VM.Standard.E4.Flex", "VM.Standard3.Flex"),
        *("VM.GPU.A10.1", "VM.GPU2.1"),
    )


@dataclass
class World:
    """Tenancy with one compartment, until `add_compartment` adds more.

    Attributes:
        access: Policies; by default everything is permitted.
        log_groups: Compartments of log groups, by OCID; others are in `compartment`.
        subnets: Compartments of subnets, by OCID; others are in `compartment`.
        images: Layouts of images by name; others consist of what the run names.
        preamble: Python that the interpreters of runs execute first.
        deviations: Assumptions of the register from which the services deviate.
        exercised: Assumptions of the register on which a request has depended.
    """

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
    access: Access = field(init=False)
    log_groups: dict[str, str] = field(default_factory=dict)
    subnets: dict[str, str] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)
    preamble: str = ""
    deviations: set[str] = field(default_factory=set)
    exercised: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        own = {self.compartment: Compartment("emulated", self.tenancy)}
        self.access = Access(self.tenancy, own)

    def add_compartment(self, name: str, parent: str | None = None) -> str:
        """Add a compartment below another one, by default below the tenancy; return its OCID."""
        ocid = f"ocid1.compartment.oc1..{name}"
        self.access.compartments[ocid] = Compartment(name, parent or self.tenancy)
        return ocid

    def compartment_of(self, log: Mapping[str, str]) -> str:
        """Return the compartment of a log's group."""
        return self.log_groups.get(log["logGroupId"], self.compartment)

    def deviates(self, assumption: str) -> bool:
        """Return whether the services deviate from an assumption of the register."""
        self.exercised.add(assumption)
        return assumption in self.deviations

    def require(self, request: Request, verb: str, resource: str, compartment: str) -> None:
        """Check that the principal of a request may do something in a compartment.

        Raises:
            ServiceError: If it may not (404, as OCI does not tell what exists).
        """
        who = principal_of(request)
        if not self.access.allows(who, verb, resource, Target(compartment)):
            raise not_found()

    def new_ocid(self, kind: str) -> str:
        """Return a new OCID."""
        return f"ocid1.{kind}.oc1.{self.region}.{secrets.token_hex(20)}"


def principal_of(request: Request) -> Principal:
    """Return who makes a request."""
    who: Principal = request.environ["emulator.principal"]
    return who
