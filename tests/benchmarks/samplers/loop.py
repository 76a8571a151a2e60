"""One study in virtual time: so many trials are pending whenever the next is asked for."""

from __future__ import annotations

import heapq
import math
import random
import time
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler

from tests.benchmarks.samplers.tasks import Task, seconds_of_run

CHECKPOINTS = (32, 64, 128, 256)


@dataclass(frozen=True)
class Outcome:
    """What one study came to.

    Args:
        regrets: After so many evaluations: how far the true value of the best trial, as told,
            is from the optimum.
        right: Whether the best trial is of the best model class; True where there are no classes.
        ask_ms: CPU time of a trial, asking and telling.
    """

    regrets: dict[int, float]
    right: bool
    ask_ms: float


def run(task: Task, sampler: BaseSampler, pending: int, evaluations: int, seed: int) -> Outcome:
    """Minimize a task; evaluations are told in the order in which their runs end."""
    began = time.process_time()
    study, regrets = find_study(task, sampler, pending, evaluations, seed)
    spent = time.process_time() - began
    right = task.classes is None or study.best_trial.params[task.classes[0]] == task.classes[1]
    shown = {n: regrets[n - 1] for n in CHECKPOINTS if n <= evaluations}
    return Outcome(shown, right, 1000 * spent / evaluations)


def find_study(
    task: Task, sampler: BaseSampler, pending: int, evaluations: int, seed: int
) -> tuple[optuna.Study, list[float]]:
    """The study, and the regret after each of its evaluations."""
    study = optuna.create_study(sampler=sampler)
    noise = random.Random(f"noise {seed}")
    live: list[tuple[float, int, optuna.Trial, float]] = []
    now, best = 0.0, (math.inf, math.inf)
    regrets: list[float] = []
    while len(regrets) < evaluations:
        if len(live) < pending and len(regrets) + len(live) < evaluations:
            trial = study.ask()
            value = task.value(trial)
            ends = now + seconds_of_run(task, seed, trial.number)
            heapq.heappush(live, (ends, trial.number, trial, value))
        else:
            now, _, trial, value = heapq.heappop(live)
            shown = value + noise.gauss(0.0, task.noise)
            study.tell(trial, shown)
            best = min(best, (shown, value - task.optimum))
            regrets.append(best[1])
    return study, regrets
