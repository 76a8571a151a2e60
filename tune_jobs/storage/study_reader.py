"""Read studies from Optuna's relational tables, a few statements each.

Optuna's own storage builds every trial from objects of its relational mapping, which takes seconds
for 10,000 trials. `read_trials` reads thousands of trials with seven plain queries.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from sys import intern
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.study._constrained_optimization import (
    _get_constraints_from_system_attrs as decode_constraints,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Column, Connection, String, Table, func, select, type_coerce

from tune_jobs.core.best_trials import Result
from tune_jobs.core.trial_attributes import REPLICATE_ATTRIBUTE
from tune_jobs.storage import optuna_tables as tables

_METRIC_NAMES = "study:metric_names"
"""System attribute of a study that Optuna's ``Study.set_metric_names`` writes."""

_MAX_IDS = 500
"""Trials that are selected by their ids; more are selected by a range of ids."""


@dataclass(frozen=True)
class StoredStudy:
    """A row of the table of studies.

    Args:
        maximize: Whether each objective is maximized.
    """

    study_id: int
    name: str
    maximize: tuple[bool, ...]


def read_studies(connection: Connection, study_id: int | None = None) -> list[StoredStudy]:
    """Return all studies, or the one with ``study_id`` if it exists."""
    studies, directions = tables.studies.c, tables.directions.c
    listed = select(studies.study_id, studies.study_name)
    objectives = select(directions.study_id, directions.direction).order_by(directions.objective)
    if study_id is not None:
        listed = listed.where(studies.study_id == study_id)
        objectives = objectives.where(directions.study_id == study_id)
    maximize: dict[int, list[bool]] = defaultdict(list)
    for number, direction in connection.execute(objectives):
        maximize[number].append(direction == StudyDirection.MAXIMIZE)
    return [
        StoredStudy(number, name, tuple(maximize[number]))
        for number, name in connection.execute(listed)
    ]


def read_user_attr(connection: Connection, key: str, study_id: int | None = None) -> dict[int, Any]:
    """Return a user attribute of all studies, or of one, by study id."""
    attrs = tables.study_attrs.c
    query = select(attrs.study_id, attrs.value_json).where(attrs.key == key)
    if study_id is not None:
        query = query.where(attrs.study_id == study_id)
    return {number: json.loads(value) for number, value in connection.execute(query)}


def read_metric_names(connection: Connection, study_id: int) -> tuple[str, ...]:
    """Return the names that Optuna knows of a study's objectives; empty without any."""
    attrs = tables.study_system_attrs.c
    query = select(attrs.value_json).where(attrs.study_id == study_id, attrs.key == _METRIC_NAMES)
    found = connection.execute(query).scalar()
    return tuple(map(str, json.loads(found))) if found is not None else ()


def read_user_attrs(connection: Connection, study_id: int) -> dict[str, Any]:
    """Return all user attributes of a study."""
    attrs = tables.study_attrs.c
    query = select(attrs.key, attrs.value_json).where(attrs.study_id == study_id)
    return {key: json.loads(value) for key, value in connection.execute(query)}


def count_trials(connection: Connection) -> dict[int, dict[str, int]]:
    """Return the number of trials in each state, by study id and name of the state."""
    trials = tables.trials.c
    query = select(trials.study_id, trials.state, func.count())
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for study_id, state, count in connection.execute(query.group_by(trials.study_id, trials.state)):
        counts[study_id][state.name] = count
    return counts


def read_results(connection: Connection) -> dict[int, list[Result]]:
    """Return, by study id, enough results to know the best value and whether there is one.

    Of a study in which every complete trial can be the best one, these are one with the lowest
    and one with the highest value. The others are returned whole; values of several objectives are
    in no order. The number of statements does not depend on that of studies.
    """
    excluded = _read_excluded(connection)
    results = _read_extremes(connection, skip=excluded)
    trials, values = tables.trials.c, tables.values.c
    query = (
        select(trials.study_id, values.trial_id, values.value, values.value_type)
        .join(tables.trials, trials.trial_id == values.trial_id)
        .where(trials.state == TrialState.COMPLETE, trials.study_id.in_(excluded))
    )
    numbers: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for study_id, trial_id, value, kind in connection.execute(query) if excluded else ():
        numbers[study_id][trial_id].append(tables.decode_value(value, kind))
    for study_id, by_trial in numbers.items():
        attrs = excluded[study_id]
        results[study_id] = [
            Result(n, tuple(v), attrs.constraints.get(n, {}), attrs.marks.get(n, {}))
            for n, v in by_trial.items()
        ]
    return results


