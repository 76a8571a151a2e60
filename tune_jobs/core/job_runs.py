"""What tuner and backends tell each other about job runs.

ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED | CANCELED
    └─────────────┴────────▶ LOST (the backend cannot tell how it ended)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """States of a job run, spelled as OCI Data Science spells them (LOST is ours)."""

    ACCEPTED = "ACCEPTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    LOST = "LOST"

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self not in (RunState.ACCEPTED, RunState.IN_PROGRESS)


@dataclass(frozen=True)
class MetricSources:
    """What the run side looks for; the same on every backend.

    Args:
        names: Metrics to find in what the script prints.
        patterns: Regular expressions for metrics that are not printed by name.
        step: Name of the printed step (``epoch``), if any.
        file: A metrics file that the script writes, relative to its working directory.
    """

    names: tuple[str, ...]
    patterns: Mapping[str, str] = field(default_factory=dict)
    step: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class RunRequest:
    """One job run to execute.

    Args:
        name: Identity of the run within its study (``trial-000012-1``).
        argv: Arguments after the entry point.
        env: Environment variables beside the backend's own.
        files: Files to write into the working directory first: relative path to text.
        labels: What people may look for it by (trial, attempt); for tags.
        resume: Names of earlier runs; the run goes on from the checkpoints of the first that left
            some, and finds them in its ``resume`` folder.
        checkpoints: A later run may go on from this one: the folders for that are there when it
            starts, even if nothing on its command line names them.
        resources: What it runs on, where that differs from the other runs; see the backend.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    resume: tuple[str, ...] = ()
    checkpoints: bool = False


@dataclass(frozen=True)
class RunUpdate:
    """What a backend says of one run.

    Args:
        run_id: The backend's own name of it (process id, OCID).
        started, finished: Seconds since the epoch.
        exit_code: Of the script; None when it has none (killed, lost, live).
        cause: Why it did not succeed, in a sentence; empty otherwise.
        transient: The cause lies outside of the script: another attempt may succeed.
        retry_after: Seconds to let pass before that attempt (out of capacity); doubled each time.
        fatal: The cause will hit every run until somebody mends it (a missing policy).
        shape: What it runs on, where that is a choice.
        has_metrics: New metrics may be in the store; None: the store has to be asked.
        has_history: The run leaves its history in the store, which says how many bytes of metrics
            it wrote.
    """

    name: str
    state: RunState
    run_id: str | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    cause: str = ""
    transient: bool = False
    retry_after: float = 0.0
    fatal: bool = False
    shape: str | None = None
    has_metrics: bool | None = True
    has_history: bool = False


@dataclass(frozen=True)
class RunPaths:
    """The folders of one run, as the run itself sees them.

    ``resume`` has the checkpoints of the run that this one goes on from; it is empty for a run that
    starts afresh.
    """

    work: str
    outputs: str
    checkpoints: str
    resume: str

    @classmethod
    def below(cls, folder: str) -> RunPaths:
        """The folders of a run that has ``folder`` to itself."""
        return cls(*(f"{folder}/{name}" for name in ("work", "outputs", "checkpoints", "resume")))
