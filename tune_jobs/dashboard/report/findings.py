"""The sentences of a study's summary: what was tuned, what won, whether beyond noise, the cost.

Each sentence is derived from what is recorded; what is not recorded is not claimed.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence

from tune_jobs.core.best_trials import Standing
from tune_jobs.core.formatting import duration
from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.report import phrases
from tune_jobs.dashboard.report.progress import (
    HOUR,
    Progress,
    Spending,
    count_not_started,
    find_failures,
)
from tune_jobs.dashboard.report.search_space import Range, describe_constraints, read_ranges
from tune_jobs.dashboard.verdicts import (
    SIGNIFICANCE_LEVEL,
    format_gap,
    measure_share,
    welch_p_value,
)

_SCRIPT = re.compile(r"\.(py|sh|bash|ipynb|jar|zip)$")


def rank(study: Study) -> list[Trial]:
    """Return the trials that can be the best, the best first; of several objectives, the front."""
    if not study.single:
        return study.front()
    sign = -1.0 if study.maximize[0] else 1.0
    return sorted(study.candidates(), key=lambda t: (sign * t.values[0], t.number))


def describe_objectives(study: Study) -> str:
    """Return what is optimized: "maximize accuracy and minimize seconds"."""
    return phrases.enumerate_words(
        [
            f"{'maximize' if up else 'minimize'} {phrases.name(metric)}"
            for metric, up in zip(study.metrics, study.maximize, strict=True)
        ]
    )


# -- what was tuned -----------------------------------------------------------------------------


def describe_tuned(study: Study, progress: Progress, spending: Spending) -> list[str]:
    """Return sentences on the script, the search space, and the number of trials and runs."""
    ranges = read_ranges(study)
    varied = [each for each in ranges if each.kind != "constant"]
    script = find_script(study)
    subject = f"{script} was tuned" if script else "The study was run"
    over = f" over {phrases.count(len(varied), 'parameter')}" if varied else ""
    sentences = [f"{subject} to {describe_objectives(study)}{over}."]
    if varied:
        sentences.append(f"Search space: {_list_ranges(varied)}.")
    if constraints := describe_constraints(study):
        sentences.append(f"Every configuration satisfies {phrases.enumerate_words(constraints)}.")
    sentences += _describe_trials(study, progress, spending)
    if not progress.has_ledger:
        sentences.append(
            "tune_jobs did not tune this study: there is no record of job runs, costs or code."
        )
    return sentences


def find_script(study: Study) -> str:
    """Return the name of the script that was tuned; empty if it is unknown."""
    run = study.definition.get("run")
    command = run.get("command") if isinstance(run, Mapping) else None
    if not isinstance(command, Sequence) or isinstance(command, str):
        return ""
    words = [str(word) for word in command]
    if "-m" in words[:-1]:
        return phrases.name(words[words.index("-m") + 1])
    scripts = [word for word in words if _SCRIPT.search(word)]
    chosen = scripts[-1:] or words[:1]
    return phrases.name(chosen[0].rstrip("/").rpartition("/")[2]) if chosen else ""


def _list_ranges(ranges: Sequence[Range], most: int = 8) -> str:
    shown = [str(each) for each in ranges[:most]]
    left = len(ranges) - len(shown)
    return "; ".join([*shown, *([f"and {left} more, listed below"] if left else [])])


def _describe_trials(study: Study, progress: Progress, spending: Spending) -> list[str]:
    counts = study.counts()
    if not any(counts.values()):
        return ["It has no trials yet."]
    pruned = "stopped on a lower rung" if progress.uses_promotion else "pruned"
    labels = {
        "COMPLETE": "complete",
        "PRUNED": pruned,
        "FAIL": "failed",
        "RUNNING": "running",
        "WAITING": "waiting",
    }
    ends = [f"{counts[state]:,} {label}" for state, label in labels.items() if counts[state]]
    total = phrases.count(sum(counts.values()), "trial")
    if progress.uses_promotion:
        total += f" of {phrases.count(progress.finished, 'finished configuration')}"
    sentences = [f"{total}: {phrases.enumerate_words(ends)}."]
    if spending.runs:
        retries = f", {spending.retries} of them repeated attempts" if spending.retries else ""
        sentences.append(f"They took {phrases.count(spending.trial_runs, 'job run')}{retries}.")
    return sentences + _describe_not_started(study)


def _describe_not_started(study: Study) -> list[str]:
    found = count_not_started(study)
    sentences = []
    if found.forbidden:
        them = "it" if found.forbidden == 1 else "them"
        what = phrases.count(found.forbidden, "configuration")
        sentences.append(f"{what} had no run: a constraint refused {them}.")
    for number, noun, what in (
        (found.refused, "configuration", "refused and had no run"),
        (found.withdrawn, "trial", "withdrawn before a run started"),
    ):
        if number:
            were = "was" if number == 1 else "were"
            sentences.append(f"{phrases.count(number, noun)} {were} {what}.")
    return sentences


# -- what won -----------------------------------------------------------------------------------


def describe_winner(study: Study) -> list[str]:
    """Return sentences on the best trial, or the Pareto front, and by how much it won."""
    if no_best := study.no_best():
        return [f"There is no winner: {no_best}."]
    if not study.single:
        return _describe_front(study)
    ranked = rank(study)
    best = ranked[0]
    metric = phrases.name(study.metrics[0])
    sentences = [
        f"Trial {best.number} won with {metric} = {phrases.value(best.values[0])}: "
        f"{phrases.parameters(best.params) or 'no parameters'}."
    ]
    sentences += _describe_lead(ranked)
    return sentences + _describe_excluded(study)


def _describe_lead(ranked: Sequence[Trial]) -> list[str]:
    """Return by how much the best trial is ahead of the first, the median and the second one."""
    best = ranked[0].values[0]
    if len(ranked) == 1:
        return ["It is the only trial with a value that counts: nothing to compare it with."]
    first = min(ranked, key=lambda t: t.number)
    sentences = []
    if first is ranked[0]:
        sentences.append("It was the first trial with a value that counts.")
    else:
        sentences.append(
            f"The first trial, {first.number}, reached {phrases.value(first.values[0])}: the best "
            f"is better by {_difference(best, first.values[0])}."
        )
    median = statistics.median(t.values[0] for t in ranked)
    if median != best:
        sentences.append(
            f"It is better than the median ({phrases.value(median)}) by "
            f"{_difference(best, median)}."
        )
    second, equal = ranked[1], count_equal(ranked)
    if equal == 1:
        sentences.append(f"Trial {second.number} has the same value.")
    elif equal:
        sentences.append(f"{equal:,} other trials have the same value.")
    else:
        sentences.append(
            f"The second best, trial {second.number} ({phrases.value(second.values[0])}), is "
            f"behind by {_difference(best, second.values[0])}."
        )
    return sentences


def count_equal(ranked: Sequence[Trial]) -> int:
    """Return how many other trials of a single objective have the value of the best one."""
    return sum(t.values[0] == ranked[0].values[0] for t in ranked[1:])


def _difference(a: float, b: float) -> str:
    """Return the size of a difference, and what share of ``b`` it is."""
    share, gap = measure_share(a, b), format_gap(a - b, 3)
    return gap if share is None else f"{gap} ({phrases.percent(share)})"


def _describe_front(study: Study) -> list[str]:
    front = study.front()
    sentences = [
        f"Several objectives have no single winner: {phrases.count(len(front), 'trial')} of "
        f"{len(study.candidates()):,} "
        + ("is Pareto-optimal." if len(front) == 1 else "are Pareto-optimal.")
    ]
    for i, (metric, up) in enumerate(zip(study.metrics, study.maximize, strict=True)):
        best = max(front, key=lambda t, i=i, up=up: t.values[i] if up else -t.values[i])  # type: ignore[misc]
        others = ", ".join(
            f"{phrases.name(m)} = {phrases.value(v)}"
            for j, (m, v) in enumerate(zip(study.metrics, best.values, strict=True))
            if j != i
        )
        sentences.append(
            f"Best {phrases.name(metric)}: {phrases.value(best.values[i])} in trial {best.number} "
            f"(with {others})."
        )
    return sentences + _describe_excluded(study)


def _describe_excluded(study: Study) -> list[str]:
    found = study.complete_by_standing()
    sentences = []
    if infeasible := len(found[Standing.INFEASIBLE]):
        share = infeasible / len(study.complete())
        verb = "violates" if infeasible == 1 else "violate"
        sentences.append(
            f"{phrases.count(infeasible, 'complete trial')} ({phrases.percent(share)}) {verb} a "
            "constraint and cannot win."
        )
    if infinite := len(found[Standing.NOT_FINITE]):
        verb = "has" if infinite == 1 else "have"
        sentences.append(
            f"{phrases.count(infinite, 'complete trial')} {verb} a value that is not finite."
        )
    return sentences


# -- whether beyond noise -----------------------------------------------------------------------


def find_replicates(study: Study) -> dict[int, list[float]]:
    """Return the values of replicates, by the number of the trial that they repeat."""
    found: dict[int, list[float]] = {}
    for trial in study.complete():
        original = trial.attributes.get(REPLICATE_ATTRIBUTE)
        if isinstance(original, int) and math.isfinite(trial.values[0]):
            found.setdefault(original, []).append(trial.values[0])
    return found


def describe_noise(study: Study) -> list[str]:
    """Return sentences on whether the winner is better by more than noise; empty without one."""
    if not study.single or len(ranked := rank(study)) < 2:
        return []
    if count_equal(ranked):
        return []  # no trial leads
    replicates = find_replicates(study)
    best = ranked[0]
    own = replicates.get(best.number, [])
    if len(own) < 2:
        return [
            "Unknown: one run of each configuration does not show whether the lead is more than "
            "noise."
        ]
    sentences = [
        f"Over {len(own)} runs with other seeds, trial {best.number} has a mean of "
        f"{phrases.value(statistics.fmean(own))} (standard deviation "
        f"{statistics.stdev(own):.2g}). Its own value, {phrases.value(best.values[0])}, is left "
        "out: the best of many is biased."
    ]
    rival = next((t for t in ranked[1:] if len(replicates.get(t.number, [])) >= 2), None)
    if rival is None:
        return [
            *sentences,
            "No other configuration has replicates: whether its lead is significant is unknown.",
        ]
    return [*sentences, _compare_with(best, own, rival, replicates[rival.number], study)]


def _compare_with(
    best: Trial, own: Sequence[float], rival: Trial, others: Sequence[float], study: Study
) -> str:
    p = welch_p_value(own, others)
    lead = statistics.fmean(own) - statistics.fmean(others)
    is_ahead = lead > 0 if study.maximize[0] else lead < 0
    verdict = "significant" if p < SIGNIFICANCE_LEVEL else "not significant"
    order = "better" if is_ahead else "worse"
    return (
        f"On average it is {order} than trial {rival.number} ({len(others)} runs, mean "
        f"{phrases.value(statistics.fmean(others))}) by {format_gap(lead, 3)}: {verdict} "
        f"(Welch's t-test, p = {p:.2g})."
    )


# -- what it cost -------------------------------------------------------------------------------


def describe_cost(study: Study, progress: Progress, spending: Spending) -> list[str]:
    """Return sentences on hours, money, and what stopping early saved."""
    if spending.hours is None:
        return ["Nothing was run."] if not study.trials else ["No times are recorded."]
    so_far = " so far" if progress.is_interim else ""
    clock = " of virtual time" if study.is_virtual else ""
    what = "job runs" if spending.runs else "trials"
    sentences = [
        f"{duration(spending.hours * HOUR)}{clock} from the first to the last event{so_far}, with "
        f"{duration(spending.run_hours * HOUR)} of run time in {what} that ended."
    ]
    if spending.final_hours:
        sentences.append(f"Final runs used {duration(spending.final_hours * HOUR)} of it.")
    if spending.money:
        sentences.append(f"The trials cost {spending.money:.4g}, at the prices that were given.")
    elif spending.runs:
        sentences.append("No prices are recorded, so there is no cost in money.")
    if spending.saved_hours:
        money = f" and {spending.saved_money:.3g} of cost" if spending.saved_money else ""
        sentences.append(
            f"Stopping runs early saved about {duration(spending.saved_hours * HOUR)} of run time"
            f"{money}, compared with the mean duration of a whole run."
        )
    if spending.controller_hours:
        hours = duration(spending.controller_hours * HOUR)
        sentences.append(f"Controllers that are job runs used another {hours}.")
    return sentences + _describe_failures(study)


def _describe_failures(study: Study) -> list[str]:
    groups = find_failures(study)
    if not groups:
        return []
    failed = sum(group.count for group in groups)
    causes = phrases.count(len(groups), "cause")
    return [f"{phrases.count(failed, 'trial')} failed, with {causes}."]
