"""Emulated services for `oci_requests` and `recovery`, in a process of their own.

Job runs execute nothing and last a given time. Each live run has a metrics object, to which a
record is added every five seconds. The first line of output is JSON with the facts needed to
connect. Each line of input is answered by a line of JSON: the number of requests since the last
one, by operation.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.oci_emulator import Emulator
from tests.oci_emulator.object_storage import Object
from tests.oci_emulator.world import BUCKET

RECORD_SECONDS = 5.0


def write_metrics(emulator: Emulator, stop: threading.Event) -> None:
    """Report for every live run every `RECORD_SECONDS`, a tenth of the runs at a time."""
    objects = emulator.object_storage.buckets[BUCKET].objects
    step = 0
    while not stop.wait(RECORD_SECONDS / 10):
        step += 1
        with emulator.world.lock:
            runs = [r for i, r in enumerate(emulator.data_science.runs()) if i % 10 == step % 10]
            for run in runs:
                env = run.facts["jobConfigurationOverrideDetails"].get("environmentVariables", {})
                if "TUNE_JOBS_STORE" not in env or not run.is_live:
                    continue
                folder = env["TUNE_JOBS_STORE"].split("/", 3)[3]
                name = f"{folder}/metrics/{env['TUNE_JOBS_RUN']}.jsonl"
                line = json.dumps({"time": time.time(), "metrics": {"value": 0.5}}) + "\n"
                known = objects.get(name) or Object(b"", "", 0.0, "text/plain", {})
                objects[name] = replace(
                    known, data=known.data + line.encode(), etag=f"{run.id}-{step}"
                )


def main(seconds: float) -> None:
    """Serve until the input ends; runs last the given number of seconds."""
    with tempfile.TemporaryDirectory() as folder:
        emulator = Emulator(Path(folder), execute=False)
        emulator.data_science.duration = lambda run: seconds
        stop = threading.Event()
        threading.Thread(target=write_metrics, args=(emulator, stop), daemon=True).start()
        facts = {
            "endpoint": emulator.endpoint,
            "config_file": str(emulator.config_file),
            "compartment": emulator.compartment,
            "project": emulator.project,
            "namespace": emulator.namespace,
        }
        print(json.dumps(facts), flush=True)
        for _ in sys.stdin:
            requests, emulator.requests[:] = list(emulator.requests), []
            print(json.dumps(Counter(r.operation for r in requests)), flush=True)
        stop.set()
        emulator.close()


if __name__ == "__main__":
    main(float(sys.argv[1]))
