"""Comparison of trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.conftest import MakeTuner
from tests.dashboard.comparing import add_trials
from tests.dashboard.conftest import HOSTILE, sign_in
from tune_jobs.dashboard.trial_comparison import MAX_TRIALS, parse_trials


def read_rows(view: Any, section: str) -> dict[str, tuple[list[str | None], bool]]:
    """Return values, and whether they differ, by name."""
    (found,) = [s for s in view["sections"] if s["name"] == section]
    return {row["name"]: (row["values"], row["differs"]) for row in found["rows"]}


def test_references_to_trials() -> None:
    assert parse_trials(["s0-1:12", "s1-4:0", "s0-1:12"]) == [("s0-1", 12), ("s1-4", 0)]
    for wrong in ("s0-1", "s0-1:", ":1", "s0-1:-1", "s0-1:x", "s0-1:1e3", "s0-1:" + "9" * 99):
        with pytest.raises(ValueError, match="is no trial"):
            parse_trials([wrong])
    with pytest.raises(ValueError, match="nothing to compare"):
        parse_trials([])
    with pytest.raises(ValueError, match="at most 50 are compared"):
        parse_trials([f"s0-1:{i}" for i in range(MAX_TRIALS + 1)])


def test_trials_of_several_storages(tmp_path: Path) -> None:
    paths = [f"{tmp_path}/{name}.db" for name in ("old", "new")]
    add_trials(f"sqlite:///{paths[0]}", HOSTILE, center=0.8, seed=1, n_trials=3, cost=2.0)
    new = add_trials(f"sqlite:///{paths[1]}", "new", center=0.9, seed=2, n_trials=3)
    new.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    client = sign_in(paths)
    query = "trial=s0-1:2&trial=s1-1:0&trial=s1-1:3"
    view = client.get(f"/api/compare-trials?{query}").json
    assert view is not None
    assert [t["name"][-2:] for t in view["trials"]] == ["#2", "#0", "#3"]
    assert read_rows(view, "Result")["state"] == (["complete", "complete", "fail"], True)
    assert read_rows(view, "Run")["cost"] == (["2", None, None], True)
    assert read_rows(view, "Parameters")["layers"][0][2] is None
    curves = client.get(f"/api/compare-trials/curves/steps?{query}").json
    assert curves is not None
    assert [len(trace["x"]) for trace in curves["data"]] == [5, 5, 0]
    version = view["version"]
    known = client.get(f"/api/compare-trials?{query}&version={version}").json
    assert known == {"version": version, "unchanged": True}
    assert client.get("/api/compare-trials?trial=s0-1:9").status_code == 404
    assert client.get("/api/compare-trials?trial=s9-1:0").status_code == 404
    assert client.get("/api/compare-trials").status_code == 400
    assert client.get(f"/api/compare-trials/curves/no?{query}").status_code == 404


def test_commands_and_curves_of_runs(make_tuner: MakeTuner, tmp_path: Path) -> None:
    script = 'for step in 1 2 3; do echo "step=$step value=$x"; done'
    make_tuner(script, step="step").optimize(n_trials=2)
    client = sign_in([f"{tmp_path}/s.db"])
    query = "trial=s0-1:0&trial=s0-1:1"
    view = client.get(f"/api/compare-trials?{query}").json
    assert view is not None
    first, second = (trial["words"] for trial in view["trials"])
    assert len(first) == len(second)
    assert first != second
    assert [trial["run"] for trial in view["trials"]] == ["trial-000000-1", "trial-000001-1"]
    assert view["axes"] == ["steps", "seconds"]
    curves = client.get(f"/api/compare-trials/curves/seconds?{query}").json
    assert curves is not None
    for trace in curves["data"]:
        assert len(trace["x"]) == 3
        assert trace["x"] == sorted(trace["x"])
