"""What a page shows of one trial, or of one final run; ``tune-jobs show`` prints the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.costs import Prices
from tune_jobs.core.formatting import format_parameter
from tune_jobs.core.no_best import describe_constraint
from tune_jobs.core.nodes import parse_shape
from tune_jobs.core.trial_attributes import (
    ARGUMENTS_ATTRIBUTE,
    CONSOLE_ATTRIBUTE,
)
from tune_jobs.dashboard.drawing import clean
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.trial_history import explain, find_descendants, find_origin
from tune_jobs.errors import StudyError
from tune_jobs.script.invocation_text import format_invocation
from tune_jobs.space.validity import are_same

MAX_VALUE = 2000
"""Characters that are shown of a parameter or a cause."""

MAX_NAMES = 500
"""Parameters, metrics and constraints that are shown, of each."""

MAX_ATTEMPTS = 100
"""Attempts that are shown: the last ones, and the chosen one."""

MAX_COMMAND = 100_000
"""Characters of a command, or of a file that a run is given, above which it is not sent."""

MAX_FRONT = 200
"""Trials of a Pareto front that a trial can be compared with."""


@dataclass(frozen=True)
class Subject:
    """What a page is about: a trial with its runs, or a final run of its configuration.

    Args:
        study: The study.
        trial: The trial.
        runs: All attempts, the first one first.
        final: Name of the final run, such as ``final-1``; empty for a trial.
    """

    study: Study
    trial: Trial
    runs: Sequence[Attempt]
    final: str = ""

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"Final run {self.final}" if self.final else f"Trial {self.trial.number}"

    def select_run(self, attempt: int | None = None) -> Attempt | None:
        """Return an attempt by its number, by default the last one; None without any.

        Raises:
            StudyError: If there is no such attempt.
        """
        if attempt is None:
            return self.runs[-1] if self.runs else None
        for run in self.runs:
            if run.attempt == attempt:
                return run
        known = f"it has {len(self.runs)}" if self.runs else "it has no job run"
        raise StudyError(f"{self.title} has no attempt {attempt}: {known}")


def find_trial(study: Study, number: int) -> Subject:
    """Return a trial with its runs.

    Raises:
        StudyError: If the study has no such trial.
    """
    trial = next((t for t in study.trials if t.number == number), None)
    if trial is None:
        last = f"its last one is {study.trials[-1].number}" if study.trials else "it has none yet"
        name = clean(study.name, MAX_VALUE)
        raise StudyError(f"study {name!r} has no trial {number}: {last}")
    return Subject(study, trial, [r for r in study.runs if r.trial == number and not r.is_final])


def find_final_run(study: Study, name: str) -> Subject:
    """Return a final run, such as ``final-1``, with its attempts.

    Raises:
        StudyError: If the study has no such final run.
    """
    runs = [r for r in study.runs if r.is_final and final_name(r) == name]
    trial = next((t for t in study.trials if runs and t.number == runs[-1].trial), None)
    if trial is None:
        known = ", ".join(dict.fromkeys(final_name(r) for r in study.runs if r.is_final))
        raise StudyError(f"the study has no final run {name[:50]!r}: it has {known or 'none'}")
    return Subject(study, trial, runs, final=name)


def final_name(run: Attempt) -> str:
    """Return the name of a final run that an attempt belongs to."""
    return run.name.rpartition("-")[0]


def count_nodes(study: Study, run: Attempt) -> int:
    """Return the number of nodes of a run."""
    if run.shape:
        return parse_shape(run.shape)[0]
    described = study.definition.get("run", {}).get("nodes", 1)
    return described if isinstance(described, int) else 1


def find_compared(subject: Subject, beside: int | None = None) -> Trial | None:
    """Return the trial that a trial is shown beside: the best one, or one of the front.

    Args:
        subject: What is shown; a final run is shown beside its trial.
        beside: Number of another trial.
    """
    study = subject.study
    if subject.final and beside is None:
        return subject.trial
    trials = study.front() if beside is None else study.trials
    own = None if subject.final else subject.trial.number
    for trial in trials:
        if trial.number != own and beside in (None, trial.number):
            return trial
    return None


def trial_view(
    subject: Subject, attempt: int | None = None, beside: int | None = None
) -> dict[str, Any]:
    """Return what the page of a trial or of a final run shows; files of runs are not read.

    Args:
        subject: What is shown.
        attempt: Number of the chosen attempt; by default the last one.
        beside: Number of the trial to compare parameters and values with; by default the best.

    Raises:
        StudyError: If there is no such attempt.
    """
    study, trial = subject.study, subject.trial
    # The values of a final run are in its metrics only.
    valued = replace(trial, values=(), attributes={}, constraints={}) if subject.final else trial
    run = subject.select_run(attempt)
    other = find_compared(subject, beside)
    front = [t.number for t in study.front()]
    return {
        "study": clean(study.name, MAX_VALUE),
        "title": subject.title,
        "number": trial.number,
        "final": subject.final,
        "state": subject.runs[-1].stage if subject.final else trial.state,
        "explanation": explain(study, trial, subject.runs, is_final=bool(subject.final)),
        "is_best": trial.number in front,
        "is_live": is_live(subject),
        "beside": None if other is None else other.number,
        "beside_best": other is not None and other.number in front,
        "front": front[:MAX_FRONT],
        "objectives": _objectives(study, valued, other),
        "metrics": _other_metrics(study, valued, other),
        "constraints": _constraints(study, valued),
        "params": _params(trial, other),
        "arguments": _arguments(trial),
        "attempts": _attempts(study, subject.runs, run),
        "attempts_total": len(subject.runs),
        "run": None if run is None else run.name,
        "command": None if run is None else _command(study, run),
        "run_hours": sum(r.seconds or 0.0 for r in subject.runs) / 3600.0,
        "seconds": None if subject.final else trial.seconds,
        "cost": _sum_costs(study, subject.runs) if subject.final else trial.cost or None,
        "user_note": _note(subject),
        "owner": study.owner,
        "console": _console(trial) if not subject.final else None,
        "origin": find_origin(study, trial, is_final=bool(subject.final)),
        "descendants": [] if subject.final else find_descendants(study, trial),
        **_neighbors(subject),
    }


def is_live(subject: Subject) -> bool:
    """Return whether something may still change."""
    if subject.final:
        return subject.runs[-1].told is None
    return subject.trial.state in ("RUNNING", "WAITING")


def _objectives(study: Study, trial: Trial, other: Trial | None) -> list[dict[str, Any]]:
    return [
        {
            "name": clean(name, MAX_VALUE),
            "direction": "maximize" if study.maximize[i] else "minimize",
            "value": _number(trial.values[i]) if i < len(trial.values) else None,
            "beside": _number(other.values[i]) if other and i < len(other.values) else None,
        }
        for i, name in enumerate(study.metrics)
    ]


def _other_metrics(study: Study, trial: Trial, other: Trial | None) -> list[dict[str, Any]]:
    """Return the last values of metrics that are not objectives."""
    own, others = trial.last_metrics, other.last_metrics if other else {}
    return [
        {
            "name": clean(name, MAX_VALUE),
            "value": _number(value),
            "beside": _number(others.get(name)),
        }
        for name, value in {**dict.fromkeys(others), **own}.items()
        if name not in study.metrics
    ][:MAX_NAMES]


def _number(value: Any) -> float | str | None:
    """Return a number as JSON has it: one that is not finite as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None if value is None else clean(value, MAX_VALUE)
    return value if abs(value) < float("inf") else str(value)


