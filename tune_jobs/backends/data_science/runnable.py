"""Jobs that cannot be run trial by trial, refused before anything is created.

A trial is one job run. Its nodes are equal, and their number is that of the job: variables that
claim another one would let nodes wait for partners that are never started, and every trial would be
billed until they give up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tune_jobs.backends.data_science.container import check_command, check_container
from tune_jobs.backends.data_science.node_groups import count_groups, gather_job
from tune_jobs.backends.oci_runs.shapes import check_size
from tune_jobs.errors import ConfigError

_REPLICATED = ("pytorchdistributed", "container")
"""Runtimes of ADS that have replicas, in lower case."""

_NODE_COUNTS = {"NODE_COUNT": 1, "OCI__WORKER_COUNT": 0}
"""Variables in which ADS keeps the number of nodes, and that of a single node."""

_FIX = (
    "use PyTorchDistributedRuntime or ContainerRuntime with_replica(2), or "
    "DataScienceBackend.from_script(..., nodes=2)"
)


def check_runtime(name: str, job: Mapping[str, Any]) -> None:
    """Check the specification of an ADS job.

    Args:
        name: The job, for the message.
        job: Its specification, as ``Job.to_dict()`` returns it.

    Raises:
        ConfigError: If its nodes are not those of a multi-node job, or its runs are containers that
            take no arguments.
    """
    _check_shape(job)
    runtime = (job.get("spec") or {}).get("runtime") or {}
    kind, spec = str(runtime.get("type", "")).lower(), runtime.get("spec") or {}
    if count_replicas(job) > 1 and kind not in _REPLICATED:
        raise ConfigError(
            f"{name} has {count_replicas(job)} replicas, which the runtime {runtime.get('type')} "
            f"does not have: {_FIX}"
        )
    if kind == "container":
        check_container(name, spec)
    env = {str(v.get("name")): v.get("value") for v in spec.get("env") or []}
    _check_variables(name, env, count_replicas(job))


def check_job(job: Mapping[str, Any]) -> None:
    """Check a job that exists, as the REST API spells it.

    Raises:
        ConfigError: If its nodes differ, or its runs are containers that take no arguments.
    """
    name = f"job {job.get('id')}"
    groups = count_groups(job)
    if groups > 1:
        raise ConfigError(
            f"{name} has {groups} node groups, which may differ: use a job with one node group, "
            "whose nodes all run the script"
        )
    details, nodes, _ = gather_job(job)
    container = details.get("jobEnvironmentConfigurationDetails")
    if container is not None:
        words = {key: container.get(key) for key in ("entrypoint", "cmd")}
        check_command(name, words)
    settings = details.get("jobConfigurationDetails") or {}
    _check_variables(name, settings.get("environmentVariables") or {}, nodes)


def count_replicas(job: Mapping[str, Any]) -> int:
    """Return the number of nodes of each run in the specification of an ADS job."""
    runtime = (job.get("spec") or {}).get("runtime") or {}
    spec = runtime.get("spec") or {}
    return max(1, _read_count(spec.get("replicas", spec.get("replica"))))


def _check_shape(job: Mapping[str, Any]) -> None:
    """Check that a flexible shape has a size; in a notebook session, ADS may take the session's."""
    infrastructure = ((job.get("spec") or {}).get("infrastructure") or {}).get("spec") or {}
    shape = infrastructure.get("shapeName", infrastructure.get("shape_name"))
    size = infrastructure.get("shapeConfigDetails", infrastructure.get("shape_config_details"))
    if shape and "NB_SESSION_OCID" not in os.environ:
        check_size(str(shape), has_size=bool(size))


def _check_variables(name: str, env: Mapping[str, Any], nodes: int) -> None:
    for variable, of_one in _NODE_COUNTS.items():
        if _read_count(env.get(variable)) < of_one + nodes:
            continue
        claim = f"{name} has {variable}={env[variable]}"
        if nodes > 1:
            raise ConfigError(f"{claim}, but its runs have {nodes} nodes: leave the variable out")
        raise ConfigError(f"{claim}, several nodes: {_FIX}")


def _read_count(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
