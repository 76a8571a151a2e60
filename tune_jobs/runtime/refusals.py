"""What a run cannot work without, found out in seconds: before the script is started.

The runner writes a small object first. If it cannot, it exits with a code of `EXIT_CODES`, which is
all that the tuner learns about a run that may write nothing. A script may exit with the same code;
its run has written the object. Python 3.8 on.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from .backoff import Backoff
from .oci_answers import (
    BUCKET,
    CREDENTIALS,
    NOT_OCI,
    PERMISSION,
    Outage,
    describe_answer,
    read_answer,
)

NO_OCI = 71
NOT_PERMITTED = 72
NO_CREDENTIALS = 73
NO_STORE = 74
OLD_PYTHON = 75
SECRET_REFUSED = 76
NO_VAULT = 77

POLICY = (
    "allow dynamic-group <job-runs> to manage objects in compartment <compartment> "
    "where target.bucket.name = '{bucket}'"
)
SECRET_POLICY = (
    "allow dynamic-group <job-runs> to read secret-bundles in compartment <compartment> "
    "where target.secret.id = '{secret}'"
)

EXIT_CODES = {
    NO_OCI: "the Python of the job run has no package 'oci', with which it writes to {store}: "
    "choose a conda environment of the service (such as conda='generalml_p311_cpu_x86_64_v1'), or "
    "install oci in the published environment or the image",
    NOT_PERMITTED: "the job run may not write to {store}: check that this policy exists: "
    + POLICY
    + ", and that the dynamic group has the rule all {{resource.type = 'datasciencejobrun', "
    "resource.compartment.id = '<ocid of the job's compartment>'}}. A new policy takes up to 15 "
    "minutes to hold",
    NO_CREDENTIALS: "the job run has no credentials with which it could write to {store}: OCI "
    "accepts neither a resource principal nor an API key; check the dynamic group of job runs",
    NO_STORE: "the job run does not reach {store}: check its subnet (a private one needs a service "
    "gateway for Object Storage), and the namespace and the bucket",
    OLD_PYTHON: "the job run has a Python before 3.8, too old for the runner of tune_jobs: choose "
    "a newer conda environment or image",
    SECRET_REFUSED: "the job run may not read {secrets}. OCI answers the same if a secret does not "
    "exist, if it is being deleted, if it has no version in stage CURRENT, and if access to it is "
    "not permitted: compare the OCID, and check that this policy exists: {policies}. A new policy "
    "takes up to 15 minutes to hold",
    NO_VAULT: "the job run gets no answer from the Vault for {secrets}: check its subnet (a "
    "private one needs a service gateway for all services), and that the secret is in the run's "
    "region",
}

BEGUN = "runs/{run}/begun.json"
"""The object that is written before the script is started."""

_PATIENCE = 20.0
"""Seconds for which credentials and the store are tried at the start."""

_BACKOFF = Backoff(first=1.0, longest=30.0)


def describe_refusal(
    code: int, store: str, secrets: Mapping[str, str] | None = None, problem: str = ""
) -> str:
    """Return why the runner did not start the script, and the fix; empty for other exit codes.

    Args:
        code: The exit code.
        store: URI of the study's folder in the metric store.
        secrets: OCIDs by the names of variables: those of the run, or the one that was refused.
        problem: What is wrong with the value of that secret.
    """
    bucket = store.partition("://")[2].partition("/")[0].partition("@")[0] or store
    known = secrets or {}
    names = " and ".join(f"the secret of {name} ({ocid})" for name, ocid in known.items())
    if problem and code == SECRET_REFUSED:
        return f"{names or 'a secret'} cannot be used: {problem}"
    statements = "; ".join(SECRET_POLICY.format(secret=ocid) for ocid in known.values())
    return EXIT_CODES.get(code, "").format(
        store=store,
        bucket=bucket,
        secrets=names or "its secrets",
        policies=statements or SECRET_POLICY.format(secret="<secret>"),
    )


def begin(open_place: Callable[[str], Any], store: str, run: str) -> tuple[Any, int]:
    """Open the store and write to it; return it, and the exit code if that is impossible."""

    def write() -> Any:
        place = open_place(store)
        facts = {"time": time.time(), "python": platform.python_version()}
        place.put(BEGUN.format(run=run), json.dumps(facts).encode())
        return place

    place, code, error = keep_trying(write, _classify)
    if error is not None:
        _refuse(code, store, error)
    return place, code


def keep_trying(
    request: Callable[[], Any], classify: Callable[[BaseException], int]
) -> tuple[Any, int, BaseException | None]:
    """Make a request at the start of a run, with patience for seconds.

    Args:
        request: Makes it.
        classify: Returns the exit code for an error.

    Returns:
        The answer, the exit code, and the last error if it was given up.
    """
    started, outage = time.monotonic(), Outage(time.monotonic, _BACKOFF)
    while True:
        try:
            return request(), 0, None
        except ImportError as error:
            return None, NO_OCI, error
        except Exception as error:  # whatever the client raises
            pause = outage.fail(error)
            code = classify(error)
            is_late = time.monotonic() - started > _PATIENCE
            # Credentials may arrive a moment after the run.
            may_pass = code == NO_CREDENTIALS and not is_late
            if (pause is None or is_late) and not may_pass:
                return None, code, error
            time.sleep(min(pause or 1.0, 5.0))


def persist(upload: Callable[[], None], is_stopped: Callable[[], bool]) -> str:
    """Upload something, with patience for refusals: credentials are renewed, policies changed.

    Returns:
        The message of the last error if that is hopeless; empty if it was uploaded.
    """
    outage = Outage(time.monotonic, _BACKOFF, accepted=True)
    while True:
        try:
            upload()
            return ""
        except Exception as error:  # whatever the store's client raises
            pause = outage.fail(error)
            if pause is None or is_stopped():
                return f"an upload failed: {describe_answer(error)}"
            print(
                f"tune_jobs: an upload failed, retrying: {describe_answer(error)}",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(pause)


def _classify(error: BaseException) -> int:
    if read_answer(error).kind in (PERMISSION, BUCKET):
        return NOT_PERMITTED
    return NO_CREDENTIALS if lacks_credentials(error) else NO_STORE


def lacks_credentials(error: BaseException) -> bool:
    """Return whether a request was refused for its credentials, or could not be signed."""
    kind = read_answer(error).kind
    # The SDK raises errors of its own, without a status, if there is no principal and no profile.
    return kind == CREDENTIALS or (kind == NOT_OCI and not isinstance(error, OSError))


def _refuse(code: int, store: str, error: BaseException) -> None:
    reason = f"{describe_refusal(code, store)} ({describe_answer(error)})"
    print(f"tune_jobs: {reason}", file=sys.stderr, flush=True)
