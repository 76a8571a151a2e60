"""Replay a recorded study with another pruner, promotion or parallelism.

A simulated backend runs the recorded configurations again, in their order, with their learning
curves and durations. The tuner, the pruner and the promotion are the real ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.arguments.calls import strict_types
from tune_jobs.arguments.type_checks import invalid
from tune_jobs.backends.simulated.backend import SimulatedBackend
from tune_jobs.backends.simulated.courses import Course, SimulatedReport, SimulatedRun
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import find_best_trials, read_result
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.scratch import unannounced
from tune_jobs.core.trial_attributes import DIVERGED_ATTRIBUTE, RUNG_ATTRIBUTE
from tune_jobs.errors import StudyError
from tune_jobs.space.search_space import suggest
from tune_jobs.tuner import Tuner

HOUR = 3600.0


@dataclass(frozen=True)
class StudySummary:
    """Cost and result of a study.

    Args:
        run_hours: Total duration of its runs.
        hours: Time from the start of its first run to the end of its last.
        complete: Number of complete configurations.
        pruned: Number of all other configurations, failed ones included.
        best: Value of the best trial; None if there is none (see `core.best_trials`).
        winner: Number of that trial in the recorded study.
    """

    run_hours: float
    hours: float
    complete: int
    pruned: int
    best: float | None
    winner: int | None


@dataclass(frozen=True)
class Replay:
    """Comparison of a recorded study with its replay.

    Args:
        recorded: Summary of the recorded study.
        replayed: Summary of the replay.
        cut_short: Number of recorded runs that were pruned; the rest of their curves is unknown,
            and they end at the same step in the replay.
    """

    recorded: StudySummary
    replayed: StudySummary
    cut_short: int

    @property
    def same_winner(self) -> bool:
        """Whether both found the same best configuration."""
        return self.recorded.winner == self.replayed.winner

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("", "recorded", "replayed")]
        for label, name in (
            ("run hours", "run_hours"),
            ("hours", "hours"),
            ("complete", "complete"),
            ("pruned", "pruned"),
            ("best", "best"),
            ("winner", "winner"),
        ):
            cells = [getattr(summary, name) for summary in (self.recorded, self.replayed)]
            rows.append((label, *("–" if c is None else f"{c:.4g}" for c in cells)))
        lines = [f"{label:<10} {before:>10} {after:>10}" for label, before, after in rows]
        saved = 1.0 - self.replayed.run_hours / self.recorded.run_hours
        winner = "the same winner" if self.same_winner else "another winner"
        if self.recorded.winner is None and self.same_winner:
            winner = "no winner in either"
        lines.append(f"{'saves' if saved >= 0 else 'costs'} {abs(saved):.0%} run hours, {winner}")
        if self.cut_short:
            lines.append(
                f"{self.cut_short} recorded runs were pruned: their curves end there in the "
                "replay, too, so their cost in the replay is a lower bound"
            )
        return "\n".join(lines)


@strict_types
def replay(
    tuner: Tuner,
    *,
    pruner: BasePruner | None = None,
    max_parallel: int | None = None,
    promotion: Promotion | None = None,
    provisioning: float | None = None,
) -> Replay:
    """Run a recorded study again in a simulation.

    Args:
        tuner: Tuner of the recorded study.
        pruner: Pruner of the replay; by default none.
        max_parallel: Maximum number of live runs; by default the tuner's.
        promotion: Promotion of the replay, with budgets in the unit of the recorded steps; by
            default none.
        provisioning: Startup time of a run in seconds; by default the median of the recorded ones.

    Raises:
        StudyError: If the study has several objectives, or no recorded run with a value.
        ConfigError: If an argument is invalid.
    """
    if max_parallel is not None and max_parallel < 1:
        raise invalid("max_parallel", max_parallel, "an integer of at least 1")
    runs = _recorded_runs(tuner)
    startups = [r.startup for r in runs if r.startup is not None]
    if provisioning is None:
        provisioning = median(startups) if startups else 0.0
    metric = tuner.definition.objectives.metrics[0].name
    with unannounced():
        study = optuna.create_study(direction=tuner.study.direction, pruner=pruner or NopPruner())
    for run in runs:
        study.enqueue_trial(run.trial.params)

    def curve(run: SimulatedRun) -> Course:
        assert run.trial is not None
        last = run.number(promotion.argument) if promotion else math.inf
        first = -1 if run.resume_step is None else run.resume_step
        return _course(runs[_find_origin(study, run.trial)], metric, first, last)

    backend = SimulatedBackend(curve, provisioning=provisioning, checkpoints=True)

    def space(trial: optuna.Trial) -> dict[str, Any]:
        # A promoted trial has its parameters already.
        distributions = trial.distributions or runs[trial.number % len(runs)].trial.distributions
        return {name: suggest(trial, name, d) for name, d in distributions.items()}

    replayer = Tuner(
        study,
        space,
        backend,
        metric=metric,
        max_parallel=max_parallel or tuner.max_parallel,
        promotion=promotion,
        progress=False,
    )
    replayer.optimize(n_trials=len(runs))
    return Replay(
        recorded=_summarize(tuner.study, tuner.attempts()),
        replayed=_summarize(study, replayer.attempts(), runs),
        cut_short=sum(r.trial.state == TrialState.PRUNED for r in runs),
    )


@dataclass(frozen=True)
class _Run:
    """Recorded configuration.

    Args:
        trial: Its last trial; with promotion, this one has the whole curve.
        origin: Number of its first trial.
        seconds: Total duration of its runs.
        startup: Startup time of its first run in seconds; None if it was not recorded.
    """

    trial: FrozenTrial
    origin: int
    seconds: float
    startup: float | None


def _recorded_runs(tuner: Tuner) -> list[_Run]:
    """Return the configurations that have a curve, in the order of their first trials."""
    if len(tuner.definition.objectives.metrics) > 1:
        raise StudyError("a replay needs a single metric, and this study has several")
    attempts = {a.trial: a for a in tuner.attempts() if not a.is_final and a.finished is not None}
    trials = tuner.study.get_trials(deepcopy=False)
    chains: dict[int, list[FrozenTrial]] = defaultdict(list)
    for trial in trials:
        if trial.number in attempts and _has_curve(trial):
            chains[_find_origin(tuner.study, trial.number)].append(trial)
    runs = [
        _Run(
            chain[-1],
            origin,
            sum(_seconds(attempts[t.number]) for t in chain),
            _startup(attempts[chain[0].number]),
        )
        for origin, chain in sorted(chains.items())
    ]
    if not any(r.trial.state == TrialState.COMPLETE for r in runs):
        raise StudyError(
            f"nothing to replay: study {tuner.study.study_name!r} has no run with a value yet"
        )
    return runs


def _has_curve(trial: FrozenTrial) -> bool:
    """Return whether a run can be repeated: it has a value, or it worked and diverged."""
    if DIVERGED_ATTRIBUTE in trial.user_attrs:
        return bool(trial.intermediate_values)
    finished = (TrialState.COMPLETE, TrialState.PRUNED)
    return trial.state in finished and trial.value is not None


def _seconds(attempt: Attempt) -> float:
    return (attempt.finished or 0.0) - (attempt.started or 0.0)


def _startup(attempt: Attempt) -> float | None:
    if attempt.accepted is None or attempt.started is None:
        return None
    return max(0.0, attempt.started - attempt.accepted)


def _course(run: _Run, metric: str, first: float, last: float) -> Course:
    """Return the recorded curve after ``first`` up to ``last``, at the recorded pace."""
    trial = run.trial
    steps = sorted(trial.intermediate_values.items())
    if trial.state == TrialState.COMPLETE and (not steps or steps[-1][1] != trial.value):
        assert trial.value is not None
        steps.append((steps[-1][0] + 1 if steps else 0, trial.value))
    kept = [(step, value) for step, value in steps if first < step <= last]
    pace = run.seconds / len(steps)
    return Course(
        [SimulatedReport(pace * (i + 1), s, {metric: v}) for i, (s, v) in enumerate(kept)]
    )


def _find_origin(study: optuna.Study, number: int) -> int:
    """Return the number of the first trial of a trial's configuration."""
    trials = study.get_trials(deepcopy=False)
    while (after := trials[number].user_attrs.get(RUNG_ATTRIBUTE, {}).get("after")) is not None:
        number = after
    return number


