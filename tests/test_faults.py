"""A few rounds of `tests.faults.kill`, with points chosen at random."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "words",
    [
        "--limit 12",
        "--limit 8 --scenario promotion --storage journal",
        "--limit 6 --scenario final",
        "--limit 6 --scenario objective --role tuner",
        "--limit 4 --action suspend",
        "--limit 4 --backend oci",
    ],
)
def test_nothing_is_lost_or_done_twice_wherever_a_process_is_killed(words: str) -> None:
    seed = str(random.randrange(10**6))
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kill", "--seed", seed, *words.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}\n{done.stderr}"
    assert " 0 bad rounds" in done.stdout
