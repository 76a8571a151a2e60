"""Studies, ledgers and metric stores of an earlier version are read and resumed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage

from tests.compatibility.restoring import open_study, restore
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.cli.main import main
from tune_jobs.core.promotion import Promotion
from tune_jobs.dashboard.reading import open_source, read_study
from tune_jobs.dashboard.report import report_html
from tune_jobs.dashboard.views import head_view, study_view
from tune_jobs.tuner import Tuner

RECORDED = [
    ("trial-000000-1", "SUCCEEDED"),
    ("trial-000001-1", "CANCELED"),
    ("trial-000002-1", "FAILED"),
    ("trial-000003-1", "SUCCEEDED"),
    ("final-1-1", "SUCCEEDED"),
    ("trial-000004-1", "SUBMITTED"),
    ("trial-000005-1", "INTENDED"),
]


@pytest.fixture(params=["sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> BaseStorage | str:
    return restore(request.param, tmp_path)


def build_tuner(study: optuna.Study, **options: Any) -> Tuner:
    backend = LocalBackend("train.sh", env={"HERE": str(Path.cwd())})
    space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    return Tuner(
        study, space, backend, metric="value", step="epoch", store="runs", progress=False, **options
    )


def list_states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_study_is_read(storage: BaseStorage | str, tmp_path: Path) -> None:
    tuner = build_tuner(open_study(storage))
    assert [(a.name, a.state) for a in tuner.attempts()] == RECORDED
    seen = read_study(tuner.study)
    assert [(run.name, run.state) for run in seen.runs] == RECORDED
    assert [t.state for t in seen.trials] == [
        *("COMPLETE", "PRUNED", "FAIL", "COMPLETE"),
        *("RUNNING", "RUNNING", "WAITING"),
    ]
    best = seen.best()
    assert best is not None
    assert (best.number, best.values, dict(best.steps)) == (0, (0.25,), {1: 0.25})
    assert seen.trials[2].attributes["tune_jobs:cause"] == "exit code 3\nout of data"
    assert seen.store == str(tmp_path / "runs")
    assert seen.owner is None, "its process is dead"


def test_study_is_shown(storage: BaseStorage | str, tmp_path: Path) -> None:
    where = storage if isinstance(storage, str) else str(tmp_path / "journal.log")
    source = open_source(where, "s-")
    heads = {head.name: head for head in source.heads()}
    assert heads.keys() == {"main", "promotion"}
    assert heads["main"].counts["COMPLETE"] == 2
    assert head_view(heads["main"], now=0.0)["best"] == 0.25
    study = source.study(heads["main"].key)
    assert study_view(study, now=0.0)["counts"]["FAIL"] == 1
    assert "minimize value" in report_html([study], now=0.0)


def test_study_is_resumed(storage: BaseStorage | str) -> None:
    began = time.time()
    study = open_study(storage)
    tuner = build_tuner(study)
    tuner.optimize(n_trials=3)
    assert list_states(study) == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", *["COMPLETE"] * 3]
    assert [t.value for t in study.trials[4:]] == [0.125, 0.375, 0.625]
    recorded, resumed = tuner.attempts()[:5], tuner.attempts()[5:]
    assert [(a.name, a.state) for a in recorded] == RECORDED[:5]
    assert [a.name for a in resumed] == [f"trial-00000{n}-1" for n in (4, 5, 6)]
    assert {a.state for a in resumed} == {"SUCCEEDED"}
    assert [a.finished > began for a in resumed if a.finished] == [False, True, True]


def test_final_run_is_found(storage: BaseStorage | str) -> None:
    study = open_study(storage)
    tuner = build_tuner(study)
    final = tuner.train_best(trial=0)
    assert (final.name, final.params, final.metrics) == ("final-1-1", {"x": 0.25}, {"value": 0.25})
    assert len(tuner.attempts()) == len(RECORDED)


def test_promotion_is_resumed(storage: BaseStorage | str) -> None:
    study = open_study(storage, "promotion")
    tuner = build_tuner(study, promotion=Promotion("epochs", 1, 4, factor=2))
    for x in (0.0625, 0.03125):
        study.enqueue_trial({"x": x})
    tuner.optimize(n_trials=2)
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert {t.value for t in complete} == {0.125, 0.0625, 0.03125}
    assert {t.user_attrs["tune_jobs:rung"]["budget"] for t in complete} == {4}
    assert all(a.state == "SUCCEEDED" for a in tuner.attempts())


def test_command_line_lists_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    restore("sqlite", tmp_path)
    (tmp_path / "study.yaml").write_text(
        "study: main\nstorage: sqlite:///study.db\ndirection: minimize\ncommand: [sh, train.sh]\n"
        "metric: value\nparameters: {x: {type: float, low: 0, high: 1}}\n"
    )
    assert main(["show", "study.yaml", "2"]) == 0
    assert "trial-000002-1" in capsys.readouterr().out
    assert main(["status", "study.yaml"]) == 0
    out = capsys.readouterr().out
    assert "2 complete, 1 fail, 2 left behind, 1 pruned" in out
