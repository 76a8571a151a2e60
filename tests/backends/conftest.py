"""Fixtures of local backends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.local_bench import SOURCES, Bench, OpenBench
from tests.conftest import Script
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.core.job_runs import MetricSources


@pytest.fixture
def opened() -> Iterator[list[Bench]]:
    """List of benches, which are closed after the test."""
    benches: list[Bench] = []
    yield benches
    for bench in benches:
        bench.service.close()


@pytest.fixture
def bench(script: Script, opened: list[Bench]) -> OpenBench:
    """Return a function that opens a backend for a shell script."""

    def open_bench(
        body: str, store: str = "runs", sources: MetricSources = SOURCES, **options: object
    ) -> Bench:
        backend = LocalBackend(script(body), **options)  # type: ignore[arg-type]
        opened.append(Bench(backend, store, sources))
        return opened[-1]

    return open_bench
