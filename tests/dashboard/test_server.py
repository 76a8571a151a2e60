"""The server: its API, and which requests it rejects."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from werkzeug.test import Client, TestResponse

from tests.conftest import MakeTuner
from tests.dashboard.conftest import HOSTILE, MakeStudy, sign_in
from tune_jobs.dashboard.access import CONTROL_HEADER
from tune_jobs.dashboard.server import serve
from tune_jobs.errors import ConfigError
from tune_jobs.tuning.session import Session


@pytest.fixture
def client(tuned: MakeStudy, tmp_path: Path) -> Client:
    """A client of a dashboard over two studies."""
    tuned(HOSTILE)
    tuned("b", n_trials=5)
    return sign_in([f"{tmp_path}/studies.db"])


def ask(client: Client, path: str, **options: Any) -> TestResponse:
    return client.get(path, base_url="http://127.0.0.1:8787", **options)


def test_static_files_and_content_security_policy(client: Client) -> None:
    page = ask(client, "/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in page.text.replace("<!doctype html>", "")
    for part in ("app.js", "api.js", "style.css", "plotly.js"):
        answer = ask(client, f"/static/{part}")
        assert answer.status_code == 200, part
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/static/../server.py", "/static/server.py", "/static/%2e%2e/model.py", "/x"):
        assert ask(client, path).status_code == 404


def test_api(client: Client) -> None:
    studies = ask(client, "/api/studies").json["studies"]  # type: ignore[index]
    assert [s["key"] for s in studies] == ["s0-1", "s0-2"]
    assert len(studies[0]["name"]) <= 300
    study = ask(client, "/api/studies/s0-1").json
    assert study is not None
    assert study["counts"]["COMPLETE"] + study["counts"]["PRUNED"] == 20
    assert study["control"] is False
    for figure in study["figures"]:
        answer = ask(client, f"/api/studies/s0-1/figures/{figure['name']}")
        assert answer.json["data"], figure  # type: ignore[index]
    for path in ("s9-1", "s0-7", "nonsense", "s0-1/figures/front", "s0-1/runs/trial-9/log"):
        assert ask(client, f"/api/studies/{path}").status_code == 404, path
    compared = ask(client, "/api/compare?study=s0-1&study=s0-2").json
    assert len(compared["winners"]) == 2  # type: ignore[index]
    assert ask(client, "/api/compare").status_code == 400


def test_log(make_tuner: MakeTuner, tmp_path: Path) -> None:
    make_tuner('echo "value=$x"; echo "<b>\u202e"').optimize(n_trials=1)
    client = sign_in([f"{tmp_path}/s.db"])
    answer = ask(client, "/api/studies/s0-1/runs/trial-000000-1/log").json
    assert answer is not None
    assert answer["log"].endswith("<b>\u202e\n"), "as it was printed: the page shows it as text"
    used = ask(client, "/api/studies/s0-1/runs/trial-000000-1/usage").json
    assert used is not None
    assert "memory" in used["summary"]
    assert used["curves"] == {}, "it was too short for a sample"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1].evil.example"])
def test_foreign_host_names_are_rejected(host: str, client: Client) -> None:
    assert client.get("/api/studies", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost:1", "[::1]:8787", "localhost"])
def test_loopback_host_names_are_accepted(host: str, client: Client) -> None:
    assert client.get("/api/studies", headers={"Host": host}).status_code == 200


def test_requests_of_other_pages_are_rejected(client: Client) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
        assert ask(client, "/api/studies", headers={"Origin": origin}).status_code == 403
    ours = {"Origin": "http://127.0.0.1:8787"}
    assert ask(client, "/api/studies", headers=ours).status_code == 200


def post(client: Client, content: Any, **headers: str) -> TestResponse:
    study = ask(client, "/api/studies/s0-1").json
    assert study is not None
    headers.setdefault(CONTROL_HEADER, study["control_key"] or "")
    return client.post(
        "/api/studies/s0-1/control",
        base_url="http://127.0.0.1:8787",
        data=json.dumps(content),
        headers={"Content-Type": "application/json", **headers},
    )


def test_control_is_off_by_default(client: Client) -> None:
    assert post(client, {"command": "pause"}).status_code == 403


def test_control(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner('until [ -e "$here/go" ]; do sleep 0.02; done; echo "value=$x"')
    control = sign_in([f"{tmp_path}/s.db"], allow_control=True)
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": 8})
    working.start()
    try:
        while tuner.owner() is None:
            assert working.is_alive()
        assert post(control, {"command": "format"}).status_code == 400
        assert post(control, {"command": "pause"}, Origin="http://evil").status_code == 403
        plain = {"Content-Type": "text/plain"}
        assert post(control, {"command": "pause"}, **plain).status_code == 415
        other = {CONTROL_HEADER: "of an earlier server"}
        assert post(control, {"command": "pause"}, **other).status_code == 403
        accepted = post(control, {"command": "stop"}).json
        assert accepted is not None
        with Session(tuner.definition) as session:
            while not session.controls.is_done(accepted["asked"]):
                assert working.is_alive()
        applied = control.get(f"/api/studies/s0-1/control/{accepted['asked']}")
        assert applied.json is not None
        assert applied.json["done"] is True
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()
    assert len(tuner.study.trials) < 8
    later = sign_in([f"{tmp_path}/s.db"], allow_control=True)
    refused = post(later, {"command": "pause"})
    assert refused.status_code == 400
    assert "no process is tuning" in refused.text


@pytest.fixture
def free_server(tuned: MakeStudy, tmp_path: Path) -> Iterator[str]:
    tuned(n_trials=3)
    server, address = serve([f"{tmp_path}/studies.db"], port=0)
    with server:
        yield address


def test_serve_chooses_a_port_and_reports_one_in_use(free_server: str, tmp_path: Path) -> None:
    address, _, token = free_server.partition("/?token=")
    assert address.startswith("http://127.0.0.1:")
    assert len(token) >= 32
    port = int(address.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match="cannot listen on"):
        serve([f"{tmp_path}/studies.db"], port=port)
    server, address = serve([f"{tmp_path}/studies.db"], host="0.0.0.0", port=0)
    with server:
        assert address.startswith(f"http://{socket.gethostname()}:{server.port}/?token=")


def test_studies_without_trials_or_runs(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/plain.db"
    optuna.create_study(study_name="empty", storage=storage)
    plain = optuna.create_study(study_name="plain", storage=storage, directions=["minimize"] * 2)
    plain.optimize(lambda t: (t.suggest_float("x", 0, 1), 1.0), n_trials=5)
    client = sign_in([storage])
    assert len(ask(client, "/api/studies").json["studies"]) == 2  # type: ignore[index]
    for key in ("s0-1", "s0-2"):
        study = ask(client, f"/api/studies/{key}").json
        assert study is not None
        for figure in study["figures"]:
            assert ask(client, f"/api/studies/{key}/figures/{figure['name']}").status_code == 200
        assert ask(client, f"/api/studies/{key}/trials").status_code == 200
    compared = ask(client, "/api/compare?study=s0-2").json
    assert compared is not None
    assert "has several objectives" in compared["notes"][0]
    assert compared["winners"][0]["trial"] == min(plain.trials, key=lambda t: t.values[0]).number
