"""The best value for a budget of run hours, where run time depends on the configuration.

    python -m tests.benchmarks.samplers.cost_aware        about ten minutes on two cores

    boosting    recorded: the fit time of a grid point; more and deeper trees take longer
    hartmann6   a run takes exp(4 x0): 1 to 55 units

Eight trials are pending; none is asked for once the budget is spent.
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
SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "JobSampler": lambda seed: JobSampler(seed),
    "JobSampler(cost=...)": lambda seed: JobSampler(seed, cost=lambda t: t.user_attrs["cost"]),
}
Cell = tuple[str, str, int]


def _cost(task: Task, params: Mapping[str, Any]) -> float:
    return task.hours(params) if task.hours else math.exp(4.0 * params["x0"])


def one(cell: Cell) -> list[float]:
    """The best values, over the optimum, for each of the budgets."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, sampler, seed = cell
    task, budgets = tasks()[name], BUDGETS[name]
    study = optuna.create_study(sampler=SAMPLERS[sampler](seed))
    live: list[tuple[float, int, optuna.Trial, float]] = []
    now, begun, ended = 0.0, 0.0, []
    while True:
        if len(live) < PENDING and begun < max(budgets):
            trial = study.ask()
            value = task.value(trial)
            cost = _cost(task, trial.params)
            trial.set_user_attr("cost", cost)
            begun += cost
            ended.append((begun, value))
            heapq.heappush(live, (now + cost, trial.number, trial, value))
        elif live:
            now, _, trial, value = heapq.heappop(live)
            study.tell(trial, value)
        else:
            break
    return [min(value for at, value in ended if at <= b) - task.optimum for b in budgets]


def main() -> None:
    """Print the table."""
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
            rows = {
                sampler: list(pool.map(one, [(name, sampler, s) for s in range(options.seeds)]))
                for sampler in SAMPLERS
            }
            for sampler in rows:
                cells = [_cell(rows, sampler, index) for index in range(len(budgets))]
                print(f"| {sampler} | " + " | ".join(cells) + " |", flush=True)


def _cell(rows: Mapping[str, list[list[float]]], sampler: str, index: int) -> str:
    values = [row[index] for row in rows[sampler]]
    low, _, high = quantiles(values)
    text = f"{median(values):.3g} ({low:.3g} to {high:.3g})"
    ours = [row[index] for row in rows["JobSampler(cost=...)"]]
    gaps = [a - b for a, b in zip(values, ours, strict=True)]
    if any(gaps) and wilcoxon(gaps).pvalue < 0.05 / 12:
        text += "<sup>+</sup>" if sum(gaps) > 0 else "<sup>-</sup>"
    return text


if __name__ == "__main__":
    main()
