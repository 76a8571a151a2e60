"""Functions to minimize: synthetic ones with a known optimum, and recorded tables of models."""

from __future__ import annotations

import csv
import functools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Task:
    """Function to minimize.

    Args:
        name: Name on the command line and in tables.
        value: Suggests the parameters of a trial and returns its value without noise.
        optimum: Smallest value.
        noise: Standard deviation of the noise of an observed value.
        classes: In a space with model classes, the parameter that selects the class, and the best
            class.
        hours: Duration of a run by its parameters; None if it does not depend on them.
    """

    name: str
    value: Callable[[optuna.Trial], float]
    optimum: float
    noise: float = 0.0
    classes: tuple[str, Any] | None = None
    hours: Callable[[Mapping[str, Any]], float] | None = None


def _branin(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5.0, 10.0), trial.suggest_float("y", 0.0, 15.0)
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_HARTMANN_ALPHA = (1.0, 1.2, 3.0, 3.2)
_HARTMANN_A = (
    (10.0, 3.0, 17.0, 3.5, 1.7, 8.0),
    (0.05, 10.0, 17.0, 0.1, 8.0, 14.0),
    (3.0, 3.5, 1.7, 10.0, 17.0, 8.0),
    (17.0, 8.0, 0.05, 10.0, 0.1, 14.0),
)
_HARTMANN_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def _hartmann6(trial: optuna.Trial) -> float:
    x = [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(6)]
    total = 0.0
    for alpha, a, p in zip(_HARTMANN_ALPHA, _HARTMANN_A, _HARTMANN_P, strict=True):
        distance = sum(aj * (xj - pj) ** 2 for aj, xj, pj in zip(a, x, p, strict=True))
        total -= alpha * math.exp(-distance)
    return total


def _ackley10(trial: optuna.Trial) -> float:
    # The optimum is off the centre of the space, which some samplers evaluate first.
    x = [trial.suggest_float(f"x{i}", -32.768, 32.768) - (i - 3.3) for i in range(10)]
    root = math.sqrt(sum(v * v for v in x) / 10)
    waves = sum(math.cos(2 * math.pi * v) for v in x) / 10
    return -20 * math.exp(-0.2 * root) - math.exp(waves) + 20 + math.e


def _levy6(trial: optuna.Trial) -> float:
    offsets = (3.0, -4.0, 5.0, -2.0, 6.0, -6.0)
    w = [1 + (trial.suggest_float(f"x{i}", -10.0, 10.0) - 1 - o) / 4 for i, o in enumerate(offsets)]
    inner = sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:-1])
    last = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return math.sin(math.pi * w[0]) ** 2 + inner + last


def _mixed(trial: optuna.Trial) -> float:
    """Evaluate two categories, an integer and three floats, which interact."""
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "rmsprop", "lion"])
    act = trial.suggest_categorical("activation", ["relu", "gelu", "tanh"])
    rate = math.log10(trial.suggest_float("lr", 1e-5, 1.0, log=True))
    layers = trial.suggest_int("layers", 1, 8)
    dropout = trial.suggest_float("dropout", 0.0, 0.7)
    decay = math.log10(trial.suggest_float("decay", 1e-6, 1e-1, log=True))
    best_rate = {"sgd": -1.0, "adam": -3.0, "rmsprop": -3.4, "lion": -4.0}[optimizer]
    worse = {"sgd": 0.05, "adam": 0.0, "rmsprop": 0.04, "lion": 0.02}[optimizer]
    worse += {"relu": 0.02, "gelu": 0.0, "tanh": 0.05}[act]
    steep = 0.10 if optimizer == "sgd" else 0.05
    worse += steep * (rate - best_rate - 0.08 * (4 - layers)) ** 2
    worse += 0.006 * (layers - 4) ** 2 + 0.25 * (dropout - 0.04 * layers) ** 2
    return worse + 0.01 * (decay + 4) ** 2


