"""Which objective studies are compared by, and which studies have it."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.errors import ComparisonError

MAX_LISTED = 10
"""Objectives that a message lists."""


@dataclass(frozen=True)
class Objective:
    """A metric with its direction.

    Args:
        metric: Name of the metric; empty if the study does not record it.
        maximize: Whether it is maximized.
    """

    metric: str
    maximize: bool

    def __str__(self) -> str:
        return f"{self.metric or 'value'} ({'maximize' if self.maximize else 'minimize'})"

    @property
    def key(self) -> str:
        """Identifies it in addresses and options: ``max:accuracy``."""
        return f"{'max' if self.maximize else 'min'}:{self.metric}"


@dataclass(frozen=True)
class Comparable:
    """Studies that can be compared by one objective.

    Args:
        objective: The objective.
        studies: Those that have it, as studies of this objective alone.
        positions: Their positions among all studies.
        offered: All objectives that could be chosen, the most frequent first.
        notes: What was left out or assumed, in sentences.
    """

    objective: Objective
    studies: Sequence[Study]
    positions: Sequence[int]
    offered: Sequence[Objective]
    notes: Sequence[str] = ()


def list_objectives(study: Study) -> list[Objective]:
    """Return the objectives of a study."""
    named = study.recorded_metrics or ([""] if study.single else study.metrics)
    return [Objective(name, up) for name, up in zip(named, study.maximize, strict=True)]


def choose_comparable(studies: Sequence[Study], wanted: str = "") -> Comparable:
    """Choose an objective, and the studies that have it.

    If an objective is wanted, a study with one objective whose metric is not recorded is taken to
    have it if the direction is the same.

    Args:
        studies: Any studies.
        wanted: Key of the objective, or name of its metric; by default, the most frequent one.

    Raises:
        ComparisonError: If no study has the wanted objective.
    """
    counts = Counter(each for study in studies for each in list_objectives(study))
    offered = sorted(counts, key=lambda o: (-counts[o], not o.metric))
    chosen = [o for o in offered if wanted in ("", o.key, o.metric)]
    if not chosen:
        known = ", ".join(str(o)[:60] for o in offered[:10]) or "none"
        raise ComparisonError(f"no study has the objective {wanted[:60]!r}; there are: {known}")
    objective = chosen[0]
    kept: list[Study] = []
    positions: list[int] = []
    notes: list[str] = []
    for position, study in enumerate(studies):
        index, note = _find_objective(study, objective, may_join=bool(wanted))
        if note:
            notes.append(f"{study.name[:60]!r} {note}")
        if index is not None:
            kept.append(project(study, index))
            positions.append(position)
    return Comparable(objective, kept, positions, offered, notes)


def choose_shared(studies: Sequence[Study]) -> Comparable:
    """Choose the objective that more studies have than any other, and the studies that have it.

    Raises:
        ComparisonError: If there is no such objective.
    """
    counts = Counter(each for study in studies for each in list_objectives(study)).most_common()
    most = [objective for objective, count in counts if count == counts[0][1]]
    if len(most) > 1 or (len(counts) > 1 and counts[0][1] == 1):
        keys = ", ".join([each.key[:60] for each, _ in counts][:MAX_LISTED])
        problem = (
            "the studies have different objectives"
            if any(study.single for study in studies)
            else f"study {studies[0].name[:60]!r} has several objectives"
        )
        raise ComparisonError(f"{problem}: choose one of {keys}")
    return choose_comparable(studies)


def _find_objective(
    study: Study, objective: Objective, *, may_join: bool
) -> tuple[int | None, str]:
    """Return the position of an objective in a study, None if it has none, and what to say."""
    own = list_objectives(study)
    if objective in own:
        others = [str(o) for o in own if o != objective]
        note = f"has several objectives; not compared: {', '.join(others)}" if others else ""
        return own.index(objective), note
    if may_join and study.single and not own[0].metric and own[0].maximize == objective.maximize:
        return 0, f"does not record the name of its metric; it is taken for {objective.metric}"
    names = ", ".join(map(str, own))
    return None, f"is left out, as it does not have {objective}: it has {names}"


def project(study: Study, index: int) -> Study:
    """Return a study with one of its objectives alone; one that has no other as it is."""
    if study.single:
        return study
    metrics = list(study.definition.get("metrics", []))
    definition = {**study.definition, "metrics": metrics[index : index + 1]}
    return dataclasses.replace(
        study,
        maximize=study.maximize[index : index + 1],
        definition=definition,
        metric_names=study.metric_names[index : index + 1],
        trials=[_project_trial(trial, index) for trial in study.trials],
    )


def _project_trial(trial: Trial, index: int) -> Trial:
    if index >= len(trial.values):
        return dataclasses.replace(trial, values=())
    # With another value that is not finite, it cannot be the best one of any objective.
    is_finite = all(map(math.isfinite, trial.values))
    return dataclasses.replace(trial, values=(trial.values[index] if is_finite else math.nan,))
