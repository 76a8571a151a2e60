"""The choice of the trial that a final run trains, or that is replicated."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.best_trials import Standing, read_result
from tune_jobs.core.failures import explain_outcome
from tune_jobs.core.no_best import describe_violations
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, REPLICATE_ATTRIBUTE
from tune_jobs.errors import ConfigError, StudyError, suggest
from tune_jobs.tuning.spec import TuningSpec

KNEE = "knee"


def check_choice(spec: TuningSpec, trial: int | None, pick: str | None) -> None:
    """Check the arguments ``trial`` and ``pick`` of ``train_best``.

    Raises:
        ConfigError: If ``pick`` does not apply, or is unknown.
    """
    if pick is None:
        return
    names = [m.name for m in spec.objectives.metrics]
    if trial is not None:
        raise ConfigError(
            f"trial={trial} and pick={pick!r}: trial= has chosen already; give one of them"
        )
    if len(names) == 1:
        raise ConfigError(
            f"pick={pick!r} chooses from the Pareto front of several objectives, and the study has "
            f"one ({names[0]}): remove it, or name a trial with trial=NUMBER"
        )
    if pick not in (*names, KNEE):
        hint = suggest(pick, [*names, KNEE]) if isinstance(pick, str) else ""
        choices = " or ".join(map(repr, [*names, KNEE]))
        raise ConfigError(f"pick={pick!r}: must be {choices} {hint}".rstrip())


def choose_trial(spec: TuningSpec, trial: int | None, pick: str | None) -> FrozenTrial:
    """Return the trial with this number; without one, the best trial.

    Args:
        spec: The study.
        trial: Number of the trial.
        pick: Which trial of a Pareto front to take; see `Tuner.train_best` and `check_choice`.

    Raises:
        StudyError: If there is no such trial, no best one, or several objectives and no choice.
    """
    if trial is not None:
        return find_trial(spec, trial)
    trials = spec.study.get_trials(deepcopy=False)
    front = spec.find_best(trials)
    if not front:
        raise StudyError(f"study {spec.study.study_name!r} has no best trial: {_why(spec, trials)}")
    names, maximize = [m.name for m in spec.objectives.metrics], spec.objectives.maximize
    if len(names) == 1:
        return front[0]
    if pick == KNEE:
        return _find_knee(front, maximize)
    if pick in names:
        index = names.index(pick)
        sign = -1.0 if maximize[index] else 1.0
        return min(front, key=lambda t: sign * t.values[index])
    are = "1 trial is" if len(front) == 1 else f"{len(front)} trials are"
    raise StudyError(
        f"{are} on the Pareto front: choose one with "
        f"pick={' or '.join(map(repr, [*names, KNEE]))}, or with trial=NUMBER"
    )


def find_trial(spec: TuningSpec, number: int) -> FrozenTrial:
    """Return a trial whose configuration can be trained or replicated.

    Raises:
        StudyError: If there is no complete or pruned trial with this number, or if it is a
            replicate.
    """
    name = spec.study.study_name
    found = [t for t in spec.study.get_trials(deepcopy=False) if t.number == number]
    if not found or not found[0].state.is_finished():
        raise StudyError(f"study {name!r} has no finished trial {number}")
    trial = found[0]
    if trial.state == TrialState.FAIL:
        raise StudyError(
            f"trial {number} of study {name!r} failed{_cause(trial)}: choose a complete or pruned "
            "one"
        )
    origin = trial.user_attrs.get(REPLICATE_ATTRIBUTE)
    if origin is not None:
        raise StudyError(
            f"trial {number} is a replicate: use trial {origin}, which has the same configuration"
        )
    return trial


def describe_infeasible(trial: FrozenTrial) -> str:
    """Return which constraints a chosen trial violates; an empty string if none."""
    violations = describe_violations(read_result(trial))
    return f"trial {trial.number} is infeasible ({violations})" if violations else ""


def _why(spec: TuningSpec, trials: Sequence[FrozenTrial]) -> str:
    """Return why there is no best trial, and what to do."""
    no_best = spec.explain_no_best(trials)
    assert no_best is not None
    if any(t.state == TrialState.COMPLETE for t in trials):
        infeasible = any(read_result(t).standing is Standing.INFEASIBLE for t in trials)
        bounds = "change the bounds, " if infeasible else ""
        return f"{no_best}; {bounds}run more trials, or name one with trial=NUMBER"
    if not any(t.state.is_finished() for t in trials):
        return f"{no_best}: run optimize() first"
    return explain_outcome(no_best, trials)


def _cause(trial: FrozenTrial) -> str:
    cause = str(trial.user_attrs.get(CAUSE_ATTRIBUTE, "")).partition("\n")[0]
    return f": {cause}" if cause else ""


def _find_knee(front: Sequence[FrozenTrial], maximize: Sequence[bool]) -> FrozenTrial:
    """Return the trial nearest to the best of each objective, every objective scaled to 0..1."""
    columns = list(zip(*(t.values for t in front), strict=True))

    def distance(trial: FrozenTrial) -> float:
        total = 0.0
        for value, column, up in zip(trial.values, columns, maximize, strict=True):
            low, high = min(column), max(column)
            best = high if up else low
            total += ((value - best) / (high - low)) ** 2 if high > low else 0.0
        return math.sqrt(total)

    return min(front, key=distance)
