"""What a run used: measured from ``/proc``, written, read and summarized."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.core.resource_usage import ResourceUsage, usage_columns
from tune_jobs.runtime import usage
from tune_jobs.runtime.container_limits import read_limits
from tune_jobs.runtime.gpus import GpuProbe, parse_gpus, select_visible
from tune_jobs.runtime.processes import ProcessStatus, read_processes, select_tree
from tune_jobs.runtime.usage import Machine, UsageMeter, explain_kill
from tune_jobs.runtime.usage_summary import MOST_BYTES, describe_memory, parse_usage, summarize

GB = 1 << 30


class Clock:
    """Time that passes on request, with a run whose processes are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.now = 1000.0
        self.processes: dict[int, ProcessStatus] = {}
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr(usage, "read_processes", lambda: self.processes)
        monkeypatch.setattr(usage, "read_disk_bytes", lambda pid: (0, 1 << 20))
        monkeypatch.setattr(usage, "read_shared_memory", lambda pid: None)
        self.path = path
        self.meter = UsageMeter(7, str(path), Machine(GpuProbe("/no/such/program")))

    def run(self, seconds: float, cores: float, memory: int) -> None:
        """Let the run use so much for a while, looked at every half second."""
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            used = self.processes[7].cpu_seconds if self.processes else 0.0
            self.processes = {7: ProcessStatus(7, 1, 7, used + cores / 2, memory)}
            self.meter.look()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    return Clock(monkeypatch, tmp_path / "usage.jsonl")


def test_a_run_is_measured_in_lines_and_in_its_summary(clock: Clock) -> None:
    clock.run(60.0, cores=0.5, memory=GB)
    clock.run(60.0, cores=1.5, memory=3 * GB)
    summary = clock.meter.finish(cpu_seconds=120.0, max_rss=2 * GB)
    lines = parse_usage(clock.path.read_bytes())
    assert summarize(lines) == summary, "what was written says the same"
    cores = summary["cores"]
    assert summary["memory_peak"] == 3 * GB
    assert summary["seconds"] == 120.0
    assert summary["cpu_mean"] == pytest.approx(1.0 / cores, abs=0.001)
    assert summary["cpu_peak"] == pytest.approx(1.5 / cores, abs=0.1)
    assert summary["disk_written"] == 1 << 20
    assert "network_in" not in summary, "it shares the network"


def test_a_minute_takes_less_than_a_kilobyte(clock: Clock) -> None:
    clock.run(600.0, cores=0.123, memory=12_345_678_901)
    assert clock.path.stat().st_size <= 10 * 1000


def test_a_run_of_days_is_read_to_its_start(clock: Clock) -> None:
    for _ in range(12 * 24 * 7):
        clock.now += 300.0
        clock.processes = {7: ProcessStatus(7, 1, 7, clock.now, 12_345_678_901)}
        clock.meter.look()
    assert clock.path.stat().st_size < MOST_BYTES
    assert "cores" in parse_usage(clock.path.read_bytes())[0]


def test_a_short_run_writes_no_file(clock: Clock) -> None:
    clock.run(5.0, cores=1.0, memory=GB)
    assert clock.meter.finish(5.0, GB)["cpu_mean"] > 0
    assert not clock.path.exists()


