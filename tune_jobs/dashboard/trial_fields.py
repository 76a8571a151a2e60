"""The fields of trials: the columns of the table, and the names of the filter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import Standing
from tune_jobs.core.formatting import format_parameter
from tune_jobs.core.no_best import describe_standing
from tune_jobs.core.strict_json import encode_json
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE, CONSOLE_ATTRIBUTE, OWN_PREFIX
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameter_axes import is_number

MAX_NAMES = 100
"""Parameters, user attributes and constraints that have columns, of each kind."""

MAX_TEXT = 300
"""Characters that a page shows of a string from a study."""


NOTE_ATTRIBUTE = f"{OWN_PREFIX}user_note"
"""Has the note that a person wrote on a trial, in trials that a table or filter reads."""


class State(str):
    """A state, which equals a string in upper or lower case."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.casefold() == other.casefold()

    def __hash__(self) -> int:
        return hash(self.casefold())


@dataclass(frozen=True)
class Field:
    """A property of trials.

    Args:
        id: Identifier in addresses, such as ``value`` and ``param:lr``.
        label: Heading of its column.
        kind: How it is shown: ``number``, ``seconds``, ``state``, ``text`` or ``link``.
        group: ``trial``, ``param``, ``attribute``, ``constraint`` or ``metric``.
        names: Its names in expressions, the shortest first.
        read: Returns its value from a trial and its last run; None if it is missing.
    """

    id: str
    label: str
    kind: str
    group: str
    names: tuple[str, ...]
    read: Callable[[Trial, Attempt | None], Any]

    def describe(self) -> dict[str, Any]:
        """Return what the page needs to know."""
        return {
            "id": self.id,
            "label": self.label,
            "kind": self.kind,
            "group": self.group,
            "name": quote_name(self.names[0]),
        }


def quote_name(name: str) -> str:
    """Return a name as an expression needs it: in backticks unless it is an identifier."""
    return name if all(part.isidentifier() for part in name.split(".")) else f"`{name}`"


def list_study_fields(study: Study) -> list[Field]:
    """Return the fields that trials of any parameters have."""
    values = [
        _field(
            "value" if i == 0 else f"value:{i + 1}",
            "Value" if study.single else clean(metric, MAX_TEXT),
            _value_reader(i),
            names=tuple(
                dict.fromkeys((*(["value"] if i == 0 else []), metric, f"metrics.{metric}"))
            ),
        )
        for i, metric in enumerate(study.metrics)
    ]
    return [
        _field("number", "Trial", lambda t, run: t.number),
        _field("state", "State", lambda t, run: State(t.state), "state"),
        *values,
        _field("latest", "Latest", lambda t, run: _latest(t)),
        _field("step", "Step", lambda t, run: max(t.steps, default=None)),
        _field("run_state", "Run", lambda t, run: State(run.stage) if run else None, "state"),
        _field("seconds", "Duration", lambda t, run: run.seconds if run else t.seconds, "seconds"),
        _field("cost", "Cost", lambda t, run: t.cost or None),
        _field("run", "Name of run", lambda t, run: run.name if run else None, "text"),
        _field("attempt", "Attempt", lambda t, run: run.attempt if run else None),
        _field("cause", "Cause", read_cause, "text"),
        _field("standing", "Standing", lambda t, run: describe_standing(t.result) or None, "text"),
        _field("note", "Note", lambda t, run: t.attributes.get(NOTE_ATTRIBUTE), "text"),
        _field("feasible", "Feasible", lambda t, run: _is_feasible(t), "text"),
        _field("continued_from", "Continues", lambda t, run: t.continued_from),
        _field("console", "Console", _read_console, "link"),
    ]


def _field(
    name: str,
    label: str,
    read: Callable[[Trial, Attempt | None], Any],
    kind: str = "number",
    names: tuple[str, ...] = (),
) -> Field:
    return Field(name, label, kind, "trial", names or (name,), read)


def _value_reader(index: int) -> Callable[[Trial, Attempt | None], Any]:
    return lambda trial, run: trial.values[index] if index < len(trial.values) else None


def _latest(trial: Trial) -> float | None:
    return trial.steps[max(trial.steps)] if trial.steps else None


def _is_feasible(trial: Trial) -> bool | None:
    if trial.standing is Standing.NO_VALUE:
        return None
    return not trial.result.violations


def read_cause(trial: Trial, run: Attempt | None) -> str | None:
    """Return why a trial failed or was pruned; None if nothing is known."""
    return (run.cause if run else None) or trial.attributes.get(CAUSE_ATTRIBUTE) or None


def _read_console(trial: Trial, run: Attempt | None) -> str | None:
    """Return the address; the page makes a link of it, so no other scheme may get through."""
    console = trial.attributes.get(CONSOLE_ATTRIBUTE)
    return console if isinstance(console, str) and console.startswith("https://") else None


def find_named_fields(trials: Iterable[Trial], known: Iterable[Field]) -> Iterator[Field]:
    """Return fields for parameters, attributes, constraints and metrics that are not known yet."""
    known = list(known)
    seen = {field.id for field in known}
    taken = {name for field in known for name in field.names}
    counts: dict[str, int] = {}
    for each in seen:
        group = each.partition(":")[0]
        counts[group] = counts.get(group, 0) + 1
    for trial in trials:
        for prefix, group, scope, names in (
            ("param", "param", "params", trial.params),
            ("attr", "attribute", "attrs", trial.attributes),
            ("constraint", "constraint", "constraints", trial.constraints),
            ("metric", "metric", "metrics", trial.last_metrics),
        ):
            for name in names:
                identifier = clean(f"{prefix}:{name}", MAX_TEXT)
                if identifier in seen or counts.get(prefix, 0) >= MAX_NAMES:
                    continue
                if prefix == "attr" and name.startswith(OWN_PREFIX):
                    continue
                if f"{scope}.{name}" in taken:  # an objective is a value already
                    continue
                seen.add(identifier)
                counts[prefix] = counts.get(prefix, 0) + 1
                yield _named_field(identifier, str(name), group, scope)


def _named_field(identifier: str, name: str, group: str, scope: str) -> Field:
    readers: dict[str, Callable[[Trial, Attempt | None], Any]] = {
        "param": lambda trial, run: trial.params.get(name),
        "attribute": lambda trial, run: trial.attributes.get(name),
        "constraint": lambda trial, run: trial.constraints.get(name),
        "metric": lambda trial, run: trial.last_metrics.get(name),
    }
    names = (name, f"{scope}.{name}")
    return Field(identifier, clean(name, MAX_TEXT), "number", group, names, readers[group])


def draw_cell(field: Field, trial: Trial, run: Attempt | None) -> Any:
    """Return what a table shows of a trial, for JSON; see `cell`."""
    value = field.read(trial, run)
    if field.group == "param" and field.names[0] in trial.params and not is_number(value):
        return clean(format_parameter(value), MAX_TEXT)
    return cell(value)


def cell(value: Any) -> Any:
    """Return a value of a field for JSON: a number as it is, anything else as a bounded string."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict | list | tuple):
        return clean(encode_json(value), MAX_TEXT)
    return clean(value, MAX_TEXT)
