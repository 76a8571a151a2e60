"""Multi-node jobs: their node groups, which are validated, and their nodes, which run side by side.

[assumed] A run succeeds if in each group as many nodes succeed as it needs. As soon as that is
impossible, the other nodes get SIGTERM, and the run fails. A run overrides node groups by name.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.oci_emulator.data_science_rules import check_size
from tests.oci_emulator.errors import invalid
from tests.oci_emulator.execution import Execution, Program

MAX_REPLICAS = 10  # [assumed]
DETAILS, OVERRIDE = "jobNodeConfigurationDetails", "jobNodeConfigurationOverrideDetails"
_GROUPS = "jobNodeGroupConfigurationDetailsList"
_BLOCKS = ("jobConfiguration", "jobInfrastructureConfiguration", "jobEnvironmentConfiguration")

_networks = itertools.count(1)


def check_job(details: Mapping[str, Any]) -> None:
    """Check the node groups of a job.

    Raises:
        ServiceError: If something is missing, or belongs to a job of the other kind (400).
    """
    own = details.get("jobInfrastructureConfigurationDetails") or {}
    if not (nodes := details.get(DETAILS)):
        if own.get("jobInfrastructureType") == "MULTI_NODE":
            raise invalid("jobInfrastructureType MULTI_NODE belongs to a node group")
        return
    _check_no_single(details, "Details")
    groups = nodes.get(_GROUPS) or []
    if not groups:
        raise invalid(f"{DETAILS}.{_GROUPS} is required")
    names = [group["name"] for group in groups]
    if len({*names}) < len(names):
        raise invalid("the names of node groups must differ")
    if not nodes.get("jobNetworkConfiguration"):
        raise invalid(f"{DETAILS}.jobNetworkConfiguration is required")
    for group in groups:
        _check_group(group)


def _check_group(group: Mapping[str, Any]) -> None:
    replicas = group.get("replicas")
    if replicas is None or not 1 <= replicas <= MAX_REPLICAS:
        raise invalid(f"replicas {replicas} of {group['name']} is not in 1..{MAX_REPLICAS}")
    if not 1 <= group.get("minimumSuccessReplicas", replicas) <= replicas:
        raise invalid(f"minimumSuccessReplicas of {group['name']} is not in 1..{replicas}")
    infrastructure = group.get("jobInfrastructureConfigurationDetails") or {}
    if infrastructure.get("jobInfrastructureType") != "MULTI_NODE":
        raise invalid(f"the infrastructure of {group['name']} must be MULTI_NODE")
    check_size(infrastructure)
    if not group.get("jobConfigurationDetails"):
        raise invalid(f"jobConfigurationDetails of {group['name']} is required")


def choose_defaults(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the blocks that a job has beside those of its request."""
    if not details.get(DETAILS):
        return {"jobConfigurationDetails": {"jobType": "DEFAULT"}}
    return {
        "jobConfigurationDetails": {"jobType": "EMPTY"},
        "jobInfrastructureConfigurationDetails": {"jobInfrastructureType": "EMPTY"},
    }


