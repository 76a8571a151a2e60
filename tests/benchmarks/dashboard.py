"""The live page with many trials, beside optuna-dashboard on the same storage.

    python -m tests.benchmarks.dashboard [--trials 100 1000 10000]

Both serve from a process of their own; Chromium opens a study of each. First paint is the time
until the first figure is drawn; an update, from a better trial that is added to the storage until
the page's text shows it.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

import optuna

from tests.dashboard_browser import browser
from tests.simulation import simulated
from tune_jobs.backends.simulated import SimulatedReport, SimulatedRun
from tune_jobs.dashboard.reading import open_source, read_study
from tune_jobs.dashboard.report import write_report

PORT = 8931


def short(run: SimulatedRun) -> list[SimulatedReport]:
    """Five steps."""
    chance = run.random.random()
    return [
        SimulatedReport(60.0 * i, i, {"acc": run.number("x") - chance / i}) for i in range(1, 6)
    ]


def make(folder: Path, trials: int) -> optuna.Study:
    """A study with so many trials, and their job runs."""
    study = optuna.create_study(
        study_name=f"s{trials}",
        storage=f"sqlite:///{folder}/{trials}.db",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    tuner, _ = simulated(short, study=study, backend={"provisioning": 60.0}, max_parallel=32)
    tuner.optimize(n_trials=trials)
    return study


def served(command: Sequence[str], port: int) -> subprocess.Popen[bytes]:
    """A server that answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(600):
        try:
            with urlopen(f"http://127.0.0.1:{port}/"):
                return process
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{command[0]} does not serve")


def times(address: str, ready: str, changed: str, study: optuna.Study) -> tuple[float, float]:
    """Seconds to the first paint, and to an update."""
    with browser() as here:
        began = time.monotonic()
        here.page.goto(address)
        here.page.wait_for_function(ready, timeout=120_000)
        first = time.monotonic() - began
        time.sleep(3.0)  # figures further down
        before = here.page.evaluate(changed)
        study.add_trial(
            optuna.trial.create_trial(
                value=5.0 + len(study.get_trials(deepcopy=False)),  # a better one each time
                params={"x": 0.5},
                distributions={"x": optuna.distributions.FloatDistribution(0.0, 1.0)},
            )
        )
        began = time.monotonic()
        here.page.wait_for_function(f"({changed}) !== {before!r}", timeout=120_000)
        return first, time.monotonic() - began


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000, 10_000])
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = {trials: make(folder, trials) for trials in options.trials}
        print("| trials | page | first paint s | update s |")
        print("| ---: | --- | ---: | ---: |")
        for trials, study in studies.items():
            _pages(folder, trials, study)
        _overview(folder)
        print("\n| trials | read s | again s | report s | report MB |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for trials, study in studies.items():
            _report(folder, trials, study)
    print(f"\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def _pages(folder: Path, trials: int, study: optuna.Study) -> None:
    database = f"{folder}/{trials}.db"
    ours = served(["tune_jobs.cli", "dashboard", database, "--port", str(PORT)], PORT)
    theirs = served(
        ["optuna_dashboard._cli", f"sqlite:///{database}", "--port", str(PORT + 1)], PORT + 1
    )
    try:
        row = times(
            f"http://127.0.0.1:{PORT}/#/study/s0-1",
            "document.querySelectorAll('.figure .main-svg').length > 0",
            "document.querySelector('main').innerText",
            study,
        )
        print(f"| {trials} | tune_jobs | {row[0]:.2f} | {row[1]:.2f} |", flush=True)
        row = times(
            f"http://127.0.0.1:{PORT + 1}/dashboard/studies/1",
            "document.querySelectorAll('.js-plotly-plot .main-svg').length > 0",
            "document.body.innerText",
            study,
        )
        print(f"| {trials} | optuna-dashboard | {row[0]:.2f} | {row[1]:.2f} |", flush=True)
    finally:
        for process in (ours, theirs):
            process.terminate()
            process.wait()


def _overview(folder: Path, count: int = 50, trials: int = 200) -> None:
    """The page of all studies of a storage."""
    storage = f"sqlite:///{folder}/many.db"
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        "x": optuna.distributions.FloatDistribution(0.0, 1.0)
    }
    for number in range(count):
        study = optuna.create_study(study_name=f"s{number}", storage=storage, direction="maximize")
        study.add_trials(
            optuna.trial.create_trial(
                value=random.random(), params={"x": 0.5}, distributions=distributions
            )
            for _ in range(trials)
        )
    server = served(["tune_jobs.cli", "dashboard", f"{folder}/many.db", "--port", str(PORT)], PORT)
    try:
        rows = f"document.querySelectorAll('main tbody tr').length === {count}"
        text = "document.querySelector('main').innerText"
        first, update = times(f"http://127.0.0.1:{PORT}/", rows, text, study)
        print(f"| {count} studies of {trials} | tune_jobs | {first:.2f} | {update:.2f} |")
    finally:
        server.terminate()
        server.wait()


def _report(folder: Path, trials: int, study: optuna.Study) -> None:
    source = open_source(f"{folder}/{trials}.db", "")
    began = time.monotonic()
    source.study("1")
    read = time.monotonic() - began
    began = time.monotonic()
    source.study("1")
    again = time.monotonic() - began
    began = time.monotonic()
    path = write_report([read_study(study)], folder / "report.html")
    took, size = time.monotonic() - began, path.stat().st_size / 1e6
    print(f"| {trials} | {read:.2f} | {again:.3f} | {took:.2f} | {size:.1f} |", flush=True)


if __name__ == "__main__":
    main()
