"""One local run, without the host."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from tune_jobs.backends.local.publication import publish
from tune_jobs.backends.local.run import StartRequest, launch


def request(tmp_path: Path) -> StartRequest:
    return StartRequest(
        id="s/r-1",
        folder=str(tmp_path / "store/runs/r-1"),
        command=["sh", "-c", "echo value=0.5"],
        env={},
        files={},
        links=[],
        resume=[],
        checkpoints=False,
        metrics=str(tmp_path / "store/metrics/r-1.jsonl"),
        sources={"names": ["value"]},
        time_limit=None,
        grace=1.0,
        publish=None,
    )


def test_a_run_that_has_ended_is_not_followed_while_it_is_published(tmp_path: Path) -> None:
    start = request(tmp_path)
    metrics = Path(start.metrics)
    run = launch(start, os.environ)
    _, status, usage = os.wait4(run.process.pid, 0)
    run.reaped(status, usage)
    ended = run.finish()
    assert ended is not None
    assert run.follow() == 0
    assert ended["metrics_bytes"] == metrics.stat().st_size > 0
    last = (tmp_path / "store/runs/r-1/run.jsonl").read_text().splitlines()[-1]
    assert json.loads(last) == ended


def test_only_the_working_directories_of_nodes_are_not_published(tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    start = replace(request(tmp_path), publish=(f"{remote}/metrics.jsonl", f"{remote}/run"))
    kept = {
        Path("outputs", "work", "a.txt"),
        Path("checkpoints", "work"),
        Path("outputs", "rank-1", "work", "b.txt"),
        Path("rank-1", "log.txt"),
    }
    for name in (*kept, Path("rank-1", "work", "input.txt")):
        path = Path(start.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        Path(remote, "run", name).parent.mkdir(parents=True, exist_ok=True)
    Path(start.folder, "work").mkdir()
    assert publish(start, whole=True) == ""
    files = Path(remote, "run").rglob("*")
    assert {p.relative_to(remote / "run") for p in files if p.is_file()} == kept
