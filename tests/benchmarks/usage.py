"""What it costs to measure what a run uses.

    python -m tests.benchmarks.usage [--seconds 60]

A run with one process, and one with 64 of which each has 40 MB, are measured as the runner does it,
which looks every half second. The CPU is that of the measuring process, its file included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tune_jobs.runtime.processes import read_processes
from tune_jobs.runtime.usage import Machine, UsageMeter

_SCRIPT = """
import os, time
x = bytearray(40 << 20)
for _ in range({others}):
    if os.fork() == 0:
        break
print("ready", flush=True)
time.sleep(3600)
"""


def measure(processes: int, seconds: float) -> tuple[float, float, dict[str, float]]:
    """Return the share of a core, the bytes per minute, and the summary of a run."""
    script = _SCRIPT.format(others=processes - 1)
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    assert run.stdout is not None
    try:
        for _ in range(processes):
            run.stdout.readline()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "usage.jsonl")
            meter = UsageMeter(run.pid, str(path), Machine(), has_network=True)
            began, cpu = time.monotonic(), time.process_time()
            while time.monotonic() - began < seconds:
                time.sleep(0.5)
                meter.look()
            share = (time.process_time() - cpu) / (time.monotonic() - began)
            size = path.stat().st_size if path.exists() else 0
            return share, size * 60.0 / seconds, meter.finish(0.0, 0)
    finally:
        os.killpg(run.pid, 9)
        run.communicate()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    print(f"{len(read_processes())} processes on this machine, {seconds:g} s each\n")
    print("| processes of the run | % of a core | bytes/min | memory peak, MB |")
    print("| ---: | ---: | ---: | ---: |")
    for processes in (1, 64):
        share, size, summary = measure(processes, seconds)
        peak = summary["memory_peak"] / (1 << 20)
        print(f"| {processes} | {100 * share:.2f} | {size:.0f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
