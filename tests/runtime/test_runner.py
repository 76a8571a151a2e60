"""The runner, as a process, with a store in a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.test_report import old_python
from tune_jobs.runtime.package import copy_runtime
from tune_jobs.runtime.records import decode
from tune_jobs.runtime.refusals import NO_STORE


class Job:
    """An unpacked artifact, and a store."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder, self.python = folder, python
        self.store = folder / "store"
        copy_runtime(folder / "side")

    def start(self, script: str, *argv: str, code: str = "", **env: str) -> subprocess.Popen[str]:
        """Start the runner for a Python script, or a program that calls the runner."""
        (self.folder / "train.py").write_text(script)
        settings = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.folder / "side"),
            "TUNE_JOBS_COMMAND": json.dumps(["{python}", "{here}/train.py"]),
            "TUNE_JOBS_HERE": str(self.folder),
            "TUNE_JOBS_WORK_DIR": "{here}/work",
            "TUNE_JOBS_STORE": str(self.store),
            "TUNE_JOBS_RUN": "trial-000000-1",
            "TUNE_JOBS_SOURCES": json.dumps(
                {"names": ["value"], "patterns": {}, "step": "step", "file": None}
            ),
            "TUNE_JOBS_UPLOAD_SECONDS": "0.1",
            "TUNE_JOBS_LOG_SECONDS": "0.1",
            **env,
        }
        return subprocess.Popen(
            [self.python, *(["-c", code] if code else ["-m", "tune_jobs.runtime.runner"]), *argv],
            env=settings,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the runner to its end."""
        process = self.start(script, *argv, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def left(self, name: str) -> str:
        """Return a file of the run in the store."""
        return (self.store / "runs/trial-000000-1" / name).read_text()

    def end(self) -> dict[str, Any]:
        """Return the last event of the history."""
        found: dict[str, Any] = json.loads(self.left("run.jsonl").splitlines()[-1])
        return found

    def values(self) -> list[tuple[int | None, dict[str, float]]]:
        """Return the metrics."""
        data = (self.store / "metrics/trial-000000-1.jsonl").read_bytes()
        return [(r.step, dict(r.values)) for r in decode(data).records]


@pytest.fixture(params=["this Python", "Python 3.8"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    return Job(tmp_path, sys.executable if request.param == "this Python" else old_python())


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)  # another process writes a file


def test_a_script_runs_and_everything_of_it_is_uploaded(job: Job) -> None:
    done = job.run(
        "import os, sys\nfrom tune_jobs import checkpoint_dir, outputs_dir, report\n"
        "print('hello', *sys.argv[1:])\nprint('oops', file=sys.stderr)\n"
        "print('step 1 value: 0.5')\n"
        "report(value=0.75, step=2)\n(outputs_dir() / 'a').mkdir()\n"
        "(outputs_dir() / 'a' / 'm.txt').write_text('weights')\n"
        "(checkpoint_dir() / 'c.txt').write_text('half')\n",
        "--x=1 2",
        "ü",
    )
    assert done.returncode == 0, done.stderr
    assert "hello --x=1 2 ü" in done.stdout
    assert job.values() == [(1, {"value": 0.5}), (2, {"value": 0.75})]
    assert {"hello --x=1 2 ü", "oops"} <= set(job.left("log.txt").splitlines())
    assert job.left("outputs/a/m.txt") == "weights"
    assert job.left("checkpoints/c.txt") == "half"
    end = job.end()
    assert (end["state"], end["exit_code"], end["cause"]) == ("SUCCEEDED", 0, "")
    assert end["started"] <= end["finished"]
    assert [json.loads(line)["event"] for line in job.left("run.jsonl").splitlines()] == [
        "accepted",
        "started",
        "ended",
    ]


@pytest.mark.parametrize(
    ("script", "code", "cause"),
    [
        ("import sys; sys.exit(3)", 3, "exit code 3"),
        ("raise ValueError('x')", 1, "exit code 1"),
        ("import os; os.kill(os.getpid(), 9)", 137, "killed by signal SIGKILL (out of memory?)"),
    ],
)
def test_how_a_script_failed_is_how_the_runner_ends(
    script: str, code: int, cause: str, tmp_path: Path
) -> None:
    job = Job(tmp_path, sys.executable)
    done = job.run(f"print('value: 1', flush=True)\n{script}\n")
    assert done.returncode == code
    assert f"tune_jobs: the script ended: {cause}" in done.stdout
    assert (job.end()["state"], job.end()["cause"]) == ("FAILED", cause)
    assert job.values() == [(None, {"value": 1.0})]  # reported before the failure


def test_a_script_that_cannot_be_started(tmp_path: Path) -> None:
    job = Job(tmp_path, sys.executable)
    done = job.run("", TUNE_JOBS_COMMAND=json.dumps(["/no/such/program"]))
    assert done.returncode == 127
    assert "could not be started" in job.end()["cause"]


def test_the_run_s_folders_in_arguments_files_and_variables(job: Job) -> None:
    request = job.store / "runs/trial-000000-1/request.json"
    request.parent.mkdir(parents=True)
    request.write_text(
        json.dumps(
            {
                "argv": ["--out=$TUNE_JOBS_OUTPUTS_DIR/x", "$HOME", "two\nlines"],
                "files": {"conf/a.yaml": "out: $TUNE_JOBS_CHECKPOINT_DIR"},
            }
        )
    )
    done = job.run(
        "import json, os, sys\n"
        "print(json.dumps([sys.argv[1:], open('conf/a.yaml').read(), os.environ['PLACE'],\n"
        "    os.environ['PRICE'], os.getcwd(), {k: os.environ.get('TUNE_JOBS_' + k) for k in\n"
        "    ('COMMAND', 'SOURCES', 'REQUEST', 'OUTPUTS_DIR', 'CHECKPOINT_DIR')}]))\n",
        "--ignored",
        TUNE_JOBS_REQUEST="1",
        TUNE_JOBS_EXPAND="PLACE",
        PLACE="in $TUNE_JOBS_WORK_DIR",
        PRICE="$TUNE_JOBS_WORK_DIR",
    )
    assert done.returncode == 0, done.stderr
    argv, file, place, price, work, variables = json.loads(done.stdout.splitlines()[0])
    assert argv == [f"--out={variables['OUTPUTS_DIR']}/x", "$HOME", "two\nlines"]
    assert file == f"out: {variables['CHECKPOINT_DIR']}"
    assert (place, price) == (f"in {work}", "$TUNE_JOBS_WORK_DIR")
    assert work == str(job.folder / "work")
    assert [variables[k] for k in ("COMMAND", "SOURCES", "REQUEST")] == [None] * 3


def test_metrics_and_log_are_there_while_it_runs(job: Job) -> None:
    process = job.start("import time\nprint('value: 1', flush=True)\ntime.sleep(60)\n")
    metrics = job.store / "metrics/trial-000000-1.jsonl"
    log = job.store / "runs/trial-000000-1/log.txt"
    wait_for(lambda: metrics.exists() and log.exists())
    assert job.values() == [(None, {"value": 1.0})]
    process.terminate()
    assert process.wait(30) == 143
    assert job.end()["state"] == "CANCELED"
    process.communicate()


def test_a_script_that_heeds_no_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    job = Job(tmp_path, sys.executable)
    process = job.start(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('value: 2', flush=True))\n"
        "print('value: 1', flush=True)\nwhile True:\n    time.sleep(1)\n",
        TUNE_JOBS_GRACE="1",
    )
    wait_for(lambda: (job.store / "metrics/trial-000000-1.jsonl").exists())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 137
    assert job.values() == [(None, {"value": 1.0}), (None, {"value": 2.0})]
    assert job.end()["state"] == "CANCELED"
    process.communicate()


def test_a_fifo_in_place_of_the_reports_ends_nothing(tmp_path: Path) -> None:
    script = "import os\nos.mkfifo(os.environ['TUNE_JOBS_METRICS_FILE'])\nprint('value: 1')\n"
    job = Job(tmp_path, sys.executable)
    done = job.run(script)
    assert done.returncode == 0, done.stderr
    assert "not a regular file" in job.end()["metrics_problem"]


def test_a_child_that_keeps_the_output_open_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path, sys.executable)
    process = job.start(
        "import subprocess, sys\nprint('value: 1', flush=True)\n"
        "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "open('child', 'w').write(str(child.pid))\n"
    )
    assert process.wait(30) == 0
    os.kill(int((tmp_path / "work/child").read_text()), signal.SIGKILL)
    assert job.values() == [(None, {"value": 1.0})]
    process.communicate()


def test_a_run_whose_metrics_cannot_be_uploaded_does_not_look_like_a_success(
    tmp_path: Path,
) -> None:
    job = Job(tmp_path, sys.executable)
    metrics = str(job.store / "metrics")  # a file where a folder should be
    done = job.run(f"open({metrics!r}, 'w').close()\nprint('value: 1')")
    assert done.returncode == 70
    assert "an upload failed" in done.stdout + done.stderr


def test_a_store_that_cannot_be_written_ends_the_run_before_the_script(tmp_path: Path) -> None:
    job = Job(tmp_path, sys.executable)
    job.store.write_text("a file where a folder should be")
    done = job.run("open('ran', 'w')", TUNE_JOBS_WORK_DIR="{here}")
    assert done.returncode == NO_STORE
    assert "does not reach" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_link_that_leads_out_of_the_outputs_is_not_followed(tmp_path: Path) -> None:
    job = Job(tmp_path, sys.executable)
    (tmp_path / "secret").write_text("s")
    done = job.run(
        "import os\nfrom tune_jobs import outputs_dir\n"
        f"os.symlink({str(tmp_path / 'secret')!r}, outputs_dir() / 'link')\n"
        "(outputs_dir() / 'own').write_text('x')\n"
        "os.symlink(outputs_dir() / 'own', outputs_dir() / 'inside')\n"
    )
    assert done.returncode == 0
    folder = job.store / "runs/trial-000000-1/outputs"
    assert sorted(p.name for p in folder.iterdir()) == ["inside", "own"]


def test_a_log_that_is_too_long_keeps_its_start_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tune_jobs.runtime import upload

    monkeypatch.setattr(upload, "_LOG_START", 10)
    monkeypatch.setattr(upload, "_LOG_END", 20)
    log = tmp_path / "log"
    log.write_bytes(b"first line\n" + b"x" * 1000 + b"\nthe very last line\n")
    growing = upload.GrowingFile(
        upload.Directory(str(tmp_path / "to")), "log.txt", str(log), shorten=True
    )
    growing.upload()
    kept = (tmp_path / "to/log.txt").read_bytes()
    assert kept.startswith(b"first line\n... tune_jobs omitted")
    assert kept.endswith(b"\nthe very last line\n")
    assert len(kept) < 100


def test_a_file_is_uploaded_when_it_has_grown(tmp_path: Path) -> None:
    from tune_jobs.runtime.upload import GrowingFile

    class Place:
        def __init__(self) -> None:
            self.put_names: list[str] = []

        def put(self, name: str, data: bytes) -> None:
            self.put_names.append(f"{name} {len(data)}")

    place, path = Place(), tmp_path / "metrics"
    growing = GrowingFile(place, "m", str(path))
    growing.upload()
    path.write_text("1")
    growing.upload()
    growing.upload()
    path.write_text("12")
    growing.upload()
    assert place.put_names == ["m 1", "m 2"]


def test_an_upload_that_failed_is_repeated(tmp_path: Path) -> None:
    from tune_jobs.runtime.upload import GrowingFile

    class Place:
        failures, uploaded = 1, b""

        def put(self, name: str, data: bytes) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError("no answer")
            self.uploaded = data

    place, path = Place(), tmp_path / "metrics"
    path.write_text("1")
    growing = GrowingFile(place, "m", str(path))
    with pytest.raises(OSError, match="no answer"):
        growing.upload()
    growing.upload()
    assert place.uploaded == b"1"


REPORTS = "from tune_jobs import report\nreport(value=0.5, step=1)\n{}\n"


@pytest.mark.parametrize("after", ["", "raise ValueError()", "import sys; sys.exit(2)"])
def test_reports_without_a_runner_are_uploaded_at_the_end(after: str, tmp_path: Path) -> None:
    env = {**os.environ, "TUNE_JOBS_STORE": str(tmp_path / "store"), "TUNE_JOBS_RUN": "r-1"}
    subprocess.run(
        [sys.executable, "-c", REPORTS.format(after)], env=env, check=False, capture_output=True
    )
    data = (tmp_path / "store/metrics/r-1.jsonl").read_bytes()
    assert [(r.step, dict(r.values)) for r in decode(data).records] == [(1, {"value": 0.5})]


def test_reports_without_a_runner_are_uploaded_while_it_runs(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "TUNE_JOBS_STORE": str(tmp_path / "store"),
        "TUNE_JOBS_RUN": "r-1",
        "TUNE_JOBS_UPLOAD_SECONDS": "0.05",
    }
    script = REPORTS.format("import time; time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", script], env=env)
    wait_for((tmp_path / "store/metrics/r-1.jsonl").exists)
    process.kill()
    process.wait()


def test_many_steps_are_few_uploads(job: Job) -> None:
    # It must not print: nothing reads the pipe while it runs.
    script = (
        "import time, tune_jobs\n"
        "for step in range(10_000):\n"
        "    tune_jobs.report(step=step, value=step)\n"
        "    if step % 1000 == 0: time.sleep(0.25)\n"
    )
    rate = {"TUNE_JOBS_UPLOAD_SECONDS": "0.05", "TUNE_JOBS_UPLOAD_RATE": "1000"}
    watched = job.start(script, **rate)
    versions = set()
    path = job.store / "metrics" / "trial-000000-1.jsonl"
    while watched.poll() is None:
        if path.exists():
            versions.add(path.stat().st_mtime_ns)
    watched.communicate()
    versions.add(path.stat().st_mtime_ns)
    assert len(decode(path.read_bytes()).records) == 10_000, "all of them in the end"
    assert len(versions) <= 4, "a long file is uploaded more seldom"


LEAVES = """
import os
from tune_jobs import outputs_dir
open("model.pt", "w").write("weights")
open("old.txt", "a").write("changed")
os.makedirs("plots/__pycache__")
open("plots/a\\nb.png", "w").write("x")
open("plots/__pycache__/a.pyc", "w").write("x")
open("large", "w").write("x" * 5000)
os.symlink("/etc/passwd", "link")
os.mkfifo("pipe")
(outputs_dir() / "kept").write_text("x")
"""


def test_what_a_script_leaves_in_its_working_folder_is_uploaded(job: Job) -> None:
    (job.folder / "work").mkdir()
    for name in ("old.txt", "same.txt"):
        (job.folder / "work" / name).write_text("given ")
    done = job.run(f"{LEAVES}raise SystemExit(3)", TUNE_JOBS_WORK_BYTES="1000")
    assert done.returncode == 3, "also of a run that fails"
    root = job.store / "runs/trial-000000-1"
    left = {str(p.relative_to(root / "work")): p.read_text() for p in (root / "work").rglob("*.*")}
    assert left == {"model.pt": "weights", "old.txt": "given changed", "plots/a%0Ab.png": "x"}
    assert not (root / "work/large").exists()
    assert json.loads(job.left("omitted.json")) == {"files": 1, "bytes": 5000, "names": ["large"]}
    assert job.left("outputs/kept") == "x"
    assert job.end()["exit_code"] == 3


def test_files_of_the_working_folder_that_cannot_be_uploaded_fail_nothing(job: Job) -> None:
    (job.store / "runs/trial-000000-1").mkdir(parents=True)
    (job.store / "runs/trial-000000-1/work").write_text("in the way")
    done = job.run("open('model.pt', 'w').write('x')\nprint('value: 1')\n")
    assert (done.returncode, job.end()["state"]) == (0, "SUCCEEDED")
    assert "tune_jobs: files in the working directory: an upload failed" in done.stderr


def test_a_working_folder_with_too_many_files_is_left_alone(job: Job) -> None:
    code = (
        "import tune_jobs.runtime.left_files as l, tune_jobs.runtime.runner as r, sys\n"
        "l.MAX_SEEN = 3\nsys.exit(r.main([]))\n"
    )
    script = "[open(f'{n}.txt', 'w').close() for n in range(5)]\n"
    process = job.start(script, code=code)
    process.communicate(timeout=60)
    assert json.loads(job.left("omitted.json")) == {"files": 3, "bytes": 0, "names": []}
    assert not (job.store / "runs/trial-000000-1/work").exists()
