"""Judgement of the assumptions about job runs, by what two of them reported and showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tune_jobs.backends.data_science.doctor.probe_job import OWN_ARGUMENT
from tune_jobs.backends.data_science.doctor.report import Findings
from tune_jobs.backends.oci_runs.failures import classify_failure
from tune_jobs.oci import policies
from tune_jobs.runtime.probe import EXIT_CODE

_NEWLINE = "line\nbreak"
WORDS = [
    *("--lr=-0.5", "two  words", "it's", 'a "quoted" word', "ünï ✓", "$HOME", "back\\slash"),
    *("*", "", _NEWLINE),
]
"""Arguments of the runs."""

VALUE = ' blanks  and "quotes", it\'s = ü $HOME '
"""Value of an environment variable of the runs."""

_KNOWN = {
    *("ACCEPTED", "IN_PROGRESS", "FAILED", "SUCCEEDED", "CANCELING", "CANCELED", "DELETED"),
    "NEEDS_ATTENTION",
}


class Probed(Protocol):
    """Job run that has ended."""

    id: str
    model: Any
    states: set[str]
    reports: dict[str, dict[str, Any]]


def judge_runs(
    runs: Mapping[str, Probed], listed: Sequence[Any], findings: Findings, grace: float
) -> None:
    """Judge both runs.

    Args:
        runs: Those with the kinds ``inside`` and ``cancel``.
        listed: The summaries of the job's runs.
        findings: Where results are added.
        grace: Seconds for which the canceled run was to live on.
    """
    inside, canceled = runs["inside"], runs["cancel"]
    _judge_states(inside, canceled, findings)
    _judge_listing(inside, canceled, listed, findings)
    if "inside" in inside.reports:
        facts = inside.reports["inside"]
        _judge_arguments(facts["argv"], findings)
        _judge_environment(facts, findings)
        _judge_packages(facts, findings)
        _judge_exit(inside.model, findings)
    else:
        details = inside.model.lifecycle_details or inside.model.lifecycle_state
        findings.add("probe", "differs", f"run {inside.id} reported nothing: {details}")
    _judge_cancel(canceled, findings, grace)


def _judge_states(inside: Probed, canceled: Probed, findings: Findings) -> None:
    unknown = (inside.states | canceled.states) - _KNOWN
    findings.judge("states-known", not unknown, ", ".join(sorted(unknown)))
    run = inside.model
    times = [run.time_accepted, run.time_started, run.time_finished]
    known = [time for time in times if time is not None]
    findings.judge("times-ordered", len(known) == 3 and known == sorted(known), times)


def _judge_listing(
    inside: Probed, canceled: Probed, listed: Sequence[Any], findings: Findings
) -> None:
    order = [run.id for run in listed if run.id in (inside.id, canceled.id)]
    if len(order) == 2:
        findings.judge("newest-first", order == [canceled.id, inside.id])
    for run in listed:
        if run.id == inside.id:
            shown = [run.lifecycle_state, run.freeform_tags, run.time_accepted, run.display_name]
            shown += [run.lifecycle_details] if inside.model.lifecycle_details else []
            findings.judge("summary-complete", all(shown), shown)


def _judge_arguments(found: Sequence[str], findings: Findings) -> None:
    findings.judge("arguments-replace", OWN_ARGUMENT not in found, found)
    words = [word for word in found if word != OWN_ARGUMENT]
    expected = WORDS[:-1]
    findings.judge("arguments-split", words[: len(expected)] == expected, words)
    findings.judge("arguments-newline", any(_NEWLINE in word for word in words), words[-1:])


def _judge_environment(facts: Mapping[str, Any], findings: Findings) -> None:
    env = facts["env"]
    value = env["TUNE_JOBS_PROBE_VALUE"]
    findings.judge("environment-arrives", value == VALUE, repr(value))
    both = env["TUNE_JOBS_PROBE_BOTH"]
    findings.judge("environment-wins", both == "run", f"it is {both!r}")
    findings.judge("environment-merged", env["TUNE_JOBS_PROBE_JOB"] == "job", "it is missing")
    service = facts["service_variables"]
    findings.judge("service-variables", "JOB_RUN_OCID" in service, f"only {service}")
    findings.judge("starts-in-folder", facts["in_folder"], f"it is {facts['folder']}")


def _judge_packages(facts: Mapping[str, Any], findings: Findings) -> None:
    python = tuple(facts["python"])
    findings.judge("python-version", python >= (3, 8), ".".join(map(str, python)))
    findings.judge("oci-installed", facts["oci"] is not None, "`import oci` fails")
    findings.judge("resource-principal", bool(facts["principal"]), "no variable names one")
    if facts["oci"] is None or not facts["principal"]:
        return
    if facts["store_problem"]:
        findings.add("store-from-run", "refused", facts["store_problem"], policies.RUN_STORE)
    else:
        findings.add("store-from-run", "holds")


def _judge_exit(run: Any, findings: Findings) -> None:
    findings.judge("nonzero-fails", run.lifecycle_state == "FAILED", run.lifecycle_state)
    if run.lifecycle_state == "FAILED":
        code = classify_failure(run.lifecycle_details).exit_code
        findings.judge("exit-code-wording", code == EXIT_CODE, run.lifecycle_details)


def _judge_cancel(run: Probed, findings: Findings, grace: float) -> None:
    state = run.model.lifecycle_state
    if "ready" not in run.reports:
        findings.add("cancel-sigterm", "not tried", "the run to cancel reported nothing")
        return
    findings.judge("cancel-canceled", state == "CANCELED", state)
    findings.judge("cancel-sigterm", "term" in run.reports, "it was killed at once")
    if "term" in run.reports:
        lived = run.reports.get("alive")  # only in the log
        after = f"after about {lived['seconds']:.1f} of" if lived else "in less than"
        seconds = f"killed {after} {grace:g} s"
        findings.judge("cancel-grace", "survived" in run.reports, seconds)
