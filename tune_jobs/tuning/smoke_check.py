"""One smoke run before a hundred are started: what would go wrong, and how to fix it."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.core.attempts import Attempt
from tune_jobs.core.job_runs import RunState
from tune_jobs.core.observations import Observation
from tune_jobs.errors import TuneJobsError
from tune_jobs.tuning.preview import sample_configurations
from tune_jobs.tuning.session import RunSession
from tune_jobs.tuning.spec import TuningSpec
from tune_jobs.tuning.step_hints import explain_unread_step
from tune_jobs.tuning.tracker import LOG_TAIL


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    ok: bool
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.subject}: {self.detail}"


@dataclass(frozen=True)
class CheckReport:
    """Results of a smoke check; true if a study may be started."""

    findings: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return all(finding.ok for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))

    __repr__ = __str__


def smoke_check(spec: TuningSpec, arguments: Mapping[str, Any], time_limit: float) -> CheckReport:
    """Check the definition, then run one configuration outside of the study."""
    findings = []
    try:
        findings.append(Finding(True, "definition", _check_definition(spec)))
        with RunSession(spec, own=False) as session:
            findings.append(Finding(True, "metric store", f"{session.store.uri} is writable"))
            findings += _run(session, arguments, time_limit)
    except TuneJobsError as error:
        findings.append(Finding(False, "before the first run", str(error)))
    return CheckReport(tuple(findings))


def _check_definition(spec: TuningSpec) -> str:
    spec.check()
    return f"{', '.join(sorted(spec.space.names))} for {spec.backend!r}"


def _run(session: RunSession, arguments: Mapping[str, Any], time_limit: float) -> list[Finding]:
    spec = session.spec
    params = sample_configurations(spec, 1)[0]
    name = f"check-{secrets.token_hex(3)}-1"
    budget = None
    if spec.promotion is not None:  # as a run on the first rung
        budget = spec.promotion.minimum
        arguments = {spec.promotion.argument: budget, **arguments}
    invocation = replace(session.render(name, params, arguments), budget=budget)
    attempt = session.intend(name, None, invocation)
    session.runs.submit(attempt)
    observation = _wait(session, name, time_limit)
    script = _check_script(session, observation, attempt)
    if not script.ok:
        return [script]
    return [script, _check_metric(session, observation), _time(observation)]


def _wait(session: RunSession, name: str, time_limit: float) -> Observation:
    give_up = session.clock() + time_limit
    canceled = False
    while True:
        for observation in session.runs.wait(0.5):
            if observation.ended:
                return observation
            # A service may need minutes to provision a machine.
            waits = observation.update.state == RunState.ACCEPTED
            give_up = math.inf if waits else min(give_up, session.clock() + time_limit)
        if session.clock() > give_up and not canceled:
            canceled = True
            session.runs.cancel(name)


def _check_script(session: RunSession, observation: Observation, attempt: Attempt) -> Finding:
    update = observation.update
    if update.state == RunState.SUCCEEDED:
        return Finding(True, "script", "ran and ended with exit code 0")
    if update.state == RunState.CANCELED:
        detail = "was stopped at the check's time limit; give check() arguments that make it quick"
        return Finding(False, "script", detail)
    log = session.store.log(attempt.name, LOG_TAIL)
    hint = session.find_hint(attempt, update.cause, log)
    tail = "\n        ".join([line for line in log.splitlines() if line.strip()][-8:])
    reason = f"{hint} ({update.cause})" if hint else update.cause
    return Finding(False, "script", f"{reason}\n        {tail}")


def _check_metric(session: RunSession, observation: Observation) -> Finding:
    objectives = session.spec.objectives
    reading = objectives.read(observation.records)
    if reading.diverged:
        fix = "give check() arguments with which it does not, to be sure that others get a value"
        detail = f"{reading.diverged}: this configuration diverged, the script works; {fix}"
        return Finding(True, "metric", detail)
    if reading.values is None:
        detail = session.runs.explain(observation.update, reading.problem, session.spec.sources)
        return Finding(False, "metric", detail)
    found = ", ".join(
        f"{metric.name} = {value:g}"
        for metric, value in zip(objectives.metrics, reading.values, strict=True)
    )
    sources = session.spec.sources
    if sources.step is not None and all(r.step is None for r in observation.records):
        log = session.store.log(observation.update.name, LOG_TAIL).encode()
        return Finding(False, "step", f"{found}; {explain_unread_step(log, sources.step)}")
    return Finding(True, "metric", f"{found}; intermediate values at {len(reading.steps)} steps")


def _time(observation: Observation) -> Finding:
    update = observation.update
    seconds = (update.finished or 0.0) - (update.started or 0.0)
    return Finding(True, "time", f"{seconds:.1f} s for this run")
