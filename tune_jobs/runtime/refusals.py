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
from collections.abc import Callable
from typing import Any

from .backoff import Backoff
from .oci_answers import CREDENTIALS, NOT_OCI, PERMISSION, Outage, read_answer

NO_OCI = 71
NOT_PERMITTED = 72
NO_CREDENTIALS = 73
NO_STORE = 74
OLD_PYTHON = 75

POLICY = (
    "allow dynamic-group <job-runs> to manage objects in compartment <compartment> "
    "where target.bucket.name = '{bucket}'"
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
}

BEGUN = "runs/{run}/begun.json"
"""The object that is written before the script is started."""

_PATIENCE = 20.0
"""Seconds for which credentials and the store are tried at the start."""

_BACKOFF = Backoff(first=1.0, longest=30.0)


def describe_refusal(code: int, store: str) -> str:
    """Return why the runner did not start the script, and the fix; empty for other exit codes."""
    bucket = store.partition("://")[2].partition("/")[0].partition("@")[0] or store
    return EXIT_CODES.get(code, "").format(store=store, bucket=bucket)


def begin(open_place: Callable[[str], Any], store: str, run: str) -> tuple[Any, int]:
    """Open the store and write to it; return it, and the exit code if that is impossible."""
    started, outage = time.monotonic(), Outage(time.monotonic, _BACKOFF)
    while True:
        try:
            place = open_place(store)
            facts = {"time": time.time(), "python": platform.python_version()}
            place.put(BEGUN.format(run=run), json.dumps(facts).encode())
            return place, 0
        except ImportError as error:
            return None, _refuse(NO_OCI, store, error)
        except Exception as error:  # whatever the store's client raises
            pause = outage.fail(error)
            code = _classify(error)
            is_late = time.monotonic() - started > _PATIENCE
            # Credentials may arrive a moment after the run.
            may_pass = code == NO_CREDENTIALS and not is_late
            if (pause is None or is_late) and not may_pass:
                return None, _refuse(code, store, error)
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
                return f"an upload failed: {error}"
            print(f"tune_jobs: an upload failed, retrying: {error}", file=sys.stderr, flush=True)
            time.sleep(pause)


def _classify(error: BaseException) -> int:
    kind = read_answer(error).kind
    if kind == PERMISSION:
        return NOT_PERMITTED
    # The SDK raises errors of its own, without a status, if there is no principal and no profile.
    has_no_identity = kind == NOT_OCI and not isinstance(error, OSError)
    return NO_CREDENTIALS if kind == CREDENTIALS or has_no_identity else NO_STORE


def _refuse(code: int, store: str, error: BaseException) -> int:
    print(f"tune_jobs: {describe_refusal(code, store)} ({error})", file=sys.stderr, flush=True)
    return code
