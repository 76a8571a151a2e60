"""The importance of parameters."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from tune_jobs.core.formatting import format_parameter
from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, bars, bound, short, thin
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameter_axes import is_number, parameter_names, spans_decades

FEWEST = 4
"""Trials below which nothing is said of a study, or of a parameter that only they have."""

MAX_MEASURED = 40
"""Parameters whose importance is computed, the most frequent ones."""

MAX_DRAWN = 20
NAME = 40
"""Characters of a name beside what is said about the parameter."""

_Column = tuple[tuple[Any, BaseDistribution] | None, ...]
"""Value and distribution of a parameter in each trial; None where the trial does not have it."""

_warning = threading.Lock()


def importance_info(study: Study, objective: int = 0) -> list[tuple[str, float]]:
    """Return the importance of each parameter, the most important first.

    By PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) in Optuna's implementation, of the
    trials that can be the best. It extends to parameters that only some trials have (conditional
    PED-ANOVA, KDD 2026). Empty with fewer than `FEWEST` trials; parameters that fewer trials have
    are left out.
    """
    trials = _sample(study)
    counts = count_trials(trials)
    names = [n for n, count in counts.items() if count >= FEWEST]
    if len(trials) < FEWEST or not names:
        return []
    columns = tuple(_read_column(name, trials) for name in names)
    values = tuple(t.values[objective] for t in trials)
    found = _measure_importance(columns, values, study.maximize[objective])
    return sorted(((names[i], share) for i, share in found), key=lambda pair: (-pair[1], pair[0]))


def _sample(study: Study) -> list[Trial]:
    return thin(study.candidates(), MANY_POINTS)


def count_trials(trials: Sequence[Trial]) -> dict[str, int]:
    """Return how many of the trials have each of the parameters that vary."""
    names = parameter_names(trials, MAX_MEASURED)
    return {name: sum(name in t.params for t in trials) for name in names}


def _read_column(name: str, trials: Sequence[Trial]) -> _Column:
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


@lru_cache(maxsize=8)
def _measure_importance(
    columns: tuple[_Column, ...], values: tuple[float, ...], maximize: bool
) -> list[tuple[int, float]]:
    """Return the positions of parameters and their importance, see `importance_info`.

    It is expensive, and several figures of a study need it.
    """
    import optuna

    from tune_jobs.core.scratch import unannounced

    with unannounced():
        copy = optuna.create_study(direction="maximize" if maximize else "minimize")
    trials = []
    for n, value in enumerate(values):
        known = {str(i): column[n] for i, column in enumerate(columns)}
        present = {name: cell for name, cell in known.items() if cell is not None}
        trials.append(
            optuna.trial.create_trial(
                value=value,
                params={name: cell[0] for name, cell in present.items()},
                distributions={name: cell[1] for name, cell in present.items()},
            )
        )
    copy.add_trials(trials)
    # Optuna warns of parameters that few trials have. The filters belong to the whole process.
    with _warning, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(copy)
    return [(int(name), share) for name, share in found.items()]


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
