"""What is said of a study without a best trial: nothing complete, nothing feasible, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tune_jobs.core.best_trials import Result, Standing


@dataclass(frozen=True)
class NoBest:
    """Reason why a study has no best trial.

    Args:
        summary: The reason in a few words, such as "no trial is feasible yet".
        details: What would have to change, in sentences; empty if there is nothing to say.
    """

    summary: str
    details: str = ""

    def __str__(self) -> str:
        return f"{self.summary}: {self.details}" if self.details else self.summary


def explain_no_best(
    results: Iterable[Result], bounds: Mapping[str, str] | None = None
) -> NoBest | None:
    """Return why there is no best trial; None if there is one.

    Args:
        results: All trials of the study.
        bounds: Bounds on metrics as the user wrote them (``{"memory_mb": "<= 2000"}``).
    """
    by_standing: dict[Standing, list[Result]] = {standing: [] for standing in Standing}
    for result in results:
        by_standing[result.standing].append(result)
    if by_standing[Standing.CANDIDATE]:
        return None
    if infeasible := by_standing[Standing.INFEASIBLE]:
        return NoBest(
            f"no trial is feasible yet ({len(infeasible)} complete)",
            _describe_violations(infeasible, bounds or {}),
        )
    if by_standing[Standing.NOT_FINITE]:
        return NoBest("no complete trial has a finite value yet")
    if by_standing[Standing.REPLICATE]:
        return NoBest("only replicates are complete yet, which do not count")
    diverged = sum(r.has_diverged for r in by_standing[Standing.NO_VALUE])
    return NoBest(f"no trial is complete yet{f' ({diverged} diverged)' if diverged else ''}")


def _describe_violations(infeasible: list[Result], bounds: Mapping[str, str]) -> str:
    """Return which constraints are violated, and which trial is nearest to satisfying them."""
    counts = Counter(name for result in infeasible for name in result.violations)
    parts = []
    for name, count in counts.most_common():
        least = min(r.violations[name] for r in infeasible if name in r.violations)
        parts.append(
            f"{describe_constraint(name, bounds)} is violated by at least {least:.6g} "
            f"in {count} of {len(infeasible)}"
        )
    nearest = min(infeasible, key=lambda r: (r.violation, r.number))
    return f"{'; '.join(parts)}. Trial {nearest.number} is nearest: {describe_violations(nearest)}"


def describe_constraint(name: str, bounds: Mapping[str, str]) -> str:
    """Return a constraint as a person knows it, such as ``memory_mb <= 2000``."""
    if name in bounds:
        return f"{name} {bounds[name]}"
    return f"constraint {name!r}"


def describe_violations(result: Result) -> str:
    """Return which constraints a trial violates, such as "memory_mb by 240"; empty if none."""
    return ", ".join(f"{name} by {value:.6g}" for name, value in result.violations.items())


def describe_standing(result: Result) -> str:
    """Return why a complete trial cannot be the best one; empty if it can, or has no values."""
    match result.standing:
        case Standing.INFEASIBLE:
            return f"infeasible: {describe_violations(result)}"
        case Standing.REPLICATE | Standing.REUSED | Standing.NOT_FINITE:
            return str(result.standing.value)
        case _:
            return ""
