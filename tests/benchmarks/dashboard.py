"""The live page beside optuna-dashboard on the same storage, and the report, with many trials.

    pip install optuna-dashboard
    python -m tests.benchmarks.dashboard [--trials 100 1000 10000] [--repeat 3] [--folder FOLDER]

Each server runs in its own process, new for every repetition, and headless Chromium opens the page
of a study, or the list of studies, with an empty cache. The two dashboards take turns. See
`tests.benchmarks.dashboard_pages` for what is measured. The tables have medians, and ratios of the
medians: tune_jobs divided by optuna-dashboard.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial

from tests.benchmarks.dashboard_pages import (
    OURS,
    THEIRS,
    Page,
    Server,
    Visit,
    serve,
    visit_list,
    visit_study,
)
from tune_jobs.backends.simulated.backend import SimulatedBackend
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.dashboard.reading import open_source, read_study
from tune_jobs.dashboard.report import write_report
from tune_jobs.tuner import Tuner

PORT = 8931
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.6),
    "layers": IntDistribution(1, 8),
    "width": IntDistribution(16, 1024, log=True),
    "optimizer": CategoricalDistribution(["adam", "sgd", "lion"]),
}


def simulate_run(run: SimulatedRun) -> list[SimulatedReport]:
    """Return the five reports of a run."""
    distance = 0.1 * abs(math.log10(run.number("lr")) + 3) + abs(run.number("dropout") - 0.2)
    distance += 0.02 * abs(run.number("layers") - 4)
    noise = 0.1 * run.random.random() + 0.3
    return [SimulatedReport(60.0 * i, i, {"acc": -distance - noise / i}) for i in range(1, 6)]


def provide_study(folder: Path, trials: int) -> Path:
    """Return a database with a study of finished trials and their job runs; create it if needed."""
    path = folder / f"{trials}.db"
    if not path.exists():
        study = optuna.create_study(
            study_name=f"s{trials}",
            storage=f"sqlite:///{path}",
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=1),
        )
        backend = SimulatedBackend(simulate_run, provisioning=60.0)
        tuner = Tuner(study, SPACE, backend, metric="acc", max_parallel=32, progress=False)
        tuner.optimize(n_trials=trials)
    return path


def provide_list(folder: Path, count: int, trials: int) -> Path:
    """Return a database with some studies; create it if needed."""
    path = folder / f"{count}x{trials}.db"
    if not path.exists():
        numbers = random.Random(1)
        for number in range(count):
            study = optuna.create_study(
                study_name=f"s{number}", storage=f"sqlite:///{path}", direction="maximize"
            )
            study.add_trials(
                create_trial(
                    value=numbers.random(), params={"lr": 0.01}, distributions={"lr": SPACE["lr"]}
                )
                for _ in range(trials)
            )
    return path


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """Copy a database, so that each visit sees the same trials."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / path.name
        shutil.copy(path, copy)
        yield copy


def open_adder(path: Path) -> Callable[[], int]:
    """Return a function that adds a trial that is better than all before; it returns its number."""
    storage = f"sqlite:///{path}"
    study = optuna.load_study(study_name=f"s{path.stem}", storage=storage)
    params = {"lr": 1e-3, "dropout": 0.2, "layers": 4, "width": 64, "optimizer": "adam"}

    def add() -> int:
        number = len(study.get_trials(deepcopy=False))
        steps = {step: 0.9 - 0.3 / step for step in range(1, 6)}
        study.add_trial(
            create_trial(
                value=steps[5], params=params, distributions=SPACE, intermediate_values=steps
            )
        )
        return number

    return add


Measured = tuple[Visit, float]
"""What a visit has shown, and the peak memory of the server in MB."""


def repeat(
    path: Path, count: int, visit: Callable[[Server, Path], Visit]
) -> dict[str, list[Measured]]:
    """Visit both dashboards in turns."""
    found: dict[str, list[Measured]] = {OURS.name: [], THEIRS.name: []}
    for number in range(count):
        pages: list[Page] = [OURS, THEIRS] if number % 2 == 0 else [THEIRS, OURS]
        for page in pages:
            with copied(path) as copy, serve(page, copy, PORT) as server:
                seen = visit(server, copy)
                found[page.name].append((seen, server.peak()))
    return found


def print_rows(what: str, found: dict[str, list[Measured]]) -> None:
    """Print a row for each dashboard, and their ratios."""
    rows = [(name, _medians(measured)) for name, measured in found.items()]
    ours, theirs = (row for _, row in rows)
    for name, row in rows:
        print(f"| {what} | {name} | {' | '.join(_format(value) for value in row)} |")
    ratios = [a / b if a and b else None for a, b in zip(ours, theirs, strict=True)]
    cells = [f"{ratio:.2f}" if ratio is not None else "" for ratio in ratios]
    print(f"| {what} | ratio | {' | '.join(cells)} |", flush=True)


def _medians(measured: Sequence[Measured]) -> list[float | None]:
    rows = [
        (v.first, v.figure, v.loaded / 1000, v.update, v.changed and v.changed / 1000, peak)
        for v, peak in measured
    ]
    columns = (
        [value for value in column if value is not None] for column in zip(*rows, strict=True)
    )
    return [statistics.median(column) if column else None for column in columns]


def _format(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def print_report(path: Path) -> None:
    """Print the row of reading a study and writing its report."""
    source = open_source(str(path), "")
    study = optuna.load_study(study_name=f"s{path.stem}", storage=f"sqlite:///{path}")
    with tempfile.TemporaryDirectory() as name:
        times = [time.monotonic()]
        source.study("1")
        times.append(time.monotonic())
        source.study("1")
        times.append(time.monotonic())
        report = write_report([read_study(study)], Path(name) / "report.html")
        times.append(time.monotonic())
        size = report.stat().st_size / 1e6
    first, again, written = (b - a for a, b in itertools.pairwise(times))
    print(f"| {path.stem} | {first:.2f} | {again:.3f} | {written:.2f} | {size:.1f} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keeps the studies, and has those of before")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        print(
            "| trials | page | first content s | first figure s | loaded kB | update s "
            "| update kB | server's peak MB |"
        )
        print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
        listed = provide_list(folder, 50, 200)
        found = repeat(listed, options.repeat, lambda server, _: visit_list(server))
        print_rows("50 studies", found)
        paths = [provide_study(folder, trials) for trials in options.trials]
        for path in paths:
            found = repeat(
                path, options.repeat, lambda server, copy: visit_study(server, open_adder(copy))
            )
            print_rows(f"{int(path.stem):,}", found)
        print("\n| trials | read s | again s | report s | report MB |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for path in paths:
            print_report(path)


if __name__ == "__main__":
    main()
