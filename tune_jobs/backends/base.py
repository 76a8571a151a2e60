"""The protocol between the tuner and the place where job runs execute.

A backend knows job runs and nothing of trials. It is told what to run by a `RunRequest`, whose
``name`` is the run's identity: submitting the same name twice starts one run, and `find` answers
for any name, also one whose submission was never acknowledged.

    ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED | CANCELED
        └─────────────┴────────▶ LOST (nobody can say any more how it ended)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from tune_jobs.script.command_line import RunPaths


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
        hopeless: The cause will hit every run until somebody mends it (a missing policy).
        shape: What it runs on, where that is a choice.
        has_metrics: New metrics may be in the store; None: the store has to be asked.
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
    hopeless: bool = False
    shape: str | None = None
    has_metrics: bool | None = True


class LogTail(Protocol):
    """Reads on in what a run prints."""

    def read(self) -> bytes:
        """What is new since the last call."""
        ...


class Backend(Protocol):
    """Where job runs execute. Methods may be called from several threads, `wait` from one.

    Attributes:
        name: As the ledger keeps it.
        tick: Seconds, by its clock, after which the tuner looks around although nothing happened.
        default_store: The metric store of a tuner that names none.
        store_options: How the tuner reaches the metric store; see `open_folder`.
        notice: Called with what a person should know: a service that does not answer.
    """

    name: str
    tick: float
    default_store: str
    store_options: Mapping[str, object]
    notice: Callable[[str], None]

    def clock(self) -> float:
        """Seconds since the epoch, by the clock that the runs live by."""
        ...

    def check(self) -> None:
        """Look for what would make every run fail, before anything is spent.

        Raises:
            ConfigError: the script or an option of this backend cannot work.
        """
        ...

    def open(self, store: str, study: str, sources: MetricSources, *, keep_runs: bool) -> None:
        """Get ready to run job runs of ``study`` whose data go to the metric store.

        Args:
            store: URI of the metric store.
            study: The study's folder in it.
            sources: Where the metrics of its runs are found.
            keep_runs: Whether live runs go on when this process dies.

        Raises:
            BackendError: no run can be started.
        """
        ...

    def paths(self, name: str) -> RunPaths:
        """The folders of a run, in the file system that the run sees."""
        ...

    def submit(self, request: RunRequest) -> str | None:
        """Start a run. Idempotent by ``request.name``.

        Returns:
            Its run id; None if an update will tell it, once the run was taken.

        Raises:
            SubmitError: this run cannot be started.
            BackendError: no run can be started any more.
        """
        ...

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """Block until something happened to a run, or ``timeout`` seconds; returns what did."""
        ...

    def cancel(self, name: str) -> None:
        """Stop a run; its end is seen by `wait`. Unknown and ended runs are left alone."""
        ...

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """What became of these runs; a name that was never started is absent."""
        ...

    def log(self, name: str, run_id: str | None) -> LogTail | None:
        """What a run prints, where it is somewhere else than in the metric store."""
        ...

    def console(self, run_id: str) -> str | None:
        """Where people can look at a run in a browser."""
        ...

    def describe(self) -> dict[str, object]:
        """What runs: entry point, interpreter, fingerprint of the code; for the provenance."""
        ...

    def close(self) -> None:
        """Let go of the backend; live runs go on if `open` said so."""
        ...
