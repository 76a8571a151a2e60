"""The final run: the best configuration, trained for real, with its provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from tune_jobs.core import events as e
from tune_jobs.core.attempts import (
    Attempt,
    AttemptState,
    attempt_name,
    earlier_attempts,
    final_attempt_name,
)
from tune_jobs.core.budget import Budget
from tune_jobs.core.formatting import duration, html_table
from tune_jobs.core.limits import Limits
from tune_jobs.core.machine import TuningMachine
from tune_jobs.core.promotion import Rung
from tune_jobs.core.snapshot import Progress
from tune_jobs.core.strict_json import encode_json, read_numbers
from tune_jobs.core.usage import RunStatistics
from tune_jobs.errors import FinalRunFailed
from tune_jobs.storage.changes import Changes
from tune_jobs.storage.writers import build_writer
from tune_jobs.tuning.choice import choose_trial, describe_infeasible
from tune_jobs.tuning.engine import Engine
from tune_jobs.tuning.fingerprints import fingerprints
from tune_jobs.tuning.provenance import FinalRequest, describe_final_run, provenance_path
from tune_jobs.tuning.session import RunSession
from tune_jobs.tuning.trials import WriteLedger


@dataclass(frozen=True)
class FinalRun:
    """A final run that has succeeded.

    Args:
        name: Its name in the study (``final-1-1``).
        trial: The trial whose configuration it trained.
        params: That configuration.
        arguments: Arguments that were added or replaced.
        metrics: The last value of each metric that it reported.
        outputs: Where its outputs are.
        files: Its outputs, relative to that place.
        provenance: Where its ``provenance.json`` is.
        seconds: How long it ran.
        work: Where other files are that it left: in its working folder.
        left: These files, relative to that place.
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
    work: str = ""
    left: tuple[str, ...] = ()

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("final run", f"{self.name}, the configuration of trial {self.trial}"),
            ("parameters", _pairs(self.params)),
            ("arguments", _pairs(self.arguments)),
            ("metrics", _pairs(self.metrics)),
            ("outputs", _list_files(self.outputs, self.files) or ("" if self.left else "none")),
            ("left files", _list_files(self.work, self.left)),
            ("provenance", self.provenance),
            ("took", duration(self.seconds)),
        ]

    def __repr__(self) -> str:
        files = len(self.files) + len(self.left)
        metrics = _pairs(self.metrics) or "no metrics"
        return (
            f"{type(self).__name__}({self.name} of trial {self.trial}, {metrics}, {files} "
            f"{'file' if files == 1 else 'files'}, took {duration(self.seconds)})"
        )

    def __str__(self) -> str:
        return "\n".join(f"{label:<11} {value}" for label, value in self._rows() if value)

    def _repr_html_(self) -> str:
        return html_table(self._rows())


class _FinalTrials:
    """The one run of a call of ``train_best``, as the engine's trials."""

    exhausted, has_changes = "", False

    def __init__(self, session: RunSession, request: FinalRequest, data: Mapping[str, Any]) -> None:
        self._session, self._request, self._data = session, request, data
        lease = session.lease if session.lease.held else None
        self._writer = build_writer(session.spec.study, lease, session.retry)
        self.succeeded: Attempt | None = None
        self.failure = ""

    def _intend(self, intent: e.Intend | e.Retry) -> e.Intended:
        """Make the first attempt of a new final run, or the next attempt of one."""
        session, request = self._session, self._request
        attempt = 1
        if isinstance(intent, e.Intend):
            numbers = [
                int(a.name.split("-")[1]) for a in session.ledger.read_attempts() if a.is_final
            ]
            name = final_attempt_name(max(numbers, default=0) + 1, 1)
        else:
            attempt = intent.attempt.attempt + 1
            name = attempt_name(intent.attempt, attempt)
        invocation = replace(
            session.render(name, request.params, request.arguments),
            resume=earlier_attempts(name),
            resources=dict(request.resources),
            key=request.key,
        )
        return e.Intended(session.intend(name, request.trial.number, invocation, attempt))

    def finish(self, result: e.Finish) -> e.Finished:
        """Write the provenance first: a final run that the ledger calls successful has one."""
        attempt = result.attempt
        if result.state == TrialState.COMPLETE:
            record = describe_final_run(
                self._session, self._request, attempt, self._data, result.reading.last
            )
            document = encode_json(record, indent=2, default=repr)
            self._session.store.write(provenance_path(attempt), document)
            self.succeeded = attempt
        else:
            self.failure = f"{attempt.name} of trial {attempt.trial} failed: {attempt.cause}"
            if attempt.state == AttemptState.SUCCEEDED:  # but reported no metric: see above
                attempt = replace(attempt, state=AttemptState.FAILED)
        return e.Finished(result, (attempt,))

    def commit(self, intents: Sequence[e.Intend | e.Retry], write: WriteLedger) -> e.Committed:
        """See `Trials.commit`."""
        intended = tuple(self._intend(intent) for intent in intents)
        self._writer.write(Changes(), lambda connection: write(intended, connection))
        return e.Committed(intended)

    def suggest(self) -> e.NotSuggested:
        """See `Trials.suggest`."""
        return e.NotSuggested()

    def promote(self, rung: Rung) -> int:
        """See `Trials.promote`: a final run has the whole budget already."""
        raise AssertionError(rung)

    def report(self, report: e.Report) -> int | None:
        """See `Trials.report`."""
        return None

    def attempts_of(self, number: int) -> Sequence[str]:
        """See `Trials.attempts_of`."""
        return ()

    def take_finished(self) -> Sequence[int]:
        """See `Trials.take_finished`."""
        return ()

    def sync(self) -> None:
        """See `Trials.sync`."""


