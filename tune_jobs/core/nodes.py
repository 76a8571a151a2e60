"""Number of nodes of a run, and its shape with that number, as ledger and prices have it."""

from __future__ import annotations

import re

from tune_jobs.errors import ConfigError

MAX_NODES = 1000

_SEVERAL = re.compile(r"(\d+) x (.+)")


def check_nodes(nodes: int) -> int:
    """Return the number of nodes of each run, after checking it.

    Raises:
        ConfigError: If it is less than 1, or so large that it must be a mistake.
    """
    if nodes < 1:
        raise ConfigError(f"nodes={nodes}: a run has at least 1 node")
    if nodes > MAX_NODES:
        raise ConfigError(f"nodes={nodes}: a run has at most {MAX_NODES} nodes")
    return nodes


def describe_shape(nodes: int, shape: str) -> str:
    """Return the shape of a run: that of its nodes, such as ``2 x VM.GPU.A10.1``."""
    return shape if nodes == 1 else f"{nodes} x {shape}"


def parse_shape(described: str) -> tuple[int, str]:
    """Return the number of nodes and their shape, as `describe_shape` wrote them."""
    match = _SEVERAL.fullmatch(described)
    return (int(match[1]), match[2]) if match else (1, described)
