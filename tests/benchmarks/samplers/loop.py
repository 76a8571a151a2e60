"""One study in virtual time: so many trials are pending whenever the next is asked for."""

from __future__ import annotations

import heapq
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
        ask_ms: CPU time of the sampler for a trial.
    """

    regrets: dict[int, float]
    right: bool
    ask_ms: float


def run(task: Task, sampler: BaseSampler, pending: int, evaluations: int, seed: int) -> Outcome:
    """Minimize a task; evaluations are told in the order in which their runs end."""
    study = optuna.create_study(sampler=sampler)
    noise = random.Random(f"noise {seed}")
    live: list[tuple[float, int, optuna.Trial, float]] = []
    now, spent, told = 0.0, 0.0, 0
    best = (float("inf"), float("inf"), False)
    regrets: dict[int, float] = {}
    for number in range(evaluations + pending):
        if len(live) == pending or number >= evaluations:
            if not live:
                break
            now, _, trial, value = heapq.heappop(live)
            shown = value + noise.gauss(0.0, task.noise)
            best = min(best, (shown, value - task.optimum, _is_right(task, trial)))
            study.tell(trial, shown)
            told += 1
            if told in CHECKPOINTS or told == evaluations:
                regrets[told] = best[1]
        if number < evaluations:
            began = time.process_time()
            trial = study.ask()
            value = task.value(trial)
            spent += time.process_time() - began
            ends = now + seconds_of_run(task, trial.params, seed, trial.number)
            heapq.heappush(live, (ends, trial.number, trial, value))
    return Outcome(regrets, best[2], 1000 * spent / evaluations)


def _is_right(task: Task, trial: optuna.Trial) -> bool:
    return task.classes is None or trial.params[task.classes[0]] == task.classes[1]
