"""Identity of processes, without clocks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tune_jobs.runtime import processes
from tune_jobs.runtime.processes import (
    as_record,
    describe_signal,
    find_by_environment,
    from_record,
    identify,
    is_alive,
    kill_all,
    read_boot_id,
    read_start_ticks,
)


def test_boot_id_is_a_uuid() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", read_boot_id() or "")


def test_identity_of_a_process_with_an_odd_name(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        assert is_alive(identity)
        assert from_record(as_record(identity)) == identity
        assert not is_alive(identity._replace(ticks=identity.ticks - 1))
        assert not is_alive(identity._replace(boot="another"))
        assert not is_alive(identity._replace(namespace="pid:[1]"))
        assert identity.ticks >= (read_start_ticks(os.getpid()) or 0)
        process.kill()
    assert not is_alive(identity)


def test_a_record_of_an_earlier_version_identifies_nothing() -> None:
    assert from_record({"event": "started", "pid": 7, "time": 1.5}) is None


def test_no_such_process() -> None:
    highest = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert read_start_ticks(highest + 1) is None
    assert identify(highest + 1) is None


def test_psutil_serves_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    class Psutil:
        Error = OSError

        class Process:
            def __init__(self, pid: int) -> None:
                self.pid = pid

            def create_time(self) -> float:
                return 1.5

    def refuse(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(processes, "_read", refuse)
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert read_start_ticks(1) is None
    monkeypatch.setitem(sys.modules, "psutil", Psutil)
    assert read_start_ticks(1) == 1_500_000


def test_processes_are_found_by_their_environment_and_killed() -> None:
    # Neither calls exec once the second has said its number: a process has no environment then.
    script = "exec 3<&0; setsid sh -c 'echo $$; read line' <&3 & read line"
    with subprocess.Popen(
        ["sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"MARK": "a b"},
    ) as process:
        assert process.stdout is not None
        pids = {process.pid, int(process.stdout.readline())}
        assert set(find_by_environment("MARK", "a b")) >= pids
        assert not set(find_by_environment("MARK", "a")) & pids
        kill_all(pids)
        assert not set(find_by_environment("MARK", "a b")) & pids
        assert process.wait() == -signal.SIGKILL


def test_signals_have_names() -> None:
    assert describe_signal(9) == "SIGKILL"
    assert describe_signal(signal.SIGRTMIN + 3) == "SIGRTMIN+3"
    assert describe_signal(signal.SIGRTMAX) == "SIGRTMAX"
