"""Tune for minutes with credentials of seconds, while requests of every operation are refused.

    python -m tests.soak --auth security_token --minutes 15      one way to authenticate
    python -m tests.soak --auth all --minutes 15                 all of them, one after another

The SDK's signers read the system clock, so this takes real time. Tokens are valid for 30 seconds,
listings of job runs are two minutes behind, and every few seconds one request of the tuner or of a
job run is answered 401, 404 or 503. It fails if a value is missing or wrong, if a run was started
twice or canceled, or if a call ended.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import optuna

from tests.oci_emulator import Emulator, Fault
from tests.soak.credentials import open_expiring
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Tuner
from tune_jobs.oci.connection import Auth

OPERATIONS = (
    *("list_job_runs", "get_job_run", "create_job_run"),
    *("list_objects", "get_object", "put_object", "federate", "get_metadata"),
)
STATUSES = {401: "NotAuthenticated", 404: "NotAuthorizedOrNotFound", 503: "ServiceUnavailable"}
MAX_PARALLEL = 2
SCRIPT = """\
import sys, time
for i in range({steps}):
    print('value:', i + float(sys.argv[1].split('=')[1]), flush=True)
    time.sleep(1.0)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    kinds = get_args(Auth)
    parser.add_argument("--auth", choices=[*kinds, "all"], default="all")
    parser.add_argument("--minutes", type=float, default=15.0, help="time of each (default 15)")
    parser.add_argument("--token-seconds", type=float, default=30.0)
    parser.add_argument("--run-seconds", type=int, default=60, help="time of a job run")
    options = parser.parse_args(arguments)
    problems: list[str] = []
    for auth in kinds if options.auth == "all" else [options.auth]:
        with tempfile.TemporaryDirectory() as folder:
            problems += soak(
                Path(folder), auth, options.minutes, options.token_seconds, options.run_seconds
            )
    return 1 if problems else 0


def soak(
    folder: Path, auth: Auth, minutes: float, token_seconds: float, run_seconds: int
) -> list[str]:
    """Tune for minutes; return what was lost or done twice, and print what happened."""
    n_trials = math.ceil(minutes * 60.0 * MAX_PARALLEL / run_seconds)
    began = time.monotonic()
    with (
        Emulator(folder / "oci") as emulator,
        open_expiring(emulator, auth, token_seconds) as connection,
    ):
        emulator.faults.add(Fault("stale", "list_job_runs", seconds=120.0))
        tuner = _build_tuner(folder, emulator, connection, run_seconds)
        over = threading.Event()
        thread = threading.Thread(target=_refuse_now_and_then, args=(emulator, over))
        thread.start()
        try:
            tuner.optimize(n_trials=n_trials)
            ending = ""
        except Exception as error:  # which is the result
            ending = f"optimize() ended with {type(error).__name__}: {error}"
        finally:
            over.set()
            thread.join()
        problems = [*([ending] if ending else []), *_find_problems(emulator, tuner, run_seconds)]
        seen = list(emulator.requests)
    refused = Counter(f"{s.operation} {s.status}" for s in seen if s.status in STATUSES)
    print(
        f"{auth}: {(time.monotonic() - began) / 60.0:.1f} minutes, {n_trials} trials, "
        f"{len(seen)} requests, refused: {dict(sorted(refused.items()))}"
    )
    print("\n".join(f"{auth}: {problem}" for problem in problems) or f"{auth}: nothing lost")
    return problems


def _build_tuner(
    folder: Path, emulator: Emulator, connection: Connection, run_seconds: int
) -> Tuner:
    (folder / "train.py").write_text(SCRIPT.format(steps=run_seconds))
    infrastructure = Infrastructure(
        compartment=emulator.compartment,
        project=emulator.project,
        shape="VM.Standard.E4.Flex",
        ocpus=1,
        memory_gb=16,
    )
    backend = DataScienceBackend.from_script(
        folder / "train.py", infrastructure, connection=connection, poll_seconds=1.0
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="soak",
        storage=f"sqlite:///{folder}/study.db",
        direction="maximize",
        pruner=optuna.pruners.NopPruner(),
    )
    return Tuner(
        study,
        {"x": optuna.distributions.FloatDistribution(0.0, 0.5)},
        backend,
        metric="value",
        max_parallel=MAX_PARALLEL,
        store=f"oci://tune-jobs@{emulator.namespace}/runs",
        progress=False,
    )


def _refuse_now_and_then(emulator: Emulator, over: threading.Event) -> None:
    """Refuse one request of each operation in turn, once the first job run has started."""
    while not emulator.data_science.runs():
        if over.wait(0.1):
            return
    for status, operation in itertools.cycle(itertools.product(STATUSES, OPERATIONS)):
        fault = Fault("error", operation, times=1, status=status, code=STATUSES[status])
        emulator.faults.add(fault)
        if over.wait(3.0):
            return


def _find_problems(emulator: Emulator, tuner: Tuner, run_seconds: int) -> list[str]:
    trials, runs = tuner.study.trials, emulator.data_science.runs()
    problems = [
        f"trial {t.number} is {t.state.name} with {t.values}: {t.user_attrs.get('tune_jobs:cause')}"
        for t in trials
        if t.values != [run_seconds - 1 + t.params["x"]]
    ]
    if len(runs) != len(trials):
        problems.append(f"{len(runs)} job runs for {len(trials)} trials")
    canceled = sum(seen.operation == "cancel_job_run" for seen in emulator.requests)
    if canceled:
        problems.append(f"{canceled} requests to cancel a run")
    return problems


if __name__ == "__main__":
    sys.exit(main())
