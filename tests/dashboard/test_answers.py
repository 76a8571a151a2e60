"""Answers of the server: what a page has is not sent again, and nothing of a deleted study is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from werkzeug.test import Client, TestResponse

from tests.dashboard.conftest import MakeStudy, sign_in
from tests.dashboard.test_json_patches import apply_patch
from tests.simulation import simulated
from tune_jobs.dashboard.answers import IM_USED, PATCH

STUDY = "/api/studies/s0-1"


def ask(client: Client, path: str, known: str = "") -> TestResponse:
    headers = {"A-IM": PATCH, **({"If-None-Match": known} if known else {})}
    return client.get(path, base_url="http://127.0.0.1:8787", headers=headers)


def content(answer: TestResponse) -> Any:
    assert answer.status_code == 200
    return answer.json


def list_figures(client: Client) -> list[str]:
    return [f"{STUDY}/figures/{each['name']}" for each in content(ask(client, STUDY))["figures"]]


def await_news(client: Client, version: str) -> None:
    """Wait until the server has read a study again, which it does once a second."""
    give_up = time.monotonic() + 30
    while content(ask(client, STUDY))["version"] == version:
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.mark.parametrize("n_trials", [30, 300])
def test_an_update_is_what_has_changed(n_trials: int, tuned: MakeStudy, tmp_path: Path) -> None:
    study = tuned(n_trials=n_trials)
    client = sign_in([f"{tmp_path}/studies.db"])
    paths = [STUDY, *list_figures(client)]
    before = {path: ask(client, path) for path in paths}
    tuner, _ = simulated(study=study, backend={"provisioning": 120.0}, prices={"simulated": 2.0})
    tuner.optimize(n_trials=1)
    await_news(client, content(before[STUDY])["version"])
    whole = patches = 0
    for path in paths:
        now, known = ask(client, path), before[path].headers["ETag"]
        update = ask(client, path, known)
        assert update.headers["ETag"] == now.headers["ETag"]
        if update.status_code == IM_USED:
            assert update.headers["IM"] == PATCH
            assert apply_patch(before[path].json, update.json) == now.json
        else:
            assert (update.status_code == 304) == (now.headers["ETag"] == known)
            assert update.status_code == 304 or update.json == now.json
        whole += len(now.data)
        patches += len(update.data)
    assert patches < (0.5 if n_trials == 30 else 0.25) * whole
    elsewhere = sign_in([f"{tmp_path}/studies.db"])
    first = ask(elsewhere, STUDY, before[STUDY].headers["ETag"])
    assert content(first)["counts"] == content(ask(client, STUDY))["counts"]


@pytest.mark.parametrize("name", ["s", "new"])
@pytest.mark.parametrize("is_tuned", [True, False])
def test_nothing_of_a_deleted_study_is_shown(
    name: str, is_tuned: bool, tuned: MakeStudy, tmp_path: Path
) -> None:
    if is_tuned:
        deleted = tuned(n_trials=4)
    else:
        deleted = optuna.create_study(study_name="s", storage=f"sqlite:///{tmp_path}/studies.db")
        deleted.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    client = sign_in([f"{tmp_path}/studies.db"])
    before = content(ask(client, STUDY))
    history = content(ask(client, f"{STUDY}/figures/history"))
    cursor = content(ask(client, f"{STUDY}/trials"))["cursor"]
    storage = deleted._storage
    optuna.delete_study(study_name="s", storage=storage)
    study = optuna.create_study(study_name=name, storage=storage)
    study.optimize(lambda trial: trial.suggest_float("other", 10, 20), n_trials=4)
    assert study._study_id == deleted._study_id

    await_news(client, before["version"])
    figure = content(ask(client, f"{STUDY}/figures/history"))
    assert figure["data"][0]["y"] == [trial.value for trial in study.trials]
    assert figure["data"][0]["y"] != history["data"][0]["y"]
    table = content(ask(client, f"{STUDY}/trials?cursor={cursor}"))
    assert len(table["rows"]) == 4
    assert table["reset"]
    assert "other" in {column["label"] for column in table["columns"]}
    assert "x" not in {column["label"] for column in table["columns"]}