def _classes(trial: optuna.Trial) -> float:
    """Evaluate three model classes; the one with the best optimum is the worst on average."""
    model = trial.suggest_categorical("model", ["linear", "forest", "net"])
    if model == "linear":
        c = trial.suggest_float("linear_c", 1e-4, 1e4, log=True)
        return 0.12 + 0.004 * (math.log10(c) - 1) ** 2
    if model == "forest":
        depth = trial.suggest_int("forest_depth", 1, 32)
        leaf = trial.suggest_float("forest_leaf", 1e-4, 0.5, log=True)
        return 0.10 + 0.0006 * (depth - 20) ** 2 / 4 + 0.02 * (math.log10(leaf) + 2.5) ** 2
    rate = math.log10(trial.suggest_float("net_lr", 1e-6, 1.0, log=True))
    width = trial.suggest_int("net_width", 8, 1024, log=True)
    drop = trial.suggest_float("net_dropout", 0.0, 0.9)
    decay = math.log10(trial.suggest_float("net_decay", 1e-8, 1e-1, log=True))
    distance = ((rate + 2.7) / 1.0) ** 2 + ((math.log2(width) - 8.5) / 2.5) ** 2
    distance += ((drop - 0.25) / 0.3) ** 2 + ((decay + 4.5) / 2.5) ** 2
    return 0.55 * (1 - math.exp(-distance / 4)) + 0.01


@functools.cache
def _read_table(name: str) -> dict[tuple[str, ...], tuple[float, float]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {tuple(row[:-2]): (float(row[-2]), float(row[-1])) for row in rows}


BOOSTING = {
    "rate": (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    "trees": (10, 20, 40, 80, 160, 320, 640),
    "depth": (1, 2, 3, 4, 6, 8),
    "subsample": (0.3, 0.5, 0.75, 1.0),
    "leaf": (1, 4, 16, 64),
}
"""Grid of the recorded `boosting` table; see `record_models`."""

MODELS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "svm": {
        "c": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
        "gamma": (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    },
    "forest": {
        "trees": (5, 10, 20, 40, 80, 160),
        "depth": (2, 4, 6, 8, 12, 16),
        "features": (0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    },
    "neighbors": {"k": (1, 2, 3, 4, 5, 7, 9, 13, 19, 27), "p": (1, 2, 3)},
    "logistic": {"c": (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)},
}
"""Grids of the recorded `models` table: four model classes on the same data."""


def _suggest_point(
    trial: optuna.Trial, prefix: str, grid: Mapping[str, tuple[Any, ...]]
) -> tuple[str, ...]:
    """Suggest a point of a grid, by index, so that samplers see the order of the levels."""
    return tuple(
        str(levels[trial.suggest_int(f"{prefix}{name}", 0, len(levels) - 1)])
        for name, levels in grid.items()
    )


def _boosting(trial: optuna.Trial) -> float:
    return _read_table("boosting_diabetes.csv")[_suggest_point(trial, "", BOOSTING)][0]


def _models(trial: optuna.Trial) -> float:
    model = trial.suggest_categorical("model", list(MODELS))
    point = _suggest_point(trial, f"{model}_", MODELS[model])
    return _read_table("models_digits.csv")[(model, " ".join(point))][0]


def _boosting_hours(params: Mapping[str, Any]) -> float:
    point = tuple(str(levels[params[name]]) for name, levels in BOOSTING.items())
    return _read_table("boosting_diabetes.csv")[point][1]


def _find_optimum(name: str) -> float:
    return min(value for value, _ in _read_table(name).values())


def _find_best_class() -> str:
    table = _read_table("models_digits.csv")
    return min(table, key=lambda key: table[key][0])[0]


@functools.cache
def tasks() -> Mapping[str, Task]:
    """Return all tasks by name."""
    hartmann = -3.322368011391339
    all_tasks = [
        Task("branin", _branin, 0.39788735772973816),
        Task("hartmann6", _hartmann6, hartmann),
        Task("ackley10", _ackley10, 0.0),
        Task("levy6", _levy6, 0.0),
        Task("noisy", _hartmann6, hartmann, noise=0.3),
        Task("mixed", _mixed, 0.0),
        Task("classes", _classes, 0.01, classes=("model", "net")),
        Task("boosting", _boosting, _find_optimum("boosting_diabetes.csv"), hours=_boosting_hours),
        Task(
            "models",
            _models,
            _find_optimum("models_digits.csv"),
            classes=("model", _find_best_class()),
        ),
    ]
    return {task.name: task for task in all_tasks}


def draw_run_seconds(task: Task, seed: int, number: int) -> float:
    """Draw the virtual duration of a run: startup of 1 to 5 minutes, and a heavy-tailed rest."""
    rng = random.Random(f"{task.name} {seed} {number}")
    return 60.0 * (rng.uniform(1.0, 5.0) + rng.lognormvariate(2.0, 0.8))
