"""Nodes of a local run: their processes and ends, as `node_group` records them for the host."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tune_jobs.runtime.nodes import name_rank
from tune_jobs.runtime.processes import from_record, is_alive
from tune_jobs.runtime.regular_files import append, open_regular

ENDS_FILE = "nodes.json"
_LOG_TAIL = 1 << 16
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Errors of a file that is missing, or that the script has replaced."""


@dataclass(frozen=True)
class NodeEnds:
    """How the nodes of a run ended.

    Args:
        count: Number of nodes.
        exit_codes: By rank; negative numbers are signals.
        failed: The rank that failed first; None if none did.
        problem: Why it could not be started; empty if it was.
        stopped: The ranks that ran when the run was stopped.
    """

    count: int
    exit_codes: Mapping[int, int]
    failed: int | None
    problem: str
    stopped: Sequence[int]


def read_ends(folder: str) -> NodeEnds | None:
    """Return how the nodes of a run ended; None if that is not known."""
    try:
        with open_regular(os.path.join(folder, ENDS_FILE)) as file:
            ends = json.loads(file.read())
        codes = {int(rank): int(code) for rank, code in ends["exit_codes"].items()}
        failed = None if ends["failed"] is None else int(ends["failed"])
        stopped = [int(rank) for rank in ends["stopped"]]
        return NodeEnds(int(ends["nodes"]), codes, failed, str(ends["problem"]), stopped)
    except _UNREADABLE:
        return None


def kill_nodes(folder: str) -> None:
    """Kill the nodes of a run whose program has ended, whatever their environment is by now."""
    try:
        with open_regular(os.path.join(folder, ENDS_FILE)) as file:
            identities = [from_record(each) for each in json.loads(file.read())["processes"]]
    except _UNREADABLE:
        return
    for identity in identities:
        if identity is not None and is_alive(identity):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(identity.pid, signal.SIGKILL)


def classify_ends(folder: str, count: int, code: int) -> tuple[str, int]:
    """Return the words in front of a run's cause that name a rank, and the exit code of that.

    Args:
        folder: The run's folder.
        count: Number of nodes.
        code: Exit code of the program that ran the nodes.
    """
    ends = read_ends(folder) if count > 1 else None
    if ends is None or ends.failed is None:
        return "", code
    problem = f"{ends.problem}; " if ends.problem else ""
    return f"rank {ends.failed}: {problem}", ends.exit_codes.get(ends.failed, code)


def describe_live(folder: str, count: int) -> str:
    """Return which ranks were still running when a run was stopped, if not all were."""
    ends = read_ends(folder) if count > 1 else None
    if ends is None or not 0 < len(ends.stopped) < count:
        return ""
    return f"; still running: {', '.join(f'rank {rank}' for rank in ends.stopped)}"


def append_log(folder: str, count: int) -> None:
    """Append the end of what the failed rank printed to the run's log, which is that of rank 0."""
    ends = read_ends(folder) if count > 1 else None
    if ends is None or not ends.failed:
        return
    name = name_rank(ends.failed)
    with contextlib.suppress(OSError), open_regular(os.path.join(folder, name, "log.txt")) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL))
        append(os.path.join(folder, "log.txt"), f"\n--- {name} ---\n".encode() + file.read())
