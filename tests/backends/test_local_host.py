"""The host of local runs: killed, stopped, found from other folders, and unable to start."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.local_bench import Bench, OpenBench, is_running, read_state
from tests.conftest import Script
from tune_jobs.backends.local import connection
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.local.run import find_outcome
from tune_jobs.core.job_runs import RunState, RunUpdate
from tune_jobs.errors import BackendError, MachineTrouble
from tune_jobs.runtime.processes import as_record, identify

WAITING = 'echo $$ > "$here/pid.$x"; until [ -e "$here/go" ]; do sleep 0.02; done; echo value=$x'


def wait_for_pid(folder: Path, number: int) -> int:
    """Wait until run ``number`` of `WAITING` lives, and return its process id."""
    path = folder / f"pid.{number}"
    while not (path.exists() and path.read_text().strip()):
        os.sched_yield()
    return int(path.read_text())


def host_of(pid: int) -> int:
    return read_state(pid)[1]


def close(bench: Bench) -> None:
    bench.service.close()


# -- killed ---------------------------------------------------------------------------------------


def test_a_killed_host_is_replaced_and_its_runs_end(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(WAITING, env={"here": str(tmp_path)})
    b.start("r-1", "--x=1")
    b.start("r-2", "--x=2")
    pids = [wait_for_pid(tmp_path, number) for number in (1, 2)]
    host = host_of(pids[0])
    os.kill(host, signal.SIGKILL)
    ended: list[RunUpdate] = []
    while len(ended) < 2:
        ended += [update for update in b.service.wait(20.0) if update.state.is_terminal]
    assert {update.name for update in ended} == {"r-1", "r-2"}
    assert {update.state for update in ended} == {RunState.LOST}
    assert not any(map(is_running, pids))
    notice = f"(process {host}) is gone: it was killed. Another one was started: 2 of its runs have"
    assert notice in b.notices[0]
    (tmp_path / "go").touch()
    assert b.run("r-3", "--x=3").state == RunState.SUCCEEDED


def test_a_request_is_not_lost_with_the_host(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(f"echo $PPID > {tmp_path}/host; echo value=1")
    assert b.run("r-1").state == RunState.SUCCEEDED
    host = int((tmp_path / "host").read_text())
    os.kill(host, signal.SIGSTOP)
    b.start("r-2")  # it never reads this
    os.kill(host, signal.SIGKILL)
    assert b.wait_for_end("r-2").state == RunState.SUCCEEDED
    assert set(b.service.find(["r-1", "r-2", "r-3"])) == {"r-1", "r-2"}


def test_find_survives_the_end_of_the_host(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(f"echo $PPID > {tmp_path}/host; echo value=1")
    b.run("r-1")
    os.kill(int((tmp_path / "host").read_text()), signal.SIGKILL)
    assert b.service.find(["r-1"])["r-1"].state == RunState.SUCCEEDED


def test_hosts_that_end_one_after_the_other_end_the_call(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench("kill -9 $PPID; sleep 60")
    monkeypatch.setattr("tune_jobs.backends.local.service.MAX_HOSTS", 1)
    b.start("r-1")
    assert b.wait_for_end("r-1").state == RunState.LOST  # an end is progress
    monkeypatch.setattr("tune_jobs.backends.local.service.MAX_HOSTS", 0)
    b.start("r-2")
    with pytest.raises(MachineTrouble, match="is gone: it was killed, as were 0 others before"):
        b.wait_for_end("r-2")


def test_what_a_crashed_host_recorded_is_said(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(f"echo $PPID > {tmp_path}/host; echo value=1")
    b.run("r-1")
    (record,) = (tmp_path / "runs").glob(".host-*")
    host = int((tmp_path / "host").read_text())
    crash = json.dumps({"pid": host, "crash": "Traceback\n  ...\nValueError: 37 is no signal"})
    os.kill(host, signal.SIGKILL)
    record.write_text(crash)
    assert b.run("r-2").state == RunState.SUCCEEDED
    assert "is gone: ValueError: 37 is no signal" in b.notices[0]


# -- identity of what a host leaves behind --------------------------------------------------------


@pytest.fixture
def leftover(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Process whose environment does not say that it belongs to a run."""
    with subprocess.Popen(["sleep", "3600"], start_new_session=True) as process:
        yield process
        process.kill()


def record_start(folder: Path, **values: object) -> None:
    folder.mkdir()
    (folder / "run.jsonl").write_text(json.dumps({"event": "started", **values}) + "\n")


