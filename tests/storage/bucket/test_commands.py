"""A study in a folder and in a bucket of OCI: every command, the page, plain Optuna's programs."""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from werkzeug.test import Client

from tests.dashboard.conftest import sign_in
from tests.dashboard.test_server import post
from tests.oci_emulator import Emulator
from tests.waiting import wait_until
from tune_jobs.cli.main import main
from tune_jobs.config.study_config import load_study
from tune_jobs.config.study_file import build_tuner
from tune_jobs.storage import intervals
from tune_jobs.tuner import Tuner

STUDY = """\
study: s
storage: {url}
direction: maximize
command: [sh, train.sh]
metric: value
parameters: {{x: {{type: int, low: 1, high: 100}}}}
sampler: {{name: random, seed: 1}}
n_trials: 6
max_parallel: 2
duplicates: run
"""

WAITING = """\
: > "{folder}/live.$$"
until [ -e "{folder}/go" ]; do sleep 0.02; done
echo "value: ${{1#--x=}}"
"""


@pytest.fixture(params=["folder", "oci"])
def url(
    request: pytest.FixtureRequest,
    emulator: Emulator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The URL of a place without a study, which is looked into often."""
    monkeypatch.setenv("OCI_CONFIG_LOCATION", str(emulator.config_file))
    monkeypatch.setenv("TUNE_JOBS_OCI_ENDPOINT", emulator.endpoint)
    short = replace(intervals.DATABASE, commands=0.1, trials=0.1, progress=0.1, answer=0.1)
    monkeypatch.setattr(intervals, "DATABASE", short)
    monkeypatch.setattr(intervals, "BUCKET", short)
    if request.param == "folder":
        return f"bucket+file://{folder}?max_age=0.1"
    return f"oci://tune-jobs@{emulator.namespace}/{secrets.token_hex(4)}?max_age=0.1"


@pytest.fixture
def config(url: str, tmp_path: Path) -> Path:
    """The study.yaml of a study whose runs wait for a file ``go``."""
    (tmp_path / "train.sh").write_text(WAITING.format(folder=tmp_path))
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(url=url))
    return path


def run_command(*words: str) -> int:
    command, *more = words
    return main([command, "study.yaml", *more])


def test_commands_to_a_tuner_elsewhere(
    config: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuner = build_tuner(load_study(config), config)
    tuning = threading.Thread(target=lambda: tuner.optimize(n_trials=6), daemon=True)
    tuning.start()
    wait_until(lambda: len(list(tmp_path.glob("live.*"))) == 2)
    monitor = Tuner.attach("s", url)
    assert monitor.snapshot().owner is not None
    monitor.pause()
    optuna.load_study(study_name="s", storage=url).enqueue_trial({"x": 77})
    page = sign_in([url], allow_control=True)
    assert post(page, {"command": "cancel", "trial": 0}).status_code == 200
    wait_until(lambda: monitor.snapshot().counts().get("FAIL"))
    (tmp_path / "go").touch()
    wait_until(lambda: monitor.snapshot().counts().get("RUNNING", 0) == 0)
    assert run_command("set", "--max-parallel", "3") == 0
    capsys.readouterr()
    assert run_command("status", "--json") == 0
    assert "process" in json.loads(capsys.readouterr().out)["owner"]
    assert run_command("resume") == 0
    tuning.join(60)
    assert monitor.wait(10.0)
    trials = optuna.load_study(study_name="s", storage=url).trials
    assert [trial.state for trial in trials] == [TrialState.FAIL, *[TrialState.COMPLETE] * 5]
    assert [trial.params["x"] for trial in trials].count(77) == 1
    assert len(list(tmp_path.glob("live.*"))) == len(trials)


@pytest.mark.parametrize(
    "url", ["folder", pytest.param("oci", marks=pytest.mark.slow)], indirect=True
)
def test_commands_for_a_study_that_has_ended(
    config: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "go").touch()
    assert run_command("status") == 3
    assert run_command("check") == 0
    assert run_command("watch") == 3
    assert "there is no study" in capsys.readouterr().err
    assert run_command("run") == 0
    for command in ("status", "watch", "preview", "replay", "train-best"):
        assert run_command(command) == 0, command
    for command in ("show", "logs", "outputs"):
        assert run_command(command, "1") == 0, command
    for command in ("pause", "resume", "stop"):
        assert run_command(command) == 3, command
    capsys.readouterr()
    assert main(["compare", url]) == 0
    assert main(["report", url, "--output", "r.html"]) == 0
    assert "<html" in Path("r.html").read_text()
    assert main(["compare", f"{url.partition('?')[0]}-other"]) == 3
    assert "there is no study in" in capsys.readouterr().err


def test_optuna_dashboard(url: str) -> None:
    """The real package, which opens the storage by its URL."""
    dashboard = pytest.importorskip("optuna_dashboard")
    storage_url = pytest.importorskip("optuna_dashboard._storage_url")
    study = optuna.create_study(study_name="s", storage=url)
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    client = Client(dashboard.wsgi(storage_url.get_storage(url)))
    summaries = client.get("/api/studies").json
    assert summaries is not None
    assert [each["study_name"] for each in summaries["study_summaries"]] == ["s"]
    shown = client.get("/api/studies/1").json
    assert shown is not None
    assert [trial["state"] for trial in shown["trials"]] == ["Complete"] * 2
