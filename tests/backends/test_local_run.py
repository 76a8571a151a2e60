"""One local run, without the host."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tune_jobs.backends.local.run import StartRequest, launch


def test_a_run_that_has_ended_is_not_followed_while_it_is_published(tmp_path: Path) -> None:
    metrics = tmp_path / "store/metrics/r-1.jsonl"
    start = StartRequest(
        id="s/r-1",
        folder=str(tmp_path / "store/runs/r-1"),
        command=["sh", "-c", "echo value=0.5"],
        env={},
        files={},
        links=[],
        resume=[],
        checkpoints=False,
        metrics=str(metrics),
        sources={"names": ["value"]},
        time_limit=None,
        grace=1.0,
        publish=None,
    )
    run = launch(start, os.environ)
    _, status, usage = os.wait4(run.process.pid, 0)
    run.reaped(status, usage)
    ended = run.finish()
    assert ended is not None
    assert run.follow() == 0
    assert ended["metrics_bytes"] == metrics.stat().st_size > 0
    last = (tmp_path / "store/runs/r-1/run.jsonl").read_text().splitlines()[-1]
    assert json.loads(last) == ended
