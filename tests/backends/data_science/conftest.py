"""Fixtures: an emulator of OCI, and backends that use it through the real SDKs."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import oci
import optuna
import pytest

from tests.acceptance.tenancy import find_tenancy
from tests.oci_emulator import Emulator
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner
from tune_jobs.backends.base import BackendService, Notice
from tune_jobs.backends.data_science.service import DataScienceService
from tune_jobs.core.job_runs import MetricSources, RunRequest, RunUpdate
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime import oci_answers

PRINTS = "import sys\nprint('value:', sys.argv[1].split('=')[1])\n"
"""A script that prints its first argument as its metric."""

SOURCES = MetricSources(("value",), step="step")

_TENANCY = find_tenancy()
_SPEED: dict[str, Any] = (
    {"poll_seconds": 0.1, "start_rate": 1000.0}
    if _TENANCY is None
    else {"poll_seconds": _TENANCY.poll_seconds, "conda": _TENANCY.conda}
)
PATIENCE = 60.0 if _TENANCY is None else 1800.0
"""Seconds until a run has to have ended."""

MakeBackend = Callable[..., DataScienceBackend]
OpenService = Callable[..., DataScienceService]


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Emulator with an empty bucket ``tune-jobs``; refusals at first are believed at once."""
    if find_tenancy() is not None:
        pytest.skip("needs the emulator")
    monkeypatch.setattr(oci_answers, "FIRST_PATIENCE", 0.0)
    with Emulator(tmp_path / "oci") as running:
        yield running


def permit_tuners(emulator: Emulator, *permissions: str, job_runs: Sequence[str] = ()) -> None:
    """Permit only these, such as ``read buckets``, in the whole tenancy.

    Args:
        emulator: The tenancy.
        permissions: What the emulator's user may do.
        job_runs: What job runs may do.
    """
    emulator.access.groups["tuners"] = {emulator.world.user}
    emulator.access.dynamic_groups["job-runs"] = "resource.type = 'datasciencejobrun'"
    emulator.access.permit(
        *(f"allow group tuners to {each} in tenancy" for each in permissions),
        *(f"allow dynamic-group job-runs to {each} in tenancy" for each in job_runs),
    )


def describe_backend(emulator: Emulator) -> str:
    """Return the backend of a study.yaml with job runs in the emulator."""
    return f"""\
backend:
  type: data_science
  compartment: {emulator.compartment}
  project: {emulator.project}
  shape: VM.Standard.E4.Flex
  ocpus: 1
  memory_gb: 16
  connection: {{config_file: {emulator.config_file}, endpoint: "{emulator.endpoint}"}}
"""


@pytest.fixture
def connection(request: pytest.FixtureRequest) -> Connection:
    """Connection to the tenancy, or to the emulator with an API key."""
    if (tenancy := find_tenancy()) is not None:
        return tenancy.connection
    emulator: Emulator = request.getfixturevalue("emulator")
    return Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> str:
    """URI of a metric store in Object Storage, empty at the start of each test."""
    if (tenancy := find_tenancy()) is not None:
        return f"{tenancy.store}/{secrets.token_hex(4)}"
    return f"oci://tune-jobs@{request.getfixturevalue('emulator').namespace}/runs"


@pytest.fixture
def infrastructure(request: pytest.FixtureRequest) -> Infrastructure:
    """Infrastructure of jobs."""
    if (tenancy := find_tenancy()) is not None:
        # Each test has a job of its own, which no other test finds by its definition.
        tags = {**tenancy.infrastructure.tags, "test": secrets.token_hex(4)}
        return replace(tenancy.infrastructure, tags=tags)
    emulator: Emulator = request.getfixturevalue("emulator")
    return Infrastructure(
        compartment=emulator.compartment,
        project=emulator.project,
        shape="VM.Standard.E4.Flex",
        ocpus=1,
        memory_gb=16,
        block_storage_gb=50,
    )


@pytest.fixture
def make_backend(
    tmp_path: Path, connection: Connection, infrastructure: Infrastructure
) -> MakeBackend:
    """Return a function that makes a backend for the source of a Python script."""

    def make(
        script: str,
        name: str = "train.py",
        kind: type[DataScienceBackend] = DataScienceBackend,
        **options: Any,
    ) -> DataScienceBackend:
        path = tmp_path / name
        path.write_text(script)
        settings = {
            "infrastructure": infrastructure,
            "connection": connection,
            **_SPEED,
        }
        return kind.from_script(path, **{**settings, **options})

    return make


@pytest.fixture
def open_service(store: str) -> Iterator[OpenService]:
    """Return a function that opens a backend for ``study-1`` until the end of the test."""
    with contextlib.ExitStack() as stack:

        def open_service(
            backend: DataScienceBackend,
            store: str = store,
            sources: MetricSources = SOURCES,
            notice: Notice = print,
        ) -> DataScienceService:
            backend.check()
            service = backend.open(store, "study-1", sources, keep_runs=True, notice=notice)
            return stack.enter_context(service)

        yield open_service


@pytest.fixture
def stored(store: str, connection: Connection) -> MetricStore:
    """Metric store of ``study-1``."""
    return MetricStore(store, "study-1", {"connection": connection})


@pytest.fixture
def build_tuner(store: str, tmp_path: Path) -> Callable[..., Tuner]:
    """Return a function that makes a tuner of ``x`` in a durable study."""

    def make(backend: DataScienceBackend, **options: Any) -> Tuner:
        study = optuna.create_study(
            study_name="s",
            storage=f"sqlite:///{tmp_path}/s.db",
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=1),
            pruner=optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
        settings = {"metric": "value", "store": store, "max_parallel": 4, "progress": False}
        return Tuner(study, space, backend, **{**settings, **options})

    return make


def run(name: str, *argv: str, **more: Any) -> RunRequest:
    """Return a request for a run."""
    settings: dict[str, Any] = {"env": {}, "files": {}, "labels": {"trial": "0", "attempt": "1"}}
    return RunRequest(name, argv, **{**settings, **more})


def wait_for_end(service: BackendService, name: str, seconds: float = PATIENCE) -> RunUpdate:
    """Wait for the end of a run and return its last update."""
    ends = [update for update in wait_for_ends(service, {name}, seconds) if update.name == name]
    return ends[0]


def wait_for_ends(
    service: BackendService, names: set[str], seconds: float = PATIENCE
) -> list[RunUpdate]:
    """Wait until all of these runs have ended and return their last updates."""
    live, ends, deadline = set(names), [], time.monotonic() + seconds
    while live:
        assert time.monotonic() < deadline, f"{live} did not end within {seconds} s"
        for update in service.wait(1.0):
            if update.state.is_terminal and update.name in live:
                live.remove(update.name)
                ends.append(update)
    return ends


def count_requests(emulator: Emulator) -> Counter[str]:
    """Return the number of requests by operation."""
    return Counter(seen.operation for seen in emulator.requests)


def open_client(connection: Connection) -> Any:
    """Return a client of the Data Science service."""
    return connection.client(oci.data_science.DataScienceClient)
