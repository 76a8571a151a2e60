"""Classification of failures by what the service reports."""

import oci
import pytest
import requests

from tune_jobs.backends.oci_runs.failures import (
    classify_failure,
    explain_refusal,
)
from tune_jobs.errors import BackendError, SubmitError
from tune_jobs.runtime.oci_answers import describe_answer, read_answer


def service_error(status: int, code: str, message: str = "no") -> Exception:
    error: Exception = oci.exceptions.ServiceError(status, code, {"opc-request-id": "ABC"}, message)
    return error


@pytest.mark.parametrize(
    ("details", "cause", "transient", "fatal"),
    [
        ("Job run artifact execution failed with exit code 21.", "exit code 21", False, False),
        ("Execution failed with exit code: 137", "exit code 137", False, False),
        ("Out of host capacity.", "out of host capacity", True, False),
        ("Capacity limit exceeded for VM.GPU.A10.1", "out of host capacity", True, False),
        ("LimitExceeded: vm-standard-e4-count", "service limit", True, False),
        ("The run was preempted", "preempted", True, False),
        ("Internal error occurred", "inside the service", True, False),
        ("Job run exceeded its maximum runtime of 60 minutes", "maximum runtime", False, False),
        ("NotAuthorizedOrNotFound: log group", "permission", False, True),
        ("Conda environment generalml_p99 could not be found", "set up", False, True),
        ("Failed to pull the image iad.ocir.io/x/y:1", "set up", False, True),
        ("Authorization failed or requested resource not found.", "permission", False, True),
        ("Unauthorized: the job run may not pull", "permission", False, True),
        ("Insufficient host resources for the shape", "out of host capacity", True, False),
        ("Shape VM.GPU.A10.1 is currently not available", "out of host capacity", True, False),
        ("Service temporarily unavailable", "Service temporarily", False, False),
        ("something that no pattern knows", "something that no pattern", False, False),
        ("", "gives no reason", False, False),
        (None, "gives no reason", False, False),
    ],
)
def test_details_of_a_run_are_classified(
    details: str | None, cause: str, transient: bool, fatal: bool
) -> None:
    failure = classify_failure(details)
    assert cause in failure.cause
    assert (failure.transient, failure.fatal) == (transient, fatal)
    assert len(failure.cause) < 1200


@pytest.mark.parametrize("details", ["", None, "odd", "set-up failed with exit code 1"])
def test_script_is_not_to_blame_for_a_run_that_never_started(details: str | None) -> None:
    failure = classify_failure(details, has_started=False)
    assert (failure.exit_code, failure.transient) == (None, True)
    assert "before it started" in failure.cause


def test_exit_code_takes_precedence() -> None:
    failure = classify_failure("Internal: artifact execution failed with exit code 3")
    assert failure.exit_code == 3
    assert not failure.transient


def test_details_become_one_short_line() -> None:
    failure = classify_failure("capacity\n" * 10_000)
    assert "\n" not in failure.cause
    assert len(failure.cause) < 1200


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (service_error(429, "TooManyRequests"), True),
        (service_error(503, "ServiceUnavailable"), True),
        (service_error(500, "InternalServerError"), True),
        (service_error(409, "LockConflict"), True),
        (service_error(409, "InvalidatedRetryToken"), False),
        (service_error(404, "NotAuthorizedOrNotFound"), False),
        (service_error(400, "LimitExceeded"), False),
        (oci.exceptions.RequestException("gone"), True),
        (oci.exceptions.ConnectTimeout("slow"), True),
        (ConnectionResetError(), True),
        (ValueError("a bug"), False),
    ],
)
def test_transient_errors(error: Exception, transient: bool) -> None:
    assert read_answer(error).is_transient is transient


def test_limits() -> None:
    assert read_answer(service_error(400, "LimitExceeded"), "start").has_no_room
    assert read_answer(service_error(400, "QuotaExceeded"), "start").has_no_room
    assert not read_answer(service_error(400, "InvalidParameter"), "start").has_no_room
    assert not read_answer(ValueError(), "start").has_no_room


def test_refusal_names_request_answer_and_fix() -> None:
    missing = explain_refusal(
        service_error(404, "NotAuthorizedOrNotFound"), "starting", "allow group x"
    )
    assert isinstance(missing, BackendError)
    assert not isinstance(missing, SubmitError)
    for part in ("starting", "NotAuthorizedOrNotFound", "allow group x", "ABC"):
        assert part in str(missing)
    wrong_key = explain_refusal(service_error(401, "NotAuthenticated"), "starting", "")
    assert "fingerprint" in str(wrong_key)
    assert isinstance(explain_refusal(service_error(400, "InvalidParameter"), "x", ""), SubmitError)


def test_answer_without_a_code_is_an_answer() -> None:
    to_head = oci.exceptions.ServiceError(404, None, {}, "The service returned error code 404")
    assert describe_answer(to_head) == "404"
    assert describe_answer(ConnectionError("refused")) == "no answer (refused)"
    assert describe_answer(ValueError("no project")) == "no project"


@pytest.mark.parametrize(
    ("scheme", "variables", "said"),
    [
        ("http", {}, "no answer from 127.0.0.1:9 (Connection refused)"),
        ("https", {"HTTPS_PROXY": "http://127.0.0.1:9"}, " through the proxy (Connection refused)"),
    ],
)
def test_silence_names_the_host_and_the_reason(
    scheme: str, variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(requests.exceptions.ConnectionError) as silent:
        requests.get(f"{scheme}://127.0.0.1:9/n", timeout=5)
    assert describe_answer(silent.value).endswith(said)
    explained = str(explain_refusal(silent.value, "reading job ocid1.j", ""))
    assert explained.startswith("reading job ocid1.j: no answer from 127.0.0.1")
    assert all(word in explained for word in ("network", "region", "HTTPS_PROXY"))
