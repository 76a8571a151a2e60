"""How the page's files and the answers of its API travel."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from werkzeug.test import Client, TestResponse

from tests.dashboard.conftest import MakeStudy, sign_in
from tune_jobs.dashboard import static_files
from tune_jobs.dashboard.static_files import StaticFiles

STATIC = Path(static_files.__file__).parent / "static"
GZIP = {"Accept-Encoding": "gzip, br"}


def ask(client: Client, path: str, **headers: str) -> TestResponse:
    return client.get(path, base_url="http://127.0.0.1:8787", headers=headers)


def test_files_are_kept_under_the_address_of_their_version(
    tuned: MakeStudy, tmp_path: Path
) -> None:
    tuned(n_trials=1)
    client = sign_in([f"{tmp_path}/studies.db"])
    page = ask(client, "/")
    assert page.headers["Cache-Control"] == "no-store"
    addresses = re.findall('(?:src|href)="(static/[^"]+)"', page.text)
    folders = {address.rpartition("/")[0] for address in addresses}
    assert len(folders) == 1
    version = folders.pop().removeprefix("static/")
    assert re.fullmatch("[0-9a-f]{16}", version)
    for address in addresses:
        answer = ask(client, f"/{address}")
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["Cache-Control"]
    # A page of an earlier release gets what there is, and does not keep it.
    for path in ("/static/app.js", "/static/0123456789abcdef/app.js"):
        assert ask(client, path).headers["Cache-Control"] == "no-store"


def test_version_depends_on_every_file(tmp_path: Path) -> None:
    for path in STATIC.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    first = StaticFiles(tmp_path).version
    assert first == StaticFiles().version
    with open(tmp_path / "dom.js", "a", encoding="utf-8") as file:
        file.write("\n")
    assert StaticFiles(tmp_path).version != first


def test_page_preloads_all_modules_but_plotly(tuned: MakeStudy, tmp_path: Path) -> None:
    tuned(n_trials=1)
    page = ask(sign_in([f"{tmp_path}/studies.db"]), "/").text
    preloaded = re.findall('rel="modulepreload" href="static/[^/]+/([^"]+)"', page)
    assert sorted(preloaded) == sorted(
        path.name for path in STATIC.glob("*.js") if path.name != "plotly.js"
    )
    assert "plotly" not in page


def test_files_and_answers_are_compressed_for_those_who_accept_it(
    tuned: MakeStudy, tmp_path: Path
) -> None:
    tuned(n_trials=30)
    client = sign_in([f"{tmp_path}/studies.db"])
    for path in ("/static/plotly.js", "/static/style.css", "/api/studies/s0-1/figures/history"):
        plain = ask(client, path)
        packed = ask(client, path, **GZIP)
        assert plain.headers["Vary"] == packed.headers["Vary"], path
        assert "Accept-Encoding" in plain.headers["Vary"]
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert gzip.decompress(packed.data) == plain.data
        assert len(packed.data) < 0.6 * len(plain.data)
        refused = ask(client, path, **{"Accept-Encoding": "gzip;q=0"})
        assert refused.data == plain.data
    assert "Content-Encoding" not in ask(client, "/api/nonsense", **GZIP).headers, "it is short"


def test_what_has_not_changed_is_not_sent_again(tuned: MakeStudy, tmp_path: Path) -> None:
    study = tuned(n_trials=5)
    clock = [1000.0]
    client = sign_in([f"{tmp_path}/studies.db"], clock=lambda: clock[0])
    for path in ("/api/studies", "/api/studies/s0-1", "/api/studies/s0-1/figures/history"):
        first = ask(client, path, **GZIP)
        clock[0] += 5.0
        again = ask(client, path, **GZIP, **{"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b""), path
        assert "Accept-Encoding" in again.headers["Vary"]
    first = ask(client, "/api/studies")
    study.ask()
    client = sign_in([f"{tmp_path}/studies.db"])  # which has read nothing yet
    changed = ask(client, "/api/studies", **{"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
