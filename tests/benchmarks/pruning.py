"""Run hours until the best configuration is found: no pruning, pruners, and promotion.

    python -m tests.benchmarks.pruning                 about twenty minutes
    python -m tests.benchmarks.pruning --seeds 3       a quick look
    python -m tests.benchmarks.pruning --scaling       promotion on up to 512 slots

Every method gets the same configurations in the same order, in virtual time, with two minutes of
provisioning and twenty seconds to stop a run. A run has 27 epochs of about a minute each, longer
for a slower configuration.

    digits      recorded: a small network on scikit-learn's digits, 300 configurations
    crossing    synthetic: configurations that learn fast do not end best

The best configuration is found when a trial within 0.002 of the best final value is complete. "of
none" is the share of the same number without pruning. "found" counts the seeds that found it, and a
dash means that too few did for this quantile.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import optuna
from optuna.trial import TrialState

from tune_jobs import Promotion, SimulatedBackend, SimulatedReport, SimulatedRun, Tuner
from tune_jobs.core.attempts import Attempt

EPOCHS = 27
MINUTE = 60.0
TOLERANCE = 0.002
METHODS = {
    "none": None,
    "median": None,
    "hyperband": None,
    "promotion": Promotion("epochs", 1, EPOCHS),
    "promotion, from 3 epochs": Promotion("epochs", 3, EPOCHS),
    "promotion, 3 brackets": Promotion("epochs", 1, EPOCHS, brackets=3),
    "3 brackets, no checkpoints": Promotion("epochs", 1, EPOCHS, brackets=3),
}


@dataclass(frozen=True)
class Configuration:
    """Learning curve of one configuration.

    Args:
        curve: Value after each epoch, to be maximized.
        pace: Minutes per epoch.
    """

    curve: Sequence[float]
    pace: float


def load_digits() -> list[Configuration]:
    """Load the recorded table."""
    path = Path(__file__).parent / "data" / "digits_mlp.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    typical = median(float(row["seconds"]) for row in rows)
    return [
        Configuration(
            [float(row[str(epoch)]) for epoch in range(1, EPOCHS + 1)],
            min(4.0, max(0.25, float(row["seconds"]) / typical)),
        )
        for row in rows
    ]


def generate_crossing(count: int = 300) -> list[Configuration]:
    """Generate curves whose speed and final value are negatively correlated."""
    rng = random.Random(7)
    configurations = []
    for _ in range(count):
        final = rng.betavariate(5, 2)
        speed = math.exp(rng.gauss(2.2 * (final - 0.7), 0.6)) * 5.0
        values = [final * (1 - math.exp(-epoch / speed)) for epoch in range(1, EPOCHS + 1)]
        configurations.append(Configuration(values, math.exp(rng.gauss(0, 0.4))))
    return configurations


TASKS: dict[str, Callable[[], list[Configuration]]] = {
    "digits": load_digits,
    "crossing": generate_crossing,
}


@dataclass(frozen=True)
class Result:
    """Outcome of one study.

    Args:
        run_hours: Hours of all its runs together.
        until_found: Run hours used until the best was complete; infinite if it never was.
        hours: Hours until the last run ended.
    """

    run_hours: float
    until_found: float
    hours: float


def run_study(table: Sequence[Configuration], method: str, slots: int, seed: int) -> Result:
    """Evaluate all configurations, in an order that depends on the seed."""
    order = list(range(len(table)))
    random.Random(seed).shuffle(order)
    backend = SimulatedBackend(
        lambda run: _simulate(run, table),
        provisioning=120.0,
        stopping=20.0,
        checkpoints=not method.endswith("no checkpoints"),
        seed=seed,
    )
    # The study has a name because Optuna's Hyperband derives brackets from it.
    study = optuna.create_study(
        study_name=f"{method} {seed}", direction="maximize", pruner=_create_pruner(method)
    )
    for config in order:
        study.enqueue_trial({"c": config})
    tuner = Tuner(
        study,
        {"c": optuna.distributions.IntDistribution(0, len(table) - 1)},
        backend,
        metric="score",
        max_parallel=slots,
        promotion=METHODS[method],
        progress=False,
    )
    tuner.optimize(n_trials=len(table))
    return _summarize(study, tuner.attempts(), max(c.curve[-1] for c in table))


def _simulate(run: SimulatedRun, table: Sequence[Configuration]) -> list[SimulatedReport]:
    """Return the reports of a run, which continues from its checkpoint if it has one."""
    config = table[int(run.number("c"))]
    first = (run.resume_step or 0) + 1
    last = int(run.arguments.get("epochs", EPOCHS))
    return [
        SimulatedReport(config.pace * MINUTE * (i + 1), epoch, {"score": config.curve[epoch - 1]})
        for i, epoch in enumerate(range(first, last + 1))
    ]


def _create_pruner(method: str) -> optuna.pruners.BasePruner:
    if method == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if method == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS)
    return optuna.pruners.NopPruner()


def _summarize(study: optuna.Study, attempts: Sequence[Attempt], best: float) -> Result:
    spans = {a.trial: (a.started or 0.0, a.finished or 0.0) for a in attempts}
    found = math.inf
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.COMPLETE and (trial.value or 0.0) >= best - TOLERANCE:
            found = min(found, spans[trial.number][1])
    used = sum(max(0.0, min(end, found) - start) for start, end in spans.values())
    return Result(
        run_hours=sum(end - start for start, end in spans.values()) / 3600,
        until_found=used / 3600 if found < math.inf else math.inf,
        hours=max(end for _, end in spans.values()) / 3600,
    )


def format_quartiles(values: Sequence[float]) -> str:
    """Return median and, in parentheses, quartiles; a dash for an infinite one."""
    finite = [min(v, 1e9) for v in values]
    low, middle, high = (
        quantiles(finite, n=4, method="inclusive") if len(finite) > 1 else finite * 3
    )
    return " ".join(
        "–" if v > 1e8 else f"{v:.1f}" if i == 1 else f"({v:.1f})"
        for i, v in ((0, low), (1, middle), (2, high))
    )


def print_scaling() -> None:
    """Print how much sooner the same 4,000 configurations are done with more slots."""
    table = generate_crossing(4_000)
    print("| slots | hours | run hours | times faster | of linear |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    first: Result | None = None
    for slots in (8, 32, 128, 512):
        result = run_study(table, "promotion", slots, seed=0)
        first = first or result
        speedup = first.hours / result.hours
        print(
            f"| {slots} | {result.hours:.2f} | {result.run_hours:.0f} | {speedup:.1f} | "
            f"{speedup / (slots / 8):.2f} |",
            flush=True,
        )


def print_methods(task: str, slots: int, seeds: int) -> None:
    """Print a row for each method; the first method is the reference of the shares."""
    table = TASKS[task]()
    reference: tuple[float, float] | None = None
    for method in METHODS:
        results = [run_study(table, method, slots, seed) for seed in range(seeds)]
        until = [r.until_found for r in results]
        run_hours = median(r.run_hours for r in results)
        reference = reference or (median(until), run_hours)
        print(
            f"| {task} | {slots} | {method} | {format_quartiles(until)} | "
            f"{median(until) / reference[0]:.2f} | {sum(u < math.inf for u in until)}/{seeds} | "
            f"{run_hours:.1f} | {run_hours / reference[1]:.2f} | "
            f"{median(r.hours for r in results):.1f} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--slots", type=int, nargs="*", default=[8, 32, 128])
    parser.add_argument("--task", choices=TASKS, nargs="*", default=list(TASKS))
    parser.add_argument("--scaling", action="store_true")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if options.scaling:
        print_scaling()
        return
    print(
        "| task | slots | method | run hours until found: median (quartiles) | of none | found | "
        "run hours in all | of none | hours |"
    )
    print("| --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for task in options.task:
        for slots in options.slots:
            print_methods(task, slots, options.seeds)


if __name__ == "__main__":
    main()
