"""Nodes of a run: several processes or machines that execute one trial side by side.

Every node runs the script with the same arguments, and finds the others by environment variables.
The Data Science service sets some of them on the nodes of a multi-node job; the others have the
names and defaults of ADS's driver for PyTorch. tune_jobs sets all of them, on every backend:

    NODE_RANK                    number of the node, from 0
    NODE_COUNT                   number of nodes; INITIAL_CLUSTER_SIZE is the same
    MASTER_ADDR, MASTER_PORT     where node 0 listens; the other nodes connect to it
    CLUSTER_NODES_METADATA_FILE  JSON file: a list of {"Rank": 0, "IPAddress": "10.0.0.2"}

Node 0 reports the metrics of the run, and leaves its files where a single node would. Files of the
others are in folders of their own, so that nothing collides:

    STORE/runs/NAME/rank-1/log.txt, run.jsonl
    STORE/runs/NAME/outputs/rank-1/, checkpoints/rank-1/

A node resumes from its own checkpoints if the earlier run has some, or else from those of node 0.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple, Optional

RANK, COUNT, CLUSTER_SIZE = "NODE_RANK", "NODE_COUNT", "INITIAL_CLUSTER_SIZE"
MASTER_ADDRESS, MASTER_PORT = "MASTER_ADDR", "MASTER_PORT"
METADATA_FILE = "CLUSTER_NODES_METADATA_FILE"
VARIABLES = (RANK, COUNT, CLUSTER_SIZE, MASTER_ADDRESS, MASTER_PORT, METADATA_FILE)

_LAUNCHER = (
    *VARIABLES,
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"),
)
"""Variables of the processes that a launcher such as torchrun starts."""

DEFAULT_PORT = 29400
"""Where node 0 listens on the service: the port of ADS's driver for torchrun."""

WAIT_SECONDS = 900.0
"""Seconds to wait for the addresses of all nodes, as ADS's driver waits for the host."""

_LOOK_SECONDS = 1.0


class Node(NamedTuple):
    """One node of a run.

    Args:
        rank: Its number, from 0.
        nodes: Number of nodes of the run.
    """

    rank: int
    nodes: int

    @property
    def is_first(self) -> bool:
        """Whether it reports for the run."""
        return self.rank == 0

    @property
    def folder(self) -> str:
        """The folder of its files, as a suffix with a slash; empty for the first node."""
        return "" if self.is_first else f"/{name_rank(self.rank)}"


def name_rank(rank: int) -> str:
    """Return the name of the folders of a rank."""
    return f"rank-{rank}"


def find_node(env: Mapping[str, str]) -> Node:
    """Return the node that this process is; the only one of a run without such variables."""
    try:
        rank = max(0, int(env.get(RANK) or 0))
        nodes = int(env.get(CLUSTER_SIZE) or env.get(COUNT) or 1)
    except ValueError:
        return Node(0, 1)
    return Node(rank, max(nodes, rank + 1))


def describe_node(
    node: Node, addresses: Mapping[int, str], port: int, metadata_file: str
) -> dict[str, str]:
    """Return the variables of a node.

    Args:
        node: The node.
        addresses: Addresses of all nodes by rank.
        port: Where node 0 listens.
        metadata_file: Path of the file with the addresses.
    """
    return {
        RANK: str(node.rank),
        COUNT: str(node.nodes),
        CLUSTER_SIZE: str(node.nodes),
        MASTER_ADDRESS: addresses[0],
        MASTER_PORT: str(port),
        METADATA_FILE: metadata_file,
    }


def encode_addresses(addresses: Mapping[int, str]) -> str:
    """Return the content of the file with the addresses."""
    return json.dumps([{"Rank": r, "IPAddress": a} for r, a in sorted(addresses.items())])


def await_addresses(path: str, count: int, patience: float = WAIT_SECONDS) -> dict[int, str]:
    """Return the addresses of all nodes by rank, once the service has written them.

    Raises:
        TimeoutError: If some are missing after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        addresses = _read_addresses(path)
        if addresses is not None and len(addresses) >= count:
            return addresses
        if time.monotonic() >= deadline:
            found = sorted(addresses or ())
            raise TimeoutError(f"{path} has the nodes {found} of {count} after {patience:g} s")
        time.sleep(_LOOK_SECONDS)


def _read_addresses(path: str) -> Optional[dict[int, str]]:  # noqa: UP045
    """Return what the file says; None if it does not exist or is being written."""
    try:
        with open(path, encoding="utf-8") as file:
            return {int(node["Rank"]): str(node["IPAddress"]) for node in json.load(file)}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def complete_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the service leaves to the script's launcher, where they are unset.

    Waits for the addresses of all nodes. Without several nodes there are none.

    Raises:
        TimeoutError: If the service does not say the addresses of all nodes.
    """
    node, path = find_node(env), env.get(METADATA_FILE)
    if node.nodes < 2 or not path:
        return {}
    addresses = await_addresses(path, node.nodes)
    wanted = describe_node(node, addresses, DEFAULT_PORT, path)
    return {name: value for name, value in wanted.items() if not env.get(name)}


def find_resume_folder(resume: str, node: Node) -> str:
    """Return where a node finds its checkpoints: its own, or else those of node 0."""
    own = resume + node.folder
    return own if has_files(own) else resume


def drop_launcher(inherited: Mapping[str, str], nodes: int) -> Mapping[str, str]:
    """Return the variables of a run's nodes without those of what launched the tuner itself.

    Args:
        inherited: Variables of the tuner.
        nodes: Number of nodes; one without others may use them.
    """
    if nodes == 1:
        return inherited
    return {name: value for name, value in inherited.items() if name not in _LAUNCHER}


def has_files(folder: str) -> bool:
    """Return whether there is a file below a folder; the folders of ranks are made in advance."""
    for at, folders, files in os.walk(folder):
        if files or any(os.path.islink(os.path.join(at, name)) for name in folders):
            return True
    return False
