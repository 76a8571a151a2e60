"""What a suggestion costs in a study with thousands of finished trials.

    python -m tests.benchmarks.asking        about two minutes

CPU milliseconds to ask for a trial of six parameters (four numbers, an integer, a choice) and to
tell it, with the study in memory and in SQLite; `random` is what the storage alone costs. Then the
wall seconds from opening a stored study to its first trial.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import create_trial

import tune_jobs
from tune_jobs.samplers import FastTPESampler, JobSampler

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-5, 1.0, log=True),
    "x": FloatDistribution(0.0, 1.0),
    "y": FloatDistribution(0.0, 1.0),
    "dropout": FloatDistribution(0.0, 0.9),
    "layers": IntDistribution(1, 8),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}
SAMPLERS: Mapping[str, Callable[[], BaseSampler]] = {
    "random": lambda: RandomSampler(seed=1),
    "TPE": lambda: TPESampler(seed=1),
    "FastTPESampler": lambda: FastTPESampler(seed=1),
    "TPE univariate": lambda: TPESampler(seed=1, multivariate=False),
    "JobSampler": lambda: JobSampler(seed=1),
}


def filled(study: optuna.Study, trials: int) -> None:
    """Finished trials at random points."""
    chance = np.random.RandomState(0)
    made = []
    for _ in range(trials):
        x, y, dropout, value = chance.rand(4)
        params = {
            "rate": 10 ** chance.uniform(-5, 0),
            "x": x,
            "y": y,
            "dropout": 0.9 * dropout,
            "layers": int(chance.randint(1, 9)),
            "kind": "abc"[chance.randint(3)],
        }
        made.append(create_trial(params=params, distributions=SPACE, value=value))
    study.add_trials(made)


def cost(study: optuna.Study, repeats: int) -> float:
    """CPU milliseconds of a trial."""
    for count in (2, repeats):  # the first time everything is read
        began = time.process_time()
        for _ in range(count):
            trial = study.ask(SPACE)
            study.tell(trial, trial.params["x"])
    return 1000 * (time.process_time() - began) / repeats


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.asking")
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    head = " | ".join(f"{n:,} in memory | SQLite" for n in options.trials)
    print(f"| CPU ms a trial | {head} |\n| --- |" + " ---: | ---: |" * len(options.trials))
    with tempfile.TemporaryDirectory() as folder:
        urls = {n: f"sqlite:///{Path(folder)}/{n}.db" for n in options.trials}
        for count, url in urls.items():
            filled(optuna.create_study(study_name="s", storage=url), count)
        for name, make in SAMPLERS.items():
            cells = []
            for count, url in urls.items():
                memory = optuna.create_study(sampler=make())
                filled(memory, count)
                stored = optuna.load_study(study_name="s", storage=url, sampler=make())
                cells += [f"{cost(study, options.repeats):.1f}" for study in (memory, stored)]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        print("\n| first trial after opening, s | " + " | ".join(f"{n:,}" for n in urls) + " |")
        print("| --- |" + " ---: |" * len(urls))
        for label, load in (
            ("optuna.load_study, TPE", optuna.load_study),
            ("tune_jobs.load_study, JobSampler", tune_jobs.load_study),
        ):
            make = SAMPLERS["TPE" if load is optuna.load_study else "JobSampler"]
            seconds = []
            for url in urls.values():
                began = time.perf_counter()
                load(study_name="s", storage=url, sampler=make()).ask(SPACE)
                seconds.append(f"{time.perf_counter() - began:.2f}")
            print(f"| {label} | " + " | ".join(seconds) + " |")


if __name__ == "__main__":
    main()