def check_run(job: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    """Check the overrides of a run.

    Raises:
        ServiceError: If they are not for a job of this kind, or name an unknown group (400).
    """
    override = details.get(OVERRIDE)
    if DETAILS not in job:
        if override:
            raise invalid(f"{OVERRIDE} needs a multi-node job")
        return
    _check_no_single(details, "OverrideDetails")
    known = {group["name"]: group for group in job[DETAILS][_GROUPS]}
    for group in (override or {}).get(_GROUPS) or []:
        if group["name"] not in known:
            raise invalid(f"{job['id']} has no node group {group['name']!r}")
        replicas = group.get("replicas")
        if replicas is not None and not 1 <= replicas <= MAX_REPLICAS:
            raise invalid(f"replicas {replicas} of {group['name']} is not in 1..{MAX_REPLICAS}")
        infrastructure = group.get("jobInfrastructureConfigurationDetails")
        if infrastructure is not None:
            if infrastructure.get("jobInfrastructureType") != "MULTI_NODE":
                raise invalid(f"the infrastructure of {group['name']} must be MULTI_NODE")
            check_size(infrastructure)


def _check_no_single(details: Mapping[str, Any], suffix: str) -> None:
    for block in _BLOCKS:
        name = f"{block}{suffix}"
        given = details.get(name)
        kinds = {(given or {}).get(kind) for kind in ("jobType", "jobInfrastructureType")}
        if given and "EMPTY" not in kinds:
            raise invalid(f"{name} of a multi-node job belongs to its node groups")


def find_subnet(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the network of a multi-node job."""
    return (details.get(DETAILS) or {}).get("jobNetworkConfiguration") or {}


@dataclass(frozen=True)
class Group:
    """A node group of a run, as job and overrides of a run with one node would have it.

    Args:
        name: Its name.
        replicas: Number of nodes.
        needed: How many have to succeed.
        job: What it has of the job.
        facts: What it has of the run.
    """

    name: str
    replicas: int
    needed: int
    job: dict[str, Any]
    facts: dict[str, Any]


def show_group(group: Group) -> dict[str, Any]:
    """Return what the service shows of a run's node group."""
    return {"name": group.name, "lifecycleState": "ACTIVE"}


def find_groups(job: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Group]:
    """Return the node groups of a run; none if it has a single node."""
    if DETAILS not in job:
        return []
    nodes, override = job[DETAILS], facts.get(OVERRIDE) or {}
    overrides = {group["name"]: group for group in override.get(_GROUPS) or []}
    minutes = override.get("maximumRuntimeInMinutes") or nodes.get("maximumRuntimeInMinutes")
    groups = []
    for group in nodes[_GROUPS]:
        other = overrides.get(group["name"], {})
        replicas = other.get("replicas") or group["replicas"]
        needed = other.get("minimumSuccessReplicas") or group.get("minimumSuccessReplicas")
        own = {f"{block}OverrideDetails": other.get(f"{block}Details") for block in _BLOCKS}
        settings = dict(own["jobConfigurationOverrideDetails"] or {"jobType": "DEFAULT"})
        if minutes:
            settings["maximumRuntimeInMinutes"] = minutes
        own["jobConfigurationOverrideDetails"] = settings
        groups.append(Group(group["name"], replicas, needed or replicas, group, {**facts, **own}))
    return groups


def is_container(job: Mapping[str, Any], details: Mapping[str, Any]) -> bool:
    """Return whether the nodes of a run are containers, which need no artifact."""
    views: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [
        (group.job, group.facts) for group in find_groups(job, details)
    ]
    return all(
        job.get("jobEnvironmentConfigurationDetails")
        or facts.get("jobEnvironmentConfigurationOverrideDetails")
        for job, facts in views or [(job, details)]
    )


def find_shape(job: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[str, int]:
    """Return the shape of the nodes of a multi-node run, and how many there are."""
    groups = find_groups(job, facts)
    infrastructure = (
        groups[0].facts["jobInfrastructureConfigurationOverrideDetails"]
        or groups[0].job["jobInfrastructureConfigurationDetails"]
    )
    return infrastructure.get("shapeName", ""), sum(group.replicas for group in groups)


class NodesExecution:
    """Executions of all nodes of a run, each in a home folder and with an address of its own.

    Args:
        folder: A folder for the nodes.
        programs: The program of each node, with its group's name and number of needed successes.
        service_env: The service's variables.
        endpoint: The emulator's endpoint.
        line: Called with each line that a node prints.

    Attributes:
        has_variables: Whether nodes find each other.
        ends_at_failure: Whether the others are stopped when a node has failed.
    """

    def __init__(
        self,
        folder: Path,
        programs: Sequence[tuple[Group, Program]],
        service_env: Mapping[str, str],
        endpoint: str,
        line: Callable[[str], None],
    ) -> None:
        self._folder, self._programs = folder, programs
        network = next(_networks)
        # Addresses of its own for each run, since all use the same port.
        prefix = f"127.{64 + network // 250 % 128}.{network % 250 + 1}"
        self._addresses = [f"{prefix}.{rank + 1}" for rank in range(len(programs))]
        self.has_variables = self.ends_at_failure = True
        self._envs = [dict(service_env) for _ in programs]
        self.executions = [
            Execution(folder / f"node-{rank}", program, self._envs[rank], endpoint, line)
            for rank, (_, program) in enumerate(programs)
        ]
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()
        self._failed = 0
        self._errors: list[OSError | ValueError] = []

    def _describe(self, rank: int) -> dict[str, str]:
        """Return the variables of the service for a node."""
        if not self.has_variables:
            return {}
        return {
            "NODE_RANK": str(rank),
            "INITIAL_CLUSTER_SIZE": str(len(self._programs)),
            "CLUSTER_NODES_METADATA_FILE": str(self._folder / f"metadata-{rank}.json"),
        }

    def time_out(self, grace: float) -> None:
        """See `Execution.time_out`: it reaches all nodes."""
        for execution in self.executions:
            execution.time_out(grace)

    @property
    def minutes(self) -> float | None:
        """The maximum runtime."""
        return self.executions[0].minutes

    @property
    def timed_out(self) -> bool:
        """Whether a node exceeded the maximum runtime."""
        return any(execution.timed_out for execution in self.executions)

    def run(self, seconds_per_minute: float, grace: float) -> int:
        """Execute all nodes to their ends; return the exit code of the first that failed, or 0."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for rank, env in enumerate(self._envs):
            env.update(self._describe(rank))
        threads = [
            threading.Thread(target=self._run, args=(rank, seconds_per_minute, grace), daemon=True)
            for rank in range(len(self.executions))
        ]
        for known in range(1, len(threads) + 1):  # nodes become known one after the other
            self._write_metadata(known)
            threads[known - 1].start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        return self._failed

    def _run(self, rank: int, seconds_per_minute: float, grace: float) -> None:
        try:
            code = self.executions[rank].run(seconds_per_minute, grace)
        except (OSError, ValueError) as error:
            self._errors.append(error)
            code = 1
        with self._lock:
            self._codes[rank] = code
            is_first = not self._failed and not self._may_succeed(rank)
            if is_first:
                self._failed = code
        if is_first and self.ends_at_failure:
            self.stop(grace)

    def _may_succeed(self, rank: int) -> bool:
        """Return whether enough nodes of a node's group may still succeed."""
        group = self._programs[rank][0]
        ranks = [r for r, (other, _) in enumerate(self._programs) if other is group]
        return sum(self._codes.get(r, 0) == 0 for r in ranks) >= group.needed

    def _write_metadata(self, known: int) -> None:
        nodes = [{"Rank": r, "IPAddress": a} for r, a in enumerate(self._addresses[:known])]
        for rank in range(known):
            path = self._folder / f"metadata-{rank}.json"
            part = path.with_suffix(".part")
            part.write_text(json.dumps(nodes))
            part.replace(path)

    def stop(self, grace: float | None) -> None:
        """See `Execution.stop`: it reaches all nodes."""
        for execution in self.executions:
            execution.stop(grace)


def iterate_programs(
    groups: Sequence[Group], build: Callable[[Group], Program]
) -> Iterator[tuple[Group, Program]]:
    """Yield group and program of each node, by rank."""
    for group in groups:
        program = build(group)
        for _ in range(group.replicas):
            yield group, program
