"""Run studies that are not recorded yet, and print the tables of all that are.

    python -m tests.benchmarks.samplers                 only the tables
    python -m tests.benchmarks.samplers --run           what is missing, on all cores; hours
    python -m tests.benchmarks.samplers --run --only JobSampler --task branin --pending 32

Results are appended to data/samplers.csv, one line a study: a run that was interrupted goes on
where it was.
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
from tests.benchmarks.samplers.loop import CHECKPOINTS, run
from tests.benchmarks.samplers.report import report
from tests.benchmarks.samplers.tasks import DATA, tasks

RESULTS = DATA / "samplers.csv"
FIELDS = [
    *("task", "pending", "sampler", "seed"),
    *(f"regret_{n}" for n in CHECKPOINTS),
    *("right", "ask_ms"),
]
Cell = tuple[str, int, str, int]


def one(cell: Cell) -> list[str]:
    """A line of the results."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task, pending, sampler, seed = cell
    # Stock GP's time for a suggestion grows too fast for more.
    evaluations = 128 if sampler == "GP" else 256
    outcome = run(tasks()[task], CONTENDERS[sampler](seed), pending, evaluations, seed)
    regrets = (f"{outcome.regrets[n]:.5g}" if n in outcome.regrets else "" for n in CHECKPOINTS)
    return [*map(str, cell), *regrets, str(int(outcome.right)), f"{outcome.ask_ms:.2f}"]


def wanted(options: argparse.Namespace) -> Iterator[Cell]:
    """The studies that were asked for, seed by seed."""
    for seed in range(options.seeds):
        yield from (
            (task, pending, sampler, seed)
            for pending, sampler, task in itertools.product(
                options.pending, options.only or CONTENDERS, options.task or tasks()
            )
            if sampler != "ModelClassSampler" or tasks()[task].classes
        )


def known() -> set[Cell]:
    """The studies that are recorded."""
    if not RESULTS.exists():
        return set()
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return {
            (row["task"], int(row["pending"]), row["sampler"], int(row["seed"]))
            for row in csv.DictReader(file)
        }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.samplers")
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--only", action="append", choices=list(CONTENDERS))
    parser.add_argument("--task", action="append", choices=list(tasks()))
    parser.add_argument("--pending", type=int, nargs="+", default=[32])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if options.run:
        done = known()
        record([cell for cell in wanted(options) if cell not in done], options.jobs)
    with RESULTS.open(encoding="utf-8", newline="") as file:
        report(list(csv.DictReader(file)))


def record(cells: list[Cell], jobs: int) -> None:
    """Run them, and write each as soon as it is done."""
    # More threads than cores slow the linear algebra of small matrices down.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    fresh = not RESULTS.exists()
    with (
        RESULTS.open("a", encoding="utf-8", newline="") as file,
        ProcessPoolExecutor(jobs) as pool,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if fresh:
            writer.writerow(FIELDS)
        for future in as_completed([pool.submit(one, cell) for cell in cells]):
            writer.writerow(future.result())
            file.flush()


if __name__ == "__main__":
    main()