def test_looking_is_cheap_where_there_are_many_processes(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def read_slowly() -> dict[int, ProcessStatus]:
        looks.append(clock.now)
        clock.now += 0.1
        return {}

    monkeypatch.setattr(usage, "read_processes", read_slowly)
    monkeypatch.setattr("time.thread_time", lambda: clock.now)
    for _ in range(2000):
        clock.now += 0.5
        clock.meter.look()
    assert 0.1 * len(looks) / (clock.now - 1000.0) <= 0.005


def test_a_tree_has_what_left_its_session_and_what_lost_its_parent() -> None:
    found = {
        each.pid: each
        for each in (
            ProcessStatus(7, 1, 7, 0.0, 0),
            ProcessStatus(8, 7, 8, 0.0, 0),  # a session of its own
            ProcessStatus(9, 8, 8, 0.0, 0),
            ProcessStatus(10, 1, 7, 0.0, 0),  # its parent has ended
            ProcessStatus(11, 1, 1, 0.0, 0),  # another run
        )
    }
    assert {each.pid for each in select_tree(7, found)} == {7, 8, 9, 10}


def test_real_processes_are_read() -> None:
    own = read_processes()[os.getpid()]
    assert own.parent == os.getppid()
    assert own.session == os.getsid(0)
    assert own.memory > 1 << 20
    assert own.cpu_seconds > 0


@pytest.mark.parametrize(
    ("files", "memory", "cores"),
    [
        ({"memory.max": "max", "cpu.max": "max 100000"}, 8 * GB, None),
        ({"memory.max": str(GB), "cpu.max": "50000 100000"}, GB, 0.5),
        ({"a/b/memory.max": str(3 * GB), "a/memory.max": str(2 * GB)}, 2 * GB, None),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, 8 * GB, None),
        ({"memory/a/b/memory.limit_in_bytes": str(GB)}, GB, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8 * GB, None),
        ({"cpu/a/cpu.cfs_quota_us": "25000", "cpu/a/cpu.cfs_period_us": "100000"}, 8 * GB, 0.25),
        ({"memory.max": "nonsense", "cpu.max": "1 0"}, 8 * GB, None),
    ],
)
def test_limits_of_control_groups(
    files: dict[str, str], memory: int, cores: float | None, tmp_path: Path
) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal:       {8 * 1024 * 1024} kB\n")
    (proc / "self/cgroup").write_text("4:memory:/a/b\n1:cpu,cpuacct:/a/b\n0::/a/b\n")
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    limits = read_limits(str(proc), str(root))
    assert limits.memory == memory
    assert limits.cores == (cores or len(os.sched_getaffinity(0)))


def test_without_proc_only_the_end_is_known(clock: Clock, tmp_path: Path) -> None:
    assert read_limits(str(tmp_path / "no"), str(tmp_path / "no")).memory is None
    for _ in range(100):
        clock.now += 0.5
        clock.meter.look()
    summary = clock.meter.finish(cpu_seconds=25.0, max_rss=GB)
    assert (summary["memory_peak"], summary["cpu_seconds"]) == (GB, 25.0)
    assert "disk_written" not in summary


# -- GPUs -----------------------------------------------------------------------------------------

OUTPUT = "0, GPU-aa, 37, 8000, 16384\n1, GPU-bb, [N/A], 3, 4\n2, GPU-cc, 0, 100, 16384\n"


def test_gpus_are_parsed_and_selected() -> None:
    gpus = parse_gpus(OUTPUT)
    assert [(gpu.number, gpu.busy, gpu.memory) for gpu in gpus] == [
        ("0", 0.37, 8000 << 20),
        ("2", 0.0, 100 << 20),
    ]
    assert [gpu.number for gpu in select_visible(gpus, "GPU-c,5")] == ["2"]
    assert select_visible(gpus, "") == []
    assert select_visible(gpus, None) == gpus


def probe_of(folder: Path, script: str) -> GpuProbe:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return GpuProbe(str(program))


def test_a_probe_answers_later(tmp_path: Path) -> None:
    probe = probe_of(tmp_path, f"printf '{OUTPUT}'")
    probe.poll(0.0)
    process = probe._process
    assert process is not None
    process.wait()
    probe.poll(1.0)
    assert probe.latest == parse_gpus(OUTPUT)
    probe.poll(200.0)
    assert probe._process is None, "0.5 % of the time at most"
    probe.poll(201.5)
    assert probe._process is not None
    probe._process.wait()
    probe.poll(202.0)
    assert probe.answers == 2


def test_a_probe_that_hangs_is_killed(tmp_path: Path) -> None:
    probe = probe_of(tmp_path, "exec sleep 60")
    probe.poll(0.0)
    process = probe._process
    assert process is not None
    probe.poll(11.0)
    assert process.wait() == -9
    assert probe.latest is None


def test_gpus_are_in_the_summary(clock: Clock, tmp_path: Path) -> None:
    clock.meter = UsageMeter(7, str(clock.path), Machine(probe_of(tmp_path, f"printf '{OUTPUT}'")))
    clock.run(2.0, cores=1.0, memory=GB)
    process = clock.meter._machine.probe._process
    if process is not None:  # otherwise it has answered already
        process.wait()
    clock.run(20.0, cores=1.0, memory=GB)
    summary = clock.meter.finish(22.0, GB)
    assert (summary["gpus"], summary["gpu_mean"]) == (2, 0.185)
    assert summary["gpu_memory_peak"] == 8000 << 20
    assert summary["gpu_limit"] == 16384 << 20


