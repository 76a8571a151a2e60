"""The conformance suite, for the backends of this machine."""

from __future__ import annotations

import random

import pytest

from tune_jobs.backends.base import Backend
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.simulated.backend import SimulatedBackend
from tune_jobs.backends.simulated.courses import Course, SimulatedReport, SimulatedRun
from tune_jobs.core.job_runs import RunRequest
from tune_jobs.testing.backends import PROGRAM, BackendTests
from tune_jobs.testing.program import checksum, parse_options


class TestLocalBackend(BackendTests):
    """Local processes."""

    @pytest.fixture
    def backend(self) -> Backend:
        return LocalBackend(PROGRAM, grace=1.0)


def simulate(run: SimulatedRun) -> Course:
    """Return the course of a run of the suite's program."""
    options = parse_options(run.argv)
    reports = [
        SimulatedReport(0.0, None, {"value": float(checksum(run.argv))}),
        SimulatedReport(0.0, None, {"token": random.random()}),
    ]
    return Course(reports, float(options.get("seconds", "0")), int(options.get("exit", "0")))


class TestSimulatedBackend(BackendTests):
    """Virtual time."""

    executes = False
    outlives_tuner = False

    @pytest.fixture
    def backend(self) -> Backend:
        return SimulatedBackend(simulate, provisioning=0.1)

    @pytest.fixture
    def refused_request(self) -> RunRequest | None:
        return None

    @pytest.fixture
    def unusable_store(self) -> str | None:
        return None