def _constraints(study: Study, trial: Trial) -> list[dict[str, Any]]:
    bounds, last = study.definition.get("bounds", {}), trial.last_metrics
    violations = trial.result.violations
    return [
        {
            "text": clean(describe_constraint(name, bounds), MAX_VALUE),
            "value": _number(last.get(name)),
            "by": _number(amount),
            "violated": name in violations,
        }
        for name, amount in trial.constraints.items()
    ][:MAX_NAMES]


def _params(trial: Trial, other: Trial | None) -> list[dict[str, Any]]:
    own, others = trial.params, other.params if other else {}
    return [
        {
            "name": clean(name, MAX_VALUE),
            "value": _param(own, name),
            "beside": _param(others, name),
            "differs": other is not None and _differs(name, own, others),
        }
        for name in dict.fromkeys([*own, *others])
    ][:MAX_NAMES]


def _param(params: Mapping[str, Any], name: str) -> str | None:
    """Return a parameter with all its digits; None if there is none."""
    return clean(format_parameter(params[name]), MAX_VALUE) if name in params else None


def _differs(name: str, own: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    return name not in own or name not in others or not are_same(own[name], others[name])


def _arguments(trial: Trial) -> list[dict[str, Any]]:
    """Return the arguments that the runs get beside the parameters."""
    found = trial.attributes.get(ARGUMENTS_ATTRIBUTE)
    given = found if isinstance(found, dict) else {}
    return [{"name": clean(n, MAX_VALUE), "value": _value(given, n)} for n in given][:MAX_NAMES]


def _value(values: Mapping[str, Any], name: str) -> str | None:
    return clean(values[name], MAX_VALUE) if name in values else None


def _attempts(
    study: Study, runs: Sequence[Attempt], chosen: Attempt | None
) -> list[dict[str, Any]]:
    """Return the attempts, the last one first."""
    shown = list(runs[-MAX_ATTEMPTS:])
    if chosen is not None and chosen not in shown:
        shown.insert(0, chosen)
    return [_attempt(study, run) for run in reversed(shown)]


def _attempt(study: Study, run: Attempt) -> dict[str, Any]:
    began = run.started if run.started is not None else run.finished
    return {
        "name": run.name,
        "attempt": run.attempt,
        "state": run.stage,
        "requested": run.intended,
        "accepted": run.accepted,
        "started": run.started,
        "ended": run.finished,
        "reported": run.told,
        "provisioning": None if began is None else max(0.0, began - run.intended),
        "seconds": run.seconds,
        "cost": _cost(study, run),
        "shape": clean(run.shape or run.backend, MAX_VALUE),
        "nodes": count_nodes(study, run),
        "exit_code": run.exit_code,
        "cause": _text(run.cause or ""),
        "run_id": clean(run.run_id or "", MAX_VALUE),
        "resumes": [clean(name, MAX_VALUE) for name in run.invocation.resume[:3]],
        "budget": run.invocation.budget,
    }


def _cost(study: Study, run: Attempt) -> float | None:
    """Return what an attempt cost; None if it has not ended, or there are no prices."""
    if not study.prices or run.seconds is None:
        return None
    return Prices(study.prices).of(run).money


def _sum_costs(study: Study, runs: Sequence[Attempt]) -> float | None:
    return sum(_cost(study, run) or 0.0 for run in runs) or None


def _note(subject: Subject) -> str:
    """Return the note on a trial; a final run has none of its own."""
    note = None if subject.final else subject.study.notes.get(subject.trial.number)
    return note.text if note else ""


def _text(text: str) -> str:
    """Return a text of several lines with each of them cleaned."""
    return "\n".join(clean(line, MAX_VALUE) for line in text[:MAX_VALUE].splitlines())


def _command(study: Study, run: Attempt) -> dict[str, Any]:
    """Return the command of a run as a shell takes it, and what else it is given."""
    described = study.definition.get("run", {})
    entry = [str(word) for word in described.get("command", [])]
    line = format_invocation(entry, replace(run.invocation, files={}))
    environment = described.get("environment", {})
    return {
        "line": line if len(line) <= MAX_COMMAND else None,
        "length": len(line),
        "files": [
            {
                "path": clean(path, MAX_VALUE),
                "content": content if len(content) <= MAX_COMMAND else None,
                "length": len(content),
            }
            for path, content in list(run.invocation.files.items())[:20]
        ],
        "secrets": [
            {"name": clean(name, MAX_VALUE), "reference": clean(reference, MAX_VALUE)}
            for name, reference in list(environment.get("secrets", {}).items())[:MAX_NAMES]
        ],
        "variables": [clean(n, MAX_VALUE) for n in environment.get("names", [])[:MAX_NAMES]],
        "resources": {
            clean(name, MAX_VALUE): clean(value, MAX_VALUE)
            for name, value in list(run.invocation.resources.items())[:MAX_NAMES]
        },
    }


def _console(trial: Trial) -> str | None:
    """Return the address in the cloud's console; a link of any other scheme must not get out."""
    console = str(trial.attributes.get(CONSOLE_ATTRIBUTE))
    return console[:MAX_VALUE] if console.startswith("https://") else None


def _neighbors(subject: Subject) -> dict[str, Any]:
    """Return the trial, or the final run, before and after, and how many there are."""
    study = subject.study
    here: str | int = subject.final or subject.trial.number
    everything: list[str | int] = (
        list(dict.fromkeys(final_name(r) for r in study.runs if r.is_final))
        if subject.final
        else [t.number for t in study.trials]
    )
    place = everything.index(here)
    return {
        "previous": everything[place - 1] if place else None,
        "next": everything[place + 1] if place + 1 < len(everything) else None,
    }
