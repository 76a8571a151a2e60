"""Faults of what runs write and tuners read: `tune_jobs.metric_store` and `tune_jobs.runtime`."""

from __future__ import annotations

from tests.mutants.model import Mutant

STORE = "tune_jobs/metric_store/store.py"
RUNNER = "tune_jobs/runtime/runner.py"

METRICS = (
    Mutant(
        name="metrics-stale-etag-read-once",
        breaks="a stale body is read again: a trial has the value that its run wrote last",
        file=STORE,
        old="        if len(data) > tail.size - tail.offset:\n            tail.version = version\n",
        new="        tail.version = version\n",
        tests=("tests/metric_store/test_store.py",),
    ),
    Mutant(
        name="metrics-unfinished-line-lost",
        breaks="a record that was read in two parts is read",
        file=STORE,
        old="        tail.offset += decoded.consumed\n",
        new="        tail.offset += len(data)\n",
        tests=("tests/metric_store/test_conformance.py::TestLocalFolder",),
    ),
    Mutant(
        name="metrics-history-not-awaited",
        breaks="the end of a run is held back until its history says how much there is to read",
        file=STORE,
        old='                return f"{self.uri}/runs/{name}/run.jsonl has no end yet"\n',
        new='                return ""\n',
        tests=("tests/tuning/test_tracker.py::test_a_history_that_is_late_is_waited_for",),
    ),
    Mutant(
        name="metrics-size-not-checked",
        breaks="the end of a run is held back until all bytes that it wrote were read",
        file=STORE,
        old='            return f"{path} has {tail.size} bytes of the {size} that the run wrote"\n',
        new='            return ""\n',
        tests=("tests/tuning/test_tracker.py::test_an_old_body_is_not_the_last_value",),
    ),
    Mutant(
        name="metrics-hung-store-not-replaced",
        breaks="a store that hung is opened anew",
        file="tune_jobs/metric_store/time_limit.py",
        old="                self._tasks = None\n",
        new="                pass\n",
        tests=("tests/metric_store/test_time_limit.py",),
    ),
    Mutant(
        name="metrics-last-row-of-file-lost",
        breaks="the last row of a metrics file counts once the run has ended",
        file="tune_jobs/runtime/follow.py",
        old="self._read_file(live=False)",
        new="self._read_file(live=True)",
        tests=("tests/runtime/test_follow.py",),
    ),
    Mutant(
        name="metrics-last-line-lost",
        breaks="a last line without a line feed counts once the run has ended",
        file="tune_jobs/runtime/follow.py",
        old="        self._new += self._extractor.finish(now) + in_file\n",
        new="        self._new += in_file\n",
        tests=("tests/runtime/test_follow.py",),
    ),
    Mutant(
        name="runner-history-before-metrics",
        breaks="a run's history is written last: its metrics were uploaded",
        file=RUNNER,
        old="        failed = uploads.finish(self._persist) or self._upload_folders()\n",
        new="        failed = self._upload_folders()\n",
        tests=(
            "tests/runtime/test_runner.py::test_a_script_runs_and_everything_of_it_is_uploaded",
        ),
    ),
    Mutant(
        name="runner-success-without-its-metrics",
        breaks="a run whose results could not be uploaded has no success",
        file=RUNNER,
        old="        if failed and code == 0:\n            code, state",
        new="        if False:\n            code, state",
        tests=(
            "tests/runtime/test_runner.py::test_a_run_whose_metrics_cannot_be_uploaded_does_not_look_like_a_success",
        ),
    ),
    Mutant(
        name="runner-signal-leader-only",
        breaks="no run is live after its end: a script's whole process group is stopped",
        file=RUNNER,
        old="        os.killpg(pid, number)\n",
        new="        os.kill(pid, number)\n",
        tests=(
            "tests/runtime/test_runner.py::test_a_script_that_heeds_no_signal_is_killed_after_the_grace",
            "tests/runtime/test_runner.py::test_a_child_that_keeps_the_output_open_holds_nothing_up",
        ),
    ),
    Mutant(
        name="runner-failed-upload-not-repeated",
        breaks="an upload that failed is repeated",
        file="tune_jobs/runtime/upload.py",
        old="        if size == self.uploaded:\n            return\n",
        new="        if size == self.uploaded:\n            return\n        self.uploaded = size\n",
        tests=("tests/runtime/test_runner.py::test_an_upload_that_failed_is_repeated",),
    ),
)
