"""Regret of samplers on synthetic functions and recorded tables, with many pending trials.

    python -m tests.benchmarks.samplers                 print the tables of all recorded studies
    python -m tests.benchmarks.samplers --run           record the missing ones, on all cores; hours
    python -m tests.benchmarks.samplers --run --only JobSampler --task branin --pending 32

A study is one line in data/samplers.csv, appended when it is complete, so an interrupted run
continues where it stopped. `report` explains how to read the tables.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import optuna

from tests.benchmarks.samplers.contenders import CONTENDERS
from tests.benchmarks.samplers.loop import CHECKPOINTS, measure
from tests.benchmarks.samplers.report import print_report
from tests.benchmarks.samplers.tasks import DATA, tasks

RESULTS = DATA / "samplers.csv"
FIELDS = [
    *("task", "pending", "sampler", "seed"),
    *(f"regret_{n}" for n in CHECKPOINTS),
    *("right", "ask_ms"),
]
Cell = tuple[str, int, str, int]
"""Task, number of pending trials, sampler, seed."""


def run_cell(cell: Cell) -> list[str]:
    """Run one study and return its line of the results."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task, pending, sampler, seed = cell
    # The time of Optuna's GPSampler for a suggestion grows too fast for more.
    evaluations = 128 if sampler == "GP" else 256
    outcome = measure(tasks()[task], CONTENDERS[sampler](seed), pending, evaluations, seed)
    regrets = (f"{outcome.regrets[n]:.5g}" if n in outcome.regrets else "" for n in CHECKPOINTS)
    return [*map(str, cell), *regrets, str(int(outcome.right)), f"{outcome.ask_ms:.2f}"]


def select_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the studies that the command line selects, seed by seed."""
    for seed in range(options.seeds):
        yield from (
            (task, pending, sampler, seed)
            for pending, sampler, task in itertools.product(
                options.pending, options.only or CONTENDERS, options.task or tasks()
            )
            if sampler != "ModelClassSampler" or tasks()[task].classes
        )


def read_recorded() -> set[Cell]:
    """Return the studies that are recorded."""
    if not RESULTS.exists():
        return set()
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return {
            (row["task"], int(row["pending"]), row["sampler"], int(row["seed"]))
            for row in csv.DictReader(file)
        }


def record(cells: list[Cell], jobs: int) -> None:
    """Run studies in parallel, and append each to the results when it is complete."""
    # More threads than cores slow the linear algebra of small matrices down.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    is_new = not RESULTS.exists()
    with (
        RESULTS.open("a", encoding="utf-8", newline="") as file,
        ProcessPoolExecutor(jobs) as pool,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(FIELDS)
        for future in as_completed([pool.submit(run_cell, cell) for cell in cells]):
            writer.writerow(future.result())
            file.flush()


def main() -> None:
    """Record studies if asked to, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.samplers")
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--only", action="append", choices=list(CONTENDERS))
    parser.add_argument("--task", action="append", choices=list(tasks()))
    parser.add_argument("--pending", type=int, nargs="+", default=[32])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if options.run:
        recorded = read_recorded()
        record([cell for cell in select_cells(options) if cell not in recorded], options.jobs)
    with RESULTS.open(encoding="utf-8", newline="") as file:
        print_report(list(csv.DictReader(file)))


if __name__ == "__main__":
    main()