# -- strangers' data ------------------------------------------------------------------------------

_JSON = st.sampled_from([None, True, -1, 1e300, float("nan"), float("inf"), "1", [1], {"at": 1}])
_NAMES = st.sampled_from(
    ["at", "cpu", "memory", "peak", "gpu", "gpu_memory", "cores", "memory_limit", "wrote"]
)
_LINES = st.one_of(
    st.dictionaries(_NAMES, _JSON | st.floats(0, 1e6), max_size=9).map(json.dumps),
    st.text(max_size=30),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_LINES, max_size=8))
def test_any_file_is_read(lines: list[str]) -> None:
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    found = ResourceUsage.from_summary(summarize(parse_usage(data)))
    columns = usage_columns(found)
    assert all(value is None or value >= 0 for value in columns.values())
    if found is not None:
        assert ResourceUsage.decode(found.encode()) == found


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"at": 1e999}', b'{"at": -1, "cpu": true}', b"\xff\x00{", b"{}" * 9]
)
def test_garbage_is_left_out(data: bytes) -> None:
    assert summarize(parse_usage(data)) == {}


@pytest.mark.parametrize("found", [None, [], "x", {"cpu_mean": "1"}, {"memory_peak": float("nan")}])
def test_a_summary_that_is_none(found: Any) -> None:
    assert ResourceUsage.from_summary(found) is None


# -- causes ---------------------------------------------------------------------------------------


def test_memory_is_described_as_precisely_as_needed() -> None:
    assert describe_memory(15.9 * GB, 16 * GB) == "15.9 of 16 GB"
    assert describe_memory(199.6 * (1 << 20), 256 * (1 << 20)) == "200 of 256 MB"


def test_a_kill_at_the_limit_is_explained() -> None:
    cause = "killed by signal SIGKILL (out of memory?)"
    full = {"memory_peak": 15.9 * GB, "memory_limit": 16.0 * GB}
    assert explain_kill(cause, full) == (
        "killed by signal SIGKILL (out of memory: killed at 15.9 of 16 GB)"
    )
    assert explain_kill(cause, {**full, "memory_peak": 3.0 * GB}) == cause
    assert explain_kill("exit code 1", full) == "exit code 1"


# -- a real process -------------------------------------------------------------------------------

SCRIPT = "x = bytearray(120 << 20)\nprint('ready', flush=True)\ninput()"


def test_a_real_process_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "FIRST_LOOK", 0.0)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        meter = UsageMeter(process.pid, str(tmp_path / "u"), Machine(), has_network=True)
        meter.look()
        process.communicate(b"\n")
    summary = meter.finish(0.5, 0)
    assert summary["memory_peak"] > 110 << 20
    assert summary["network_in"] >= 0
    assert summary["memory_limit"] > 0


def test_a_meter_never_waits_for_its_file(clock: Clock, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    clock.meter = UsageMeter(7, str(tmp_path / "pipe"), Machine(GpuProbe("/no")))
    worker = threading.Thread(target=clock.run, args=(40.0, 1.0, GB), daemon=True)
    worker.start()
    worker.join(20.0)
    assert not worker.is_alive()


def test_no_run_is_lost_since_it_was_measured(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> dict[str, float]:
        raise MemoryError

    usages = resource.getrusage(resource.RUSAGE_CHILDREN)
    monkeypatch.setattr(usage, "read_processes", fail)
    clock.run(20.0, cores=1.0, memory=GB)
    assert usage.summarize_child(clock.meter, usages)["cpu_seconds"] >= 0
    monkeypatch.setattr(usage, "summarize", fail)
    assert usage.summarize_child(clock.meter, usages) == {}


@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_memory_of_the_largest_process_has_the_unit_of_the_system(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    usages = resource.struct_rusage((1.0, 0.5, 2 * GB, *[0] * 13))
    monkeypatch.setattr(sys, "platform", system)
    assert usage.summarize_child(clock.meter, usages)["memory_peak"] == 2 * GB * unit
