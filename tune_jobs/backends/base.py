"""Protocols between the tuner and the place where job runs execute.

A `Backend` says what that place is and whether it can work. It holds nothing that belongs to a
study, so any number of tuners may share one. `Backend.open` returns a `BackendService`: the
backend, opened for the job runs of one study.

    with backend.open(store, study, sources, keep_runs=True, notice=print) as service:
        service.submit(request)
        updates = service.wait(10.0)

A service knows job runs and nothing of trials. The ``name`` of a `RunRequest` is the identity of
its run within the study: submitting the same name twice starts one run, and `find` answers for any
name, including one whose submission was never acknowledged.

    ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED | CANCELED
        └─────────────┴────────▶ LOST (the backend cannot tell how it ended)

`tune_jobs.testing.backends` is a suite of tests for implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunUpdate

Notice = Callable[[str], None]
"""Called with what a person should know, such as a service that does not answer."""


class LogTail(Protocol):
    """Reader of a growing log."""

    def read(self) -> bytes:
        """Return what was printed since the last call."""
        ...


class BackendService(Protocol):
    """Backend that is open for the job runs of one study.

    Each call of `Backend.open` returns a new one, and no two share anything that can change. It is
    used until `close`, after which every other method raises `BackendError`. Methods may be called
    from several threads, `wait` and `find` from one at a time.
    """

    def clock(self) -> float:
        """Return the seconds since the epoch, by the clock that these runs live by."""
        ...

    def paths(self, name: str) -> RunPaths:
        """Return the folders of a run, in the file system that the run sees."""
        ...

    def submit(self, request: RunRequest) -> str | None:
        """Start a run. Idempotent by ``request.name``.

        Returns:
            The run id, or None if an update will report it.

        Raises:
            SubmitError: If this run cannot be started.
            BackendError: If no run can be started.
        """
        ...

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """Block until something happens to a run, for at most ``timeout`` seconds.

        Returns:
            What happened, oldest first; a run may appear several times. After a terminal state
            there is no other update of a run, unless it is submitted again.

        Raises:
            BackendError: If nothing can be learned about the runs any more.
        """
        ...

    def cancel(self, name: str) -> None:
        """Request that a run be stopped; `wait` reports its end.

        Does nothing if the run has ended or never existed.
        """
        ...

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """Return the current state of these runs, and watch the live ones.

        They may have been started by another service. A name that was never started is absent.
        """
        ...

    def find_by_id(self, run_ids: Mapping[str, str]) -> dict[str, RunUpdate]:
        """Return the current state of runs that `find` does not know, and watch the live ones.

        The last word before a run is taken for lost: `find` may rely on a listing that lags. A
        backend whose `find` is certain need not implement it.

        Args:
            run_ids: The backend's own ids of runs, by name.

        Returns:
            The runs that exist, by name.
        """
        return {}

    def describe(self) -> dict[str, object]:
        """Return `Backend.describe` with the facts that opening added, such as a job's OCID."""
        ...

    def close(self) -> None:
        """Release the backend. Live runs continue if it was opened with ``keep_runs``.

        Does nothing if it is closed already.
        """
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Backend(Protocol):
    """Place where job runs execute.

    Attributes:
        name: The name that the ledger records.
        tick: Seconds of the runs' clock after which the tuner checks on things although nothing
            happened.
        default_store: The metric store of a tuner that names none.
        store_options: How the tuner reaches the metric store; see `open_folder`.
    """

    name: str
    tick: float
    default_store: str
    store_options: Mapping[str, object]

    def clock(self) -> float:
        """Return the seconds since the epoch, by the clock that runs live by."""
        ...

    def check(self) -> None:
        """Check for what would make every run fail, before anything is spent.

        Raises:
            ConfigError: If the script or an option of the backend cannot work.
        """
        ...

    def check_resources(self, resources: Mapping[str, object]) -> None:
        """Check what a single run is to have instead of the resources of all runs.

        Args:
            resources: See `RunRequest`.

        Raises:
            ConfigError: If a name or a value cannot be used.
        """
        ...

    def describe(self) -> dict[str, object]:
        """Return what runs, for the provenance.

        The keys are ``backend`` (its name), ``command`` (a list of strings) and whatever else
        identifies the code, such as ``code_sha256``.
        """
        ...

    def open(
        self,
        store: str,
        study: str,
        sources: MetricSources,
        *,
        keep_runs: bool,
        notice: Notice,
    ) -> BackendService:
        """Open the backend for the job runs of one study.

        Args:
            store: URI of the metric store that the runs write to.
            study: The study's folder in it.
            sources: Where the metrics of a run are found.
            keep_runs: Whether live runs continue when this process dies.
            notice: Called with messages for a person, from any thread.

        Raises:
            BackendError: If no run can be started.
        """
        ...

    def log(self, name: str, run_id: str | None) -> LogTail | None:
        """Open the log of a run if it is kept elsewhere than in the metric store."""
        ...

    def console(self, run_id: str) -> str | None:
        """Return the address of a page about a run, if there is one."""
        ...


@runtime_checkable
class CreatesJobs(Protocol):
    """A backend that creates jobs at a service for a study, beside its job runs."""

    def remove_jobs(
        self, store: str, study: str, controllers: Sequence[str], notice: Notice
    ) -> list[str]:
        """Remove the jobs that a study created, with their runs, which have ended.

        Args:
            store: URI of the metric store.
            study: The study's folder in it.
            controllers: Ids of the job runs of its controllers.
            notice: Called with what is refused, and stays.

        Returns:
            The jobs that were removed.

        Raises:
            TuneJobsError: If the service or the store cannot be reached at all.
        """
        ...
