"""The final run: the best configuration, trained for real, and where it came from."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from tune_jobs.core.attempts import Attempt, AttemptState, final_attempt_name
from tune_jobs.core.formatting import duration, html_table
from tune_jobs.core.job_runs import RunPaths, RunState
from tune_jobs.core.objectives import Objectives
from tune_jobs.core.observations import Observation
from tune_jobs.core.outcomes import closed
from tune_jobs.core.snapshot import Progress
from tune_jobs.errors import FinalRunFailed, StudyError
from tune_jobs.script.command_line import format_invocation
from tune_jobs.tuning.fingerprints import fingerprints
from tune_jobs.tuning.session import Session


@dataclass(frozen=True)
class FinalRun:
    """A final run that has succeeded.

    Args:
        name: Its name in the study (``final-1-1``).
        trial: The trial whose configuration it trained.
        params: That configuration.
        arguments: What was added or replaced.
        metrics: The last value of everything that it reported.
        outputs: Where its outputs are.
        files: Its outputs, relative to that place.
        provenance: Where its ``provenance.json`` is.
        seconds: How long it ran.
    """

    name: str
    trial: int
    params: Mapping[str, Any]
    arguments: Mapping[str, Any]
    metrics: Mapping[str, float]
    outputs: str
    files: tuple[str, ...]
    provenance: str
    seconds: float

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("final run", f"{self.name}, the configuration of trial {self.trial}"),
            ("parameters", _pairs(self.params)),
            ("arguments", _pairs(self.arguments)),
            ("metrics", _pairs(self.metrics)),
            ("outputs", f"{self.outputs}: {', '.join(self.files) or 'none'}"),
            ("provenance", self.provenance),
            ("took", duration(self.seconds)),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{label:<11} {text}" for label, text in self._rows() if text)

    def _repr_html_(self) -> str:
        return html_table(self._rows())


def train_best(
    session: Session,
    progress: Progress,
    *,
    arguments: Mapping[str, Any],
    trial: int | None,
    pick: str | None,
    data: Sequence[Path],
    resources: Mapping[str, Any],
    again: bool,
) -> FinalRun:
    """See `Tuner.train_best`."""
    definition = session.definition
    chosen = choose(definition.study, definition.objectives, trial, pick)
    params = definition.space.sample(cast(optuna.Trial, FixedTrial(chosen.params)))
    budget: dict[str, Any] = {}
    if (promotion := definition.options.promotion) is not None:
        budget = {promotion.argument: promotion.maximum}
    asked = {"trial": chosen.number, "params": params, "arguments": {**budget, **arguments}}
    key = json.dumps(asked, sort_keys=True, default=repr)
    earlier = [
        a
        for a in session.ledger.attempts(chosen.number)
        if a.is_final and a.invocation.get("key") == key
    ]
    done = [a for a in earlier if a.state == AttemptState.SUCCEEDED]
    if done and not again:
        progress.say(f"{done[-1].name} trained exactly this already; again=True trains it again")
        return _recorded(session, done[-1])
    taken = fingerprints(data or definition.options.data)
    try:
        attempt = _go_on(session, earlier) or _start(session, chosen.number, asked, key, resources)
        observation = _wait(session, attempt, progress)
    finally:
        progress.close()
    return _finish(session, chosen, asked, observation, taken)


def choose(
    study: optuna.Study, objectives: Objectives, trial: int | None, pick: str | None
) -> FrozenTrial:
    """The trial to train.

    Raises:
        StudyError: there is none, or the choice is not clear.
    """
    if trial is not None:
        found = [t for t in study.get_trials(deepcopy=False) if t.number == trial]
        if not found or found[0].state not in (TrialState.COMPLETE, TrialState.PRUNED):
            raise StudyError(f"study {study.study_name!r} has no finished trial {trial}")
        return found[0]
    front = [t for t in study.best_trials if t.values is not None] if _any(study) else []
    if not front:
        raise StudyError(f"study {study.study_name!r} has no trial with a value: optimize() first")
    if len(objectives.metrics) == 1:
        return front[0]
    names = [m.name for m in objectives.metrics]
    if pick in names:
        index = names.index(pick)
        sign = -1.0 if objectives.maximize[index] else 1.0
        return min(front, key=lambda t: sign * t.values[index])
    if pick == "knee":
        return _knee(front, objectives.maximize)
    raise StudyError(
        f"{len(front)} trials are best in some way: say which with "
        f"pick={' or '.join(map(repr, [*names, 'knee']))}, or with trial=NUMBER"
    )


def _any(study: optuna.Study) -> bool:
    return any(t.state == TrialState.COMPLETE for t in study.get_trials(deepcopy=False))


def _knee(front: Sequence[FrozenTrial], maximize: Sequence[bool]) -> FrozenTrial:
    """The trial nearest to the best of each objective, every objective scaled to 0..1."""
    columns = list(zip(*(t.values for t in front), strict=True))

    def distance(trial: FrozenTrial) -> float:
        total = 0.0
        for value, column, up in zip(trial.values, columns, maximize, strict=True):
            low, high = min(column), max(column)
            best = high if up else low
            total += ((value - best) / (high - low)) ** 2 if high > low else 0.0
        return math.sqrt(total)

    return min(front, key=distance)


def _start(
    session: Session,
    trial: int,
    asked: Mapping[str, Any],
    key: str,
    resources: Mapping[str, Any],
) -> Attempt:
    """A new final run: intended, then submitted."""
    numbers = [int(a.name.split("-")[1]) for a in session.ledger.attempts() if a.is_final]
    name = final_attempt_name(max(numbers, default=0) + 1, 1)
    invocation = session.render(name, asked["params"], asked["arguments"])
    attempt = session.attempt(name, trial, {**invocation, "key": key, "resources": dict(resources)})
    session.ledger.intend(None, [attempt])
    _submit(session, attempt)
    return attempt


def _submit(session: Session, attempt: Attempt) -> None:
    run_id = session.runs.submit(attempt)
    if run_id is not None:
        session.ledger.submitted(None, [(attempt.name, run_id, session.clock())])


def _go_on(session: Session, earlier: Sequence[Attempt]) -> Attempt | None:
    """A final run of the same that an earlier call left open, if it can still succeed."""
    for attempt in earlier:
        if attempt.told is not None:
            continue
        update = session.service.find([attempt.name]).get(attempt.name)
        if update is None and attempt.state == AttemptState.INTENDED:
            _submit(session, attempt)
            return attempt
        if update is not None and (
            not update.state.is_terminal or update.state == RunState.SUCCEEDED
        ):
            session.runs.track(attempt, update)
            return attempt
        gone = replace(attempt, state=AttemptState.LOST, cause="interrupted")
        session.ledger.ended(None, [gone], session.clock())
    return None


def _wait(session: Session, attempt: Attempt, progress: Progress) -> Observation:
    progress.say(f"{attempt.name}: training the configuration of trial {attempt.trial}")
    try:
        while True:
            for observation in session.runs.wait(0.5):
                if observation.ended:
                    return observation
    except KeyboardInterrupt:
        session.runs.cancel(attempt.name)
        raise


def _finish(
    session: Session,
    chosen: FrozenTrial,
    asked: Mapping[str, Any],
    observation: Observation,
    data: Mapping[str, Any],
) -> FinalRun:
    """Record how it ended, with its provenance."""
    attempt, update = observation.attempt, observation.update
    state = AttemptState(update.state.value)
    if update.state != RunState.SUCCEEDED:
        cause = session.runs.explain(observation, update.cause, session.definition.objectives.names)
        failed = closed(attempt, update, state, cause)
        session.ledger.ended(None, [failed], session.clock())
        raise FinalRunFailed(
            f"the final run {attempt.name} of trial {attempt.trial} failed: {cause}"
        )
    reading = session.definition.objectives.read(observation.records)
    record = _provenance(session, chosen, asked, observation, data, dict(reading.last))
    session.store.write(_provenance_path(attempt), json.dumps(record, indent=2, default=repr))
    # The provenance first: a final run that the ledger calls done has one.
    session.ledger.ended(None, [closed(attempt, update, state, "")], session.clock())
    return _recorded(session, attempt)


def _recorded(session: Session, attempt: Attempt) -> FinalRun:
    """A final run as its provenance tells it."""
    record = json.loads(session.store.read_text(_provenance_path(attempt)))
    return FinalRun(
        name=attempt.name,
        trial=record["trial"]["number"],
        params=record["parameters"],
        arguments=record["arguments"],
        metrics=record["metrics"],
        outputs=session.store.outputs_uri(attempt.name),
        files=tuple(record["outputs"]),
        provenance=f"{session.store.uri}/{_provenance_path(attempt)}",
        seconds=record["times"]["finished"] - record["times"]["started"],
    )


def _provenance_path(attempt: Attempt) -> str:
    return f"runs/{attempt.name}/provenance.json"


def _provenance(
    session: Session,
    chosen: FrozenTrial,
    asked: Mapping[str, Any],
    observation: Observation,
    data: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """Everything that the run can be repeated from."""
    definition, attempt, update = session.definition, observation.attempt, observation.update
    run = session.service.describe()
    here = RunPaths.below("repeat")
    repeated = definition.command_line.render(asked["params"], here, asked["arguments"])
    command = cast("list[str]", run["command"])
    return {
        "study": {"name": definition.study.study_name, "uid": session.ledger.uid},
        "trial": {"number": chosen.number, "values": chosen.values},
        "parameters": asked["params"],
        "arguments": asked["arguments"],
        "command": [*command, *attempt.invocation["argv"]],
        "environment": attempt.invocation["env"],
        "files": attempt.invocation["files"],
        "repeat": format_invocation(command, repeated),
        "code": {k: v for k, v in run.items() if k != "command"},
        "data": data,
        "versions": _versions(),
        "times": {
            "intended": attempt.intended,
            "started": update.started,
            "finished": update.finished,
        },
        "metrics": metrics,
        "outputs": session.store.outputs(attempt.name),
    }


def _versions() -> dict[str, Any]:
    packages = {d.metadata["Name"]: d.version for d in distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "tune_jobs": version("tune_jobs") if "tune_jobs" in packages else "a checkout",
        "packages": dict(sorted(packages.items())),
    }


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={format(value, '.6g') if isinstance(value, float) else value}"
        for name, value in values.items()
    )
