"""Faults of job runs on OCI: `tune_jobs.backends.oci_runs` and `data_science`."""

# ruff: noqa: E501 (sources are quoted as they are)

from __future__ import annotations

from tests.mutants.model import Mutant

STARTER = "tune_jobs/backends/oci_runs/starter.py"
LIVE = "tune_jobs/backends/oci_runs/live_runs.py"
JOB_RUNS = "tune_jobs/backends/data_science/job_runs.py"
_TESTS = ("tests/backends/data_science",)

CLOUD = (
    Mutant(
        name="oci-random-retry-token",
        breaks="a request whose response was lost does not start a second run",
        file="tune_jobs/backends/data_science/request.py",
        old='    return hashlib.sha256(f"{job.id}/{study}/{name}".encode()).hexdigest()\n',
        new="    import os\n    salt = os.urandom(4)\n"
        '    return hashlib.sha256(f"{job.id}/{study}/{name}".encode() + salt).hexdigest()\n',
        tests=(
            "tests/backends/data_science/test_request.py::test_token_depends_on_job_study_and_run",
        ),
    ),
    Mutant(
        name="oci-token-of-another-study",
        breaks="two studies with one job do not get each other's runs",
        file="tune_jobs/backends/data_science/request.py",
        old='f"{job.id}/{study}/{name}".encode()',
        new='f"{job.id}/{name}".encode()',
        tests=(
            "tests/backends/data_science/test_request.py::test_token_depends_on_job_study_and_run",
        ),
    ),
    Mutant(
        name="oci-start-not-repeated",
        breaks="lost responses: a start is repeated until it is answered",
        file=STARTER,
        old="        if meaning.patience and self._retry_later(",
        new="        if meaning.has_no_room and self._retry_later(",
        tests=("tests/backends/data_science/test_starter.py",),
    ),
    Mutant(
        name="oci-no-room-is-a-failure",
        breaks="a service that has no room for another run is asked again",
        file=STARTER,
        old="        if meaning.patience and self._retry_later(",
        new="        if meaning.is_transient and self._retry_later(",
        tests=("tests/backends/data_science/test_starter.py",),
    ),
    Mutant(
        name="oci-requested-run-withdrawn",
        breaks="a run whose request was not answered may exist: it is stopped, not forgotten",
        file=STARTER,
        old=" or len(others) == len(self._pending) or was_requested:",
        new=" or len(others) == len(self._pending):",
        tests=("tests/backends/data_science/test_starter.py",),
    ),
    Mutant(
        name="oci-stop-requested-once",
        breaks="a stop is requested again until it took effect",
        file=LIVE,
        old='        if name in self._canceled and run.state != "CANCELING":\n',
        new="        if False:\n",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-stop-before-start-forgotten",
        breaks="a run that is stopped before its start was answered is stopped",
        file=LIVE,
        old="        if name in self._canceled:\n            self._request_cancel(name, run_id)\n\n",
        new="\n",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-missing-run-not-asked-for",
        breaks="a stale listing: a run is lost only after it was requested by its OCID",
        file=LIVE,
        old="            asked[live.run_id] = self._runs.get(live.run_id)\n",
        new="            asked[live.run_id] = None\n",
        tests=("tests/backends/data_science/test_live_runs.py",),
    ),
    Mutant(
        name="oci-one-denial-is-a-loss",
        breaks="a single 404 loses no run",
        file=LIVE,
        old="        if live.denials < DENIALS:\n",
        new="        if live.denials < 1:\n",
        tests=("tests/backends/data_science/test_live_runs.py",),
    ),
    Mutant(
        name="oci-listing-not-repeated",
        breaks="the service does not respond: the runs continue, the listing is repeated",
        file=LIVE,
        old="        if pause is None:\n            raise",
        new="        if True:\n            raise",
        tests=("tests/backends/data_science/test_live_runs.py",),
    ),
    Mutant(
        name="oci-interrupted-run-is-a-failure",
        breaks="a run that the earlier tuner stopped is run again",
        file=LIVE,
        old='        if run.state == "CANCELED":\n            self._canceled.add(name)',
        new='        if run.state == "CANCELING":\n            self._canceled.add(name)',
        tests=_TESTS,
    ),
    Mutant(
        name="oci-attention-for-ever",
        breaks="a run that needs attention is given up after a while",
        file=LIVE,
        old="        if now - since < ATTENTION_PATIENCE:\n",
        new="        if True:\n",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-unfinished-run-given-up-and-left",
        breaks="a run that is given up is stopped",
        file=LIVE,
        old="        del self._live[name]\n        self._request_cancel(name, run.id)\n",
        new="        del self._live[name]\n",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-run-of-another-study-adopted",
        breaks="runs are found by name and tag: two studies with one job keep theirs",
        file=JOB_RUNS,
        old=" and tags.items() <= run.tags.items():",
        new=":",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-first-page-only",
        breaks="a run on a later page of the listing is live",
        file=JOB_RUNS,
        old='            if not next_page["page"]:\n',
        new="            if True:\n",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-straggler-not-requested",
        breaks="an old run behind many newer ones is requested by OCID",
        file=JOB_RUNS,
        old="                found.update((run.id, run) for run in map(self.get, missing) "
        "if run is not None)\n",
        new="",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-runs-of-an-earlier-job-forgotten",
        breaks="runs of the study are found although its definition was changed",
        file="tune_jobs/backends/data_science/backend.py",
        old="list(dict.fromkeys([job.id, *earlier]))",
        new="[job.id]",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-older-value-taken",
        breaks="the end of a successful run is held back until all of its metrics were read",
        file="tune_jobs/backends/data_science/service.py",
        old="        return replace(update, has_history=True)\n",
        new="        return replace(update, has_history=False)\n",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-submitted-twice",
        breaks="submission is idempotent by name",
        file="tune_jobs/backends/data_science/service.py",
        old="            if request.name in self._submitted or request.name in self._live:\n"
        "                return\n",
        new="",
        tests=_TESTS,
    ),
    Mutant(
        name="oci-capacity-is-final",
        breaks="a run that finds no capacity is retried later",
        file=LIVE,
        old="            transient=failure.transient,\n",
        new="            transient=False,\n",
        tests=_TESTS,
    ),
)
