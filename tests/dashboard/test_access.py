"""Who may use the dashboard: tokens, cookies, host names, origins, base addresses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from werkzeug.test import Client, TestResponse

from tests.dashboard.conftest import MakeStudy
from tune_jobs.dashboard.access import (
    Access,
    choose_token,
    parse_base_url,
    parse_hosts,
)
from tune_jobs.dashboard.server import Dashboard
from tune_jobs.errors import ConfigError

TOKEN = "a-token-of-this-server"
LOCAL = "http://127.0.0.1:8787"

MakeClient = Callable[[Access], Client]


@pytest.fixture
def make_client(tuned: MakeStudy, tmp_path: Path) -> MakeClient:
    tuned(n_trials=2)
    return lambda access: Client(Dashboard([f"{tmp_path}/studies.db"], access=access))


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client(Access(TOKEN))


def ask(client: Client, path: str, **headers: str) -> TestResponse:
    return client.get(path, base_url=LOCAL, headers=headers)


def test_nothing_is_shown_without_the_token(client: Client) -> None:
    page = ask(client, "/")
    assert page.status_code == 401
    assert "Token required" in page.text
    for path in ("/api/studies", "/api/studies/s0-1", "/static/app.js", "/x", "/api/../", "//"):
        answer = ask(client, path)
        assert answer.status_code in (401, 404), path
        assert TOKEN not in answer.text
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        answer = client.open("/api/studies/s0-1/control", method=method, base_url=LOCAL)
        assert answer.status_code == 401, method


def test_the_link_signs_in_and_leaves_no_token_in_the_address(client: Client) -> None:
    answer = ask(client, f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path" not in cookie, "the browser limits it to the folder of the page"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert ask(client, "/api/studies").status_code == 200


@pytest.mark.parametrize("given", ["wrong", "", TOKEN[:-1], TOKEN + "x", "\u00e9" * 5000, "\0"])
def test_another_token_is_refused(given: str, client: Client) -> None:
    answer = client.get("/", query_string={"token": given}, base_url=LOCAL)
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert "not the token" in answer.text
    for value in (TOKEN, f"{Access(TOKEN).cookie_value}x", ""):
        client.set_cookie("tune_jobs_token", value, domain="127.0.0.1")
        assert ask(client, "/api/studies").status_code == 401, "the token itself is no cookie"


def test_the_form_signs_in(client: Client) -> None:
    wrong = client.post("/sign-in", data={"token": "<b>"}, base_url=LOCAL)
    assert wrong.status_code == 401
    assert "<b>" not in wrong.text
    right = client.post("/sign-in", data={"token": TOKEN}, base_url=LOCAL)
    assert (right.status_code, right.headers["Location"]) == (303, "./")
    assert ask(client, "/").status_code == 200


def test_the_form_has_no_origin_in_browsers(client: Client) -> None:
    hidden = {"Origin": "null"}
    form = {"token": TOKEN}
    assert client.post("/sign-in", data=form, base_url=LOCAL, headers=hidden).status_code == 303
    assert ask(client, "/api/studies", **hidden).status_code == 403


def test_scripts_send_a_header(client: Client) -> None:
    assert ask(client, "/api/studies", Authorization=f"Bearer {TOKEN}").status_code == 200
    for value in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", ""):
        assert ask(client, "/api/studies", Authorization=value).status_code == 401


def test_a_token_in_the_address_serves_the_page_only(client: Client) -> None:
    assert ask(client, f"/api/studies?token={TOKEN}").status_code == 401


def test_each_port_has_a_cookie_of_its_own(make_client: MakeClient) -> None:
    ours, other = (Access(TOKEN, cookie=f"tune_jobs_token_{port}") for port in (8787, 9000))
    client = make_client(ours)
    for name in (ours.cookie, other.cookie):
        client.set_cookie(name, other.cookie_value, domain="127.0.0.1")
        assert ask(client, "/").status_code == 401
    client.set_cookie(ours.cookie, ours.cookie_value, domain="127.0.0.1")
    assert ask(client, "/").status_code == 200


@pytest.mark.parametrize(
    ("proto", "secure"), [("https", True), ("HTTPS, http", True), ("http", False), ("", False)]
)
def test_the_cookie_is_secure_behind_tls(proto: str, secure: bool, client: Client) -> None:
    answer = ask(client, f"/?token={TOKEN}", **{"X-Forwarded-Proto": proto})
    assert ("Secure" in answer.headers["Set-Cookie"]) == secure


def test_names_of_proxies_are_trusted_when_given(make_client: MakeClient) -> None:
    name = {"Host": "tune.example", "Authorization": f"Bearer {TOKEN}"}
    refused = ask(make_client(Access(TOKEN)), "/api/studies", **name)
    assert refused.status_code == 403
    assert "--trusted-host" in refused.text
    trusting = make_client(Access(TOKEN, hosts=parse_hosts(["Tune.Example"])))
    assert ask(trusting, "/api/studies", **name).status_code == 200
    # nginx passes its own name for the server on, and the browser's origin.
    own = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://tune.example"}
    assert ask(trusting, "/api/studies", **own).status_code == 200
    for origin in ("https://evil.example", "null", "https://tune.example.evil.example", "x://["):
        assert ask(trusting, "/api/studies", **{**own, "Origin": origin}).status_code == 403


def test_other_addresses_than_loopback_are_reached_by_any_name(make_client: MakeClient) -> None:
    client = make_client(Access(TOKEN, any_host=True))
    assert ask(client, "/", Host="machine.example:8787").status_code == 401
    bearer = f"Bearer {TOKEN}"
    assert ask(client, "/", Host="machine.example:8787", Authorization=bearer).status_code == 200


@pytest.mark.parametrize("prefix", ["/proxy/8787", ""])
def test_a_proxy_may_keep_or_remove_the_base(prefix: str, make_client: MakeClient) -> None:
    client = make_client(Access(TOKEN, base=parse_base_url("/proxy/8787/")))
    bearer = f"Bearer {TOKEN}"
    page = ask(client, f"{prefix}/", Authorization=bearer)
    assert page.status_code == 200
    for attribute in ('href="', 'src="'):
        for part in page.text.split(attribute)[1:]:
            assert not part.startswith(("/", "http")), "addresses are relative"
    for path in ("/api/studies", "/static/app.js"):
        assert ask(client, f"{prefix}{path}", Authorization=bearer).status_code == 200
    assert ask(client, f"{prefix}/?token={TOKEN}").headers["Location"] == "./"


def test_a_base_without_its_slash_leads_to_the_page(make_client: MakeClient) -> None:
    client = make_client(Access(TOKEN, base="/proxy/8787"))
    assert ask(client, "/proxy/8787?a=1").headers["Location"] == "/proxy/8787/?a=1"
    entered = ask(client, f"/proxy/8787?token={TOKEN}")
    assert entered.headers["Location"] == "/proxy/8787/"
    assert "Path=/proxy/8787/" in entered.headers["Set-Cookie"]
    assert ask(client, "/proxy/87871/").status_code == 401
    assert ask(client, "/proxy/8787/api/studies").status_code == 200


def test_the_redirect_keeps_other_arguments_and_stays_here(client: Client) -> None:
    answer = ask(client, f"/?a=%26b&token={TOKEN}&next=//evil.example&token=2")
    assert answer.headers["Location"] == "./?a=%26b&next=%2F%2Fevil.example"
    for path in ("//evil.example/", "//evil.example", "/\\evil.example/", "/%2Fevil.example/"):
        answer = ask(client, f"{path}?token={TOKEN}")
        assert answer.headers.get("Location", "./").partition("?")[0] in ("./", "/")


def test_the_page_loads_again_after_a_link_from_another_site(client: Client) -> None:
    """Browsers send the cookie only with the next request."""
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert 'http-equiv="refresh"' in ask(client, "/", **elsewhere).text
    for site in ("same-origin", "none"):
        assert "refresh" not in ask(client, "/", **{"Sec-Fetch-Site": site}).text, "no loop"
    assert "refresh" not in ask(client, "/?token=wrong", **elsewhere).text


def test_a_dashboard_has_a_token_by_default(tuned: MakeStudy, tmp_path: Path) -> None:
    tuned(n_trials=2)
    assert ask(Client(Dashboard([f"{tmp_path}/studies.db"])), "/api/studies").status_code == 401


@pytest.mark.parametrize("value", ["proxy", "http://x/", "//evil.example/", "/a b/", "/../'"])
def test_a_base_is_a_path(value: str) -> None:
    with pytest.raises(ConfigError, match="base URL"):
        parse_base_url(value)


def test_hosts_are_names() -> None:
    for value in ("http://x", "x:80", "", "a/b", "*"):
        with pytest.raises(ConfigError, match="trusted host"):
            parse_hosts([value])


def test_the_token_comes_from_a_file_the_environment_or_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_token() != choose_token()
    monkeypatch.setenv("TUNE_JOBS_DASHBOARD_TOKEN", "from-the-environment")
    assert choose_token() == "from-the-environment"
    file = tmp_path / "token"
    file.write_text("from-a-file-of-mine\n")
    assert choose_token(file) == "from-a-file-of-mine"
    for content in ("", "short", "x" * 2000, "with blanks in it, really"):
        file.write_text(content)
        with pytest.raises(ConfigError, match="token file"):
            choose_token(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        choose_token(tmp_path / "missing")
