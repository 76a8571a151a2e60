"""The protocol between the tuner and the place where job runs execute.

A backend knows job runs and nothing of trials. It is told what to run by a `RunRequest`, whose
``name`` is the run's identity: submitting the same name twice starts one run, and `find` answers
for any name, also one whose submission was never acknowledged.

    ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED | CANCELED
        └─────────────┴────────▶ LOST (nobody can say any more how it ended)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunUpdate


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
