"""Comparison of studies: best trials, progress against cost, and statistical significance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.core.formatting import format_parameter
from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.dashboard.comparable import (
    MAX_LISTED,
    choose_comparable,
    choose_shared,
    list_objectives,
)
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.study_groups import NO_LABELS, assign_groups
from tune_jobs.dashboard.verdicts import Contender, Outcome, judge
from tune_jobs.errors import ComparisonError

HOUR = 3600.0


@dataclass(frozen=True)
class Winner:
    """The best trial of a study.

    Args:
        study: Name of the study.
        trial, value, params: Number, value and parameters of the trial.
        replicates: Values of runs of the same configuration with other seeds.
        trials: Number of complete trials of the study.
        run_hours: Run hours of all its job runs; without job runs, those of its trials.
        money: Cost of all its trials.
        hours: Hours from the start of its first job run, or trial, to the end of its last one.
        key: Key of the study.
        has_runs: Whether it has job runs.
        group: The group of studies that it is in; empty if it is in none.
    """

    study: str
    trial: int
    value: float
    params: dict[str, Any]
    replicates: tuple[float, ...]
    trials: int
    run_hours: float
    money: float
    hours: float
    key: str = ""
    has_runs: bool = True
    group: str = ""


@dataclass(frozen=True)
class Comparison:
    """Comparison of studies.

    Args:
        winners: The best trial of each study that has one, the best first.
        differing: Parameters in which the winners differ.
        statement: Which of the first two is better, by how much, whether the difference is
            significant, and what each took.
        warnings: Differences that make the studies hard to compare.
        without_best: Of each study without a best trial, its name and the reason.
        outcome: What the statement says: ``better``, ``not shown``, ``unknown`` or ``nothing``.
        objective: What is compared: ``max:accuracy``, see `Objective.key`.
        notes: What is left out or assumed, in sentences.
    """

    winners: Sequence[Winner]
    differing: Sequence[str]
    statement: str
    warnings: Sequence[str]
    without_best: Sequence[str] = ()
    outcome: str = Outcome.NOTHING.value
    objective: str = ""
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        has_groups = any(w.group for w in self.winners)
        head = f"{'study':<24} {'trial':>6} {'value':>12} {'complete':>8} {'run hours':>10}"
        lines = [head + ("  group" if has_groups else "")]
        for w in self.winners:
            numbers = f"{w.trial:>6} {w.value:>12.6g} {w.trials:>8} {w.run_hours:>10.3g}"
            group = f"  {clean(w.group, 24)}" if w.group else ""
            lines.append(f"{clean(w.study, 24):<24} {numbers}{group}")
            shown = [
                f"{clean(name, 60)}={show_parameter(w.params, name)}" for name in self.differing
            ]
            if shown:
                lines.append("    " + ", ".join(shown))
        lines += [*self.without_best, *self.notes, self.statement]
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])


def compare(studies: Sequence[Study], groups: Sequence[str] = ()) -> Comparison:
    """Compare studies with one objective.

    Args:
        studies: The studies.
        groups: The group of each study; empty for one that is in none. Studies of a group repeat
            each other, and are compared with others together.

    Raises:
        ComparisonError: If a study has several objectives, or if directions differ.
    """
    check_comparable(studies)
    maximize = studies[0].maximize[0] if studies else False
    groups = groups or [""] * len(studies)
    found = [_winner(study, group) for study, group in zip(studies, groups, strict=True)]
    winners = sorted(
        (w for w in found if w is not None), key=lambda w: -w.value if maximize else w.value
    )
    verdict = judge(_list_contenders(winners), maximize=maximize)
    return Comparison(
        winners=winners,
        differing=_differing(winners),
        statement=verdict.sentence,
        warnings=_warnings(studies),
        without_best=[
            f"{s.name[:60].strip() or repr(s.name)}: {why}" for s in studies if (why := s.no_best())
        ],
        outcome=verdict.outcome.value,
    )


def compare_by(
    studies: Sequence[Study],
    *,
    objective: str | None = None,
    grouping: str = "",
    labels: Mapping[str, str] = NO_LABELS,
) -> Comparison:
    """Compare the studies that have an objective, in groups.

    Args:
        studies: The studies.
        objective: Key of the objective or name of its metric, see `choose_comparable`; None for the
            one that more studies have than any other.
        grouping, labels: How groups are recognized, see `assign_groups`.

    Raises:
        ComparisonError: If there is no such objective or grouping; without an objective, if none is
            more frequent than the others.
    """
    if not studies:
        return compare(studies)
    comparable = (
        choose_shared(studies) if objective is None else choose_comparable(studies, objective)
    )
    found = compare(comparable.studies, assign_groups(comparable.studies, grouping, labels))
    return replace(found, objective=comparable.objective.key, notes=tuple(comparable.notes))


def check_comparable(studies: Sequence[Study]) -> None:
    """Check that studies have one objective each, with the same direction.

    Raises:
        ComparisonError: If they do not.
    """
    for study in studies:
        if not study.single:
            raise ComparisonError(
                f"study {study.name[:60]!r} has several objectives: choose one of "
                f"{_list_objectives(studies)}"
            )
    if len({s.maximize for s in studies}) > 1:
        raise ComparisonError(
            "some studies maximize and others minimize: compare studies of the same direction, or "
            f"choose one of {_list_objectives(studies)}"
        )


def _list_objectives(studies: Sequence[Study]) -> str:
    keys = dict.fromkeys(own.key[:60] for study in studies for own in list_objectives(study))
    return ", ".join([*keys][:MAX_LISTED])


def _list_contenders(winners: Sequence[Winner]) -> list[Contender]:
    """Return what the verdict is about: groups, and studies that are in none."""
    members: dict[tuple[str, int], list[Winner]] = {}
    for position, winner in enumerate(winners):
        members.setdefault((winner.group, -1 if winner.group else position), []).append(winner)
    return [_make_contender(group, each) for (group, _), each in members.items()]


def _make_contender(group: str, members: Sequence[Winner]) -> Contender:
    values = tuple(w.value for w in members)
    return Contender(
        name=group or members[0].study,
        value=sum(values) / len(values),
        samples=values if group else members[0].replicates,
        is_group=bool(group),
        run_hours=sum(w.run_hours for w in members),
        money=sum(w.money for w in members),
        has_runs=any(w.has_runs for w in members),
    )


def _winner(study: Study, group: str) -> Winner | None:
    best = study.best()
    if best is None:
        return None
    replicates = [
        t.values[0]
        for t in study.complete()
        if t.attributes.get(REPLICATE_ATTRIBUTE) == best.number and math.isfinite(t.values[0])
    ]
    begins, ends = study.list_times()
    hours = max(0.0, max(ends) - min(begins)) / HOUR if begins and ends else 0.0
    return Winner(
        study=study.name,
        trial=best.number,
        value=best.values[0],
        params=dict(best.params),
        replicates=tuple(replicates),
        trials=len(study.complete()),
        run_hours=study.run_hours,
        money=sum(t.cost for t in study.trials),
        hours=hours,
        key=study.key,
        has_runs=study.has_runs,
        group=group,
    )


def _differing(winners: Sequence[Winner]) -> list[str]:
    names = dict.fromkeys(name for w in winners for name in w.params)
    return [n for n in names if len({show_parameter(w.params, n) for w in winners}) > 1]


def show_parameter(params: Mapping[str, Any], name: str) -> str:
    """Return the value of a parameter; a float with six digits."""
    return clean(format_parameter(params[name], 6), 60) if name in params else "(none)"


def _warnings(studies: Sequence[Study]) -> list[str]:
    """Return a warning for everything known that should be equal, but differs."""
    warnings = []
    for label, read in (
        ("metrics", lambda s: s.recorded_metrics),
        (
            "aggregations of a metric",
            lambda s: [m.get("counts") for m in s.definition.get("metrics", [])],
        ),
        ("code", lambda s: s.definition.get("run", {}).get("code_sha256")),
        ("data", _data_digests),
    ):
        known = [(study.name, value) for study in studies if (value := read(study))]
        if len({repr(value) for _, value in known}) > 1:
            names = ", ".join(repr(name[:60]) for name, _ in known)
            warnings.append(f"the studies have different {label}: {names}")
    return warnings


def _data_digests(study: Study) -> list[str]:
    """Return the digests of a study's data files; their names do not matter."""
    return sorted(str(file.get("sha256")) for file in study.definition.get("data", {}).values())
