"""A few rounds of `tests.faults.kill` with a fresh seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "words",
    [
        "--kills 12",
        "--kills 12 --scenario promotion --storage journal",
        "--kills 6 --scenario final",
        "--kills 4 --backend oci",
    ],
)
def test_whenever_the_tuner_is_killed_nothing_is_lost_or_done_twice(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kill", *words.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "0 bad rounds" in done.stdout
