"""Command of ADS's driver for PyTorch (``driver_pytorch.py``), with the arguments of a run.

The driver runs the command in OCI__LAUNCH_CMD, and puts its own arguments in front of that: those
of a trial would come before ``torchrun``. So the command becomes arguments of the driver, and those
of the run follow it.

``torchrun`` gets the address of node 0 and its own rank. By default the driver lets the nodes agree
on ranks (``c10d``), and the process of RANK 0, which reports, may be on any node.

Source: ads/jobs/templates/driver_pytorch.py.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

DRIVER = "driver_pytorch.py"
COMMAND, ENTRY_POINT = "OCI__LAUNCH_CMD", "CODE_ENTRYPOINT"

_STATIC = (
    *("--rdzv_backend=static", "--node_rank=$NODE_RANK"),
    *("--master_addr=$MASTER_ADDR", "--master_port=$MASTER_PORT"),
)
"""The driver replaces the variables."""

_RENDEZVOUS = ("--rdzv", "--node_rank", "--node-rank", "--master", "--standalone")


def build_launch(env: Mapping[str, str], nodes: int) -> list[str]:
    """Return the arguments of the driver that stand for its command.

    Args:
        env: Variables of the job.
        nodes: Number of nodes.
    """
    words = shlex.split(env.get(COMMAND) or "") or ["torchrun", env.get(ENTRY_POINT, "")]
    chosen = any(word.startswith(_RENDEZVOUS) for word in words)
    if nodes > 1 and words[0] == "torchrun" and not chosen:
        return [words[0], *_STATIC, *words[1:]]
    return words
