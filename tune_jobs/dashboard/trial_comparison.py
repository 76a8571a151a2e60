"""Comparison of trials, also of several studies and storages: facts side by side, and curves."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.formatting import duration, format_parameter
from tune_jobs.core.no_best import describe_standing
from tune_jobs.core.trial_attributes import ARGUMENTS_ATTRIBUTE, CAUSE_ATTRIBUTE
from tune_jobs.dashboard.drawing import MANY_POINTS, Figure, bound, clean, layout, thin
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.parameter_axes import is_number
from tune_jobs.dashboard.study_groups import choose_style, place_legend, shorten
from tune_jobs.dashboard.trial_view import Subject, count_nodes
from tune_jobs.runtime.records import Record

MAX_TRIALS = 50
"""Trials in one comparison; more are refused."""

MAX_VALUE = 300
"""Characters that are shown of a value."""

MAX_ROWS = 300
"""Rows of a section, at most."""

MAX_WORDS = 1000
"""Words of a command that are sent."""


@dataclass(frozen=True)
class Compared:
    """A trial in a comparison.

    Args:
        key: Key of its study.
        subject: The trial with its runs.
    """

    key: str
    subject: Subject

    @property
    def study(self) -> Study:
        """Its study."""
        return self.subject.study

    @property
    def run(self) -> Attempt | None:
        """Its last run."""
        return self.subject.select_run()

    @property
    def name(self) -> str:
        """Its name in figures."""
        return f"{shorten(self.study.name)} #{self.subject.trial.number}"


def parse_trials(references: Sequence[str]) -> list[tuple[str, int]]:
    """Return key and number of each trial.

    Args:
        references: Such as ``s0-1:12``.

    Raises:
        ValueError: If there is none, there are too many, or one of them is no reference.
    """
    found = []
    for reference in dict.fromkeys(references):
        key, _, number = reference.rpartition(":")
        if not key or not number.isascii() or not number.isdecimal() or len(number) > 9:
            raise ValueError(f"{reference[:60]!r} is no trial: give KEY:NUMBER, such as s0-1:12")
        found.append((key, int(number)))
    if not found:
        raise ValueError("nothing to compare: select at least one trial")
    if len(found) > MAX_TRIALS:
        raise ValueError(
            f"{len(found)} trials are selected: at most {MAX_TRIALS} are compared at once"
        )
    return found


def trials_comparison_view(trials: Sequence[Compared], known: str = "") -> dict[str, Any]:
    """Return facts about trials side by side.

    Args:
        trials: The trials.
        known: Version of what the page shows already; only the version is returned if it is the
            same.
    """
    facts = [(t.key, t.study.version(), t.subject.trial.number) for t in trials]
    version = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    if version == known:
        return {"version": version, "unchanged": True}
    return {
        "version": version,
        "unchanged": False,
        "trials": [_column(trial, position) for position, trial in enumerate(trials)],
        "sections": [
            {"name": name, "rows": _rows([read(trial) for trial in trials])}
            for name, read in _SECTIONS.items()
        ],
        "axes": ["steps", *(["seconds"] if any(t.run for t in trials) else [])],
    }


def _column(trial: Compared, position: int) -> dict[str, Any]:
    color, dash = choose_style(position)
    return {
        "key": trial.key,
        "number": trial.subject.trial.number,
        "study": clean(trial.study.name, MAX_VALUE),
        "name": trial.name,
        "state": trial.subject.trial.state,
        "color": color,
        "dash": dash,
        "run": trial.run.name if trial.run else None,
        "words": [clean(word, MAX_VALUE) for word in _words(trial)[:MAX_WORDS]],
        "words_total": len(_words(trial)),
    }


def _words(trial: Compared) -> list[str]:
    """Return the command of the last run, word by word."""
    entry = trial.study.definition.get("run", {}).get("command", [])
    return [*map(str, entry), *(trial.run.invocation.argv if trial.run else ())]


def _rows(columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each name; a value that a trial does not have is None."""
    rows = []
    for name in list(dict.fromkeys(name for column in columns for name in column))[:MAX_ROWS]:
        values = [column.get(name) for column in columns]
        differs = any(value != values[0] for value in values)
        shown = [None if value is None else clean(value, MAX_VALUE) for value in values]
        rows.append({"name": clean(name, MAX_VALUE), "values": shown, "differs": differs})
    return rows


