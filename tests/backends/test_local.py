"""Local runs: their processes, their folders, and the host."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from os import mkfifo
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.backends.local_bench import SOURCES, Bench, OpenBench
from tests.conftest import Script
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.local.service import lock_study
from tune_jobs.core.job_runs import MetricSources, RunState
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.script.entry_point import EntryPoint


def test_run_leaves_metrics_and_log(bench: OpenBench, tmp_path: Path) -> None:
    b = bench('pwd; echo "value=$x" >&2; ls; cat in/c.json; echo $COLOR')
    update = b.run("r-1", "--x=0.5", env={"COLOR": "red"}, files={"in/c.json": "{}\n"})
    assert (update.state, update.exit_code, update.cause) == (RunState.SUCCEEDED, 0, "")
    folder = tmp_path / "runs/study/runs/r-1"
    assert b.store.log("r-1").split() == [f"{folder}/work", "value=0.5", "in", "{}", "red"]
    assert [r.values for r in b.store.records("r-1")] == [{"value": 0.5}]
    assert {p.name for p in folder.iterdir()} == {*("work", "log.txt", "run.jsonl")}
    assert update.started is not None
    assert update.finished is not None
    assert update.started <= update.finished


def test_name_is_started_once(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(f"echo x >> {tmp_path}/count; echo value=1")
    first = b.run("r-1")
    assert b.run("r-1") == first
    assert (tmp_path / "count").read_text() == "x\n"


def test_find(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(f'[ "$x" = 1 ] && until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo value=1')
    b.run("ended-1")
    b.start("live-1", "--x=1")
    found = b.service.find(["ended-1", "live-1", "never-1"])
    assert {n: u.state for n, u in found.items()} == {
        "ended-1": RunState.SUCCEEDED,
        "live-1": RunState.IN_PROGRESS,
    }
    (tmp_path / "go").touch()
    assert b.wait_for_end("live-1").state == RunState.SUCCEEDED


def is_closed(held: BinaryIO, within: float) -> bool:
    """Return whether all writers of a FIFO close it before a timeout in seconds."""
    with held:
        return bool(select.select([held], [], [], within)[0])


def test_cancel_ends_the_process_group(bench: OpenBench, tmp_path: Path) -> None:
    mkfifo(tmp_path / "held")  # open for writing as long as a process of the run lives
    b = bench(f"exec 3> {tmp_path}/held; sleep 3600 & sleep 3600", grace=5.0)
    b.start("r-1")
    held = (tmp_path / "held").open("rb")
    b.service.cancel("r-1")
    update = b.wait_for_end("r-1")
    assert (update.state, update.cause) == (RunState.CANCELED, "canceled")
    assert is_closed(held, within=10.0)
    b.service.cancel("r-1")
    b.service.cancel("never-1")


def test_run_that_ignores_term_is_killed(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(f"trap '' TERM; : > {tmp_path}/ready; while :; do sleep 0.1; done", grace=0.2)
    b.start("r-1")
    while not (tmp_path / "ready").exists():
        os.sched_yield()
    b.service.cancel("r-1")
    assert b.wait_for_end("r-1").state == RunState.CANCELED


def test_background_process_ends_with_its_run(bench: OpenBench, tmp_path: Path) -> None:
    mkfifo(tmp_path / "held")
    b = bench(f"exec 3> {tmp_path}/held; sleep 3600 & echo value=1")
    b.start("r-1")
    held = (tmp_path / "held").open("rb")
    assert b.wait_for_end("r-1").state == RunState.SUCCEEDED
    assert is_closed(held, within=10.0)


def test_no_zombies(bench: OpenBench) -> None:
    b = bench("echo value=1")
    for number in range(5):
        b.run(f"r-{number}")
    states = [stat.rsplit(")", 1)[1].split() for stat in _stats()]
    ours = [s for s in states if s[1] == str(os.getpid())]
    assert not [s for s in ours if s[0] == "Z"]


def test_idle_host_leaves(bench: OpenBench, tmp_path: Path) -> None:
    b = bench(f"echo $PPID > {tmp_path}/host; echo value=1")
    b.run("r-1")
    host = os.pidfd_open(int((tmp_path / "host").read_text()))
    b.service.close()
    assert select.select([host], [], [], 20)[0]
    os.close(host)


def test_program_that_cannot_be_started(opened: list[Bench], tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    b = Bench(LocalBackend(program))
    opened.append(b)
    update = b.run("r-1")
    assert update.state == RunState.FAILED
    assert "could not be started" in update.cause


def test_arguments_over_the_kernel_s_limit(bench: OpenBench) -> None:
    b = bench("echo value=1")
    update = b.run("r-1", *["x" * 100_000] * 100)
    assert update.state == RunState.FAILED
    assert "Argument list too long" in update.cause


def test_links(bench: OpenBench, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("value=0.25\n")
    b = bench("cat data/train.csv", link=["data"])
    assert b.run("r-1").state == RunState.SUCCEEDED
    assert b.store.records("r-1")[0].values == {"value": 0.25}
    with pytest.raises(ConfigError, match="missing does not exist"):
        LocalBackend("train.sh", link=["missing"]).check()


def test_report_without_installation(opened: list[Bench], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "from tune_jobs import report\nimport tune_jobs\n"
        "report(value=0.5, step=2)\nprint(tune_jobs.__file__)\n"
    )
    plain = Path(sys.executable).resolve()  # outside of the virtual environment
    b = Bench(LocalBackend("train.py", python=str(plain)))
    opened.append(b)
    assert b.run("r-1").state == RunState.SUCCEEDED, b.store.log("r-1")
    assert [(r.step, r.values) for r in b.store.records("r-1")] == [(2, {"value": 0.5})]


def test_module(opened: list[Bench], tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "train.py").write_text("import sys; print('value=' + sys.argv[1])\n")
    b = Bench(LocalBackend(EntryPoint.module("package.train")))
    opened.append(b)
    assert b.run("r-1", "0.75").state == RunState.SUCCEEDED, b.store.log("r-1")
    assert b.store.records("r-1")[0].values == {"value": 0.75}


@pytest.mark.parametrize("name", ["metrics.json", "metrics.csv"])
def test_metrics_file(name: str, bench: OpenBench) -> None:
    contents = {"metrics.json": '{"value": 0.5}', "metrics.csv": "epoch,value\\n1,0.25\\n2,0.5\\n"}
    sources = MetricSources(("value",), step="epoch", file=name)
    b = bench(f"printf '{contents[name]}' > {name}", sources=sources)
    b.run("r-1")
    assert b.store.records("r-1")[-1].values["value"] == 0.5


def test_store_in_memory_is_refused(script: Script) -> None:
    with pytest.raises(BackendError, match="exists only inside this process"):
        LocalBackend(script("")).open(
            "memory://runs", "study", SOURCES, keep_runs=True, notice=print
        )


def test_time_limit_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="time_limit=0: must be positive"):
        LocalBackend("train.sh", time_limit=0)


def _stats() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            yield path.read_text()


def test_runs_of_another_user_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match=r"\.tuner\.lock cannot be opened by user \d+: "):
        lock_study(str(tmp_path / "file"))
