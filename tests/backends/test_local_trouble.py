"""Trouble of the machine: nothing fails, it waits, and what could not be recorded does not live."""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backends.local_bench import Bench, OpenBench
from tests.backends.test_local_host import WAITING, host_of, wait_for_pid
from tune_jobs.backends.local import connection, run, service
from tune_jobs.backends.local.run import LocalRun, StartRequest, find_outcome, launch
from tune_jobs.core.job_runs import RunState
from tune_jobs.errors import MachineTrouble
from tune_jobs.runtime.follow import Follower

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full")


def refuse(*arguments: object, **options: object) -> Any:
    raise FULL


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., StartRequest]:
    """Return a function that makes requests to start a shell command."""

    def make(command: str, **options: Any) -> StartRequest:
        return StartRequest(
            id="s/r-1",
            folder=str(tmp_path / "store/runs/r-1"),
            command=["sh", "-c", command],
            files={},
            links=[],
            resume=[],
            checkpoints=False,
            metrics=str(tmp_path / "store/metrics/r-1.jsonl"),
            sources={"names": ["value"]},
            time_limit=None,
            grace=1.0,
            publish=None,
            **{"env": {}, **options},
        )

    return make


Start = Callable[..., StartRequest]


def reap(live: LocalRun) -> None:
    _, status, usage = os.wait4(live.process.pid, 0)
    live.reaped(status, usage)


# -- one run --------------------------------------------------------------------------------------


def test_a_run_that_cannot_be_recorded_is_not_started(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "append", refuse)
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(OSError, match="No space left"):
        launch(start("true"), os.environ)
    assert find_outcome(start("").folder) is None


def test_a_run_whose_start_cannot_be_recorded_is_killed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    spawn = run._spawn

    def spawn_and_fill(*arguments: Any) -> subprocess.Popen[bytes]:
        started.append(spawn(*arguments))
        monkeypatch.setattr(run, "append", refuse)
        return started[0]

    monkeypatch.setattr(run, "_spawn", spawn_and_fill)
    with pytest.raises(OSError, match="No space left"):
        launch(start("sleep 3600"), os.environ)
    assert started[0].poll() == -9
    monkeypatch.undo()
    assert find_outcome(start("").folder) is None, "it counts as never started"