def _summarize(
    study: optuna.Study, attempts: Sequence[Attempt], runs: Sequence[_Run] | None = None
) -> StudySummary:
    """Summarize a study.

    Args:
        study: The study.
        attempts: Its attempts.
        runs: In a replay, the recorded configurations, which its first trials repeat. Those whose
            recorded runs were pruned do not count as complete.
    """
    trials = study.get_trials(deepcopy=False)
    origins = [_find_origin(study, t.number) for t in trials]
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    candidates = done
    if runs is not None:
        # A replay has neither the bounds nor the replicates of the recorded study.
        recorded = [runs[origin].trial for origin in origins]
        done = [t for t in done if recorded[t.number].state == TrialState.COMPLETE]
        candidates = [t for t in done if read_result(recorded[t.number]).is_candidate]
    found = find_best_trials(candidates, [study.direction == StudyDirection.MAXIMIZE])
    best = found[0] if found else None
    winner = origins[best.number] if best else None
    if winner is not None and runs is not None:
        winner = runs[winner].origin
    spans = [(a.started, a.finished) for a in attempts if not a.is_final]
    known = [(s, f) for s, f in spans if s is not None and f is not None]
    return StudySummary(
        run_hours=sum(finished - started for started, finished in known) / HOUR,
        hours=(max(f for _, f in known) - min(a.intended for a in attempts)) / HOUR,
        complete=len(done),
        pruned=len(set(origins)) - len(done),
        best=best.value if best else None,
        winner=winner,
    )
