"""How long a detached study takes to begin, on the emulated OCI.

    python -m tests.benchmarks.detached

Seconds from the call of ``tune-jobs run study.yaml --detach`` until it returns, until the
controller owns the study, and until the first job run of a trial has started. Job runs are
processes of this machine, which start without the minutes that OCI needs for a virtual machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.backends.data_science.conftest import describe_backend
from tests.detached.on_oci import ROOT, STUDY
from tests.oci_emulator import Emulator
from tune_jobs.dashboard.model import Study
from tune_jobs.tuner import Tuner

TIMEOUT = 300.0


def measure(folder: Path, emulator: Emulator) -> dict[str, float]:
    """Return seconds since the call, by what had happened."""
    os.environ["OCI_CONFIG_LOCATION"] = str(emulator.config_file)
    os.environ["TUNE_JOBS_OCI_ENDPOINT"] = emulator.endpoint
    backend = describe_backend(emulator)
    text = STUDY.format(namespace=emulator.namespace, backend=backend, root=ROOT)
    (folder / "study.yaml").write_text(text)
    (folder / "train.py").write_text("import sys\nprint('value:', sys.argv[1].split('=')[1])\n")
    environment = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-m", "tune_jobs.cli", "run", "study.yaml", "--detach"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    seconds = {"the command has returned": time.perf_counter() - began}
    monitor = Tuner.attach("s", f"oci://tune-jobs@{emulator.namespace}/study")
    events: dict[str, Callable[[Study], bool]] = {
        "the controller owns the study": lambda study: study.owner is not None,
        "the first job run has started": lambda study: any(r.started for r in study.runs),
    }
    for event, has_happened in events.items():
        while not has_happened(monitor.snapshot()):
            if time.perf_counter() - began > TIMEOUT:
                raise TimeoutError(event)
            time.sleep(0.2)
        seconds[event] = time.perf_counter() - began
    monitor.wait()
    return seconds


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name, Emulator(Path(name) / "oci") as emulator:
        print("| detached, until | seconds |\n| --- | ---: |")
        for event, seconds in measure(Path(name), emulator).items():
            print(f"| {event} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
