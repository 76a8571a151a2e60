"""A study as the dashboard shows it: its trials and its job runs, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution

from tune_jobs.core.attempts import SIMULATED, Attempt, find_last_event
from tune_jobs.core.best_trials import Result, Standing, find_best
from tune_jobs.core.controllers import ControllerRecord, measure_controllers
from tune_jobs.core.costs import Prices
from tune_jobs.core.no_best import NoBest, explain_no_best
from tune_jobs.core.trial_attributes import (
    COST_ATTRIBUTE,
    METRICS_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    RUN_ATTRIBUTE,
    RUNG_ATTRIBUTE,
    SAME_ATTRIBUTE,
)
from tune_jobs.dashboard.drawing import bound
from tune_jobs.storage.notes import Note

FINISHED = ("COMPLETE", "PRUNED", "FAIL")
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
HOUR = 3600.0


def measure_span(started: float | None, finished: float | None) -> float | None:
    """Return the seconds from a start to an end; None if one is unknown."""
    if started is None or finished is None:
        return None
    return max(0.0, finished - started)  # two clocks may differ


@dataclass(frozen=True)
class Trial:
    """A trial.

    Args:
        number: Number in its study.
        state: Name of Optuna's state.
        values: One for each objective; empty if it has none.
        params: Parameters by name; before it has any, those that it was enqueued with.
        started, finished: Seconds since the epoch.
        steps: Intermediate values by step.
        attributes: User attributes, those of tune_jobs included.
        constraints: Optuna's constraints by name; a positive value is a violation.
        requested: Whether its parameters, or some, were enqueued instead of suggested.
        retry_of: The failed trial that Optuna's callback repeats with it; None if it is none.
        distributions: Optuna's distributions by parameter, shared by the trials that have them.
    """

    number: int
    state: str
    values: tuple[float, ...]
    params: Mapping[str, Any]
    started: float | None
    finished: float | None
    steps: Mapping[int, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    requested: bool = False
    retry_of: int | None = None
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)

    @cached_property
    def result(self) -> Result:
        """The trial as the choice of the best one sees it."""
        values = self.values if self.state == "COMPLETE" else ()
        return Result(self.number, values, self.constraints, self.attributes)

    @cached_property
    def standing(self) -> Standing:
        """What it is when the best trial is chosen."""
        return self.result.standing

    @property
    def last_metrics(self) -> Mapping[str, Any]:
        """The last value of each metric that its run reported, by name."""
        found = self.attributes.get(METRICS_ATTRIBUTE)
        return found if isinstance(found, dict) else {}

    @property
    def without_run(self) -> bool:
        """Whether it had no run: refused, withdrawn, or the same as an earlier trial."""
        return REFUSED_ATTRIBUTE in self.attributes or SAME_ATTRIBUTE in self.attributes

    @property
    def continued_from(self) -> int | None:
        """The trial whose configuration it continues with a larger budget, see `Promotion`."""
        rung = self.attributes.get(RUNG_ATTRIBUTE)
        return rung.get("after") if isinstance(rung, dict) else None

    @property
    def seconds(self) -> float | None:
        """From its start to its end, if it had no job run; None if it had one, or is unknown."""
        if self.without_run or RUN_ATTRIBUTE in self.attributes:
            return None
        return measure_span(self.started, self.finished)

    @property
    def run_hours(self) -> float:
        """Run hours of its attempts; of a trial without job runs, from its start to its end."""
        return self._cost("run_hours") or (self.seconds or 0.0) / HOUR

    @property
    def cost(self) -> float:
        """Cost of its attempts; 0 without prices."""
        return self._cost("money")

    @cached_property
    def drawn(self) -> Trial:
        """The trial with numbers that can be drawn, see `bound`; itself if all can be."""
        values = tuple(map(bound, self.values))
        steps = {step: bound(value) for step, value in self.steps.items()}
        constraints = {name: bound(amount) for name, amount in self.constraints.items()}
        if (values, steps, constraints) == (self.values, self.steps, self.constraints):
            return self
        return replace(self, values=values, steps=steps, constraints=constraints)

    def _cost(self, key: str) -> float:
        cost = self.attributes.get(COST_ATTRIBUTE)
        return float(cost.get(key, 0.0)) if isinstance(cost, dict) else 0.0


@dataclass(frozen=True)
class Study:
    """A study with its trials and its ledger.

    Args:
        key: Identifier in pages and requests: ASCII letters, digits and hyphens.
        name: The user's name of it; any string.
        maximize: One for each objective.
        trials: By number.
        runs: Job runs, oldest first.
        uid, store: From its ledger; None if tune_jobs never tuned it.
        owner: The process that is tuning it; None if there is none.
        definition: Space, code and metrics of its last call, see `TuningSpec.describe`.
        controllers: Its detached controllers, oldest first.
        note: The note on the study.
        notes: Those on trials that have one, by number.
        metric_names: Names that Optuna's ``set_metric_names`` gave to the objectives.
        attributes: User attributes, without those of tune_jobs.
    """

    key: str
    name: str
    maximize: tuple[bool, ...]
    trials: Sequence[Trial]
    runs: Sequence[Attempt] = ()
    uid: str | None = None
    store: str | None = None
    owner: str | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)
    controllers: Sequence[ControllerRecord] = ()
    note: Note = field(default_factory=Note)
    notes: Mapping[int, Note] = field(default_factory=dict)
    metric_names: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def identity(self) -> tuple[str, str | None, str, float | None]:
        """What tells it from all studies that ever had its key, and what caches know it by.

        A database may give the id of a deleted study to a new one, and its name may be the same,
        too. So it includes when the first trial began.
        """
        began = min((t.started for t in self.trials if t.started is not None), default=None)
        return self.key, self.uid, self.name, began

    @property
    def metrics(self) -> list[str]:
        """Names of the objectives; "value" where none is recorded."""
        if self.recorded_metrics:
            return self.recorded_metrics
        if self.single:
            return ["value"]
        return [f"value {i + 1}" for i in range(len(self.maximize))]

    @property
    def recorded_metrics(self) -> list[str]:
        """Names of the objectives that tune_jobs, or else Optuna, recorded; empty without any."""
        names = [str(m.get("name", "")) for m in self.definition.get("metrics", [])]
        recorded = (names, list(self.metric_names))
        return next((known for known in recorded if len(known) == len(self.maximize)), [])

    @property
    def single(self) -> bool:
        """Whether it has a single objective."""
        return len(self.maximize) == 1

    @cached_property
    def drawn(self) -> Study:
        """The study with numbers that can be drawn, see `bound`; itself if all can be."""
        trials = [t.drawn for t in self.trials]
        is_same = all(new is old for new, old in zip(trials, self.trials, strict=True))
        return self if is_same else replace(self, trials=trials)

    def complete(self) -> list[Trial]:
        """Return the complete trials, by number."""
        return list(self._complete)

    @cached_property
    def _complete(self) -> list[Trial]:
        return [t for t in self.trials if t.state == "COMPLETE" and t.values]

    def with_value(self, objective: int = 0) -> list[Trial]:
        """Return the complete trials whose value of an objective is finite, by number."""
        return [t for t in self.complete() if math.isfinite(t.values[objective])]

    def complete_by_standing(self) -> dict[Standing, list[Trial]]:
        """Return the complete trials, by number, by what they are when the best is chosen."""
        found: dict[Standing, list[Trial]] = {standing: [] for standing in Standing}
        for trial in self.complete():
            found[trial.standing].append(trial)
        return found

    def candidates(self) -> list[Trial]:
        """Return the trials that can be the best one, by number."""
        return list(self._candidates)

    @cached_property
    def _candidates(self) -> list[Trial]:
        return [t for t in self.trials if t.standing is Standing.CANDIDATE]

    def front(self) -> list[Trial]:
        """Return the best trial, or the Pareto front of several objectives."""
        return list(self._front)

    @cached_property
    def _front(self) -> list[Trial]:
        by_number = {t.number: t for t in self.candidates()}
        best = find_best((t.result for t in by_number.values()), self.maximize)
        return [by_number[result.number] for result in best]

    def best(self) -> Trial | None:
        """Return the best trial; None if there is none, or several objectives."""
        return next(iter(self.front()), None) if self.single else None

    def no_best(self) -> NoBest | None:
        """Return why there is no best trial; None if there is one."""
        return explain_no_best((t.result for t in self.trials), self.definition.get("bounds"))

    def counts(self) -> dict[str, int]:
        """Return the number of trials by state, without those that had no run."""
        counts = dict.fromkeys(STATES, 0)
        for trial in self.trials:
            if not trial.without_run:
                counts[trial.state] += 1
        return counts

    @property
    def prices(self) -> Mapping[str, float]:
        """Money per run hour by shape, as its last call had them; empty without prices."""
        return self.definition.get("prices") or {}

    @property
    def has_runs(self) -> bool:
        """Whether its trials had job runs; their ledger may be elsewhere."""
        return bool(self.runs) or any(COST_ATTRIBUTE in t.attributes for t in self.trials)

    @property
    def run_hours(self) -> float:
        """Run hours of its job runs that ended; without job runs, those of its trials."""
        if self.runs:
            return sum(run.seconds or 0.0 for run in self.runs) / HOUR
        return sum(trial.run_hours for trial in self.trials)

    def list_times(self) -> tuple[list[float], list[float]]:
        """Return when its job runs began and ended; without job runs, its trials."""
        begins = [run.intended for run in self.runs]
        ends = [run.finished for run in self.runs]
        if not self.runs:
            begins = [t.started for t in self.trials if t.started is not None]
            ends = [t.finished for t in self.trials]
        return begins, [end for end in ends if end is not None]

    @property
    def left_behind(self) -> list[Attempt]:
        """Runs that no process watches any more: the study has no owner."""
        return [] if self.owner else [run for run in self.runs if run.told is None]

    @property
    def is_virtual(self) -> bool:
        """Whether the times of its runs are those of a simulation, whose clock begins at 0."""
        return bool(self.runs) and all(run.backend == SIMULATED for run in self.runs)

    def known_until(self, now: float) -> float:
        """Return the time up to which live runs are known: now, or the last event before it."""
        if not self.left_behind and not self.is_virtual:
            return now
        return min(now, find_last_event(self.runs))

    def controller_hours(self, now: float) -> float:
        """Return the hours of its controllers that are job runs."""
        known_until = now if self.owner else find_last_event(self.runs)
        return measure_controllers(self.controllers, Prices({}), known_until).hours

    def version(self) -> str:
        """Return a string that changes whenever something that is shown changes."""
        unfinished = [t for t in self.trials if t.state in ("RUNNING", "WAITING")]
        live = [r for r in self.runs if r.told is None]
        facts = (
            self.identity,
            len(self.trials),
            len(self.runs),
            [(t.number, t.state, len(t.steps)) for t in unfinished],
            [(r.name, r.state, r.started) for r in live],
            self.owner,
            self.metric_names,
            sorted((number, note.version) for number, note in self.notes.items()),
            sorted((name, repr(value)) for name, value in self.attributes.items()),
        )
        return f"{hash(repr(facts)) & 0xFFFFFFFFFFFF:x}"
