"""The emulator and clients of the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.emulated_oci.clients import open_client
from tests.oci_emulator import Emulator


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator(tmp_path / "oci") as running:
        yield running


@pytest.fixture
def storage(emulator: Emulator) -> Any:
    return open_client(oci.object_storage.ObjectStorageClient, emulator)


@pytest.fixture
def science(emulator: Emulator) -> Any:
    return open_client(oci.data_science.DataScienceClient, emulator)
