"""Classification of what OCI reports about failed runs and failed requests.

A run's failure is classified by its ``lifecycleDetails``, which are free text: the service has no
field for it. The wordings are assumptions (see `assumptions`), collected here. What an answer to a
request means is the table of `tune_jobs.runtime.oci_answers`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tune_jobs.errors import BackendError, SubmitError, TuneJobsError
from tune_jobs.runtime.oci_answers import (
    CAPACITY_WORDS,
    INVALID,
    LIMIT_WORDS,
    NO_ANSWER,
    NOT_OCI,
    USED_UP,
    describe_answer,
    read_answer,
)

_EXIT_CODE = re.compile(r"exit code:? *(-?\d+)", re.IGNORECASE)
_OF_SCRIPT = re.compile(r"artifact execution failed", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    """Meaning of a run's failure.

    Args:
        cause: A phrase for people.
        exit_code: The script's, if the script failed.
        transient: Whether another attempt may succeed.
        retry_after: Seconds to wait before that attempt.
        fatal: Whether every run will fail until a person fixes the cause.
        no_capacity: Whether the shape is out of capacity.
    """

    cause: str
    exit_code: int | None = None
    transient: bool = False
    retry_after: float = 0.0
    fatal: bool = False
    no_capacity: bool = False


# Searched in this order: "capacity limit exceeded" is a matter of capacity.
_FAILURES: Mapping[str, Failure] = {
    CAPACITY_WORDS: Failure(
        "out of host capacity", transient=True, retry_after=60.0, no_capacity=True
    ),
    LIMIT_WORDS: Failure("service limit reached", transient=True, retry_after=120.0),
    r"preempt|reclaimed|terminated by the (?:service|system)": Failure("preempted", transient=True),
    r"maximum run ?time|max(?:imum)?[ _-]?runtime|timed? ?out|time limit": Failure(
        "ran longer than its maximum runtime"
    ),
    r"not ?authori[sz]ed|unauthori[sz]ed|authori[sz]ation failed|permission|polic(?:y|ies)"
    r"|forbidden|access denied|authenticat": Failure(
        "lacks a permission: check the policies of the job runs' dynamic group", fatal=True
    ),
    r"(?:image|conda|environment|subnet|log group|mount|artifact).*"
    r"(?:not (?:be )?found|invalid|could not|cannot|failed to|does not exist|unable)"
    r"|(?:not found|invalid|could not|cannot|failed to|unable).*"
    r"(?:image|conda|subnet|log group|mount)": Failure(
        "could not be set up: check the conda environment, image, subnet, log group and mounts",
        fatal=True,
    ),
    r"internal|service error|infrastructure|unreachable|unhealthy|host (?:failure|maintenance)"
    r"|unexpected": Failure("failed inside the service", transient=True, retry_after=15.0),
}
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), kind) for pattern, kind in _FAILURES.items()]


def classify_failure(details: str | None, *, has_started: bool = True) -> Failure:
    """Return why a run FAILED, by its ``lifecycleDetails``.

    Args:
        details: The service's reason.
        has_started: Whether the service says when the run started. The script is not to blame for
            a run that never did.
    """
    reason = " ".join((details or "").split())[:1000]
    code = _EXIT_CODE.search(reason)
    if code and (has_started or _OF_SCRIPT.search(reason)):
        return Failure(f"exit code {code[1]}", exit_code=int(code[1]))
    for pattern, failure in _PATTERNS:
        if pattern.search(reason):
            return replace(failure, cause=f"{failure.cause} ({reason})")
    reason = reason or "the service gives no reason"
    if has_started:
        return Failure(reason)
    return Failure(f"failed before it started ({reason})", transient=True, retry_after=15.0)


# -- requests -------------------------------------------------------------------------------------


def explain_refusal(error: BaseException, doing: str, policy: str) -> TuneJobsError:
    """Return the error to raise for an answer that repeating the request cannot change.

    Args:
        error: What the SDK raised.
        doing: What was tried, such as ``"starting a job run of job ocid1..."``.
        policy: The policy statement that permits it.

    Returns:
        A `SubmitError` if this one request is wrong, a `BackendError` if all of them are.
    """
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    message = getattr(error, "message", None) or str(error)
    request_id = getattr(error, "request_id", None)
    meaning = read_answer(error, now=time.time())
    if meaning.kind == NO_ANSWER:
        return BackendError(f"{doing}: {describe_answer(error)}. {meaning.advice}")
    if meaning.kind == NOT_OCI or status is None:
        return BackendError(f"{doing}: {message}")
    answer = f"{doing}: OCI answers {status} {code}: {message}" + (
        f" (opc-request-id {request_id})" if request_id else ""
    )
    if meaning.kind in (INVALID, USED_UP) or status == 409:
        return SubmitError(answer)
    advice = meaning.advice.format(policy=policy)
    return BackendError(f"{answer}. {advice}" if advice else answer)
