"""How the ends of local runs are told, and to whom."""

from __future__ import annotations

import os
from pathlib import Path

from tests.backends.local_bench import Bench, OpenBench
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.core.job_runs import RunState


def wait_for(path: Path, part: str = "") -> None:
    while not (path.exists() and part in path.read_text()):
        os.sched_yield()


def test_a_run_that_ends_well_although_it_was_to_be_stopped_has_its_value(
    bench: OpenBench, tmp_path: Path
) -> None:
    stop = "trap 'echo value=1; exit 0' TERM"
    b = bench(f"{stop}; : > {tmp_path}/ready; while :; do sleep 0.02; done", grace=10.0)
    b.start("r-1")
    wait_for(tmp_path / "ready")
    b.service.cancel("r-1")
    update = b.wait_for_end("r-1")
    assert (update.state, update.cause) == (RunState.SUCCEEDED, "")


def test_a_run_that_reaches_its_time_limit_has_failed(bench: OpenBench) -> None:
    update = bench("sleep 3600", time_limit=0.1).run("r-1")
    assert (update.state, update.transient) == (RunState.FAILED, False)
    assert update.cause == "time limit of 0.1 s reached"


def test_an_end_that_comes_before_the_answer_to_find_is_told(
    bench: OpenBench, tmp_path: Path
) -> None:
    b = bench("echo value=1")
    b.start("r-1")
    wait_for(tmp_path / "runs/study/runs/r-1/run.jsonl", '"ended"')
    assert b.service.find(["never-1"]) == {}
    assert b.wait_for_end("r-1").state == RunState.SUCCEEDED


def test_a_run_that_could_not_be_started_is_known_to_the_next_tuner(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    for _ in range(2):
        b = Bench(LocalBackend(program))
        update = b.service.find(["r-1"]).get("r-1") or b.run("r-1")
        b.service.close()
    assert update.state == RunState.FAILED
    assert "could not be started" in update.cause
    history = (tmp_path / "runs/study/runs/r-1/run.jsonl").read_text()
    assert history.count('"accepted"') == 1


def test_every_process_of_a_run_is_asked_to_end(bench: OpenBench, tmp_path: Path) -> None:
    child = f"trap 'echo saved > {tmp_path}/saved; exit' TERM; : > {tmp_path}/child"
    parent = f"trap : TERM; until [ -e {tmp_path}/child ]; do sleep 0.02; done"
    loop = "while :; do sleep 0.02; done"
    b = bench(f"({child}; {loop}) & {parent}; : > {tmp_path}/ready; wait; wait", grace=10.0)
    b.start("r-1")
    wait_for(tmp_path / "ready")
    b.service.cancel("r-1")
    b.wait_for_end("r-1")
    assert (tmp_path / "saved").read_text() == "saved\n"
