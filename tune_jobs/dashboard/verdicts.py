"""The verdict of a comparison: which is better, by how much, beyond noise or not, at what cost."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tune_jobs.core.formatting import duration

SIGNIFICANCE_LEVEL = 0.05
MAX_SHARE = 10.0
"""Share of a value up to which a difference is also given as a percentage."""


class Outcome(StrEnum):
    """What a comparison shows."""

    BETTER = "better"
    NOT_SHOWN = "not shown"
    UNKNOWN = "unknown"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Contender:
    """A study, or a group of studies, as the verdict sees it.

    Args:
        name: Its name.
        value: Its best value; of a group, the mean of those of its studies.
        samples: Values that show the noise: of replicates of the best trial, or the best values of
            the studies of a group.
        is_group: Whether the samples are studies.
        run_hours, money: What it used.
        has_runs: Whether it had job runs; otherwise, the hours are those of its trials.
    """

    name: str
    value: float
    samples: tuple[float, ...] = ()
    is_group: bool = False
    run_hours: float = 0.0
    money: float = 0.0
    has_runs: bool = True

    @property
    def mean(self) -> float:
        """Mean of the samples."""
        return sum(self.samples) / len(self.samples)


@dataclass(frozen=True)
class Verdict:
    """What a comparison shows, and the sentence that says so."""

    outcome: Outcome
    sentence: str


def judge(contenders: Sequence[Contender], *, maximize: bool) -> Verdict:
    """Compare the two contenders with the best values.

    Args:
        contenders: In any order.
        maximize: Whether larger values are better.
    """
    if len(contenders) < 2:
        nothing = "fewer than two studies have a best trial: nothing to compare"
        return Verdict(Outcome.NOTHING, nothing)
    sign = -1.0 if maximize else 1.0
    first, second = sorted(contenders, key=lambda c: sign * c.value)[:2]
    same_kind = first.is_group == second.is_group
    if same_kind and min(len(first.samples), len(second.samples)) >= 2:
        # The best values are biased, as the best of many: the samples decide who leads.
        first, second = sorted((first, second), key=lambda c: sign * c.mean)
        outcome, sentence = _compare_samples(first, second)
    else:
        outcome, sentence = Outcome.UNKNOWN, _compare_single(first, second)
    return Verdict(outcome, sentence + _describe_cost(first, second))


def _compare_samples(first: Contender, second: Contender) -> tuple[Outcome, str]:
    p = welch_p_value(first.samples, second.samples)
    is_significant = p < SIGNIFICANCE_LEVEL
    lead = _describe_gap(first.mean, second.mean)
    names = f"{_quote(first)} is better than {_quote(second)} by {lead}"
    if not is_significant:
        names = f"{_quote(first)} is ahead of {_quote(second)} by {lead}, which may be noise"
    what = "studies" if first.is_group else "runs with other seeds"
    sentence = (
        f"{names}: over {len(first.samples)} and {len(second.samples)} {what}, with means of "
        f"{first.mean:.6g} and {second.mean:.6g}, the difference is "
        f"{'significant' if is_significant else 'not significant'} (Welch's t-test, p = {p:.2g})"
    )
    return Outcome.BETTER if is_significant else Outcome.NOT_SHOWN, sentence


def _compare_single(first: Contender, second: Contender) -> str:
    if first.value == second.value:
        return f"{_quote(first)} and {_quote(second)} have the same best value, {first.value:.6g}"
    gap = _describe_gap(first.value, second.value)
    lead = f"{_quote(first)} is ahead of {_quote(second)} by {gap}"
    values = f"{first.value:.6g} against {second.value:.6g}"
    if first.is_group or second.is_group:
        counts = f"{_count_studies(first)} and {_count_studies(second)}"
        return (
            f"{lead}, {values}; {counts} do not show whether the difference is significant: "
            "two studies of each, with other seeds, do"
        )
    fix = (
        "tuner.replicate(trial, 5) runs the best trial of a study again with other seeds"
        if first.has_runs or second.has_runs
        else "further runs of each study's best trial with other seeds do"
    )
    return (
        f"{lead}, {values}; one run of each does not show whether the difference is significant: "
        f"{fix}"
    )


def _count_studies(contender: Contender) -> str:
    count = len(contender.samples) if contender.is_group else 1
    return f"{count} {'study' if count == 1 else 'studies'}"


def _describe_gap(first: float, second: float) -> str:
    gap, share = abs(first - second), measure_share(first, second)
    percent = "" if share is None else f" ({100.0 * share:.2g} %)"
    return f"{format_gap(gap, 4)}{percent}"


def measure_share(first: float, second: float) -> float | None:
    """Return the difference of two values as a share of the second one.

    None if it says nothing: the second one is much smaller than the difference.
    """
    gap, base = abs(first - second), abs(second)
    return gap / base if base and gap < MAX_SHARE * base else None


def format_gap(gap: float, digits: int) -> str:
    """Return the size of a difference, which may be larger than any float."""
    largest = f"more than {sys.float_info.max:.2g}"
    return f"{abs(gap):.{digits}g}" if math.isfinite(gap) else largest


def _describe_cost(first: Contender, second: Contender) -> str:
    if not (first.run_hours or second.run_hours):
        return ""
    costs = [
        f"{duration(c.run_hours * 3600)} of {'runs' if c.has_runs else 'trials'}"
        for c in (first, second)
    ]
    if first.money or second.money:
        costs = [
            f"{text} costing {c.money:.4g}" for text, c in zip(costs, (first, second), strict=True)
        ]
    return f". {_quote(first)} took {costs[0]}, {_quote(second)} {costs[1]}"


def _quote(contender: Contender) -> str:
    return repr(contender.name[:60])


def welch_p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p-value of Welch's t-test for equal means.

    Args:
        a, b: Samples of at least two values each.

    The degrees of freedom are those of the Welch-Satterthwaite equation (Welch, Biometrika 1947).
    """
    from scipy.special import stdtr  # imported here, as few comparisons need it

    means = [sum(x) / len(x) for x in (a, b)]
    variances = [  # of the means
        sum((v - m) ** 2 for v in x) / (len(x) - 1) / len(x)
        for x, m in zip((a, b), means, strict=True)
    ]
    gap, error = means[0] - means[1], math.sqrt(sum(variances))
    if error == 0.0:
        return 1.0 if gap == 0.0 else 0.0
    freedom = sum(variances) ** 2 / sum(
        v**2 / (len(x) - 1) for v, x in zip(variances, (a, b), strict=True)
    )
    return 2.0 * float(stdtr(freedom, -abs(gap) / error))
