"""Regret of studies with a warm start from similar or unrelated earlier studies.

    python -m tests.benchmarks.samplers.warm_start        about ten minutes on two cores

An earlier study of 128 trials has minimized the same function with its optimum moved by a share of
each range: 5 % is a similar task, 50 % an unrelated one. 32 trials are pending. The table compares
the median regret with ("warm") and without ("cold") the earlier study; <sup>+</sup> and
<sup>-</sup> mark significant differences (Wilcoxon signed-rank test, Bonferroni's correction).
"""

from __future__ import annotations

import argparse
import math
import os
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import optuna
from scipy.stats import wilcoxon

from tests.benchmarks.samplers.loop import run_study
from tests.benchmarks.samplers.tasks import Task, tasks
from tune_jobs.samplers import JobSampler, WarmStartSampler

CHECKPOINTS = (8, 32, 64, 128)
SHARES = (0.05, 0.5)
TASKS = ("hartmann6", "mixed")
PENDING = 32
Cell = tuple[str, float, int]
"""Task, share by which the optimum is moved, seed."""
Regrets = tuple[list[float], list[float]]
"""Regrets at the checkpoints, cold and warm."""


class _MovedTrial:
    """Trial whose suggested values are shifted, which moves the optimum of an objective."""

    def __init__(self, trial: optuna.Trial, share: float, seed: int) -> None:
        self._trial, self._share = trial, share
        self._rng = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        value = self._trial.suggest_float(name, low, high, log=log)
        share = self._draw_share()
        if log:
            return math.exp(_shift(math.log(value), math.log(low), math.log(high), share))
        return _shift(value, low, high, share)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        value = self._trial.suggest_int(name, low, high)
        return round(_shift(value, low, high, self._draw_share()))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        value = self._trial.suggest_categorical(name, choices)
        index = choices.index(value) + (1 if self._share > 0.25 else 0)
        return choices[index % len(choices)]

    def _draw_share(self) -> float:
        return self._share * self._rng.choice([-1.0, 1.0])


def _shift(value: float, low: float, high: float, share: float) -> float:
    """Return a value shifted by a share of its range, wrapped around at the ends."""
    return low + (value - low + share * (high - low)) % (high - low)


def run_cell(cell: Cell) -> Regrets:
    """Run an earlier study, a cold one and a warm one, and return the regrets of the latter two."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, share, seed = cell
    task = tasks()[name]

    def evaluate_moved(trial: optuna.Trial) -> float:
        return task.value(_MovedTrial(trial, share, seed))  # type: ignore[arg-type]

    earlier = Task(f"earlier {name}", evaluate_moved, task.optimum)
    source, _ = run_study(earlier, JobSampler(1000 + seed), PENDING, 128, seed)
    warm = WarmStartSampler([source], JobSampler(seed), seed=seed)
    _, cold_regrets = run_study(task, JobSampler(seed), PENDING, 128, seed)
    _, warm_regrets = run_study(task, warm, PENDING, 128, seed)
    return [cold_regrets[n - 1] for n in CHECKPOINTS], [warm_regrets[n - 1] for n in CHECKPOINTS]


def format_cells(results: Sequence[Regrets], is_warm: bool) -> list[str]:
    """Return the median regret at each checkpoint, marked where warm differs significantly."""
    cells = []
    for index in range(len(CHECKPOINTS)):
        differences = [cold[index] - warm[index] for cold, warm in results]
        is_significant = any(differences) and wilcoxon(differences).pvalue < 0.05 / (
            4 * len(CHECKPOINTS)
        )
        sign = ("+" if median(differences) > 0 else "-") if is_warm and is_significant else ""
        value = median(regrets[int(is_warm)][index] for regrets in results)
        cells.append(f"{value:.3g}{sign and f'<sup>{sign}</sup>'}")
    return cells


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.samplers.warm_start")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    print("| task | moved by | start | " + " | ".join(f"after {n}" for n in CHECKPOINTS) + " |")
    print("| --- | ---: | --- |" + " ---: |" * len(CHECKPOINTS))
    with ProcessPoolExecutor(options.jobs) as pool:
        for name in TASKS:
            for share in SHARES:
                cells = [(name, share, seed) for seed in range(options.seeds)]
                results = list(pool.map(run_cell, cells))
                for label, is_warm in (("cold", False), ("warm", True)):
                    row = " | ".join(format_cells(results, is_warm))
                    print(f"| {name} | {share:.0%} | {label} | {row} |", flush=True)


if __name__ == "__main__":
    main()