def test_the_end_of_a_run_waits_until_it_can_be_recorded(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = launch(start("echo value=0.5"), os.environ)
    reap(live)
    with monkeypatch.context() as patch:
        patch.setattr(run, "append", refuse)
        with pytest.raises(OSError, match="No space left"):
            live.finish()
    ended = live.finish()
    assert ended is not None
    assert ended["state"] == "SUCCEEDED"
    assert ended == find_outcome(live.start.folder)
    assert len(Path(live.start.metrics).read_text().splitlines()) == 1


def test_a_run_that_ends_on_a_full_disk_is_no_result(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = launch(start("echo value=0.5"), os.environ)
    reap(live)
    monkeypatch.setattr(run, "check_room", refuse)
    ended = live.finish()
    assert ended is not None
    assert (ended["state"], ended["transient"], ended["trouble"]) == ("FAILED", True, True)
    assert "it ended while the disk was full" in ended["cause"]


@pytest.mark.parametrize(
    ("output", "trouble"),
    [
        ("OSError: [Errno 28] No space left on device: '/data/x'", True),
        ("head: write error: No space left on device", True),
        ("cp: error writing '/home/x': Disk quota exceeded", True),
        ("ValueError: no space to search", False),
    ],
)
def test_a_script_that_failed_for_a_full_disk(output: str, trouble: bool, start: Start) -> None:
    live = launch(start('echo "$OUT"; exit 1', env={"OUT": output}), os.environ)
    reap(live)
    ended = live.finish()
    assert ended is not None
    assert ended.get("trouble", False) == ended["transient"] == trouble


@pytest.mark.parametrize(
    ("kills", "cause"),
    [
        ((3, 4), r"killed by signal SIGKILL \(out of memory: the kernel .*; its peak was \d+ MB\)"),
        ((3, 3), r"killed by signal SIGKILL \(not for memory: .*; its peak was \d+ MB\)"),
        ((None, None), r"killed by signal SIGKILL \(out of memory\? its peak was \d+ MB\)"),
    ],
)
def test_a_run_that_is_killed_for_its_memory_fails_and_says_its_peak(
    kills: tuple[int | None, ...], cause: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter(kills)
    monkeypatch.setattr(run, "count_oom_kills", lambda: next(counts))
    live = launch(start("kill -9 $$"), os.environ)
    reap(live)
    ended = live.finish()
    assert ended is not None
    assert (ended["state"], ended["transient"]) == ("FAILED", False)
    assert re.fullmatch(cause, ended["cause"])


# -- metrics --------------------------------------------------------------------------------------


def test_metrics_that_cannot_be_written_are_written_later_and_once(tmp_path: Path) -> None:
    log, metrics = tmp_path / "log.txt", tmp_path / "metrics.jsonl"
    paths = map(str, (log, tmp_path / "reported.jsonl", tmp_path, metrics))
    follower = Follower({"names": ["value"]}, *paths)
    log.write_text("".join(f"value={i}.5\n" for i in range(100)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                follower.poll(1.0)
        assert metrics.stat().st_size == 0, "no half of a record"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    follower.poll(2.0)
    follower.finish(3.0)
    assert len(metrics.read_text().splitlines()) == 100


# -- the host -------------------------------------------------------------------------------------


def start_before_the_disk_is_full(b: Bench, tmp_path: Path) -> tuple[int, tuple[int, int]]:
    """Start r-1, then let its host write nothing more; return the host and its former limit."""
    b.start("r-1", "--x=1")
    host = host_of(wait_for_pid(tmp_path, 1))
    assert b.service.find(["r-1"]), "its start is recorded"
    before = resource.prlimit(host, resource.RLIMIT_FSIZE)
    resource.prlimit(host, resource.RLIMIT_FSIZE, (1, before[1]))
    return host, before


def test_the_host_waits_for_room_and_says_so(
    bench: OpenBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PING_SECONDS", 0.05)
    b = bench(WAITING, env={"here": str(tmp_path)})
    host, before = start_before_the_disk_is_full(b, tmp_path)
    b.start("r-2", "--x=2")
    notice = b.wait_for_notice("r-2 cannot be started")
    assert "File too large" in notice
    assert "raise the limit (ulimit -f); waiting for at most 600 s, no trial fails" in notice
    assert not (tmp_path / "pid.2").exists()
    monkeypatch.setattr(service, "TROUBLE_PATIENCE", 0.0)
    with pytest.raises(MachineTrouble, match=r"r-2 cannot be started.*live runs continue"):
        b.wait_for_end("r-2")
    monkeypatch.setattr(service, "TROUBLE_PATIENCE", 600.0)
    resource.prlimit(host, resource.RLIMIT_FSIZE, before)
    wait_for_pid(tmp_path, 2)
    b.wait_for_notice("the machine works again")
    (tmp_path / "go").touch()
    b.wait_for_end("r-2")
    assert b.service.find(["r-1"])["r-1"].state == RunState.SUCCEEDED


def test_a_run_that_waits_for_the_machine_can_be_canceled(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(WAITING, env={"here": str(tmp_path)})
    host, before = start_before_the_disk_is_full(b, tmp_path)
    b.start("r-2", "--x=2")
    b.service.cancel("r-2")
    assert b.wait_for_end("r-2").state == RunState.CANCELED
    resource.prlimit(host, resource.RLIMIT_FSIZE, before)
    (tmp_path / "go").touch()
    assert b.wait_for_end("r-1").state == RunState.SUCCEEDED
    assert not (tmp_path / "pid.2").exists()


def test_few_open_files_delay_runs_and_fail_none(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(WAITING, env={"here": str(tmp_path)})
    b.start("r-0", "--x=0")
    host = host_of(wait_for_pid(tmp_path, 0))
    assert b.service.find(["r-0"]), "its start is recorded"
    used = len(os.listdir(f"/proc/{host}/fd"))
    before = resource.prlimit(host, resource.RLIMIT_NOFILE)
    resource.prlimit(host, resource.RLIMIT_NOFILE, (used + 4, before[1]))
    for number in range(1, 12):
        b.start(f"r-{number}", f"--x={number}")
    for number in range(1, 12):
        wait_for_pid(tmp_path, number)
    (tmp_path / "go").touch()
    for number in range(12):
        found = b.service.find([f"r-{number}"])[f"r-{number}"]
        ended = found if found.state.is_terminal else b.wait_for_end(f"r-{number}")
        assert ended.state == RunState.SUCCEEDED
