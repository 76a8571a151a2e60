"""Tables of a report: best trials, failures by cause, costs, search space and provenance."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tune_jobs.core.best_trials import Standing
from tune_jobs.core.failures import summarize_cause
from tune_jobs.core.formatting import duration
from tune_jobs.core.no_best import describe_standing
from tune_jobs.dashboard.comparing import Comparison
from tune_jobs.dashboard.importance import importance_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.report import phrases
from tune_jobs.dashboard.report.content import Table
from tune_jobs.dashboard.report.findings import describe_objectives, rank
from tune_jobs.dashboard.report.progress import (
    HOUR,
    count_shapes,
    find_failures,
    measure_progress,
    measure_spending,
)
from tune_jobs.dashboard.report.search_space import read_ranges

TOP = 10
"""Trials in the table of best trials."""

ROW_WIDTH = 92
"""Characters of a row that fit the width of a printed page."""

FEW_PARAMETERS = 3
"""Parameters that fit a row in any order."""

MOST_ROWS = 40
_CELL = 24


def make_best_table(study: Study) -> Table | None:
    """Return the best trials, followed by the nearest of the infeasible ones, or the front."""
    ranked = rank(study)
    infeasible = study.complete_by_standing()[Standing.INFEASIBLE]
    infeasible.sort(key=lambda t: (t.result.violation, t.number))
    if ranked and not study.single:
        infeasible = []  # they are in no front
    best = (ranked + infeasible)[:TOP]
    if not best:
        return None
    notes = [phrases.sentence(describe_standing(t.result)) for t in best]
    costs = any(t.cost for t in best)
    took = "run time" if study.has_runs else "duration"
    head = ["trial", *map(phrases.name, study.metrics), took, *(["cost"] if costs else [])]
    rows = [
        [
            str(t.number),
            *map(phrases.value, t.values),
            duration(t.run_hours * HOUR) if t.run_hours else "–",
            *([f"{t.cost:.3g}"] if costs else []),
        ]
        for t in best
    ]
    numeric = set(range(len(head)))
    if any(notes):
        head.append("note")
        rows = [[*row, note] for row, note in zip(rows, notes, strict=True)]
    chosen, left = _choose_columns(study, best, ROW_WIDTH - sum(map(len, head)) - 4 * len(head))
    for key in chosen:
        if all(_is_number(t.params[key]) for t in best if key in t.params):
            numeric.add(len(head))
        head.append(phrases.name(key))
        for row, trial in zip(rows, best, strict=True):
            row.append(_cell_of(trial, key))
    title = "Pareto front" if not study.single else "Best trials"
    return Table(
        title if ranked else "Trials nearest to feasible",
        tuple(head),
        tuple(map(tuple, rows)),
        frozenset(numeric),
        _note_rows(len(best), len(ranked) or len(infeasible), left),
    )


def _choose_columns(study: Study, trials: Sequence[Trial], width: int) -> tuple[list[str], int]:
    """Return the parameters that fit the width, the important ones first; and how many do not."""
    names = list(dict.fromkeys(name for t in trials for name in t.params))
    few = len(names) <= FEW_PARAMETERS
    order = [name for name, _ in importance_info(study)] if study.single and not few else []
    varies = {n for n in names if len({_cell_of(t, n) for t in trials}) > 1}
    names.sort(key=lambda n: (n not in varies, order.index(n) if n in order else len(order)))
    chosen: list[str] = []
    for key in names:
        cells = [len(_cell_of(t, key)) for t in trials]
        width -= 4 + max([min(len(phrases.name(key)), _CELL), *cells])
        if chosen and width < 0:
            break
        chosen.append(key)
    return chosen, len(names) - len(chosen)


def _note_rows(shown: int, found: int, left: int) -> str:
    parts = []
    if found > shown:
        parts.append(f"The first {shown} of {found:,}.")
    if left:
        parts.append(f"{phrases.count(left, 'further parameter')} not shown.")
    return " ".join(parts)


def _cell_of(trial: Trial, name: str) -> str:
    return _cell(trial.params[name]) if name in trial.params else "–"


def _cell(value: object) -> str:
    return _shorten(phrases.value(value))


def _shorten(text: str) -> str:
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def make_failure_table(study: Study) -> Table | None:
    """Return the failures by cause; None without any."""
    groups = find_failures(study)
    if not groups:
        return None
    rows = [
        (str(g.count), str(g.trial), phrases.sentence(summarize_cause(g.cause)))
        for g in groups[:TOP]
    ]
    left = len(groups) - len(rows)
    note = f"{phrases.count(left, 'further cause')} not shown." if left > 0 else ""
    head = ("trials", "such as trial", "cause")
    return Table("Failures by cause", head, tuple(rows), frozenset({0, 1}), note)


def make_cost_table(study: Study, now: float) -> Table | None:
    """Return run hours by shape, and where the cost went by the end of trials; None if unknown."""
    if not study.runs:
        return None
    spending = measure_spending(study, now)
    rows = [
        (f"runs on {phrases.name(label)}", f"{number:,}", duration(hours * HOUR))
        for label, number, hours in count_shapes(study)[:TOP]
    ]
    ends = {"COMPLETE": "complete trials", "PRUNED": "pruned trials", "FAIL": "failed trials"}
    for state, label in ends.items():
        chosen = [t for t in study.trials if t.state == state and not t.without_run]
        if chosen:
            hours = sum(t.run_hours for t in chosen)
            rows.append((label, f"{len(chosen):,}", duration(hours * HOUR)))
    if spending.saved_hours:
        rows.append(("saved by stopping early", "", duration(spending.saved_hours * HOUR)))
    return Table("Run time", ("what", "number", "run time"), tuple(rows), frozenset({1, 2}))


def make_space_table(study: Study) -> Table | None:
    """Return type, scale and range of each parameter with its best value; None if unknown."""
    ranges = read_ranges(study)
    if not ranges:
        return None
    best = study.best()
    values = {phrases.name(k): v for k, v in best.params.items()} if best else {}
    conditional = any(each.when for each in ranges)
    head = ("parameter", "type", "scale", "values", *(["only if"] if conditional else []))
    rows = [
        (
            each.name,
            each.kind,
            each.scale,
            each.values,
            *([each.when or "–"] if conditional else []),
            *([_cell(values[each.name]) if each.name in values else "–"] if best else []),
        )
        for each in ranges[:MOST_ROWS]
    ]
    left = len(ranges) - len(rows)
    note = f"{phrases.count(left, 'further parameter')} not shown." if left > 0 else ""
    return Table("Search space", (*head, *(["best"] if best else [])), tuple(rows), note=note)


# -- provenance ---------------------------------------------------------------------------------


def make_provenance(study: Study) -> Table:
    """Return where code, data and numbers come from."""
    run = study.definition.get("run")
    rows: list[tuple[str, str]] = [("study", phrases.name(study.name))]
    rows += [("uid", phrases.name(study.uid))] if study.uid else []
    rows.append(("objective", describe_objectives(study)))
    rows += [(_label(k), _plain(v)) for k, v in run.items()] if isinstance(run, Mapping) else []
    rows += _list_metrics(study)
    if study.store:
        rows.append(("metric store", phrases.sentence(study.store)))
    for path, digest in list(study.definition.get("data", {}).items())[:TOP]:
        facts = digest.get("sha256") if isinstance(digest, Mapping) else digest
        rows.append((f"data {phrases.name(path)}", f"sha256 {phrases.sentence(facts)}"))
    space = study.definition.get("space")
    function = space.get("function") if isinstance(space, Mapping) else None
    if isinstance(function, Mapping):
        facts = {k: v for k, v in function.items() if k != "names"}
        rows.append(("search space function", _plain(facts)))
    rows += _list_times(study)
    rows.append(("report made by", _versions()))
    return Table("Provenance", (), tuple(rows[:MOST_ROWS]))


def _list_times(study: Study) -> list[tuple[str, str]]:
    """Return when the study began and ended; of a simulation, the trials have those of the day."""
    begins, ends = replace(study, runs=()).list_times() if study.is_virtual else study.list_times()
    rows = [("job runs", "simulated, in virtual time")] if study.is_virtual else []
    rows += [("first event", phrases.moment(min(begins)))] if begins else []
    return rows + ([("last end", phrases.moment(max(ends)))] if ends else [])


def _label(key: object) -> str:
    return phrases.name(key).replace("_", " ")


def _plain(value: Any) -> str:
    """Return a value without the punctuation of Python."""
    if isinstance(value, Mapping):
        return phrases.sentence("; ".join(f"{_label(k)}: {_plain(v)}" for k, v in value.items()))
    if isinstance(value, list | tuple):
        return phrases.sentence(" ".join(map(str, value))) or "none"
    return phrases.sentence(value)


def _list_metrics(study: Study) -> list[tuple[str, str]]:
    rows = []
    for metric in study.definition.get("metrics", []):
        words = [str(metric[key]) for key in ("counts", "pattern") if metric.get(key)]
        rows.append((f"metric {phrases.name(metric.get('name'))}", ", ".join(words) or "reported"))
    bounds = study.definition.get("bounds")
    if isinstance(bounds, Mapping):
        rows += [
            (f"bound on {phrases.name(k)}", phrases.sentence(bound)) for k, bound in bounds.items()
        ]
    return [(label, phrases.sentence(words)) for label, words in rows]


def _versions() -> str:
    found = []
    for package in ("tune_jobs", "optuna"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} (a checkout)")
    return f"{', '.join(found)}, Python {platform.python_version()}"


# -- several studies ----------------------------------------------------------------------------


def make_studies_table(studies: Sequence[Study], now: float) -> Table:
    """Return all studies with their results and costs, in the order in which they were given."""
    rows = []
    money = any(t.cost for s in studies for t in s.trials)
    for study in studies[:MOST_ROWS]:
        best, spending = study.best(), measure_spending(study, now)
        shown = phrases.value(best.values[0]) if best else "–"
        if not study.single and (front := study.front()):
            shown = f"front of {len(front)}"
        rows.append(
            (
                phrases.name(study.name),
                describe_objectives(study),
                shown,
                str(best.number) if best else "–",
                measure_progress(study).amount,
                "–" if spending.hours is None else duration(spending.hours * HOUR),
                duration(spending.run_hours * HOUR),
                *([f"{spending.money:.4g}"] if money else []),
            )
        )
    left = len(studies) - len(rows)
    note = "1 further study is not shown." if left == 1 else f"{left} further studies not shown."
    head = ("study", "objective", "best", "trial", "finished", "elapsed", "run time")
    return Table(
        "All studies",
        (*head, *(["cost"] if money else [])),
        tuple(rows),
        frozenset({2, 3, 4, 5, 6, 7}),
        note if left > 0 else "",
    )


def make_winners_table(result: Comparison) -> Table | None:
    """Return the parameters in which the winners differ, a row for each; None if there are none."""
    winners = result.winners[:6]
    if len(winners) < 2 or not result.differing:
        return None
    rows = [
        (phrases.name(n), *(_cell(w.params[n]) if n in w.params else "–" for w in winners))
        for n in result.differing[:MOST_ROWS]
    ]
    left = len(result.winners) - len(winners)
    return Table(
        "Parameters in which the winners differ",
        ("parameter", *(_shorten(phrases.name(w.study)) for w in winners)),
        tuple(rows),
        note=f"{left} further studies not shown." if left > 0 else "",
    )
