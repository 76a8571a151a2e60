"""Cost of watching many job runs of OCI Data Science: requests, CPU and memory.

    python -m tests.benchmarks.oci_requests [--live 10 100 1000]

Compares tune_jobs with a loop as one writes it with ADS (``job.run()``, ``run.sync()``, metrics
through ocifs). Both use the same emulated services, which run in another process. All runs are
live at once and report every five seconds; both contenders poll every two seconds. Polls are
counted in a window of ten seconds in which no run starts or ends. A poll that takes longer than
two seconds shows in "s between polls".
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_SECONDS = 2.0
WINDOW_SECONDS = 10.0
RUN_SECONDS = 1e6
COLUMNS = (
    "live runs",
    "contender",
    "requests to start a run",
    "requests per poll",
    "of which",
    "s between polls",
    "CPU s per s",
    "CPU ms per live run and s",
    "peak MB",
)


@dataclass(frozen=True)
class Cost:
    """Requests and resources that a contender used.

    Args:
        start: Requests to start one run.
        interval: Seconds between two polls.
        poll: Requests of one poll by operation.
        cpu: CPU seconds per second of the window.
        peak_mb: Peak resident memory of the process.
    """

    start: float
    interval: float
    poll: dict[str, float]
    cpu: float
    peak_mb: float


class Service:
    """Emulated services in another process.

    Args:
        run_seconds: Duration of each job run.
    """

    def __init__(self, run_seconds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.oci_service", str(run_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.facts: dict[str, str] = json.loads(self._process.stdout.readline())
        """Endpoint, configuration file, and OCIDs by name."""

    def count_requests(self) -> Counter[str]:
        """Return the number of requests since the last call, by operation."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counter(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


Contender = Callable[[dict[str, str], int, threading.Event], None]
"""Starts a number of runs and watches them until the event is set, given a service's facts."""


def measure(contender: Contender, live: int) -> Cost:
    """Run a contender in this process and return its cost."""
    service = Service(RUN_SECONDS)
    done, clock = threading.Event(), threading.Event()
    threading.Thread(target=contender, args=(service.facts, live, done), daemon=True).start()
    starting: Counter[str] = Counter()
    while starting["create_job_run"] < live:
        clock.wait(0.2)
        starting += service.count_requests()
    clock.wait(2 * POLL_SECONDS)  # past the requests that belong to starting
    service.count_requests()
    cpu, start = time.process_time(), time.monotonic()
    clock.wait(WINDOW_SECONDS)
    counts, seconds = service.count_requests(), time.monotonic() - start
    cpu = time.process_time() - cpu
    done.set()
    service.close()
    # tune_jobs lists runs page by page; the loop with ADS reads each run.
    polls = counts["list_job_runs"] / math.ceil(live / 100) or counts["get_job_run"] / live
    return Cost(
        start=sum(starting[o] for o in ("create_job_run", "get_job_run")) / live,
        interval=seconds / polls,
        poll={operation: count / polls for operation, count in sorted(counts.items())},
        cpu=cpu / seconds,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def run_tune_jobs(facts: dict[str, str], live: int, done: threading.Event) -> None:
    """Start and watch runs by one call of ``optimize`` with as many slots as runs."""
    import optuna

    from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = _write_script()
    backend = DataScienceBackend.from_script(
        folder / "train.py",
        Infrastructure(facts["compartment"], facts["project"], "VM.Standard2.1"),
        connection=Connection(config_file=facts["config_file"], endpoint=facts["endpoint"]),
        poll_seconds=POLL_SECONDS,
        start_rate=1e6,
    )
    study = optuna.create_study(
        study_name="b",
        storage=f"sqlite:///{folder}/b.db",
        sampler=optuna.samplers.RandomSampler(),
    )
    tuner = Tuner(
        study,
        {"x": optuna.distributions.FloatDistribution(0, 1)},
        backend,
        metric="value",
        max_parallel=live,
        store=f"oci://tune-jobs@{facts['namespace']}/runs",
        progress=False,
    )
    tuner.optimize(n_trials=live)


def run_ads(facts: dict[str, str], live: int, done: threading.Event) -> None:
    """Start runs with ADS, and poll each run and its metrics file."""
    import fsspec

    job = _create_ads_job(facts)
    files = fsspec.filesystem(
        "oci",
        config=facts["config_file"],
        config_kwargs={"service_endpoint": facts["endpoint"]},
    )
    root = f"tune-jobs@{facts['namespace']}/runs/b"
    runs: dict[str, Any] = {}
    for number in range(live):
        name = f"trial-{number:06d}-1"
        env = {"TUNE_JOBS_STORE": f"oci://{root}", "TUNE_JOBS_RUN": name}
        runs[name] = job.run(name=name, args=f"--x={number}", env_var=env)
    while not done.is_set():
        start = time.monotonic()
        for name, run in runs.items():
            run.sync()
            path = f"{root}/metrics/{name}.jsonl"
            if files.exists(path):
                files.cat_file(path)
            if done.is_set():
                return
        done.wait(max(0.0, POLL_SECONDS - (time.monotonic() - start)))


def _create_ads_job(facts: dict[str, str]) -> Any:
    import ads
    from ads.jobs import DataScienceJob, Job, ScriptRuntime

    ads.set_auth(
        "api_key",
        oci_config_location=facts["config_file"],
        client_kwargs={"service_endpoint": facts["endpoint"]},
    )
    infrastructure = (
        DataScienceJob()
        .with_compartment_id(facts["compartment"])
        .with_project_id(facts["project"])
        .with_shape_name("VM.Standard2.1")
        .with_block_storage_size(50)
    )
    runtime = ScriptRuntime().with_source(f"{_write_script()}/train.py")
    return Job(name="b").with_infrastructure(infrastructure).with_runtime(runtime).create()


def _write_script() -> Path:
    folder = Path(tempfile.mkdtemp())
    (folder / "train.py").write_text("print('value: 1')")
    return folder


CONTENDERS: dict[str, Contender] = {"tune_jobs": run_tune_jobs, "ADS": run_ads}


def measure_in_child(name: str, live: int) -> Cost:
    """Measure a contender in a new process, so that peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_cost, args=(name, live, sender))
    child.start()
    sender.close()
    cost: Cost = receiver.recv()
    child.join()
    return cost


def _send_cost(name: str, live: int, connection: Any) -> None:
    connection.send(measure(CONTENDERS[name], live))
    connection.close()
    os._exit(0)  # without waiting for threads that watch endless runs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=int, nargs="*", default=[10, 100, 1000])
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |")
    print("| ---: | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for live in options.live:
        for name in CONTENDERS:
            c = measure_in_child(name, live)
            operations = ", ".join(f"{o} {n:.0f}" for o, n in c.poll.items() if n >= 0.5)
            print(
                f"| {live} | {name} | {c.start:.1f} | {sum(c.poll.values()):.0f} | {operations} "
                f"| {c.interval:.1f} | {c.cpu:.3f} | {1000 * c.cpu / live:.2f} | {c.peak_mb:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
