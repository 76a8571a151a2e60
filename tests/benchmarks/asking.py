"""Cost of a suggestion in a study with thousands of finished trials.

    python -m tests.benchmarks.asking        about two minutes

The first table has the CPU milliseconds needed to ask for and tell one trial of six parameters
(four floats, an integer, a category), with the study in memory and in SQLite; the row `random` is
the cost of the storage alone. The second table has the wall-clock seconds from opening a stored
study to its first new trial.
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


def add_trials(study: optuna.Study, count: int) -> None:
    """Add complete trials at random points."""
    rng = np.random.RandomState(0)
    trials = []
    for _ in range(count):
        x, y, dropout, value = rng.rand(4)
        params = {
            "rate": 10 ** rng.uniform(-5, 0),
            "x": x,
            "y": y,
            "dropout": 0.9 * dropout,
            "layers": int(rng.randint(1, 9)),
            "kind": "abc"[rng.randint(3)],
        }
        trials.append(create_trial(params=params, distributions=SPACE, value=value))
    study.add_trials(trials)


def measure_trial(study: optuna.Study, repeats: int) -> float:
    """Return the CPU milliseconds per trial, after two trials in which the study is read."""
    for count in (2, repeats):
        start = time.process_time()
        for _ in range(count):
            trial = study.ask(SPACE)
            study.tell(trial, trial.params["x"])
    return 1000 * (time.process_time() - start) / repeats


def measure_opening(load: Callable[..., optuna.Study], url: str, sampler: BaseSampler) -> float:
    """Return the seconds from opening a stored study to its first new trial."""
    start = time.perf_counter()
    load(study_name="s", storage=url, sampler=sampler).ask(SPACE)
    return time.perf_counter() - start


def print_trials(urls: Mapping[int, str], repeats: int) -> None:
    """Print the table of CPU milliseconds by sampler and number of finished trials."""
    head = " | ".join(f"{n:,} in memory | SQLite" for n in urls)
    print(f"| CPU ms per trial | {head} |\n| --- |" + " ---: | ---: |" * len(urls))
    for name, create in SAMPLERS.items():
        cells = []
        for count, url in urls.items():
            memory = optuna.create_study(sampler=create())
            add_trials(memory, count)
            stored = optuna.load_study(study_name="s", storage=url, sampler=create())
            cells += [f"{measure_trial(study, repeats):.1f}" for study in (memory, stored)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def print_openings(urls: Mapping[int, str]) -> None:
    """Print the table of seconds until the first trial."""
    print("\n| first trial after opening, s | " + " | ".join(f"{n:,}" for n in urls) + " |")
    print("| --- |" + " ---: |" * len(urls))
    for label, load, sampler in (
        ("optuna.load_study, TPE", optuna.load_study, "TPE"),
        ("tune_jobs.load_study, JobSampler", tune_jobs.load_study, "JobSampler"),
    ):
        cells = [f"{measure_opening(load, url, SAMPLERS[sampler]()):.2f}" for url in urls.values()]
        print(f"| {label} | " + " | ".join(cells) + " |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.asking")
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        urls = {n: f"sqlite:///{Path(folder)}/{n}.db" for n in options.trials}
        for count, url in urls.items():
            add_trials(optuna.create_study(study_name="s", storage=url), count)
        print_trials(urls, options.repeats)
        print_openings(urls)


if __name__ == "__main__":
    main()
