"""What to do next with a study: suggestions, each with the observation that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tune_jobs.core.best_trials import Standing
from tune_jobs.core.failures import summarize_cause
from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.dashboard.importance import importance_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.report import phrases
from tune_jobs.dashboard.report.findings import count_equal, find_replicates, rank
from tune_jobs.dashboard.report.progress import Progress, find_failures, measure_progress
from tune_jobs.dashboard.report.search_space import Range, read_ranges

MOST = 7
"""Suggestions that a report makes."""

ENOUGH = 20
"""Trials below which neither importance nor ranges are judged."""

UNIMPORTANT = 0.02
MANY_INFEASIBLE = 0.3
MANY_FAILED = 0.1
EDGE = 0.15
AT_EDGE = 0.8
"""Share of the best trials within the outermost ``EDGE`` of a range from which a wider range is
suggested. If a parameter has no influence, four of the five best trials lie there in 2 of 1,000
studies."""


@dataclass(frozen=True)
class _View:
    """A study with what several suggestions need to know about it."""

    study: Study
    progress: Progress
    ranked: Sequence[Trial]


def suggest_next_steps(study: Study) -> list[str]:
    """Return suggestions, the most urgent first."""
    view = _View(study, measure_progress(study), rank(study))
    found = [line for suggest in _SUGGESTIONS for line in suggest(view)]
    return found[:MOST] or ["Nothing in the records calls for another step."]


def _wait(view: _View) -> list[str]:
    if not view.progress.is_interim:
        return []
    return ["Wait for the end: the study is still running, and all numbers here may change."]


def _resume(view: _View) -> list[str]:
    if view.study.left_behind:
        runs = phrases.count(len(view.study.left_behind), "job run")
        return [f"Resume the study: {runs} had not been reported when its process ended."]
    if view.progress.is_interim or not view.progress.has_ledger:
        return []
    if waiting := view.study.counts()["WAITING"]:
        verb = "is" if waiting == 1 else "are"
        return [f"Resume the study: {phrases.count(waiting, 'trial')} {verb} waiting to be run."]
    if not view.progress.unspent:
        return []
    left = phrases.count(view.progress.unspent, view.progress.noun)
    return [f"Resume the study to use the rest of the budget: {left} had not finished."]


def _explain_failures(view: _View) -> list[str]:
    groups = find_failures(view.study)
    failed = sum(group.count for group in groups)
    if not groups or failed < MANY_FAILED * max(1, view.progress.finished):
        return []
    first = groups[0]
    return [
        phrases.sentence(
            f"Find out why trials fail: {phrases.count(failed, 'trial')} failed, {first.count} "
            f"of them such as trial {first.trial}: {summarize_cause(first.cause)}"
        )
    ]


def _explain_no_values(view: _View) -> list[str]:
    """Return what to change if nothing has a value that counts; failures are explained before."""
    if view.ranked or view.progress.is_interim or view.progress.unspent:
        return []
    counts = view.study.counts()
    if view.study.complete_by_standing()[Standing.NOT_FINITE]:
        return [
            "Find out why values are not finite, such as by a division by zero or training that "
            "diverges: no complete trial has a finite value."
        ]
    if counts["PRUNED"] and not counts["COMPLETE"]:
        return [
            "Prune later, such as after more warm-up steps or startup trials: all "
            f"{phrases.count(counts['PRUNED'], 'trial')} that did not fail were pruned."
            if counts["PRUNED"] > 1
            else "Prune later, such as after more warm-up steps or startup trials: the only trial "
            "that did not fail was pruned."
        ]
    return []


def _reduce_infeasible(view: _View) -> list[str]:
    complete = view.study.complete()
    infeasible = view.study.complete_by_standing()[Standing.INFEASIBLE]
    if not infeasible or len(infeasible) < MANY_INFEASIBLE * len(complete):
        return []
    share = phrases.percent(len(infeasible) / len(complete))
    return [
        f"Narrow the search space, or relax the constraints: {share} of the complete trials are "
        "infeasible."
    ]


def _replicate(view: _View) -> list[str]:
    if not view.study.single or len(view.ranked) < 2 or view.progress.is_interim:
        return []
    if count_equal(view.ranked):
        return []  # no trial leads
    replicates = find_replicates(view.study)
    best, second = view.ranked[:2]
    if any(REPLICATE_ATTRIBUTE in t.attributes and not t.values for t in view.study.trials):
        return []  # they were asked for
    if not view.progress.has_ledger:
        return [
            f"Run the configurations of trial {best.number} and trial {second.number} again with "
            "other seeds, five times each: that shows whether the lead is more than noise."
        ]
    if len(replicates.get(best.number, [])) < 2:
        return [
            f"Run the best configuration again with other seeds: tuner.replicate({best.number}, 5)"
            f" and tuner.replicate({second.number}, 5) show whether the lead is more than noise."
        ]
    if not any(len(replicates.get(t.number, [])) >= 2 for t in view.ranked[1:]):
        return [
            f"Run the second best configuration again with other seeds, as the best one was: "
            f"tuner.replicate({second.number}, 5)."
        ]
    return []


def _widen_ranges(view: _View) -> list[str]:
    if len(view.ranked) < ENOUGH or not view.study.single:
        return []
    top = view.ranked[: max(5, min(10, len(view.ranked) // 10))]
    return [line for each in read_ranges(view.study) if (line := _describe_edge(each, top))]


def _describe_edge(parameter: Range, top: Sequence[Trial]) -> str:
    """Return that the best trials lie close to a limit of a range; empty if they do not."""
    places = [
        place
        for trial in top
        for key, value in trial.params.items()
        if phrases.name(key) == parameter.name and (place := parameter.locate(value)) is not None
    ]
    too_few_values = parameter.share_near_limit(EDGE) > 0.25
    if parameter.observed or too_few_values or len(places) < len(top):
        return ""
    for side, limit, near in (
        ("lower", parameter.low, sum(place <= EDGE for place in places)),
        ("upper", parameter.high, sum(place >= 1 - EDGE for place in places)),
    ):
        if near >= AT_EDGE * len(places):
            return (
                f"Consider a wider range of {parameter.name}: {near} of the {len(top)} best trials "
                f"lie close to its {side} limit, {limit:.6g}."
            )
    return ""


def _fix_unimportant(view: _View) -> list[str]:
    if not view.study.single or len(view.ranked) < ENOUGH:
        return []
    importances = importance_info(view.study)
    total = sum(value for _, value in importances)
    names = [
        phrases.name(key)
        for key, v in importances
        if total
        and v < UNIMPORTANT * total
        # Little is known of one that few trials have.
        and sum(key in trial.params for trial in view.ranked) >= ENOUGH
    ]
    if not names or len(names) == len(importances):
        return []
    each = " each" if len(names) > 1 else ""
    return [
        f"Consider fixing {phrases.enumerate_words(names)}, with less than "
        f"{phrases.percent(UNIMPORTANT)} of the total importance{each}: fewer parameters are left "
        "to search."
    ]


def _continue(view: _View) -> list[str]:
    """Judge by when the best trial was found whether more trials are promising."""
    if not view.study.single or len(view.ranked) < ENOUGH or view.progress.is_interim:
        return []
    by_number = sorted(trial.number for trial in view.ranked)
    since = len(by_number) - 1 - by_number.index(view.ranked[0].number)
    if since <= 0.1 * len(by_number):
        place = f"{since} before the last of" if since else "as the last of"
        return [
            f"Consider more trials: the best one was found late, {place} {len(by_number)} with a "
            "value that counts."
        ]
    if since >= 0.6 * len(by_number):
        return [
            f"More trials of the same search space promise little: the last {since} of "
            f"{len(by_number)} did not improve the best value."
        ]
    return []


def _train_best(view: _View) -> list[str]:
    trained = {run.trial for run in view.study.runs if run.is_final}
    if view.progress.is_interim or not view.progress.has_ledger or not view.ranked:
        return []
    if not view.study.single:
        return [] if trained else ["Choose a trial of the Pareto front, and train it."]
    best = view.ranked[0].number
    if best in trained:
        return []
    return [f"Train the model with the best configuration: no final run has trained trial {best}."]


def _begin(view: _View) -> list[str]:
    return [] if view.study.trials else ["Tune the study: it has no trials yet."]


_SUGGESTIONS: Sequence[Callable[[_View], list[str]]] = (
    _begin,
    _wait,
    _resume,
    _explain_failures,
    _explain_no_values,
    _reduce_infeasible,
    _replicate,
    _widen_ranges,
    _continue,
    _fix_unimportant,
    _train_best,
)
