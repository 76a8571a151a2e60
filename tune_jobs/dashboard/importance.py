"""The importance of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution

from tune_jobs.core.formatting import format_parameter
from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, bars, bound, short, thin
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameter_axes import is_number, parameter_names, spans_decades
from tune_jobs.dashboard.ped_anova import Column, measure_importance

FEWEST = 4
"""Trials below which nothing is said of a study, or of a parameter that only they have."""

MAX_MEASURED = 40
"""Parameters whose importance is computed, the most frequent ones."""

MAX_DRAWN = 20
NAME = 40
"""Characters of a name beside what is said about the parameter."""


def importance_info(study: Study, objective: int = 0) -> list[tuple[str, float]]:
    """Return the importance of each parameter, the most important first.

    By PED-ANOVA, of the trials that can be the best; see `measure_importance`. Empty with fewer
    than `FEWEST` trials; parameters that fewer trials have are left out.
    """
    trials = _sample(study)
    counts = count_trials(trials)
    names = [n for n, count in counts.items() if count >= FEWEST]
    if len(trials) < FEWEST or not names:
        return []
    columns = tuple(_read_column(name, trials) for name in names)
    values = tuple(t.values[objective] for t in trials)
    found = measure_importance(columns, values, study.maximize[objective])
    return sorted(zip(names, found, strict=True), key=lambda pair: (-pair[1], pair[0]))


def _sample(study: Study) -> list[Trial]:
    return thin(study.candidates(), MANY_POINTS)


def count_trials(trials: Sequence[Trial]) -> dict[str, int]:
    """Return how many of the trials have each of the parameters that vary."""
    names = parameter_names(trials, MAX_MEASURED)
    return {name: sum(name in t.params for t in trials) for name in names}


def _read_column(name: str, trials: Sequence[Trial]) -> Column:
    """Return a parameter of the trials with distributions that Optuna compares."""
    present = [t for t in trials if name in t.params]
    if all(_has_recorded_number(name, t) for t in present):
        return tuple(
            (float(t.params[name]), t.distributions[name]) if name in t.params else None
            for t in trials
        )
    recorded = {t.distributions.get(name) for t in present}
    choices = [c for d in recorded if isinstance(d, CategoricalDistribution) for c in d.choices]
    values = [t.params[name] for t in present]
    if not choices and all(map(is_number, values)):
        numbers = [bound(value) for value in values]
        guessed = _guess_range(min(numbers), max(numbers))
        return tuple((bound(t.params[name]), guessed) if name in t.params else None for t in trials)
    labels = CategoricalDistribution(sorted({format_parameter(v) for v in [*choices, *values]}))
    return tuple(
        (format_parameter(t.params[name]), labels) if name in t.params else None for t in trials
    )


def _has_recorded_number(name: str, trial: Trial) -> bool:
    """Return whether a parameter is a number within the range that is recorded with it."""
    found = trial.distributions.get(name)
    if found is None or isinstance(found, CategoricalDistribution):
        return False
    value: Any = trial.params[name]
    low, high = getattr(found, "low", value), getattr(found, "high", value)
    return is_number(value) and bool(low <= value <= high)


def _guess_range(low: float, high: float) -> FloatDistribution:
    return FloatDistribution(low, high, log=spans_decades(low, high))


def importance_figure(study: Study, objective: int = 0) -> Figure:
    """Return a figure of the importances.

    It says of a parameter that only some trials have how many, and of one that is left out why.
    """
    trials = _sample(study)
    counts = count_trials(trials)
    found = importance_info(study, objective)
    rows: list[tuple[str, float | None]] = [
        (_describe(name, counts[name], len(trials)), share) for name, share in found[:MAX_DRAWN]
    ]
    measured = dict(found)
    rows += [
        (f"{short(name, NAME)} (left out: only {count} trials)", None)
        for name, count in counts.items()
        if name not in measured
    ][: MAX_DRAWN - len(rows)]
    hidden = len(counts) - len(rows)
    note = f"; {hidden} parameters are not shown" if hidden else ""
    return bars(rows, f"importance{note}")


def _describe(name: str, count: int, trials: int) -> str:
    return short(name) if count == trials else f"{short(name, NAME)} ({count} of {trials} trials)"
