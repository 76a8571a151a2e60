"""Studies that begin with earlier ones: similar, and unrelated.

    python -m tests.benchmarks.samplers.warm_start        about ten minutes on two cores

An earlier study of 128 trials saw the same function with its optimum moved by a share of each
range: 5 % is a similar task, 50 % an unrelated one. 32 trials are pending.
"""

from __future__ import annotations

import argparse
import math
import os
import random
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import optuna
from scipy.stats import wilcoxon

from tests.benchmarks.samplers.loop import find_study
from tests.benchmarks.samplers.tasks import Task, tasks
from tune_jobs.samplers import JobSampler, WarmStartSampler

AFTER = (8, 32, 64, 128)
PENDING = 32
Cell = tuple[str, float, int]


class _Moved:
    """A trial whose numbers are elsewhere: the function's optimum is moved by as much."""

    def __init__(self, trial: optuna.Trial, share: float, seed: int) -> None:
        self._trial, self._share = trial, share
        self._signs = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        value = self._trial.suggest_float(name, low, high, log=log)
        away = self._share * self._signs.choice([-1.0, 1.0])
        if log:
            return math.exp(_around(math.log(value), math.log(low), math.log(high), away))
        return _around(value, low, high, away)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        value = self._trial.suggest_int(name, low, high)
        return round(_around(value, low, high, self._share * self._signs.choice([-1.0, 1.0])))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        value = self._trial.suggest_categorical(name, choices)
        index = choices.index(value) + (1 if self._share > 0.25 else 0)
        return choices[index % len(choices)]


def _around(value: float, low: float, high: float, share: float) -> float:
    """Moved by a share of the range; what leaves it on one side enters on the other."""
    return low + (value - low + share * (high - low)) % (high - low)


def one(cell: Cell) -> tuple[list[float], list[float]]:
    """Regrets of the cold and of the warm study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, share, seed = cell
    task = tasks()[name]

    def moved(trial: optuna.Trial) -> float:
        return task.value(_Moved(trial, share, seed))  # type: ignore[arg-type]

    earlier = Task(f"earlier {name}", moved, task.optimum)
    source, _ = find_study(earlier, JobSampler(1000 + seed), PENDING, 128, seed)
    warm = WarmStartSampler([source], JobSampler(seed), seed=seed)
    _, cold_regrets = find_study(task, JobSampler(seed), PENDING, 128, seed)
    _, warm_regrets = find_study(task, warm, PENDING, 128, seed)
    return [cold_regrets[n - 1] for n in AFTER], [warm_regrets[n - 1] for n in AFTER]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.samplers.warm_start")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    print("| task | moved by | start | " + " | ".join(f"after {n}" for n in AFTER) + " |")
    print("| --- | ---: | --- |" + " ---: |" * len(AFTER))
    with ProcessPoolExecutor(options.jobs) as pool:
        for name in ("hartmann6", "mixed"):
            for share in (0.05, 0.5):
                cells = [(name, share, seed) for seed in range(options.seeds)]
                found = list(pool.map(one, cells))
                for which, label in enumerate(("cold", "warm")):
                    shown = []
                    for index in range(len(AFTER)):
                        gaps = [cold[index] - warm[index] for cold, warm in found]
                        sure = any(gaps) and wilcoxon(gaps).pvalue < 0.05 / (4 * len(AFTER))
                        sign = ("+" if median(gaps) > 0 else "-") if which and sure else ""
                        value = median(pair[which][index] for pair in found)
                        shown.append(f"{value:.3g}{sign and f'<sup>{sign}</sup>'}")
                    print(f"| {name} | {share:.0%} | {label} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
