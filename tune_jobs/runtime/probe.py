"""Probe of ``tune-jobs doctor``: a program that reports what a job run finds inside OCI.

    TUNE_JOBS_PROBE          "inside": report arguments, environment and packages, exit with 21
                             "cancel": wait for SIGTERM, and report how long it lives on
    TUNE_JOBS_PROBE_NAMES    JSON: names of the environment variables whose values are reported
    TUNE_JOBS_PROBE_SECONDS  seconds to live on after SIGTERM
    TUNE_JOBS_SECRETS        JSON: OCIDs of secrets to read, by name
    TUNE_JOBS_STORE          URI of the folder for the reports

Reports are objects in the store, and lines of output that begin with `MARK`, since the store, the
log, or both may be what does not work. Python 3.8 on, standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from .oci_answers import describe_answer
from .secret_values import open_vault, parse_secrets, read_secret

MARK = "tune_jobs-probe "
EXIT_CODE = 21
REPORTS = ("inside", "ready", "term", "survived")
LONGEST = 900.0
"""Seconds after which a probe that is not canceled ends."""

_STEP = 0.25
_SERVICE = ("JOB_OCID", "JOB_RUN_OCID", "JOB_RUN_COMPARTMENT_OCID", "PROJECT_OCID", "TENANCY_OCID")


def main(argv: list[str], here: str) -> int:
    """Probe, and return the exit code; ``here`` is the folder of the unpacked artifact."""
    if os.environ.get("TUNE_JOBS_PROBE") == "cancel":
        return _wait_for_cancel()
    _report("inside", find_facts(argv, here))
    return EXIT_CODE


def find_facts(argv: list[str], here: str) -> dict[str, Any]:
    """Return what a program in a job run finds; of the environment, only what was asked for."""
    names = json.loads(os.environ.get("TUNE_JOBS_PROBE_NAMES", "[]"))
    return {
        "argv": argv,
        "env": {name: os.environ.get(name) for name in names},
        "service_variables": [name for name in _SERVICE if os.environ.get(name)],
        "principal": os.environ.get("OCI_RESOURCE_PRINCIPAL_VERSION"),
        "in_folder": os.path.realpath(os.getcwd()) == os.path.realpath(here),
        "folder": os.getcwd(),
        "python": list(sys.version_info[:3]),
        "oci": _find_oci(),
        "secrets": _try_secrets(),
    }


def _try_secrets() -> dict[str, str]:
    """Return what is wrong with each secret, by the name of its variable; values are dropped."""
    problems = {}
    for name, ocid in parse_secrets(os.environ).items():
        try:
            read_secret(open_vault(), ocid)
            problems[name] = ""
        except Exception as error:  # whatever the client raises
            problems[name] = describe_answer(error)[:500]
    return problems


def _find_oci() -> str | None:
    try:
        import oci
    except Exception:  # an installation may be broken in any way
        return None
    return str(getattr(oci, "__version__", "?"))


def _wait_for_cancel() -> int:
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        os.write(1, (MARK + json.dumps({"name": "term"}) + "\n").encode())  # there may be no time
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    _report("ready", {})
    if not stopped.wait(LONGEST):
        return 0
    since = time.monotonic()
    _report("term", {})
    needed = float(os.environ.get("TUNE_JOBS_PROBE_SECONDS", "5"))
    alive = time.monotonic() - since
    while alive < needed:
        time.sleep(min(_STEP, needed - alive))  # lives on as a script that saves its work does
        alive = time.monotonic() - since
        print(MARK + json.dumps({"name": "alive", "seconds": alive}), flush=True)
    _report("survived", {"seconds": alive})
    return 0


def _report(name: str, facts: dict[str, Any]) -> None:
    """Upload facts and print them; the print says whether the upload failed, and why."""
    try:
        from .upload import open_place

        data = json.dumps(facts).encode()
        open_place(os.environ["TUNE_JOBS_STORE"]).put(f"{name}.json", data)
        problem = ""
    except Exception as error:  # whatever the client raises
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    line = {"name": name, "store_problem": problem, **facts}
    print(MARK + json.dumps(line), flush=True)
