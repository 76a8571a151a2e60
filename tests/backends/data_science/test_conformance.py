"""The conformance suite, for OCI Data Science as the emulator plays it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oci_emulator import Emulator
from tune_jobs import Connection, DataScienceBackend, Infrastructure
from tune_jobs.backends.base import Backend
from tune_jobs.testing.backends import PROGRAM, BackendTests


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The services, for all tests of this module."""
    with Emulator(tmp_path_factory.mktemp("oci")) as emulator:
        yield emulator


class TestDataScienceBackend(BackendTests):
    """Job runs, through the real SDKs."""

    @pytest.fixture
    def backend(self, emulator: Emulator) -> Backend:
        return DataScienceBackend.from_script(
            PROGRAM,
            Infrastructure(emulator.compartment, emulator.project, "VM.Standard2.1"),
            connection=Connection(config_file=emulator.config_file, endpoint=emulator.endpoint),
            poll_seconds=0.1,
            start_rate=1000.0,
            upload_seconds=0.2,
        )

    @pytest.fixture
    def store(self, emulator: Emulator) -> str:
        return f"oci://tune-jobs@{emulator.namespace}/conformance"