def train_best(
    session: RunSession,
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
    spec = session.spec
    chosen = choose_trial(spec, trial, pick)
    if warning := describe_infeasible(chosen):
        session.messages.warn(warning)
    request = _request(session, chosen, arguments, resources)
    earlier = [
        a
        for a in session.ledger.read_attempts(request.trial.number)
        if a.is_final and a.invocation.key == request.key
    ]
    done = [a for a in earlier if a.state == AttemptState.SUCCEEDED]
    if done and not again:
        line = f"{done[-1].name} trained exactly this already; again=True trains it again"
        session.messages.say(line)
        return _recorded(session, done[-1])
    trials = _FinalTrials(session, request, fingerprints(data or spec.options.data))
    open_attempts = [a for a in earlier if a.told is None]
    try:
        _run(session, trials, request, open_attempts)
    finally:
        progress.close()
    if trials.succeeded is None:
        raise FinalRunFailed(f"the final run {trials.failure or 'was stopped on request'}")
    return _recorded(session, trials.succeeded)


def _request(
    session: RunSession,
    chosen: FrozenTrial,
    arguments: Mapping[str, Any],
    resources: Mapping[str, Any],
) -> FinalRequest:
    spec = session.spec
    params = spec.space.sample(cast("optuna.Trial", FixedTrial(chosen.params)))
    budget: dict[str, Any] = {}
    if spec.promotion is not None:
        budget = {spec.promotion.argument: spec.promotion.maximum}
    return FinalRequest(chosen, params, {**budget, **arguments}, resources)


def _run(
    session: RunSession,
    trials: _FinalTrials,
    request: FinalRequest,
    open_attempts: Sequence[Attempt],
) -> None:
    """Resume an open final run, or start a new one, and wait for its end."""
    limits = Limits(n_trials=0, deadline=None, max_parallel=1)  # the one run is given below
    statistics = RunStatistics(session.spec.options.prices or {})
    machine = TuningMachine(Budget(limits, statistics), session.spec.backend.name)
    engine = Engine(session, machine, trials)

    def begin() -> None:
        if open_attempts:
            engine.recover(open_attempts)
        else:
            engine.handle(e.Suggested(request.trial.number))
            engine.commit()
        for name in machine.live:
            session.messages.say(
                f"{name}: training the configuration of trial {request.trial.number}"
            )

    engine.run(begin)


def _recorded(session: RunSession, attempt: Attempt) -> FinalRun:
    """Return a final run as its provenance describes it."""
    record = json.loads(session.store.read_text(provenance_path(attempt)))
    return FinalRun(
        name=attempt.name,
        trial=record["trial"]["number"],
        params=record["parameters"],
        arguments=record["arguments"],
        metrics=read_numbers(record["metrics"]),
        outputs=session.store.outputs_uri(attempt.name),
        files=tuple(record["outputs"]),
        work=session.store.work_uri(attempt.name),
        left=tuple(record.get("left", ())),  # of earlier versions: unknown
        provenance=f"{session.store.uri}/{provenance_path(attempt)}",
        seconds=record["times"]["finished"] - record["times"]["started"],
    )


def _list_files(place: str, names: Sequence[str]) -> str:
    """Return files in a place in a line; empty without files."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{place}: {', '.join(names[:10])}{more}" if names else ""


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={format(value, '.6g') if isinstance(value, float) else value}"
        for name, value in values.items()
    )
