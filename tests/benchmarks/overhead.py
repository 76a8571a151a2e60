"""Overhead of a tuner: time, CPU and memory besides the trials themselves.

    python -m tests.benchmarks.overhead                              about two minutes
    python -m tests.benchmarks.overhead --only sqlite --repeat 3

Every contender runs the same trials (each a process that prints a number) in a process of its own,
and the result is a Markdown table. Compare the column "of the bare pool" between machines or
versions: it is the time of the bare pool, which runs the processes without any tuner, divided by
the contender's. docs/benchmarks.md explains all columns. Times are not asserted, since they depend
on the load of the machine, but the values of all trials are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import optuna

from tests.benchmarks.contender import BARE_POOL, CONTENDERS, Cost
from tests.benchmarks.stock_optuna import SAMPLERS
from tests.benchmarks.workload import WORKLOADS, Workload

REPOSITORY = Path(__file__).parents[2]
HEADER = (
    "workload|contender|seconds|slot utilisation|of the bare pool|trials/s|CPU ms/trial|peak MB"
)


def run_contender(contender: str, workload: Workload, options: argparse.Namespace) -> Cost | str:
    """Measure a contender in a new process and folder.

    Returns:
        Its cost, or an error message.
    """
    command = [sys.executable, "-m", "tests.benchmarks.contender", contender, workload.name]
    command += [f"--sampler={options.sampler}", f"--seed={options.seed}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Cost(**json.loads(done.stdout))


def run_contenders(
    workload: Workload, contenders: Sequence[str], options: argparse.Namespace
) -> dict[str, list[Cost]]:
    """Return the costs of every repetition by contender, without contenders that failed.

    Contenders take turns, so that a change in the machine's load affects all of them.
    """
    costs: dict[str, list[Cost]] = {contender: [] for contender in contenders}
    for _ in range(options.repeat):
        for contender in list(costs):
            result = run_contender(contender, workload, options)
            if isinstance(result, Cost):
                costs[contender].append(result)
            else:
                del costs[contender]
                message = f"{workload.name}: {contender} failed and is left out: {result}"
                print(message, file=sys.stderr, flush=True)
    return costs


def format_rows(workload: Workload, costs: dict[str, list[Cost]]) -> Iterator[list[str]]:
    """Yield the cells of the table's rows."""
    medians = {contender: _median(repeats) for contender, repeats in costs.items()}
    for contender, cost in medians.items():
        utilisation = f"{workload.ideal_seconds / cost.seconds:.2f}" if workload.seconds else "–"
        ratio = f"{medians[BARE_POOL].seconds / cost.seconds:.2f}" if BARE_POOL in medians else "–"
        yield [
            f"{workload.name}: {workload.trials} on {workload.slots}",
            contender,
            f"{cost.seconds:.2f}",
            utilisation,
            ratio,
            f"{workload.trials / cost.seconds:.1f}",
            f"{1000 * cost.cpu_seconds / workload.trials:.1f}",
            f"{cost.rss_mb:.0f}",
        ]


def _median(costs: Sequence[Cost]) -> Cost:
    """Return the medians of the fields."""
    columns = zip(*(asdict(cost).values() for cost in costs), strict=True)
    return Cost(*map(statistics.median, columns))


def describe_setup(options: argparse.Namespace) -> str:
    """Return a line about the machine and the options."""
    folder = options.directory or tempfile.gettempdir()
    command = ["df", "--output=fstype", folder]
    filesystem = subprocess.run(command, capture_output=True, text=True).stdout.split()[-1:]
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, Optuna {optuna.__version__}, "
        f"{' '.join(filesystem) or 'unknown filesystem'} at {folder}, {options.sampler} sampler, "
        f"median of {options.repeat}"
    )


def print_row(cells: Sequence[str]) -> None:
    """Print one row of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure the overhead of tuners.")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="only this one")
    parser.add_argument("--only", action="append", help="only contenders whose name has this part")
    parser.add_argument("--repeat", type=int, default=1, help="repetitions to take the median of")
    parser.add_argument("--sampler", choices=SAMPLERS, default="random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", help="folder for the studies (default: a temporary one)")
    return parser.parse_args()


def main() -> None:
    """Measure the contenders and print the table."""
    options = parse_arguments()
    parts = options.only or [""]
    contenders = [c for c in CONTENDERS if c == BARE_POOL or any(part in c for part in parts)]
    load = os.getloadavg()[0]
    columns = HEADER.split("|")
    print_row(columns)
    print_row(["---", "---", *["---:"] * (len(columns) - 2)])
    for name in options.workload or WORKLOADS:
        costs = run_contenders(WORKLOADS[name], contenders, options)
        for row in format_rows(WORKLOADS[name], costs):
            print_row(row)
    print(f"\n{describe_setup(options)}; load {load:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