@dataclass(frozen=True)
class _Excluded:
    """What keeps trials of a study from being the best one, by trial id."""

    constraints: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    marks: dict[int, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))


def _read_excluded(connection: Connection) -> dict[int, _Excluded]:
    """Return, by study id, the constraints and the marks of replicates, where there are any."""
    found: dict[int, _Excluded] = defaultdict(_Excluded)
    trials, system, user = tables.trials.c, tables.system_attrs.c, tables.user_attrs.c
    complete = trials.state == TrialState.COMPLETE
    violated: dict[int, dict[int, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    query = select(trials.study_id, system.trial_id, system.key, system.value_json).join(
        tables.trials, trials.trial_id == system.trial_id
    )
    for study_id, trial_id, key, value in connection.execute(
        query.where(complete, system.key.startswith("constraints"))
    ):
        violated[study_id][trial_id][key] = json.loads(value)
    for study_id, by_trial in violated.items():
        for trial_id, attrs in by_trial.items():
            found[study_id].constraints[trial_id] = decode_constraints(attrs)
    query = select(trials.study_id, user.trial_id, user.key, user.value_json).join(
        tables.trials, trials.trial_id == user.trial_id
    )
    for study_id, trial_id, key, value in connection.execute(
        query.where(complete, user.key == REPLICATE_ATTRIBUTE)
    ):
        found[study_id].marks[trial_id][key] = json.loads(value)
    return found


def _read_extremes(connection: Connection, skip: Collection[int]) -> dict[int, list[Result]]:
    """Return the lowest and the highest finite value of each study, or infinity, as results."""
    trials, values = tables.trials.c, tables.values.c
    query = (
        select(trials.study_id, func.min(values.value), func.max(values.value))
        .join(tables.values, values.trial_id == trials.trial_id)
        .where(trials.state == TrialState.COMPLETE)
        .group_by(trials.study_id)
    )
    return {
        study_id: [Result(n, (math.inf if v is None else v,)) for n, v in enumerate((low, high))]
        for study_id, low, high in connection.execute(query)
        if study_id not in skip
    }


def read_states(connection: Connection, study_id: int) -> dict[int, TrialState]:
    """Return the state of each trial of a study by trial id, which is also their order."""
    trials = tables.trials.c
    query = select(trials.trial_id, trials.state).where(trials.study_id == study_id)
    rows = connection.execute(query.order_by(trials.trial_id))
    return {row.trial_id: row.state for row in rows}


@dataclass(frozen=True)
class TrialStamp:
    """What tells a finished trial from all others that ever had its id.

    A database may give the ids of deleted trials to new ones.

    Args:
        state: State of the trial.
        started, finished: When it began and ended, as the database has it.
    """

    state: TrialState
    started: Any
    finished: Any


def read_stamps(connection: Connection, study_id: int) -> dict[int, TrialStamp]:
    """Return a stamp of each trial of a study by trial id, which is also their order."""
    trials = tables.trials.c
    times = (type_coerce(at, String) for at in (trials.datetime_start, trials.datetime_complete))
    query = select(trials.trial_id, trials.state, *times).where(trials.study_id == study_id)
    rows = connection.execute(query.order_by(trials.trial_id))
    return {trial_id: TrialStamp(*stamp) for trial_id, *stamp in rows}


def read_end_stamps(connection: Connection) -> dict[int, tuple[Any, ...]]:
    """Return, by study id, what changes whenever a trial of the study has finished."""
    trials = tables.trials.c
    last = func.max(type_coerce(trials.datetime_complete, String))
    query = select(trials.study_id, func.count(trials.datetime_complete), last)
    rows = connection.execute(query.group_by(trials.study_id))
    return {study_id: tuple(stamp) for study_id, *stamp in rows}


def read_trial_times(
    connection: Connection, study_ids: Collection[int]
) -> dict[int, list[tuple[datetime | None, datetime | None]]]:
    """Return start and end of the finished trials of studies, by study id."""
    trials = tables.trials.c
    query = select(trials.study_id, trials.datetime_start, trials.datetime_complete).where(
        trials.study_id.in_(study_ids),
        trials.state.in_([state for state in TrialState if state.is_finished()]),
    )
    times: dict[int, list[tuple[datetime | None, datetime | None]]] = defaultdict(list)
    for study_id, start, end in connection.execute(query) if study_ids else ():
        times[study_id].append((tables.decode_time(start), tables.decode_time(end)))
    return times


def read_trials(
    connection: Connection, study_id: int, trial_ids: Collection[int]
) -> dict[int, FrozenTrial]:
    """Return some trials of a study by their ids, in that order."""
    if not trial_ids:
        return {}
    details = _Details(connection, study_id, trial_ids)
    columns = tables.trials.c
    query = select(
        columns.trial_id,
        columns.number,
        columns.state,
        columns.datetime_start,
        columns.datetime_complete,
    ).where(
        columns.study_id == study_id,
        columns.trial_id.between(min(trial_ids), max(trial_ids)),
    )
    rows = connection.execute(query.order_by(columns.trial_id))
    wanted = frozenset(trial_ids)
    return {row.trial_id: details.build_trial(row) for row in rows if row.trial_id in wanted}


def _share_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; thousands of trials have attributes with the same names."""
    return {intern(name): value for name, value in pairs}


class _Details:
    """The rows about some trials in all other tables, by trial id."""

    def __init__(self, connection: Connection, study_id: int, trial_ids: Collection[int]) -> None:
        self._connection, self._study_id, self._trial_ids = connection, study_id, trial_ids
        self.params: dict[int, dict[str, Any]] = defaultdict(dict)
        self.distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
        self.values: dict[int, dict[int, float]] = defaultdict(dict)
        self.steps: dict[int, dict[int, float]] = defaultdict(dict)
        self._read_params()
        self._read_numbers()
        self.user_attrs = self._read_attrs(tables.user_attrs)
        self.system_attrs = self._read_attrs(tables.system_attrs)

    def _read_params(self) -> None:
        columns = tables.params.c
        rows = self._rows(
            tables.params,
            columns.param_id,
            columns.trial_id,
            columns.param_name,
            columns.param_value,
            columns.distribution_json,
        )
        # In the order of their suggestion; by a number, as rows compare slowly.
        for _, trial_id, name, value, encoded in sorted(rows, key=itemgetter(0)):
            distribution = tables.decode_distribution(encoded)
            name = intern(name)
            self.distributions[trial_id][name] = distribution
            self.params[trial_id][name] = distribution.to_external_repr(value)

    def _read_numbers(self) -> None:
        columns = tables.values.c
        for trial_id, objective, value, kind in self._rows(
            tables.values, columns.trial_id, columns.objective, columns.value, columns.value_type
        ):
            self.values[trial_id][objective] = tables.decode_value(value, kind)
        columns = tables.steps.c
        for trial_id, step, value, kind in self._rows(
            tables.steps,
            columns.trial_id,
            columns.step,
            columns.intermediate_value,
            columns.intermediate_value_type,
        ):
            self.steps[trial_id][step] = tables.decode_step(value, kind)

    def _read_attrs(self, table: Table) -> dict[int, dict[str, Any]]:
        attrs: dict[int, dict[str, Any]] = defaultdict(dict)
        for trial_id, key, value in self._rows(
            table, table.c.trial_id, table.c.key, table.c.value_json
        ):
            attrs[trial_id][intern(key)] = json.loads(value, object_pairs_hook=_share_names)
        return attrs

    def _rows(self, table: Table, *columns: Column[Any]) -> Iterable[Any]:
        query = select(*columns)
        if len(self._trial_ids) <= _MAX_IDS:
            query = query.where(table.c.trial_id.in_(self._trial_ids))
        else:
            trials = tables.trials
            query = query.join(trials, trials.c.trial_id == table.c.trial_id)
            query = query.where(
                trials.c.study_id == self._study_id,
                table.c.trial_id.between(min(self._trial_ids), max(self._trial_ids)),
            )
        return self._connection.execute(query.execution_options(stream_results=True))

    def build_trial(self, row: Any) -> FrozenTrial:
        """Return the trial of a row of the table of trials."""
        trial_id = row.trial_id
        return FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=[value for _, value in sorted(self.values[trial_id].items())] or None,
            datetime_start=tables.decode_time(row.datetime_start),
            datetime_complete=tables.decode_time(row.datetime_complete),
            params=self.params[trial_id],
            distributions=self.distributions[trial_id],
            user_attrs=self.user_attrs[trial_id],
            system_attrs=self.system_attrs[trial_id],
            intermediate_values=self.steps[trial_id],
            trial_id=trial_id,
        )
