"""Regret for a budget of run hours, where run time depends on the configuration.

    python -m tests.benchmarks.samplers.cost_aware        about ten minutes on two cores

    boosting    recorded: the fit time of a grid point; more and deeper trees take longer
    hartmann6   a run takes exp(4 x0): 1 to 55 units

Eight trials are pending, and none is started once the budget is spent. A table has the median
regret with quartiles for three budgets; <sup>+</sup> marks a sampler that is significantly worse
than the cost-aware one (Wilcoxon signed-rank test, Bonferroni's correction).
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from statistics import median, quantiles
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from scipy.stats import wilcoxon

from tests.benchmarks.samplers.tasks import Task, tasks
from tune_jobs.samplers import JobSampler

PENDING = 8
BUDGETS = {"boosting": (15.0, 30.0, 60.0), "hartmann6": (300.0, 600.0, 1200.0)}
COST_AWARE = "JobSampler(cost=...)"
SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "JobSampler": lambda seed: JobSampler(seed),
    COST_AWARE: lambda seed: JobSampler(seed, cost=lambda t: t.user_attrs["cost"]),
}
Cell = tuple[str, str, int]
"""Task, sampler, seed."""


def run_cell(cell: Cell) -> list[float]:
    """Run one study and return its regret for each of the budgets."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, sampler, seed = cell
    task, budgets = tasks()[name], BUDGETS[name]
    study = optuna.create_study(sampler=SAMPLERS[sampler](seed))
    running: list[tuple[float, int, optuna.Trial, float]] = []
    now, spent = 0.0, 0.0
    values: list[tuple[float, float]] = []  # budget spent with a trial's start, and its value
    while True:
        if len(running) < PENDING and spent < max(budgets):
            trial = study.ask()
            value = task.value(trial)
            cost = _compute_cost(task, trial.params)
            trial.set_user_attr("cost", cost)
            spent += cost
            values.append((spent, value))
            heapq.heappush(running, (now + cost, trial.number, trial, value))
        elif running:
            now, _, trial, value = heapq.heappop(running)
            study.tell(trial, value)
        else:
            break
    return [min(value for at, value in values if at <= b) - task.optimum for b in budgets]


def _compute_cost(task: Task, params: Mapping[str, Any]) -> float:
    return task.hours(params) if task.hours else math.exp(4.0 * params["x0"])


def format_cell(results: Mapping[str, list[list[float]]], sampler: str, index: int) -> str:
    """Return median, quartiles and significance of a sampler's regret for one budget."""
    values = [regrets[index] for regrets in results[sampler]]
    low, _, high = quantiles(values)
    cell = f"{median(values):.3g} ({low:.3g} to {high:.3g})"
    reference = [regrets[index] for regrets in results[COST_AWARE]]
    differences = [a - b for a, b in zip(values, reference, strict=True)]
    if any(differences) and wilcoxon(differences).pvalue < 0.05 / 12:
        cell += "<sup>+</sup>" if sum(differences) > 0 else "<sup>-</sup>"
    return cell


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.samplers.cost_aware")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, budgets in BUDGETS.items():
            head = " | ".join(f"{budget:g}" for budget in budgets)
            print(f"\n| {name}: median regret (quartiles) after | {head} |")
            print("| --- |" + " ---: |" * len(budgets))
            results = {
                sampler: list(
                    pool.map(run_cell, [(name, sampler, s) for s in range(options.seeds)])
                )
                for sampler in SAMPLERS
            }
            for sampler in results:
                cells = [format_cell(results, sampler, index) for index in range(len(budgets))]
                print(f"| {sampler} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
