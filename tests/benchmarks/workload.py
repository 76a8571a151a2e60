"""Trials of the `overhead` benchmark: processes that do next to nothing, run by a minimal pool."""

from __future__ import annotations

import math
import random
import selectors
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import optuna

Params = dict[str, Any]
Key = TypeVar("Key")

_PRINT_X = 'for a; do case $a in --x=*) echo "value=${a#--x=}";; esac; done'


@dataclass(frozen=True)
class Workload:
    """Trials of equal duration.

    Args:
        name: Name on the command line and in tables.
        trials: Number of trials.
        slots: Number of trials that run at the same time.
        seconds: Duration of a trial; 0 for one that ends at once.
    """

    name: str
    trials: int
    slots: int
    seconds: float

    @property
    def ideal_seconds(self) -> float:
        """Total duration if no time passes between two trials of a slot."""
        return math.ceil(self.trials / self.slots) * self.seconds

    @property
    def command(self) -> list[str]:
        """Command of a trial, to which its parameters are appended."""
        sleep = f"sleep {self.seconds:g}; " if self.seconds else ""
        return ["sh", "-c", sleep + _PRINT_X, "trial"]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("trivial", trials=200, slots=2, seconds=0),
        Workload("1s", trials=64, slots=32, seconds=1),
        Workload("2s", trials=256, slots=128, seconds=2),
    )
}


def suggest(trial: optuna.Trial) -> Params:
    """Suggest six parameters of all kinds; the objective is ``x``."""
    return {
        "x": trial.suggest_float("x", -10, 10),
        "rate": trial.suggest_float("rate", 1e-5, 1e-1, log=True),
        "layers": trial.suggest_int("layers", 1, 8),
        "width": trial.suggest_int("width", 16, 1024, log=True),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd", "rmsprop"]),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
    }


def draw(rng: random.Random) -> Params:
    """Draw the same parameters without Optuna."""
    return {
        "x": rng.uniform(-10, 10),
        "rate": 10 ** rng.uniform(-5, -1),
        "layers": rng.randint(1, 8),
        "width": round(16 * 2 ** rng.uniform(0, 6)),
        "optimizer": rng.choice(["adam", "sgd", "rmsprop"]),
        "batch": rng.choice([32, 64, 128]),
    }


def to_argv(params: Params) -> list[str]:
    """Return the parameters as command line arguments."""
    return [f"--{name}={value}" for name, value in params.items()]


def parse_value(output: bytes) -> float:
    """Return the value that a trial printed."""
    return float(output.removeprefix(b"value="))


class Pool(Generic[Key]):
    """Running processes by key, without threads, awaited by a selector."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def start(self, key: Key, command: list[str]) -> None:
        """Start a process."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, (key, process))

    def wait(self) -> list[tuple[Key, float]]:
        """Block until processes have ended, and return their keys and values."""
        ended = []
        for selected, _ in self._selector.select():
            key, process = selected.data
            self._selector.unregister(selected.fileobj)
            # Printing is the last thing that a trial does, so this does not block for long.
            output, _ = process.communicate()
            ended.append((key, parse_value(output)))
        return ended


def run_in_pool(
    workload: Workload,
    ask: Callable[[], tuple[Key, Params]],
    tell: Callable[[Key, float], None],
) -> None:
    """Run a workload with all slots busy, by the shortest possible loop."""
    pool: Pool[Key] = Pool()
    n_started = 0
    ended: list[tuple[Key, float]] = []
    for n_finished in range(workload.trials + 1):
        while n_started < min(n_finished + workload.slots, workload.trials):
            key, params = ask()
            pool.start(key, workload.command + to_argv(params))
            n_started += 1
        if n_finished == workload.trials:
            break
        ended = ended or pool.wait()
        tell(*ended.pop(0))


def run_bare_pool(workload: Workload, seed: int) -> None:
    """Run a workload without any tuner: a lower bound on the time of all tuners."""
    rng = random.Random(seed)
    values: list[float] = []
    run_in_pool(workload, lambda: (None, draw(rng)), lambda _, value: values.append(value))
    assert len(values) == workload.trials
