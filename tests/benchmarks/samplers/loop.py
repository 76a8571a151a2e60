"""One study in virtual time, in which a fixed number of trials is pending."""

from __future__ import annotations

import heapq
import math
import random
import time
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler

from tests.benchmarks.samplers.tasks import Task, draw_run_seconds

CHECKPOINTS = (32, 64, 128, 256)


@dataclass(frozen=True)
class Outcome:
    """Outcome of one study.

    Args:
        regrets: By number of evaluations: distance of the best trial from the optimum. The best
            trial is selected by its observed value, and the distance is that of its true value.
        right: Whether the best trial is of the best model class; True where there are no classes.
        ask_ms: CPU milliseconds of a trial, asking and telling.
    """

    regrets: dict[int, float]
    right: bool
    ask_ms: float


def measure(task: Task, sampler: BaseSampler, pending: int, evaluations: int, seed: int) -> Outcome:
    """Run a study and summarize it."""
    start = time.process_time()
    study, regrets = run_study(task, sampler, pending, evaluations, seed)
    cpu = time.process_time() - start
    right = task.classes is None or study.best_trial.params[task.classes[0]] == task.classes[1]
    selected = {n: regrets[n - 1] for n in CHECKPOINTS if n <= evaluations}
    return Outcome(selected, right, 1000 * cpu / evaluations)


def run_study(
    task: Task, sampler: BaseSampler, pending: int, evaluations: int, seed: int
) -> tuple[optuna.Study, list[float]]:
    """Minimize a task; trials finish in the order in which their runs end.

    Returns:
        The study, and the regret after each evaluation.
    """
    study = optuna.create_study(sampler=sampler)
    noise = random.Random(f"noise {seed}")
    running: list[tuple[float, int, optuna.Trial, float]] = []
    now, best = 0.0, (math.inf, math.inf)
    regrets: list[float] = []
    while len(regrets) < evaluations:
        if len(running) < pending and len(regrets) + len(running) < evaluations:
            trial = study.ask()
            value = task.value(trial)
            end = now + draw_run_seconds(task, seed, trial.number)
            heapq.heappush(running, (end, trial.number, trial, value))
        else:
            now, _, trial, value = heapq.heappop(running)
            observed = value + noise.gauss(0.0, task.noise)
            study.tell(trial, observed)
            best = min(best, (observed, value - task.optimum))
            regrets.append(best[1])
    return study, regrets
