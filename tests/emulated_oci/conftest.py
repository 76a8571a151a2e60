"""The emulator and clients of the SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
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


@pytest.fixture
def cli(emulator: Emulator) -> Callable[..., Any]:
    """Return a function that runs oci-cli and returns its output, parsed as JSON."""
    program = shutil.which("oci", path=str(Path(sys.executable).parent)) or shutil.which("oci")
    if program is None:
        pytest.skip("oci-cli is not installed")

    def call(*words: str) -> Any:
        done = subprocess.run(
            [
                *(program, "--config-file", str(emulator.config_file)),
                *("--endpoint", emulator.endpoint, *words),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SUPPRESS_LABEL_WARNING": "True"},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return call
