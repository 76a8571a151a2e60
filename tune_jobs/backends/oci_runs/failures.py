"""Classification of what OCI reports about failed runs and failed requests.

A run's failure is classified by its ``lifecycleDetails``, which are free text: the service has no
field for it. The wordings are assumptions, collected here and nowhere else. A failed request has a
status and a code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tune_jobs.errors import BackendError, SubmitError, TuneJobsError

_EXIT_CODE = re.compile(r"exit code:? *(-?\d+)", re.IGNORECASE)


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
        "lacks a permission", fatal=True
    ),
    r"(?:image|conda|environment|subnet|log group|mount|artifact).*"
    r"(?:not (?:be )?found|invalid|could not|cannot|failed to|does not exist|unable)"
    r"|(?:not found|invalid|could not|cannot|failed to|unable).*"
    r"(?:image|conda|subnet|log group|mount)": Failure("could not be set up", fatal=True),
    r"internal|service error|infrastructure|unreachable|unhealthy|host (?:failure|maintenance)"
    r"|unexpected": Failure("failed inside the service", transient=True, retry_after=15.0),
}
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), kind) for pattern, kind in _FAILURES.items()]


def classify_failure(details: str | None) -> Failure:
    """Return why a run FAILED, by its ``lifecycleDetails``."""
    reason = " ".join((details or "").split())[:1000]
    code = _EXIT_CODE.search(reason)
    if code:
        return Failure(f"exit code {code[1]}", exit_code=int(code[1]))
    for pattern, failure in _PATTERNS:
        if pattern.search(reason):
            return replace(failure, cause=f"{failure.cause} ({reason})")
    return Failure(reason or "the service gives no reason")


# -- requests -------------------------------------------------------------------------------------


def is_transient(error: BaseException) -> bool:
    """Return whether repeating a request may help: it had no answer, was throttled, or got 5xx."""
    import oci

    if isinstance(error, oci.exceptions.ServiceError):
        conflict = error.status == 409 and error.code in ("LockConflict", "IncorrectState")
        return error.status == 429 or error.status >= 500 or conflict
    unanswered = (oci.exceptions.RequestException, oci.exceptions.ConnectTimeout, OSError)
    return isinstance(error, unanswered)


def is_limit(error: BaseException) -> bool:
    """Return whether the service has no room for another run now; it created none."""
    return getattr(error, "code", None) in ("LimitExceeded", "QuotaExceeded")


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
    if status is None:
        return BackendError(f"{doing}: {message}")
    answer = f"{doing}: OCI answers {status} {code}: {message}" + (
        f" (opc-request-id {request_id})" if request_id else ""
    )
    if status == 401:
        return BackendError(
            f"{answer}. The key, the fingerprint or the token is not accepted: check the profile "
            "in the OCI configuration, and this machine's clock"
        )
    if status == 404:
        return BackendError(
            f"{answer}. OCI answers the same if something does not exist and if access to it is "
            f"not permitted: compare the OCIDs, and check that this policy exists: {policy}"
        )
    if status in (400, 409):
        return SubmitError(answer)
    return BackendError(answer)


def describe_error(error: Exception) -> str:
    """Return what a request ended with, in one line."""
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    if code:
        return f"{code}: {message}"
    # The SDK puts the underlying error first, and then where to read about it.
    reason = error.args[0] if error.args else error
    return f"no answer ({' '.join(str(reason).split())[:200]})"
