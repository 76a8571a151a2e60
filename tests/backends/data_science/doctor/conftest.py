"""Examinations of the emulated tenancy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.backends.data_science.conftest import MakeBackend
from tests.oci_emulator import Emulator
from tune_jobs import Infrastructure
from tune_jobs.backends.data_science.doctor.report import DoctorReport
from tune_jobs.backends.data_science.doctor.run_trials import Timing

TIMING = Timing(poll=0.05, end=60.0, listed=0.2, logged=0.5, ready=5.0, grace=0.6)

Examine = Callable[..., DoctorReport]


@pytest.fixture
def infrastructure(infrastructure: Infrastructure) -> Infrastructure:
    """Infrastructure with a log group."""
    return replace(infrastructure, log_group="ocid1.loggroup.oc1..g")


@pytest.fixture
def examine(make_backend: MakeBackend, store: str) -> Examine:
    """Return a function that examines the tenancy for a study, by default without runs."""

    def examine(**options: Any) -> DoctorReport:
        backend = make_backend("print('value: 1')", **options.pop("backend", {}))
        settings = {"store": store, "timing": TIMING, "notice": lambda line: None}
        return backend.doctor(**{**settings, **options})

    return examine


def find_faults(report: DoctorReport) -> set[str]:
    """Return what differs, or was refused."""
    found = (*report.checks, *report.register)
    return {finding.id for finding in found if finding.verdict in ("differs", "refused")}


def find_rest(emulator: Emulator) -> list[Any]:
    """Return jobs, runs and objects that exist."""
    science = emulator.data_science
    return [*science.jobs(), *science.runs(), *emulator.object_storage.buckets["tune-jobs"].objects]
