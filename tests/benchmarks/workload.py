"""What every contender runs: trials that cost next to nothing beside being a process each."""

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

# Prints the value of --x, wherever it stands on the command line.
_PRINT = 'for a; do case $a in --x=*) echo "value=${a#--x=}";; esac; done'


@dataclass(frozen=True)
class Workload:
    """So many trials in so many slots, each of them so many seconds long."""

    name: str
    trials: int
    slots: int
    seconds: float

    @property
    def ideal_seconds(self) -> float:
        """How long it takes if nothing is lost between two trials; 0 for trivial ones."""
        return math.ceil(self.trials / self.slots) * self.seconds

    @property
    def command(self) -> list[str]:
        """What a trial runs; the parameters follow."""
        sleep = f"sleep {self.seconds:g}; " if self.seconds else ""
        return ["sh", "-c", sleep + _PRINT, "trial"]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("trivial", trials=200, slots=2, seconds=0),
        Workload("1s", trials=64, slots=32, seconds=1),
        Workload("2s", trials=256, slots=128, seconds=2),
    )
}


def space(trial: optuna.Trial) -> Params:
    """Six parameters of all kinds; the objective is ``x``."""
    return {
        "x": trial.suggest_float("x", -10, 10),
        "rate": trial.suggest_float("rate", 1e-5, 1e-1, log=True),
        "layers": trial.suggest_int("layers", 1, 8),
        "width": trial.suggest_int("width", 16, 1024, log=True),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd", "rmsprop"]),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
    }


def draw(generator: random.Random) -> Params:
    """The same parameters without a tuner."""
    return {
        "x": generator.uniform(-10, 10),
        "rate": 10 ** generator.uniform(-5, -1),
        "layers": generator.randint(1, 8),
        "width": round(16 * 2 ** generator.uniform(0, 6)),
        "optimizer": generator.choice(["adam", "sgd", "rmsprop"]),
        "batch": generator.choice([32, 64, 128]),
    }


def to_argv(params: Params) -> list[str]:
    """The parameters as arguments."""
    return [f"--{name}={value}" for name, value in params.items()]


def read_value(output: bytes) -> float:
    """The result that a trial printed."""
    return float(output.removeprefix(b"value="))


class Pool(Generic[Key]):
    """Running processes, each under a key: no thread, and no look at one that has not ended."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def start(self, key: Key, command: list[str]) -> None:
        """Start one more."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, (key, process))

    def wait(self) -> list[tuple[Key, float]]:
        """Block until some have ended; their keys and results."""
        ended = []
        for selected, _ in self._selector.select():
            key, process = selected.data
            self._selector.unregister(selected.fileobj)
            # A trial prints as the last thing it does, so this waits no longer than it must.
            output, _ = process.communicate()
            ended.append((key, read_value(output)))
        return ended


def run_in_pool(
    workload: Workload,
    ask: Callable[[], tuple[Key, Params]],
    tell: Callable[[Key, float], None],
) -> None:
    """The shortest loop that keeps every slot busy: tell, ask, start, wait."""
    pool: Pool[Key] = Pool()
    started = 0
    ended: list[tuple[Key, float]] = []
    for told in range(workload.trials + 1):
        while started < min(told + workload.slots, workload.trials):
            key, params = ask()
            pool.start(key, workload.command + to_argv(params))
            started += 1
        if told == workload.trials:
            break
        ended = ended or pool.wait()
        tell(*ended.pop(0))


def run_bare_pool(workload: Workload, seed: int) -> None:
    """The processes alone: what no tuner can beat."""
    generator = random.Random(seed)
    results: list[float] = []
    run_in_pool(workload, lambda: (None, draw(generator)), lambda _, value: results.append(value))
    assert len(results) == workload.trials
