"""Run hours until the best configuration is found: no pruning, pruners, promotion.

    python -m tests.benchmarks.pruning                 about twenty minutes
    python -m tests.benchmarks.pruning --seeds 3       a look
    python -m tests.benchmarks.pruning --scaling       promotion on up to 512 slots

Every method gets the same configurations in the same order, in virtual time, with two minutes of
provisioning and twenty seconds to stop. A run has 27 epochs of a minute each, times how much slower
than others its configuration is.

    digits      recorded: a small network on scikit-learn's digits, 300 configurations
    crossing    synthetic: what learns fast does not end best

What is found: a complete trial within 0.002 of the best final value of all configurations.
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
FOUND = 0.002
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
    """One learning curve.

    Args:
        curve: The value after each epoch; more is better.
        pace: How long an epoch takes, in minutes.
    """

    curve: Sequence[float]
    pace: float


def digits() -> list[Configuration]:
    """The recorded table."""
    path = Path(__file__).parent / "data" / "digits_mlp.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    usual = median(float(row["seconds"]) for row in rows)
    return [
        Configuration(
            [float(row[str(epoch)]) for epoch in range(1, EPOCHS + 1)],
            min(4.0, max(0.25, float(row["seconds"]) / usual)),
        )
        for row in rows
    ]


def crossing(count: int = 300) -> list[Configuration]:
    """Curves whose speed and end are opposed, more or less."""
    chance = random.Random(7)
    made = []
    for _ in range(count):
        end = chance.betavariate(5, 2)
        speed = math.exp(chance.gauss(2.2 * (end - 0.7), 0.6)) * 5.0
        values = [end * (1 - math.exp(-epoch / speed)) for epoch in range(1, EPOCHS + 1)]
        made.append(Configuration(values, math.exp(chance.gauss(0, 0.4))))
    return made


TASKS: dict[str, Callable[[], list[Configuration]]] = {"digits": digits, "crossing": crossing}


@dataclass(frozen=True)
class Result:
    """One study.

    Args:
        run_hours: Of all its runs.
        until_found: Run hours used when the best was complete; infinite: it never was.
        hours: Until the last run ended.
        best: Its best value.
    """

    run_hours: float
    until_found: float
    hours: float
    best: float


def find_study(table: Sequence[Configuration], method: str, slots: int, seed: int) -> Result:
    """All configurations, in an order of the seed's."""
    order = list(range(len(table)))
    random.Random(seed).shuffle(order)

    def curve(run: SimulatedRun) -> list[SimulatedReport]:
        config = table[int(run.number("c"))]
        first = run.resume_step or 0
        last = int(run.arguments.get("epochs", EPOCHS))
        each = config.pace * MINUTE
        return [
            SimulatedReport(each * (i + 1), epoch, {"score": config.curve[epoch - 1]})
            for i, epoch in enumerate(range(first + 1, last + 1))
        ]

    keeps = not method.endswith("no checkpoints")
    backend = SimulatedBackend(
        curve, provisioning=120.0, stopping=20.0, checkpoints=keeps, seed=seed
    )
    # Optuna's Hyperband chooses brackets by the study's name.
    study = optuna.create_study(
        study_name=f"{method} {seed}", direction="maximize", pruner=_pruner(method)
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
    return _result(study, tuner.attempts(), max(c.curve[-1] for c in table))


def _pruner(method: str) -> optuna.pruners.BasePruner:
    if method == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if method == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS)
    return optuna.pruners.NopPruner()


def _result(study: optuna.Study, attempts: Sequence[Attempt], best: float) -> Result:
    spans = {a.trial: (a.started or 0.0, a.finished or 0.0) for a in attempts}
    found = math.inf
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.COMPLETE and (trial.value or 0.0) >= best - FOUND:
            found = min(found, spans[trial.number][1])
    used = sum(max(0.0, min(end, found) - start) for start, end in spans.values())
    return Result(
        run_hours=sum(end - start for start, end in spans.values()) / 3600,
        until_found=used / 3600 if found < math.inf else math.inf,
        hours=max(end for _, end in spans.values()) / 3600,
        best=study.best_value,
    )


def _spread(values: Sequence[float]) -> str:
    """Median and quartiles; what was never found is infinite."""
    finite = [min(v, 1e9) for v in values]
    low, middle, high = (
        quantiles(finite, n=4, method="inclusive") if len(finite) > 1 else finite * 3
    )
    return " ".join(
        "–" if v > 1e8 else f"{v:.1f}" if i == 1 else f"({v:.1f})"
        for i, v in ((0, low), (1, middle), (2, high))
    )


def _scaling() -> None:
    """How much sooner more slots are done with the same 4,000 configurations."""
    table = crossing(4_000)
    print("| slots | hours | run hours | times faster | of linear |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    first: Result | None = None
    for slots in (8, 32, 128, 512):
        result = find_study(table, "promotion", slots, seed=0)
        first = first or result
        faster = first.hours / result.hours
        print(
            f"| {slots} | {result.hours:.2f} | {result.run_hours:.0f} | {faster:.1f} | "
            f"{faster / (slots / 8):.2f} |",
            flush=True,
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--slots", type=int, nargs="*", default=[8, 32, 128])
    parser.add_argument("--task", choices=TASKS, nargs="*", default=list(TASKS))
    parser.add_argument("--scaling", action="store_true")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if options.scaling:
        _scaling()
        return
    print(
        "| task | slots | method | run hours until found: median (quartiles) | of none | found | "
        "run hours in all | of none | hours |"
    )
    print("| --- | ---: | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for task in options.task:
        table = TASKS[task]()
        for slots in options.slots:
            base: tuple[float, float] | None = None
            for method in METHODS:
                results = [find_study(table, method, slots, seed) for seed in range(options.seeds)]
                until = [r.until_found for r in results]
                hours = median(r.run_hours for r in results)
                base = base or (median(until), hours)
                print(
                    f"| {task} | {slots} | {method} | {_spread(until)} | "
                    f"{median(until) / base[0]:.2f} | {sum(u < math.inf for u in until)}/"
                    f"{len(results)} | {hours:.1f} | {hours / base[1]:.2f} | "
                    f"{median(r.hours for r in results):.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
