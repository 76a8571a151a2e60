"""The conformance suite, run for every kind of place that tune_jobs supports."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from tests.metric_store.conftest import FtpFolder
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Connection
from tune_jobs.metric_store import object_storage
from tune_jobs.runtime import oci_answers
from tune_jobs.testing.faulty_file_system import FileSystemFaults
from tune_jobs.testing.metric_stores import (
    FaultyPlace,
    HostileMetricStoreTestCase,
    MetricStoreTestCase,
    Place,
)


class TestLocalFolder(MetricStoreTestCase):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(str(tmp_path / "runs [1]*" / "s"))


class TestMemory(MetricStoreTestCase):
    @pytest.fixture
    def place(self) -> Place:
        return Place(f"memory://runs-{secrets.token_hex(4)}/s")


@pytest.mark.filterwarnings("ignore")  # of the FTP client's sockets
class TestFtp(MetricStoreTestCase):
    atomic_writes = False
    many = 50

    @pytest.fixture
    def place(self, ftp_folder: FtpFolder) -> Place:
        return Place(f"{ftp_folder.uri}/s")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("oci")) as running:
        yield running


@pytest.fixture
def bucket(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty prefix of a bucket."""
    monkeypatch.setattr(object_storage, "_PAGE", 10)
    monkeypatch.setattr(oci_answers, "FIRST_PATIENCE", 0.0)
    connection = Connection(config_file=emulator.config_file, endpoint=emulator.endpoint)
    uri = f"oci://tune-jobs@{emulator.namespace}/runs-{secrets.token_hex(4)}/s"
    return Place(uri, {"connection": connection})


class TestObjectStorage(MetricStoreTestCase):
    many = 35  # several pages

    @pytest.fixture
    def place(self, bucket: Place) -> Place:
        return bucket


# -- places that misbehave ----------------------------------------------------------------------


class TestFaultyMemory(HostileMetricStoreTestCase):
    @pytest.fixture
    def faulty(self) -> FaultyPlace:
        root = f"/runs-{secrets.token_hex(4)}"
        faults = FileSystemFaults(fsspec.filesystem("memory"), root)
        return FaultyPlace(Place("faulty://runs/s", {"faults": faults}), faults)


class TestFaultyLocalFolder(HostileMetricStoreTestCase):
    @pytest.fixture
    def faulty(self, tmp_path: Path) -> FaultyPlace:
        faults = FileSystemFaults(LocalFileSystem(), str(tmp_path / "runs"))
        return FaultyPlace(Place("faulty://runs/s", {"faults": faults}), faults)


class EmulatorFaults:
    """Faults of emulated Object Storage."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.clear = emulator.faults.clear

    def _add(self, *faults: Fault) -> None:
        for fault in faults:
            self._emulator.faults.add(fault)

    def freeze_listings(self) -> None:
        self._add(Fault("frozen", "list_objects", at=time.time()))

    def freeze_files(self) -> None:
        self._add(Fault("frozen", "get_object", at=time.time()))

    def empty_listings(self) -> None:
        self._add(Fault("empty", "list_objects"))

    def falsify_listings(self) -> None:
        self._add(Fault("false", "list_objects"))

    def deny_existence(self) -> None:
        self._add(Fault("error", "head_object", status=404, code="ObjectNotFound"))

    def fail(self) -> None:
        self._add(Fault("error", status=401, code="NotAuthenticated"))


class TestFaultyObjectStorage(HostileMetricStoreTestCase):
    @pytest.fixture
    def faulty(self, bucket: Place, emulator: Emulator) -> Iterator[FaultyPlace]:
        faults = EmulatorFaults(emulator)
        yield FaultyPlace(bucket, faults)
        faults.clear()
