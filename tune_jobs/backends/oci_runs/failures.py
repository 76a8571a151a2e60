"""Why something failed, as OCI says it, and what that means for the trial.

A run's failure is told apart by its ``lifecycleDetails``, which are free text: the service has no
field for it. The wordings are assumptions, collected here and nowhere else. A request's failure has
a status and a code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tune_jobs.errors import BackendError, SubmitError, TuneJobsError

_EXIT_CODE = re.compile(r"exit code:? *(-?\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    """What a run's failure means.

    Args:
        cause: In a sentence.
        exit_code: Of the script, if it is what failed.
        transient: Another attempt may succeed.
        retry_after: Seconds to let pass before.
        fatal: No run can succeed until somebody mends the cause.
        no_capacity: The shape is not to be had at the moment.
    """

    cause: str
    exit_code: int | None = None
    transient: bool = False
    retry_after: float = 0.0
    fatal: bool = False
    no_capacity: bool = False


# Looked for in this order: "capacity limit exceeded" is a matter of capacity.
_KINDS: Mapping[str, Failure] = {
    r"capacity": Failure(
        "out of host capacity", transient=True, retry_after=60.0, no_capacity=True
    ),
    r"limit ?exceeded|service limit|quota|exceeds? the limit": Failure(
        "service limit reached", transient=True, retry_after=120.0
    ),
    r"preempt|reclaimed|terminated by the (?:service|system)": Failure("preempted", transient=True),
    r"maximum run ?time|max(?:imum)?[ _-]?runtime|timed? ?out|time limit": Failure(
        "ran longer than its maximum runtime"
    ),
    r"not ?authori[sz]ed|permission|polic(?:y|ies)|forbidden|authenticat": Failure(
        "is not allowed to do what it needs", fatal=True
    ),
    r"(?:image|conda|environment|subnet|log group|mount|artifact).*"
    r"(?:not (?:be )?found|invalid|could not|cannot|failed to|does not exist|unable)"
    r"|(?:not found|invalid|could not|cannot|failed to|unable).*"
    r"(?:image|conda|subnet|log group|mount)": Failure("could not be set up", fatal=True),
    r"internal|service error|infrastructure|unreachable|unhealthy|host (?:failure|maintenance)"
    r"|unexpected": Failure("failed inside the service", transient=True, retry_after=15.0),
}
_COMPILED = [(re.compile(pattern, re.IGNORECASE), failure) for pattern, failure in _KINDS.items()]


def classify_failure(details: str | None) -> Failure:
    """What a run that FAILED failed of, by its ``lifecycleDetails``."""
    text = " ".join((details or "").split())[:1000]
    code = _EXIT_CODE.search(text)
    if code:
        return Failure(f"exit code {code[1]}", exit_code=int(code[1]))
    for pattern, failure in _COMPILED:
        if pattern.search(text):
            return Failure(
                f"{failure.cause} ({text})",
                transient=failure.transient,
                retry_after=failure.retry_after,
                fatal=failure.fatal,
                no_capacity=failure.no_capacity,
            )
    return Failure(text or "the service gives no reason")


# -- requests -------------------------------------------------------------------------------------


def is_transient(error: BaseException) -> bool:
    """Whether a request may be answered when it is made again: no answer, throttled, or 5xx."""
    import oci

    if isinstance(error, oci.exceptions.ServiceError):
        conflict = error.status == 409 and error.code in ("LockConflict", "IncorrectState")
        return error.status == 429 or error.status >= 500 or conflict
    unanswered = (oci.exceptions.RequestException, oci.exceptions.ConnectTimeout, OSError)
    return isinstance(error, unanswered)


def is_limit(error: BaseException) -> bool:
    """Whether the service takes no more runs at the moment; none was created."""
    return getattr(error, "code", None) in ("LimitExceeded", "QuotaExceeded")


def refusal(error: BaseException, doing: str, needs: str) -> TuneJobsError:
    """The error to raise for an answer that will not change by asking again.

    Args:
        error: What the SDK raised.
        doing: What was tried, such as ``"starting a job run of job ocid1..."``.
        needs: The policy statement that allows it.

    Returns:
        A `SubmitError` where this one request was wrong, a `BackendError` where all of them are.
    """
    status, code = getattr(error, "status", None), getattr(error, "code", None)
    message = getattr(error, "message", None) or str(error)
    request = getattr(error, "request_id", None)
    if status is None:
        return BackendError(f"{doing}: {message}")
    answer = f"{doing}: OCI answers {status} {code}: {message}" + (
        f" (opc-request-id {request})" if request else ""
    )
    if status == 401:
        return BackendError(
            f"{answer}. The key, the fingerprint or the token is not accepted: look at the profile "
            "in the OCI configuration, and at this machine's clock"
        )
    if status == 404:
        return BackendError(
            f"{answer}. OCI says the same when something does not exist and when it is not "
            f"allowed: compare the OCIDs, and see that this policy exists: {needs}"
        )
    if status in (400, 409):
        return SubmitError(answer)
    return BackendError(answer)


def brief(error: Exception) -> str:
    """What a request ended with, in a line."""
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    if code:
        return f"{code}: {message}"
    # The SDK puts the error underneath first, and then where to read about it.
    reason = error.args[0] if error.args else error
    return f"no answer ({' '.join(str(reason).split())[:200]})"
