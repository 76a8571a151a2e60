"""How far a study is, and what it used, as numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tune_jobs.core.failures import FailureGroup, group_causes
from tune_jobs.core.trial_attributes import (
    REFUSED_ATTRIBUTE,
    RUNG_ATTRIBUTE,
    is_extra,
    is_withdrawn,
)
from tune_jobs.core.usage import RunStatistics
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.report import phrases

_FINISHED = ("COMPLETE", "PRUNED", "FAIL")
HOUR = 3600.0


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Args:
        finished: Finished trials that count towards ``wanted``: under promotion, configurations.
        wanted: ``n_trials`` of the last call; None if it had none.
        live: Trials that are running or waiting.
        is_tuned: Whether a process is tuning it.
        has_ledger: Whether tune_jobs ever tuned it.
        uses_promotion: Whether trials are rungs of configurations.
    """

    finished: int
    wanted: int | None
    live: int
    is_tuned: bool
    has_ledger: bool
    uses_promotion: bool

    @property
    def is_interim(self) -> bool:
        """Whether results are still expected without another call."""
        return self.is_tuned or (not self.has_ledger and self.live > 0)

    @property
    def unspent(self) -> int:
        """Trials of the last call that were not run."""
        return max(0, (self.wanted or 0) - self.finished)

    @property
    def noun(self) -> str:
        """What is counted."""
        return "configuration" if self.uses_promotion else "trial"

    @property
    def amount(self) -> str:
        """How many of how many: "12 of 40 trials"."""
        if self.wanted and self.wanted >= self.finished:
            return f"{self.finished:,} of {phrases.count(self.wanted, self.noun)}"
        return phrases.count(self.finished, self.noun)

    def __str__(self) -> str:
        if self.is_interim:
            return f"Interim: {self.amount} finished, {self.live} running or waiting"
        if not self.finished:
            return f"No {self.noun} has finished"
        if self.unspent:
            return f"{self.amount} finished; no process is tuning the study"
        return f"{self.amount} finished"


def measure_progress(study: Study) -> Progress:
    """Return how far a study is."""
    wanted = study.definition.get("limits", {}).get("n_trials")
    return Progress(
        finished=sum(t.state in _FINISHED and not is_extra(t.attributes) for t in study.trials),
        wanted=wanted if isinstance(wanted, int) else None,
        live=sum(t.state in ("RUNNING", "WAITING") for t in study.trials),
        is_tuned=study.owner is not None,
        has_ledger=study.uid is not None,
        uses_promotion=any(RUNG_ATTRIBUTE in t.attributes for t in study.trials),
    )


@dataclass(frozen=True)
class Spending:
    """What a study used.

    Args:
        hours: From the first request of a run to the last end; None if unknown.
        run_hours: Of all ended job runs, or of the trials of a study without job runs.
        final_hours: The part of them that final runs used.
        money: Cost of the trials; 0 without prices.
        saved_hours: What pruned runs would have used up to the mean duration of a whole run.
        runs: Number of job runs; 0 for a study without a ledger.
        trial_runs: Number of job runs of trials.
        retries: Number of them that are not the first attempt of a trial.
        controller_hours: Of its controllers that are job runs.
    """

    hours: float | None
    run_hours: float
    final_hours: float
    money: float
    saved_hours: float
    runs: int
    trial_runs: int
    retries: int
    controller_hours: float

    @property
    def saved_money(self) -> float:
        """What the saved hours would have cost at the mean price of the trials."""
        hours = self.run_hours - self.final_hours
        return self.saved_hours * self.money / hours if hours > 0 else 0.0


def measure_spending(study: Study, now: float) -> Spending:
    """Return what a study used until ``now``, in seconds since the epoch."""
    runs = study.runs
    statistics = RunStatistics({}, [run for run in runs if run.finished is not None])
    trial_runs = [run for run in runs if not run.is_final]
    return Spending(
        hours=_elapsed(study, now),
        run_hours=study.run_hours,
        final_hours=sum(run.seconds or 0.0 for run in runs if run.is_final) / HOUR,
        money=sum(trial.cost for trial in study.trials),
        saved_hours=statistics.costs({}, now, None).saved.hours,
        runs=len(runs),
        trial_runs=len(trial_runs),
        retries=sum(run.attempt > 1 for run in trial_runs),
        controller_hours=study.controller_hours(now),
    )


def _elapsed(study: Study, now: float) -> float | None:
    """Return the hours from the first event to the last one, or until now if runs are live."""
    begins, ends = study.list_times()
    if study.runs:
        ends = [run.ended for run in study.runs if run.ended is not None]
        if len(ends) < len(study.runs):
            ends.append(study.known_until(now))
    elif any(t.state == "RUNNING" for t in study.trials):
        ends = [now]
    if not begins or not ends:
        return None
    return max(0.0, max(ends) - min(begins)) / HOUR


def count_shapes(study: Study) -> list[tuple[str, int, float]]:
    """Return shape or backend, number of runs and run hours of the study's runs."""
    counts: Counter[str] = Counter()
    hours: Counter[str] = Counter()
    for run in study.runs:
        label = run.shape or run.backend
        counts[label] += 1
        hours[label] += (run.seconds or 0.0) / HOUR  # type: ignore[assignment]
    return [(label, number, float(hours[label])) for label, number in counts.most_common()]


def find_failures(study: Study) -> list[FailureGroup]:
    """Return the causes of the failed trials that had a run, the most frequent one first."""
    failed = (t for t in study.trials if t.state == "FAIL" and not t.without_run)
    return group_causes((t.number, t.attributes) for t in failed)


@dataclass(frozen=True)
class NotStarted:
    """How many trials ended before a run of theirs started.

    Args:
        forbidden: Suggested configurations that a constraint of the space refused.
        refused: Other configurations that were refused: they do not fit the space or the backend.
        withdrawn: Trials that a person withdrew.
    """

    forbidden: int
    refused: int
    withdrawn: int


def count_not_started(study: Study) -> NotStarted:
    """Return how many trials ended before a run of theirs started, by reason."""
    refused = [t for t in study.trials if REFUSED_ATTRIBUTE in t.attributes]
    withdrawn = sum(is_withdrawn(t.attributes) for t in refused)
    forbidden = sum(t.state == "PRUNED" for t in refused)
    return NotStarted(forbidden, len(refused) - forbidden - withdrawn, withdrawn)
