"""What it costs to watch many job runs of OCI Data Science: requests, CPU, memory.

    python -m tests.benchmarks.oci_requests [--live 10 100 1000]

Two contenders against the same emulated services, which run in another process: tune_jobs, and a
loop as one would write it with ADS (``job.run()``, ``run.sync()``, and the metrics with ocifs). All
runs are live at once and report every five seconds; every contender looks every two. Counted in a
window in which nothing starts or ends.
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


@dataclass(frozen=True)
class Figures:
    """What one contender needed.

    Args:
        start: Requests for starting one run.
        interval: Seconds between two looks; two were asked for.
        poll: Requests in one look, by kind.
        cpu: CPU seconds for one second of the window.
        peak_mb: Peak memory of the process.
    """

    start: float
    interval: float
    poll: dict[str, float]
    cpu: float
    peak_mb: float


class Service:
    """The emulated services, in another process."""

    def __init__(self, run_seconds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.oci_service", str(run_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.facts: dict[str, str] = json.loads(self._process.stdout.readline())

    def requests(self) -> Counter[str]:
        """Requests since the last call, by operation."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counter(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(
    name: str, live: int, contender: Callable[[dict[str, str], int, threading.Event], None]
) -> Figures:
    """Let a contender start its runs and watch them."""
    service = Service(run_seconds=1e6)
    all_live, done = threading.Event(), threading.Event()

    def watch() -> None:
        contender(service.facts, live, done)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    starting: Counter[str] = Counter()
    while starting["create_job_run"] < live:
        all_live.wait(0.2)
        starting += service.requests()
    all_live.wait(2 * POLL_SECONDS)  # past what belongs to starting
    service.requests()
    cpu, began = time.process_time(), time.monotonic()
    all_live.wait(WINDOW_SECONDS)
    counted, seconds = service.requests(), time.monotonic() - began
    cpu = time.process_time() - cpu
    done.set()
    service.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # A look is one listing, page by page, or one request for every run.
    looks = counted["list_job_runs"] / math.ceil(live / 100) or counted["get_job_run"] / live
    per_run = sum(starting[o] for o in ("create_job_run", "get_job_run")) / live
    poll = {operation: count / looks for operation, count in sorted(counted.items())}
    return Figures(per_run, seconds / looks, poll, cpu / seconds, peak)


def ours(facts: dict[str, str], live: int, done: threading.Event) -> None:
    """tune_jobs: one call of ``optimize`` with as many slots as runs."""
    import optuna

    from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = tempfile.mkdtemp()
    Path(folder, "train.py").write_text("print('value: 1')")
    backend = DataScienceBackend.from_script(
        Path(folder, "train.py"),
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


def with_ads(facts: dict[str, str], live: int, done: threading.Event) -> None:
    """The loop that one writes with ADS: every run is synchronized, every metrics file is read."""
    import ads
    import fsspec
    from ads.jobs import DataScienceJob, Job, ScriptRuntime

    ads.set_auth(
        "api_key",
        oci_config_location=facts["config_file"],
        client_kwargs={"service_endpoint": facts["endpoint"]},
    )
    folder = tempfile.mkdtemp()
    Path(folder, "train.py").write_text("print('value: 1')")
    infrastructure = (
        DataScienceJob()
        .with_compartment_id(facts["compartment"])
        .with_project_id(facts["project"])
        .with_shape_name("VM.Standard2.1")
        .with_block_storage_size(50)
    )
    runtime = ScriptRuntime().with_source(f"{folder}/train.py")
    job = Job(name="b").with_infrastructure(infrastructure).with_runtime(runtime).create()
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
        looked = time.monotonic()
        for name, run in runs.items():
            run.sync()
            path = f"{root}/metrics/{name}.jsonl"
            if files.exists(path):
                files.cat_file(path)
            if done.is_set():
                return
        done.wait(max(0.0, POLL_SECONDS - (time.monotonic() - looked)))


def _in_child(name: str, live: int, connection: Any) -> None:
    contenders = {"tune_jobs": ours, "ADS": with_ads}
    connection.send(measure(name, live, contenders[name]))
    connection.close()
    # What watches runs that never end is not waited for.
    os._exit(0)


def measured(name: str, live: int) -> Figures:
    """In a process of its own, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(name, live, sender))
    child.start()
    sender.close()
    figures: Figures = receiver.recv()
    child.join()
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=int, nargs="*", default=[10, 100, 1000])
    options = parser.parse_args()
    columns = (
        "live runs",
        "contender",
        "requests to start a run",
        "requests a look",
        "of these",
        "s between looks",
        "CPU s per s",
        "CPU ms per live run and s",
        "peak MB",
    )
    print(f"| {' | '.join(columns)} |")
    print("| ---: | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for live in options.live:
        for name in ("tune_jobs", "ADS"):
            f = measured(name, live)
            kinds = ", ".join(f"{o} {n:.0f}" for o, n in f.poll.items() if n >= 0.5)
            print(
                f"| {live} | {name} | {f.start:.1f} | {sum(f.poll.values()):.0f} | {kinds} "
                f"| {f.interval:.1f} | {f.cpu:.3f} | {1000 * f.cpu / live:.2f} | {f.peak_mb:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
