"""Jobs whose runs have several nodes, as the REST API spells them.

Such a job has one node group, whose nodes are equal. Everywhere else jobs and runs are described as
if they had one node: `spread_job` and `spread_run` move that into the node group just before a
request, and `gather_job` takes it out of an answer. ADS is not used: it starts runs of such a job
with a node group that has neither arguments nor environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NODE_GROUP = "node-group"
"""Name of the node group, which is that of ADS."""

_NODES, _OVERRIDE = "jobNodeConfigurationDetails", "jobNodeConfigurationOverrideDetails"
_GROUPS = "jobNodeGroupConfigurationDetailsList"
_BLOCKS = ("jobConfiguration", "jobInfrastructureConfiguration", "jobEnvironmentConfiguration")
_MINUTES = "maximumRuntimeInMinutes"


def spread_job(details: Mapping[str, Any], nodes: int) -> dict[str, Any]:
    """Return the body of ``CreateJob`` for runs with several nodes.

    Args:
        details: The body for runs with one node; complete.
        nodes: Number of nodes.
    """
    if nodes == 1:
        return dict(details)
    rest, group = _split(details, "Details")
    infrastructure = group["jobInfrastructureConfigurationDetails"]
    subnet = infrastructure.get("subnetId")
    network = (
        {"jobNetworkType": "CUSTOM_NETWORK", "subnetId": subnet}
        if subnet
        else {"jobNetworkType": "DEFAULT_NETWORK"}
    )
    group["jobInfrastructureConfigurationDetails"] = _of_group(infrastructure)
    spread = {
        "jobNodeType": "MULTI_NODE",
        "startupOrder": "IN_PARALLEL",
        "jobNetworkConfiguration": network,
        _GROUPS: [{"name": NODE_GROUP, **_count(nodes), **group}],
    }
    return {**rest, _NODES: {**spread, **_find_minutes(group)}}


def spread_run(
    details: Mapping[str, Any], nodes: int, group_name: str, infrastructure: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of ``CreateJobRun``, for a multi-node job in the terms of its node group.

    Args:
        details: The body for a job whose runs have one node.
        nodes: Number of nodes.
        group_name: Name of the job's node group; empty if it has none.
        infrastructure: That of the job: the group is repeated as a whole.
    """
    if not group_name:  # a node group may have one node
        return dict(details)
    rest, group = _split(details, "OverrideDetails")
    on = group.get("jobInfrastructureConfigurationDetails") or infrastructure
    override = {
        "name": group_name,
        **_count(nodes),
        **group,
        "jobInfrastructureConfigurationDetails": _of_group(on),
    }
    spread = {"jobNodeType": "MULTI_NODE", _GROUPS: [override], **_find_minutes(group)}
    return {**rest, _OVERRIDE: spread}


def gather_job(job: Mapping[str, Any]) -> tuple[dict[str, Any], int, str]:
    """Return a job as if its runs had one node, their number of nodes, and the group's name.

    Args:
        job: A job, or the body of ``CreateJob``. Of several node groups, the first one counts.
    """
    details = dict(job)
    nodes = details.pop(_NODES, None)
    if not nodes or not nodes.get(_GROUPS):
        return details, 1, ""
    group = nodes[_GROUPS][0]
    for block in _BLOCKS:
        details[f"{block}Details"] = group.get(f"{block}Details")
    settings = details["jobConfigurationDetails"] or {}
    details["jobConfigurationDetails"] = {**settings, **_find_minutes(nodes)}
    subnet = (nodes.get("jobNetworkConfiguration") or {}).get("subnetId")
    details["jobInfrastructureConfigurationDetails"] = {
        **(details["jobInfrastructureConfigurationDetails"] or {}),
        "jobInfrastructureType": "STANDALONE" if subnet else "ME_STANDALONE",
        **({"subnetId": subnet} if subnet else {}),
    }
    return details, int(group.get("replicas") or 1), str(group["name"])


def count_groups(job: Mapping[str, Any]) -> int:
    """Return the number of node groups of a job; 0 if its runs have one node."""
    return len((job.get(_NODES) or {}).get(_GROUPS) or [])


def _split(details: Mapping[str, Any], suffix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a multi-node job has at its top, and what its node group has."""
    names = {f"{block}{suffix}": f"{block}Details" for block in _BLOCKS}
    rest = {name: value for name, value in details.items() if name not in names}
    group = {own: details[name] for name, own in names.items() if details.get(name)}
    return rest, group


def _of_group(infrastructure: Mapping[str, Any]) -> dict[str, Any]:
    """Return the infrastructure of a node group; its subnet is the job's."""
    on = {name: value for name, value in infrastructure.items() if name != "subnetId"}
    return {**on, "jobInfrastructureType": "MULTI_NODE"}


def _count(nodes: int) -> dict[str, int]:
    """Return how many nodes there are, all of which have to succeed."""
    return {"replicas": nodes, "minimumSuccessReplicas": nodes}


def _find_minutes(details: Mapping[str, Any]) -> dict[str, int]:
    """Return the time limit of a run, of which each side of the API has a field."""
    settings = details.get("jobConfigurationDetails") or details
    minutes = settings.get(_MINUTES)
    return {} if minutes is None else {_MINUTES: minutes}
