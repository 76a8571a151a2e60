"""Ends of runs as their nodes saw them: failures of the runner, and which node failed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import Folder
from tune_jobs.runtime.nodes import Node, name_rank
from tune_jobs.runtime.refusals import BEGUN, SECRET_REFUSED, describe_refusal
from tune_jobs.runtime.runner import NOT_UPLOADED
from tune_jobs.runtime.secret_values import REFUSED

_LOG_TAIL = 1 << 16
_LONGEST_LOG = 1 << 22


def explain_end(
    folder: Folder,
    store: str,
    update: RunUpdate,
    nodes: int = 1,
    secrets: Mapping[str, str] | None = None,
) -> RunUpdate:
    """Return the end of a run with the runner, explained if it was the runner's or that of a node.

    Args:
        folder: The study's folder in the metric store.
        store: Its URI.
        update: The end of the run.
        nodes: Number of nodes.
        secrets: OCIDs of the run's secrets by the names of their variables.
    """
    if update.state is not RunState.FAILED:
        return update
    if nodes > 1 and (explained := _explain_nodes(folder, update, nodes)):
        return explained
    if update.exit_code is None:
        return update
    refusal = describe_refusal(update.exit_code, store, secrets)
    if update.exit_code == SECRET_REFUSED:
        refusal = _describe_secret(folder, store, update.name, secrets or {})
    runs = [update.name + Node(rank, nodes).folder for rank in range(nodes)]
    if refusal and not all(_exists(folder, BEGUN.format(run=run)) for run in runs):
        return replace(update, exit_code=None, cause=refusal, transient=True, fatal=True)
    if update.exit_code == NOT_UPLOADED and not all(
        _exists(folder, f"runs/{run}/run.jsonl") for run in runs
    ):
        cause = f"exit code {NOT_UPLOADED}: its results could not be uploaded; its log says why"
        return replace(update, cause=cause, transient=True)
    return update


def _explain_nodes(folder: Folder, update: RunUpdate, nodes: int) -> RunUpdate | None:
    """Return the end of a run with the rank that caused it; None if the nodes do not say."""
    ends = {rank: _read_end(folder, update.name, Node(rank, nodes)) for rank in range(nodes)}
    failed = [rank for rank, end in ends.items() if end.get("state") == "FAILED"]
    if failed:
        rank = min(failed, key=lambda rank: float(ends[rank].get("finished") or 0.0))
        _append_log(folder, update.name, rank)
        cause = f"rank {rank}: {ends[rank].get('cause')}"
        if update.exit_code is None:
            return replace(update, cause=f"{update.cause}; {cause}")
        return replace(update, exit_code=ends[rank].get("exit_code"), cause=cause, transient=False)
    left = [rank for rank, end in ends.items() if end.get("state") != "SUCCEEDED"]
    if 0 < len(left) < nodes:
        live = ", ".join(f"rank {rank}" for rank in left)
        return replace(update, cause=f"{update.cause}; still running: {live}")
    return None


def _read_end(folder: Folder, run: str, node: Node) -> dict[str, Any]:
    """Return the end of a node's history; empty if there is none."""
    with contextlib.suppress(FileNotFoundError, StoreError, ValueError):
        history = folder.read(f"runs/{run}{node.folder}/run.jsonl").decode().splitlines()
        end = json.loads(history[-1]) if history else None
        if isinstance(end, dict) and end.get("event") == "ended":
            return end
    return {}


def _append_log(folder: Folder, run: str, rank: int) -> None:
    """Append the end of what a rank printed to the run's log, which is that of rank 0."""
    if rank == 0:
        return
    heading = f"\n--- {name_rank(rank)} ---\n".encode()
    with contextlib.suppress(StoreError, FileNotFoundError):
        printed = folder.read(f"runs/{run}/{name_rank(rank)}/log.txt")[-_LOG_TAIL:]
        log = b""
        with contextlib.suppress(FileNotFoundError):  # rank 0 was killed early
            log = folder.read(f"runs/{run}/log.txt")
        if len(log) < _LONGEST_LOG and heading not in log:
            folder.write(f"runs/{run}/log.txt", log + heading + printed)


def _describe_secret(folder: Folder, store: str, run: str, secrets: Mapping[str, str]) -> str:
    """Return which secret of a run was refused, if the run could note it, and the fix."""
    note: Any = {}
    with contextlib.suppress(FileNotFoundError, StoreError, ValueError):
        note = json.loads(folder.read(REFUSED.format(run=run)))
    name = note.get("secret") if isinstance(note, dict) else None
    if not isinstance(name, str) or name not in secrets:
        return describe_refusal(SECRET_REFUSED, store, secrets)
    problem = str(note.get("problem", ""))[:300]
    return describe_refusal(SECRET_REFUSED, store, {name: secrets[name]}, problem)


def _exists(folder: Folder, path: str) -> bool:
    try:
        folder.read(path)
    except (FileNotFoundError, StoreError):
        return False
    return True