def _read_result(trial: Compared) -> dict[str, Any]:
    own, run = trial.subject.trial, trial.run
    last = own.last_metrics
    cause = (run.cause if run else None) or own.attributes.get(CAUSE_ATTRIBUTE)
    return {
        "study": trial.study.name,
        "state": own.state.lower(),
        **last,
        **dict(zip(trial.study.metrics, own.values, strict=False)),
        **_present({"not the best, as": describe_standing(own.result), "cause": cause}),
    }


def _read_params(trial: Compared) -> dict[str, Any]:
    """Return the parameters: numbers as they are, so that 1 and 1.0 do not differ."""
    params = trial.subject.trial.params
    return {n: v if is_number(v) else format_parameter(v) for n, v in params.items()}


def _read_arguments(trial: Compared) -> dict[str, Any]:
    given = trial.subject.trial.attributes.get(ARGUMENTS_ATTRIBUTE)
    return dict(given) if isinstance(given, dict) else {}


def _read_run(trial: Compared) -> dict[str, Any]:
    own, run = trial.subject.trial, trial.run
    has_run = own.seconds is None
    facts: dict[str, Any] = {
        "run hours": f"{own.run_hours:.4g}" if has_run and own.run_hours else None,
        "duration": None if own.seconds is None else duration(own.seconds),
        "cost": f"{own.cost:.4g}" if own.cost else None,
        "attempts": len(trial.subject.runs) or None,
    }
    if run is not None:
        began = run.started if run.started is not None else run.finished
        facts |= {
            "duration": None if run.seconds is None else duration(run.seconds),
            "provisioning": None if began is None else duration(max(0.0, began - run.intended)),
            "shape": run.shape or run.backend,
            "nodes": count_nodes(trial.study, run),
            "exit code": run.exit_code,
            "budget": run.invocation.budget,
            **{f"resources: {name}": value for name, value in run.invocation.resources.items()},
        }
    return _present(facts)


def _read_environment(trial: Compared) -> dict[str, Any]:
    """Return variables of the run itself with their values; of secrets, where they come from."""
    described = trial.study.definition.get("run", {}).get("environment", {})
    every_run = {str(name): "(set by the backend)" for name in described.get("names", [])}
    own = dict(trial.run.invocation.env) if trial.run else {}
    return {**every_run, **own, **described.get("secrets", {})}


def _read_provenance(trial: Compared) -> dict[str, Any]:
    definition = trial.study.definition
    run = definition.get("run", {})
    facts = {name: value for name, value in run.items() if name not in ("command", "environment")}
    for name, file in definition.get("data", {}).items():
        facts[f"data: {name}"] = file.get("sha256") if isinstance(file, dict) else file
    return _present(facts)


def _present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "")}


_SECTIONS = {
    "Result": _read_result,
    "Parameters": _read_params,
    "Arguments": _read_arguments,
    "Run": _read_run,
    "Environment": _read_environment,
    "Code and data": _read_provenance,
}


def draw_curves(
    trials: Sequence[Compared], records: Mapping[int, Sequence[Record]] | None = None
) -> Figure:
    """Return the learning curves of trials over each other.

    Args:
        trials: The trials.
        records: What their last runs reported, by position: the curves are against seconds since
            the start of the run. None for curves against steps.
    """
    most = max(40, 2 * MANY_POINTS // max(1, len(trials)))
    data = []
    for position, trial in enumerate(trials):
        if records is None:
            points = [(float(x), y) for x, y in trial.subject.trial.steps.items()]
        else:
            points = list(_against_seconds(trial, records.get(position, ())))
        points = [(x, bound(y)) for x, y in points if math.isfinite(y)]
        kept = [*points[:1], *thin(points[1:-1], most - 2), *points[1:][-1:]]
        color, dash = choose_style(position)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(kept) < 60 else "lines",
                "name": trial.name,
                "x": [x for x, _ in kept],
                "y": [y for _, y in kept],
                "line": {"color": color, "dash": dash, "width": 2},
                "marker": {"size": 5},
                "hovertemplate": "%{y:.6g} at %{x:.6g}<extra>%{fullData.name}</extra>",
            }
        )
    metrics = list(dict.fromkeys(trial.study.metrics[0] for trial in trials))
    label = "step" if records is None else "seconds since the start of the run"
    legend = place_legend(len(trials))
    return {"data": data, "layout": layout(label, " / ".join(metrics[:4]), **legend)}


def _against_seconds(trial: Compared, records: Iterable[Record]) -> Iterable[tuple[float, float]]:
    run, metric = trial.run, trial.study.metrics[0]
    if run is None:
        return
    begin = run.started if run.started is not None else run.intended
    for record in records:
        if metric in record.values:
            yield max(0.0, record.time - begin), record.values[metric]
