"""What another pruner, promotion or parallelism would have made of a study, from its own history.

The recorded runs are run again in a simulation, in their order, with their learning curves and
durations: the tuner, the pruner and the rungs are the real ones.
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

from tune_jobs.backends.simulated import Course, SimulatedBackend, SimulatedReport, SimulatedRun
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.promotion import Promotion
from tune_jobs.core.scratch import unannounced
from tune_jobs.core.trial_attributes import RUNG_ATTRIBUTE
from tune_jobs.errors import StudyError
from tune_jobs.space.search_space import suggest
from tune_jobs.tuner import Tuner

HOUR = 3600.0


@dataclass(frozen=True)
class Outcome:
    """How a study went.

    Args:
        run_hours: Of all its runs.
        hours: From its first run to its last.
        complete, pruned: Its configurations; what failed counts as pruned.
        best: The best value of a complete trial; None: there is none.
        winner: That trial, by its number in the recorded study.
    """

    run_hours: float
    hours: float
    complete: int
    pruned: int
    best: float | None
    winner: int | None


@dataclass(frozen=True)
class Replay:
    """A study as it was, and as it would have been.

    Args:
        recorded, replayed: Both outcomes.
        cut_short: Runs that were pruned when they were recorded: beyond that, their curves are
            not known, and the replay lets them end there.
    """

    recorded: Outcome
    replayed: Outcome
    cut_short: int

    @property
    def same_winner(self) -> bool:
        """Whether the same configuration is found to be the best."""
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
            cells = [getattr(outcome, name) for outcome in (self.recorded, self.replayed)]
            rows.append((label, *("–" if c is None else f"{c:.4g}" for c in cells)))
        lines = [f"{label:<10} {was:>10} {now:>10}" for label, was, now in rows]
        saved = 1.0 - self.replayed.run_hours / self.recorded.run_hours
        found = "the same winner" if self.same_winner else "another winner"
        lines.append(f"{'saves' if saved >= 0 else 'costs'} {abs(saved):.0%} run hours, {found}")
        if self.cut_short:
            lines.append(
                f"{self.cut_short} recorded runs were pruned: their curves end there in the "
                "replay, too, so what it says about them is a lower limit of their cost"
            )
        return "\n".join(lines)


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
        tuner: Of the recorded study.
        pruner: Instead of the recorded study's; by default none.
        max_parallel: Slots, by default the tuner's.
        promotion: Rungs, in the unit of the recorded steps.
        provisioning: Seconds to start a run; by default the median of the recorded ones.

    Raises:
        StudyError: the study has no recorded runs with a value, or several objectives.
    """
    runs = _recorded(tuner)
    boots = [r.boot for r in runs if r.boot is not None]
    if provisioning is None:
        provisioning = median(boots) if boots else 0.0
    metric = tuner.definition.objectives.metrics[0].name
    with unannounced():
        study = optuna.create_study(direction=tuner.study.direction, pruner=pruner or NopPruner())
    for run in runs:
        study.enqueue_trial(run.trial.params)

    def curve(run: SimulatedRun) -> Course:
        assert run.trial is not None
        last = run.number(promotion.argument) if promotion else math.inf
        first = -1 if run.resume_step is None else run.resume_step
        return _course(runs[_origin(study, run.trial)], metric, first, last)

    backend = SimulatedBackend(curve, provisioning=provisioning, checkpoints=True)

    def space(trial: optuna.Trial) -> dict[str, Any]:
        # One that goes on with an earlier configuration has its parameters already.
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
        recorded=_outcome(tuner.study, tuner.attempts()),
        replayed=_outcome(study, replayer.attempts(), runs),
        cut_short=sum(r.trial.state == TrialState.PRUNED for r in runs),
    )


@dataclass(frozen=True)
class _Run:
    """A recorded configuration.

    Args:
        trial: The last trial that it had; under promotion that has the whole curve.
        origin: The first one.
        seconds: Of all its runs.
        boot: Seconds until its first run started.
    """

    trial: FrozenTrial
    origin: int
    seconds: float
    boot: float | None


def _recorded(tuner: Tuner) -> list[_Run]:
    """The configurations that have a curve, in the order of their first trials."""
    if len(tuner.definition.objectives.metrics) > 1:
        raise StudyError("a replay compares one metric, and this study has several")
    attempts = {a.trial: a for a in tuner.attempts() if not a.is_final and a.finished is not None}
    trials = tuner.study.get_trials(deepcopy=False)
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    chains: dict[int, list[FrozenTrial]] = defaultdict(list)
    for trial in trials:
        if trial.state in states and trial.number in attempts and trial.value is not None:
            chains[_origin(tuner.study, trial.number)].append(trial)
    runs = [
        _Run(
            chain[-1],
            origin,
            sum(_seconds(attempts[t.number]) for t in chain),
            _boot(attempts[chain[0].number]),
        )
        for origin, chain in sorted(chains.items())
    ]
    if not any(r.trial.state == TrialState.COMPLETE for r in runs):
        raise StudyError(
            f"study {tuner.study.study_name!r} has no run with a value yet: there is nothing to "
            "replay"
        )
    return runs


def _seconds(attempt: Attempt) -> float:
    return (attempt.finished or 0.0) - (attempt.started or 0.0)


def _boot(attempt: Attempt) -> float | None:
    if attempt.accepted is None or attempt.started is None:
        return None
    return max(0.0, attempt.started - attempt.accepted)


def _course(run: _Run, metric: str, first: float, last: float) -> Course:
    """The recorded curve between two steps, at the recorded pace."""
    trial = run.trial
    steps = sorted(trial.intermediate_values.items())
    if trial.state == TrialState.COMPLETE and (not steps or steps[-1][1] != trial.value):
        assert trial.value is not None
        steps.append((steps[-1][0] + 1 if steps else 0, trial.value))
    kept = [(step, value) for step, value in steps if first < step <= last]
    each = run.seconds / len(steps)
    return Course(
        [SimulatedReport(each * (i + 1), s, {metric: v}) for i, (s, v) in enumerate(kept)]
    )


def _origin(study: optuna.Study, number: int) -> int:
    """The trial with which the configuration of a trial came."""
    trials = study.get_trials(deepcopy=False)
    while (after := trials[number].user_attrs.get(RUNG_ATTRIBUTE, {}).get("after")) is not None:
        number = after
    return number


def _outcome(
    study: optuna.Study, attempts: Sequence[Attempt], runs: Sequence[_Run] | None = None
) -> Outcome:
    """How a study went; of a replay, ``runs`` are what its first trials repeat.

    What ended where it was pruned when it was recorded is not complete in a replay either.
    """
    trials = study.get_trials(deepcopy=False)
    origins = [_origin(study, t.number) for t in trials]
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    if runs is not None:
        done = [t for t in done if runs[origins[t.number]].trial.state == TrialState.COMPLETE]
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    best = min(done, key=lambda t: sign * (t.value or 0.0)) if done else None
    winner = origins[best.number] if best else None
    if winner is not None and runs is not None:
        winner = runs[winner].origin
    spans = [(a.started, a.finished) for a in attempts if not a.is_final]
    known = [(s, f) for s, f in spans if s is not None and f is not None]
    return Outcome(
        run_hours=sum(finished - started for started, finished in known) / HOUR,
        hours=(max(f for _, f in known) - min(a.intended for a in attempts)) / HOUR,
        complete=len(done),
        pruned=len(set(origins)) - len(done),
        best=best.value if best else None,
        winner=winner,
    )
