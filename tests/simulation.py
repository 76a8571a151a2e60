"""Studies in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler

from tune_jobs.backends.simulated.backend import SimulatedBackend
from tune_jobs.backends.simulated.courses import Course, SimulatedReport, SimulatedRun
from tune_jobs.tuner import Tuner

EPOCHS = 9
MINUTE = 60.0
SPACE: Mapping[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}


def curve(run: SimulatedRun) -> list[SimulatedReport]:
    """Return a report per epoch of one minute; the value approaches ``x``."""
    last = int(run.arguments.get("epochs", EPOCHS))
    first = (run.resume_step or 0) + 1
    return [
        SimulatedReport(MINUTE * (i + 1), epoch, {"acc": run.number("x") - 1.0 / epoch})
        for i, epoch in enumerate(range(first, last + 1))
    ]


def simulated(
    how: Any = curve,
    *,
    seed: int = 1,
    pruner: optuna.pruners.BasePruner | None = None,
    backend: Mapping[str, Any] | None = None,
    study: optuna.Study | None = None,
    **options: Any,
) -> tuple[Tuner, SimulatedBackend]:
    """Return a tuner in virtual time, and its backend."""
    made = SimulatedBackend(how, **(backend or {}))
    study = study or optuna.create_study(
        direction="maximize", sampler=RandomSampler(seed=seed), pruner=pruner or NopPruner()
    )
    options.setdefault("max_parallel", 4)
    options.setdefault("metric", "acc")
    tuner = Tuner(study, dict(SPACE), made, progress=False, **options)
    return tuner, made


def fails(run: SimulatedRun) -> Course:
    """Fail after a minute if ``x`` is above one half."""
    return Course(curve(run)[:1], exit_code=1 if run.number("x") > 0.5 else 0)
