"""Identity of processes."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tune_jobs.runtime.processes import read_boot_id, read_start_ticks, read_start_time


def test_boot_id_is_a_uuid() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", read_boot_id() or "")


def test_start_of_a_process_with_an_odd_name(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    before = time.time()
    with subprocess.Popen([program, "60"]) as process:
        started = read_start_time(process.pid)
        ticks = read_start_ticks(process.pid)
        process.kill()
    assert started == pytest.approx(before, abs=2.0)
    assert ticks is not None
    assert ticks >= (read_start_ticks(os.getpid()) or 0)


def test_no_such_process() -> None:
    highest = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert read_start_ticks(highest + 1) is None
    assert read_start_time(highest + 1) is None
