"""The live page with many trials, compared with optuna-dashboard on the same storage.

    pip install optuna-dashboard
    python -m tests.benchmarks.dashboard [--trials 100 1000 10000]

Each server runs in its own process, and headless Chromium opens the page of a study. First paint
is the time until the first figure is drawn; update is the time from adding a better trial to the
storage until the text of the page changes. The second table has the seconds to read a study, to
read it again, and to write a report, and the size of the report. The last line is the peak memory
of the benchmark's process.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import create_trial

from tests.dashboard_browser import browser
from tests.simulation import simulated
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.dashboard.reading import open_source, read_study
from tune_jobs.dashboard.report import write_report

PORT = 8931
TOKEN = "token-of-the-benchmark"
SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}


def simulate_run(run: SimulatedRun) -> list[SimulatedReport]:
    """Return the five reports of a run."""
    noise = run.random.random()
    return [SimulatedReport(60.0 * i, i, {"acc": run.number("x") - noise / i}) for i in range(1, 6)]


def create_study(folder: Path, trials: int) -> optuna.Study:
    """Create a study with finished trials and their job runs."""
    study = optuna.create_study(
        study_name=f"s{trials}",
        storage=f"sqlite:///{folder}/{trials}.db",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    tuner, _ = simulated(simulate_run, study=study, backend={"provisioning": 60.0}, max_parallel=32)
    tuner.optimize(n_trials=trials)
    return study


@contextmanager
def serve(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a server, from its first answer on."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TUNE_JOBS_DASHBOARD_TOKEN": TOKEN},
    )
    try:
        _await_answer(port, command[0])
        yield
    finally:
        process.terminate()
        process.wait()


def _await_answer(port: int, name: str) -> None:
    for _ in range(600):
        try:
            with urlopen(f"http://127.0.0.1:{port}/"):
                return
        except HTTPError:
            return  # it wants a token
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{name} does not answer on port {port}")


def measure_page(address: str, ready: str, text: str, study: optuna.Study) -> tuple[float, float]:
    """Measure one page.

    Args:
        address: URL of the page.
        ready: JavaScript expression that becomes true at first paint.
        text: JavaScript expression that changes with an update.
        study: Study that is shown.

    Returns:
        Seconds to first paint, and to an update.
    """
    with browser() as here:
        start = time.monotonic()
        here.page.goto(address)
        here.page.wait_for_function(ready, timeout=120_000)
        first_paint = time.monotonic() - start
        time.sleep(3.0)  # until the figures further down are drawn
        before = here.page.evaluate(text)
        value = 5.0 + len(study.get_trials(deepcopy=False))  # better than all before
        study.add_trial(create_trial(value=value, params={"x": 0.5}, distributions=SPACE))
        start = time.monotonic()
        here.page.wait_for_function(f"({text}) !== {before!r}", timeout=120_000)
        return first_paint, time.monotonic() - start


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000, 10_000])
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = {trials: create_study(folder, trials) for trials in options.trials}
        print("| trials | page | first paint s | update s |")
        print("| ---: | --- | ---: | ---: |")
        for trials, study in studies.items():
            print_study_pages(folder, trials, study)
        print_overview(folder)
        print("\n| trials | read s | again s | report s | report MB |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for trials, study in studies.items():
            print_report(folder, trials, study)
    print(f"\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def print_study_pages(folder: Path, trials: int, study: optuna.Study) -> None:
    """Print a row for each of the two pages of a study."""
    database, other_port = f"{folder}/{trials}.db", PORT + 1
    ours = ["tune_jobs.cli", "dashboard", database, "--port", str(PORT)]
    theirs = ["optuna_dashboard._cli", f"sqlite:///{database}", "--port", str(other_port)]
    with serve(ours, PORT), serve(theirs, other_port):
        for name, address, figure, text in (
            (
                "tune_jobs",
                f"{PORT}/?token={TOKEN}#/study/s0-1",
                ".figure",
                "document.querySelector('main')",
            ),
            (
                "optuna-dashboard",
                f"{other_port}/dashboard/studies/1",
                ".js-plotly-plot",
                "document.body",
            ),
        ):
            first_paint, update = measure_page(
                f"http://127.0.0.1:{address}",
                f"document.querySelectorAll('{figure} .main-svg').length > 0",
                f"{text}.innerText",
                study,
            )
            print(f"| {trials} | {name} | {first_paint:.2f} | {update:.2f} |", flush=True)


def print_overview(folder: Path, count: int = 50, trials: int = 200) -> None:
    """Print the row of the page that lists all studies of a storage."""
    storage = f"sqlite:///{folder}/many.db"
    for number in range(count):
        study = optuna.create_study(study_name=f"s{number}", storage=storage, direction="maximize")
        study.add_trials(
            create_trial(value=random.random(), params={"x": 0.5}, distributions=SPACE)
            for _ in range(trials)
        )
    with serve(["tune_jobs.cli", "dashboard", f"{folder}/many.db", "--port", str(PORT)], PORT):
        ready = f"document.querySelectorAll('main tbody tr').length === {count}"
        text = "document.querySelector('main').innerText"
        first_paint, update = measure_page(
            f"http://127.0.0.1:{PORT}/?token={TOKEN}", ready, text, study
        )
        print(f"| {count} studies of {trials} | tune_jobs | {first_paint:.2f} | {update:.2f} |")


def print_report(folder: Path, trials: int, study: optuna.Study) -> None:
    """Print the row of reading a study and writing its report."""
    source = open_source(f"{folder}/{trials}.db", "")
    times = [time.monotonic()]
    source.study("1")
    times.append(time.monotonic())
    source.study("1")
    times.append(time.monotonic())
    path = write_report([read_study(study)], folder / "report.html")
    times.append(time.monotonic())
    first, again, report = (b - a for a, b in itertools.pairwise(times))
    size = path.stat().st_size / 1e6
    print(f"| {trials} | {first:.2f} | {again:.3f} | {report:.2f} | {size:.1f} |", flush=True)


if __name__ == "__main__":
    main()