def test_a_leftover_is_recognized_whatever_the_clock_says(
    tmp_path: Path, leftover: subprocess.Popen[bytes]
) -> None:
    record_start(tmp_path / "r-1", time=0.0, **as_record(identify(leftover.pid)))
    outcome = find_outcome(str(tmp_path / "r-1"))
    assert outcome is not None
    assert outcome["state"] == "LOST"
    assert leftover.wait(10.0) == -signal.SIGKILL


@pytest.mark.parametrize("other", [{"ticks": 1}, {"boot": "another"}, {"namespace": "pid:[1]"}])
def test_another_process_with_the_same_id_lives_on(
    other: dict[str, object], tmp_path: Path, leftover: subprocess.Popen[bytes]
) -> None:
    record_start(tmp_path / "r-1", time=0.0, **{**as_record(identify(leftover.pid)), **other})
    outcome = find_outcome(str(tmp_path / "r-1"))
    assert outcome is not None
    assert outcome["state"] == "LOST"
    assert ("another container (pid:[1])" in outcome["cause"]) == ("namespace" in other)
    assert leftover.poll() is None


def test_a_run_that_its_host_could_not_record_is_found_by_its_environment(tmp_path: Path) -> None:
    folder = tmp_path / "r-1"
    folder.mkdir()
    (folder / "run.jsonl").write_text(json.dumps({"event": "accepted", "time": 0.0}) + "\n")
    env = {"TUNE_JOBS_METRICS_FILE": f"{folder}/reported.jsonl"}
    with subprocess.Popen(["sleep", "3600"], env=env) as process:
        assert find_outcome(str(folder)) is not None
        assert process.wait(10.0) == -signal.SIGKILL


