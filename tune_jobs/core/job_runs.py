"""What the tuner and a backend exchange about job runs.

ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED | CANCELED
    └─────────────┴────────▶ LOST (the backend cannot tell how it ended)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tune_jobs.core.resource_usage import ResourceUsage
from tune_jobs.runtime.usage_summary import describe_peak, is_nearly_full

KILLED = 137
"""Exit code of a shell or a container whose process was killed by SIGKILL: 128 + 9."""


class RunState(StrEnum):
    """States of a job run, spelled as OCI Data Science spells them; LOST is ours."""

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
    """Where the metrics of a run are found; the same on every backend.

    Args:
        names: Metrics to find in what the script prints.
        patterns: Regular expressions of metrics that are not printed by name.
        step: Name of the printed step (``epoch``), if any.
        file: A metrics file that the script writes, relative to its working directory.
    """

    names: tuple[str, ...]
    patterns: Mapping[str, str] = field(default_factory=dict)
    step: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class RunRequest:
    """A job run to execute.

    Args:
        name: Identity of the run within its study (``trial-000012-1``).
        argv: Arguments after the entry point.
        env: Environment variables beside the backend's own.
        files: Files to write into the working directory first: relative path to content.
        labels: Trial and attempt, for tags that people search by.
        resume: Names of earlier runs. The run resumes from the checkpoints of the first one that
            left some, and finds them in its ``resume`` folder.
        checkpoints: Whether a later run may resume from this one. Its folders for checkpoints
            then exist when it starts, even if its command line does not name them.
        resources: What the run gets instead of the job's own resources; see the backend.
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
    """What a backend reports of one run.

    Args:
        run_id: The backend's own id of the run, such as an OCID.
        started, finished: Seconds since the epoch.
        exit_code: Exit code of the script; None while it runs, and if it was killed or lost.
        cause: Why it did not succeed, in a sentence; empty otherwise.
        transient: Whether the cause is outside of the script, so that a retry may succeed.
        retry_after: Seconds to wait before a retry, doubled each time; for capacity.
        fatal: Whether every run will fail until a person fixes the cause, such as a policy.
        trouble: Whether the machine was in trouble, such as a full disk: such an attempt is retried
            however many there were before, and many in a row end the call.
        shape: The compute shape it runs on, if the backend has shapes.
        has_metrics: Whether the store may have new metrics; None if only the store knows.
        has_history: Whether the run leaves its history in the store, which says how many bytes of
            metrics it wrote.
        metrics_bytes: That number, if the backend knows it.
        usage: What the run used, if it has ended and the backend knows it.
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
    trouble: bool = False
    shape: str | None = None
    has_metrics: bool | None = True
    has_history: bool = False
    metrics_bytes: int | None = None
    usage: ResourceUsage | None = None


def explain_memory_kill(update: RunUpdate) -> str:
    """Return the cause of a run's end, with its memory if it was killed when that was used up.

    The service only says that the exit code is 137, of a container that was killed.
    """
    is_killed = update.exit_code == KILLED or "SIGKILL" in update.cause
    if update.state is not RunState.FAILED or not is_killed or update.usage is None:
        return update.cause
    used = update.usage.as_record()
    if "out of memory:" in update.cause or not is_nearly_full(used):
        return update.cause
    return f"{update.cause} (out of memory: {describe_peak(used)})"


@dataclass(frozen=True)
class RunPaths:
    """The folders of a run, in the file system that the run sees.

    ``resume`` holds the checkpoints that the run resumes from; it is empty for a run that starts
    from scratch.
    """

    work: str
    outputs: str
    checkpoints: str
    resume: str

    @classmethod
    def below(cls, folder: str) -> RunPaths:
        """Return the folders of a run that owns ``folder``."""
        return cls(*(f"{folder}/{name}" for name in ("work", "outputs", "checkpoints", "resume")))
