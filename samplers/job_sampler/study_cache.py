"""What the samplers keep of a study between suggestions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from .history import StudyHistory
from .observations import ObservationTable
from .ranking import TrialRanking


@dataclass(frozen=True)
class StudySummary:
    """State of a study that decides how to sample from it.

    Args:
        finished: COMPLETE and PRUNED trials in the order in which they were read.
        running: RUNNING trials.
        intersection: Parameters that all finished trials have, without those of one value.
        is_flat: Whether the finished trials have no other parameters.
        has_infeasible: Whether any of them violates a constraint.
    """

    finished: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]
    intersection: Mapping[str, BaseDistribution]
    is_flat: bool
    has_infeasible: bool


class StudyCache:
    """Trials of one study with everything that is derived from them, updated incrementally."""

    def __init__(self) -> None:
        self._history = StudyHistory()
        self._intersection: dict[str, BaseDistribution] | None = None
        self._is_flat = True
        self._tables: dict[tuple[Any, ...], ObservationTable] = {}
        self.finished: list[FrozenTrial] = []
        self.running: Sequence[FrozenTrial] = ()
        self.ranking = TrialRanking()

    def tracks(self, study: Study) -> bool:
        """Return whether the updates so far were of this study."""
        return self._history.tracks(study)

    def update(self, study: Study) -> Sequence[FrozenTrial]:
        """Read the study, and return the trials that have finished since the last update."""
        changes = self._history.update(study)
        self.running = changes.running
        for trial in changes.finished:
            self.finished.append(trial)
            self.ranking.add(trial, study)
            self._intersect(trial)
        return changes.finished

    def summarize(self) -> StudySummary:
        """Return the state as of the last update."""
        intersection = sorted((self._intersection or {}).items())
        return StudySummary(
            self.finished,
            self.running,
            {name: d for name, d in intersection if not d.single()},
            self._is_flat,
            self.ranking.has_infeasible,
        )

    def table(self, space: Mapping[str, BaseDistribution]) -> ObservationTable:
        """Return the observations of a search space, up to date with the last update."""
        key = tuple(space.items())
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = ObservationTable(space)
        table.extend(self.finished)
        return table

    def _intersect(self, trial: FrozenTrial) -> None:
        if self._intersection is None:
            self._intersection = dict(trial.distributions)
        elif self._intersection != trial.distributions:
            self._is_flat = False
            self._intersection = {
                name: d
                for name, d in self._intersection.items()
                if trial.distributions.get(name) == d
            }