# -- stopped --------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tuner wait for a host only for moments."""
    monkeypatch.setattr(connection, "PING_SECONDS", 0.02)
    monkeypatch.setattr(connection, "NOTICE_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_stopped_host_is_waited_for_aloud(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(WAITING, env={"here": str(tmp_path)})
    b.start("r-1", "--x=1")
    host = host_of(wait_for_pid(tmp_path, 1))
    os.kill(host, signal.SIGSTOP)
    notice = b.wait_for_notice("does not answer")
    assert f"process {host}, which is stopped: continue it with kill -CONT {host}" in notice
    os.kill(host, signal.SIGCONT)
    (tmp_path / "go").touch()
    assert b.wait_for_end("r-1").state == RunState.SUCCEEDED
    assert f"the local host (process {host}) answers again" in b.notices


@pytest.mark.usefixtures("impatient")
def test_a_host_that_stays_stopped_ends_the_call_and_the_next_one(
    bench: OpenBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench(WAITING, env={"here": str(tmp_path)})
    b.start("r-1", "--x=1")
    pid = wait_for_pid(tmp_path, 1)
    host = host_of(pid)
    os.kill(host, signal.SIGSTOP)
    monkeypatch.setattr(connection, "HOST_PATIENCE", 0.2)
    with pytest.raises(MachineTrouble, match=rf"\(process {host}.*has not answered.*kill -9"):
        b.wait_for_end("r-1")
    close(b)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    with pytest.raises(MachineTrouble, match="has not answered"):
        bench(WAITING, env={"here": str(tmp_path)})
    monkeypatch.undo()
    os.kill(host, signal.SIGCONT)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "go").touch()
    b = bench(WAITING, env={"here": str(tmp_path)})
    if b.service.find(["r-1"])["r-1"].state == RunState.IN_PROGRESS:
        assert b.wait_for_end("r-1").state == RunState.SUCCEEDED


# -- other folders --------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Temporary folder with a short path."""
    folder = tempfile.mkdtemp()
    yield folder
    shutil.rmtree(folder)


def test_a_tuner_with_another_temporary_folder_finds_the_host(
    bench: OpenBench, tmp_path: Path, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench(WAITING, env={"here": str(tmp_path)})
    first.start("r-1", "--x=1")
    pid = wait_for_pid(tmp_path, 1)
    close(first)
    monkeypatch.setattr(tempfile, "tempdir", elsewhere)
    second = bench(WAITING, env={"here": str(tmp_path)})
    assert second.service.find(["r-1"])["r-1"].state == RunState.IN_PROGRESS
    assert is_running(pid)
    (tmp_path / "go").touch()
    assert second.wait_for_end("r-1").state == RunState.SUCCEEDED


def test_a_host_that_cannot_be_reached_is_named(
    bench: OpenBench, tmp_path: Path, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench(WAITING, env={"here": str(tmp_path)})
    first.start("r-1", "--x=1")
    host = host_of(wait_for_pid(tmp_path, 1))
    close(first)
    (record,) = (tmp_path / "runs").glob(".host-*")
    content = record.read_text()
    record.write_text(json.dumps({"pid": host, "socket": "/no/such/socket"}))
    monkeypatch.setattr(tempfile, "tempdir", elsewhere)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.3)
    second = bench(WAITING, env={"here": str(tmp_path)})
    with pytest.raises(MachineTrouble, match=rf"\(process {host}\) listens at /no/such/socket"):
        second.service.find(["r-1"])
    close(second)
    record.write_text(content)
    (tmp_path / "go").touch()


def test_a_socket_that_was_removed_is_replaced(bench: OpenBench, tmp_path: Path) -> None:
    first = bench(WAITING, env={"here": str(tmp_path)})
    first.start("r-1", "--x=1")
    wait_for_pid(tmp_path, 1)
    close(first)
    (record,) = (tmp_path / "runs").glob(".host-*")
    os.unlink(json.loads(record.read_text())["socket"])
    second = bench(WAITING, env={"here": str(tmp_path)})
    assert second.service.find(["r-1"])["r-1"].state == RunState.IN_PROGRESS
    (tmp_path / "go").touch()
    assert second.wait_for_end("r-1").state == RunState.SUCCEEDED


def test_a_long_temporary_folder(
    bench: OpenBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert bench("echo value=1").run("r-1").state == RunState.SUCCEEDED


# -- start ----------------------------------------------------------------------------------------


def test_modules_of_the_project_do_not_replace_those_of_the_host(
    bench: OpenBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("types", "enum", "selectors", "signal", "socket", "json", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('shadowed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert bench("echo value=1").run("r-1").state == RunState.SUCCEEDED


def test_the_reason_why_a_host_cannot_start_is_the_message(
    script: Script, opened: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HOST", "raise OSError(28, 'No space left on device', '/x')")
    opened.append(Bench(LocalBackend(script("echo value=1"))))
    with pytest.raises(BackendError) as caught:
        opened[0].start("r-1")
    first = str(caught.value).partition("\n")[0]
    assert first == (
        "the local host could not be started: OSError: [Errno 28] No space left on device: '/x'"
    )


def test_a_system_without_identities_is_refused(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_jobs.backends.local.backend.identify", lambda pid: None)
    with pytest.raises(BackendError, match="no /proc, and psutil is not installed"):
        bench("echo value=1")


# -- what one run can do --------------------------------------------------------------------------

RECORDED = "until grep -q started ../run.jsonl; do sleep 0.02; done"
ODD_ENDS = {
    "realtime signal": ("kill -37 $$", "killed by signal SIGRTMIN+3"),
    "fifo": ('mkfifo "$TUNE_JOBS_METRICS_FILE"; echo value=1', "not a regular file"),
    "folder": ('mkdir "$TUNE_JOBS_METRICS_FILE"; echo value=1', "not a regular file"),
    "log": ("rm ../log.txt; mkfifo ../log.txt", "not a regular file"),
    "history": (f"{RECORDED}; rm ../run.jsonl; mkfifo ../run.jsonl", "was removed or replaced"),
    "removed": (f'{RECORDED}; rm -r "${{PWD%/*}}"', "was removed or replaced"),
}


@pytest.mark.parametrize("kind", ODD_ENDS)
def test_an_odd_run_fails_and_no_other(kind: str, bench: OpenBench, tmp_path: Path) -> None:
    body, cause = ODD_ENDS[kind]
    b = bench(f'if [ "$x" = 0 ]; then {body}; exit; fi\n{WAITING}', env={"here": str(tmp_path)})
    b.start("r-1", "--x=1")
    host = host_of(wait_for_pid(tmp_path, 1))
    update = b.run("r-0", "--x=0")
    assert update.state == RunState.FAILED
    assert cause in update.cause
    (tmp_path / "go").touch()
    assert b.wait_for_end("r-1").state == RunState.SUCCEEDED
    assert is_running(host)


def test_what_has_left_the_group_of_a_canceled_run_ends(bench: OpenBench, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "held")  # open for writing as long as a process of the run lives
    b = bench(f"exec 3> {tmp_path}/held; setsid sleep 3600 & sleep 3600")
    b.start("r-1")
    with (tmp_path / "held").open("rb") as held:
        b.service.cancel("r-1")
        assert b.wait_for_end("r-1").state == RunState.CANCELED
        assert select.select([held], [], [], 10.0)[0]


def test_output_that_is_left_at_the_end_is_read_in_steps(bench: OpenBench, tmp_path: Path) -> None:
    b = bench("seq 6000 | sed 's/^/value=0./'; echo value=1")
    b.start("r-1")
    assert b.wait_for_end("r-1").state == RunState.SUCCEEDED
    records = b.store.records("r-1")
    assert len(records) == 6_001
    assert records[-1].values == {"value": 1.0}
