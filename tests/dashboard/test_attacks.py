"""Hostile requests to a running server, through sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import optuna
import pytest

from tests.simulation import simulated
from tune_jobs.dashboard import server as served
from tune_jobs.dashboard.access import CONTROL_HEADER
from tune_jobs.dashboard.server import serve

TOKEN = "the-token-of-the-attacked"
SECRET = "the-secret-study"


@dataclass(frozen=True)
class Target:
    """A running server.

    Args:
        port: Its port.
        cookie: Cookie of a signed-in user.
        key: What the page sends with commands.
    """

    port: int
    cookie: str
    key: str

    def send(self, raw: str) -> str:
        """Send bytes, written as Latin-1, and return all that is answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as peer:
            peer.sendall(raw.format(token=TOKEN, port=self.port).encode("latin-1"))
            peer.shutdown(socket.SHUT_WR)
            with peer.makefile("rb") as answer:
                return answer.read().decode("latin-1")

    def ask(self, request: str, *headers: str, host: str = "127.0.0.1", body: str = "") -> str:
        """Send a request, such as ``GET /``, without a token."""
        length = (f"Content-Length: {len(body)}",) if body else ()
        lines = (f"{request} HTTP/1.1", f"Host: {host}", *length, *headers, "", body)
        return self.send("\r\n".join(lines).replace("{", "{{").replace("}", "}}"))

    def ask_signed_in(self, request: str, *headers: str, **more: str) -> str:
        """Send a request with the cookie."""
        return self.ask(request, f"Cookie: {self.cookie}", *headers, **more)

    def command(self, *headers: str, body: str = '{"command": "pause"}') -> str:
        """Send a command as the page does, except for its own value."""
        json = "Content-Type: application/json"
        return self.ask_signed_in("POST /api/studies/s0-1/control", json, *headers, body=body)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server over one study, that accepts commands."""
    folder = tmp_path_factory.mktemp("attacked")
    study = optuna.create_study(
        study_name=SECRET, storage=f"sqlite:///{folder}/s.db", direction="maximize"
    )
    simulated(study=study)[0].optimize(n_trials=2)
    (folder / "token").write_text(TOKEN)
    storages, token = [f"{folder}/s.db"], folder / "token"
    server, _ = serve(storages, port=0, allow_control=True, token_file=token)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        link = Target(server.port, "", "").ask(f"GET /?token={TOKEN}")
        cookie = read_header(link, "Set-Cookie").partition(";")[0]
        page = Target(server.port, cookie, "").ask_signed_in("GET /api/studies/s0-1")
        key = page.partition('"control_key": "')[2].partition('"')[0]
        assert key
        yield Target(server.port, cookie, key)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read_status(answer: str) -> int:
    return int(answer.split(" ", 2)[1])


def read_header(answer: str, name: str) -> str:
    lines = answer.partition("\r\n\r\n")[0].split("\r\n")
    (value,) = [line.partition(": ")[2] for line in lines if line.startswith(f"{name}:")]
    return value


def test_the_cookie_opens_what_is_closed_without_it(target: Target) -> None:
    assert SECRET in target.ask_signed_in("GET /api/studies")
    for path in ("/", "/api/studies", "/static/app.js", "/api/compare?study=s0-1", "/no/such"):
        assert read_status(target.ask(f"GET {path}")) == 401


def test_a_token_in_the_address_is_exchanged_for_a_cookie(target: Target) -> None:
    answer = target.ask(f"GET /?token={TOKEN}&a=1")
    assert (read_status(answer), read_header(answer, "Location")) == (303, "./?a=1")
    assert {"HttpOnly", "SameSite=Strict"} < set(read_header(answer, "Set-Cookie").split("; "))
    assert TOKEN not in answer


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8787",
        "127.0.0.1@evil.example",
        "[::1].evil.example",
        "localhost,evil.example",
        "",
        "127.0.0.1\r\nHost: evil.example",
    ],
)
def test_other_host_names_are_refused(host: str, target: Target) -> None:
    answer = target.ask_signed_in("GET /api/studies", host=host)
    assert read_status(answer) in (400, 403)
    assert SECRET not in answer


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://[",
        "",
        "javascript:alert(1)",
    ],
)
def test_other_origins_are_refused(origin: str, target: Target) -> None:
    value = f"{CONTROL_HEADER}: {target.key}"
    for answer in (
        target.ask_signed_in("GET /api/studies", f"Origin: {origin}"),
        target.command(value, f"Origin: {origin}"),
    ):
        assert read_status(answer) == 403, answer
        assert SECRET not in answer


def test_commands_need_the_value_of_the_page(target: Target) -> None:
    value = f"{CONTROL_HEADER}: {target.key}"
    assert "no process is tuning" in target.command(value, "Origin: http://127.0.0.1")
    for header in ("X: 1", f"{CONTROL_HEADER}: ", f"{value}x", f"{CONTROL_HEADER}: \xff"):
        assert read_status(target.command(header)) == 403
    path = "POST /api/studies/s0-1/control"
    form = target.ask_signed_in(path, value, "Content-Type: text/plain", body='{"command": "stop"}')
    assert read_status(form) == 415
    assert read_status(target.ask(path, value, "Content-Type: application/json", body="{}")) == 401


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "nonsense",
        "[" * 9000,
        '{"command": ["pause"]}',
        '{"command": null}',
        '{"command": "cancel", "trial": {}}',
        '{"command": "cancel", "trial": Infinity}',
        '{"command": "cancel", "trial": true}',
    ],
    ids=range(8),
)
def test_bodies_that_are_no_commands(body: str, target: Target) -> None:
    answer = target.command(f"{CONTROL_HEADER}: {target.key}", body=body)
    assert read_status(answer) == 400
    assert "no process is tuning" not in answer


def test_large_bodies_are_refused(target: Target) -> None:
    body = '{"command": "pause", "x": "' + "x" * 40_000 + '"}'
    assert read_status(target.command(f"{CONTROL_HEADER}: {target.key}", body=body)) == 413


@pytest.mark.parametrize("value", ["{token}", "0" * 64, "", '"', "\xff", "x" * 30_000])
def test_invented_cookies_are_refused(value: str, target: Target) -> None:
    name = target.cookie.partition("=")[0]
    for other in (name, "tune_jobs_token", "tune_jobs_token_1"):
        answer = target.ask("GET /api/studies", f"Cookie: {other}={value}")
        assert read_status(answer) == 401
    shown = target.cookie.partition("=")[2]
    assert read_status(target.ask("GET /api/studies", f"Cookie: other={shown}")) == 401


PATHS = [
    "/static/../server.py",
    "/static/..%2fserver.py",
    "/static/%2e%2e/server.py",
    "/static/..%252fserver.py",
    "/static/..\\server.py",
    "/static/%2fetc%2fpasswd",
    "/static//etc/passwd",
    "/static/app.js%00.css",
    "/static/%ff%fe",
    "/static/",
    "/../../etc/passwd",
    "//evil.example/",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/api/studies/..%2f..%2fs0-1",
    "/api/studies/s0-1/runs/..%2f..%2f..%2fetc%2fpasswd/log",
    "/api/studies/s0-1/runs/%2e%2e/log",
    "/api/studies/s0-1'%20OR%201=1--",
    "/api/studies/s0-99999999999999999999999",
    "/api/studies/s0--1",
    "/api/studies/s0-%D9%A1",
    "/api/studies/s0-01",
    "/api/studies/s0-1/figures/__class__",
    "/api/studies/s0-1/control/99999999999999999999999",
]


@pytest.mark.parametrize("path", PATHS)
def test_tricks_in_paths_find_nothing(path: str, target: Target) -> None:
    answer = target.ask_signed_in(f"GET {path}")
    assert read_status(answer) in (400, 404), answer[:300]
    for content in ("root:", "WSGI", "Traceback", SECRET, "Location:"):
        assert content not in answer


@pytest.mark.parametrize(
    ("request_line", "statuses"),
    [
        ("HEAD /", {200}),
        ("OPTIONS /", {200, 405}),
        ("OPTIONS *", {400, 404, 405}),
        ("POST /", {405}),
        ("PUT /api/studies", {405}),
        ("DELETE /api/studies/s0-1", {405}),
        ("TRACE /", {405}),
        ("GET /api/studies/s0-1/control", {405}),
        ("BREW /", {405}),
        ("CONNECT evil.example:443", {400, 404, 405}),
    ],
)
def test_methods(request_line: str, statuses: set[int], target: Target) -> None:
    answer = target.ask_signed_in(request_line)
    assert read_status(answer) in statuses
    assert "Access-Control" not in answer
    assert answer.partition("\r\n\r\n")[2] == "" or not request_line.startswith("HEAD")
    assert read_status(target.ask(request_line)) != 200


MALFORMED = [
    "GET /?token={token} HTTP/9.9\r\n\r\n",
    "GET /?token={token} nonsense HTTP/1.1\r\n\r\n",
    "GET /?token={token}\x00 HTTP/1.1\r\n\r\n",
    "/?token={token}\r\n\r\n",
    "GET /?token={token}" + "x" * 70_000 + " HTTP/1.1\r\n\r\n",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {token}" + "x" * 70_000 + "\r\n\r\n",
    "GET /api/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {token}\r\n" + "A: b\r\n" * 200 + "\r\n",
    "GET http://evil.example/?token={token} HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\ntoken={token}",
    "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\ntoken={token}",
    "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1e9\r\n\r\ntoken={token}",
    "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{token}",
    "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    "ffffffff\r\n{token}",
    "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x"
    "\r\nContent-Length: 20\r\n\r\n--x\r\n{token}",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03{token}\r\n\r\n",
]


@pytest.mark.parametrize("raw", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_requests_show_and_log_nothing(
    raw: str, target: Target, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = target.send(raw)
    assert not answer.startswith("HTTP/1.1 200")
    printed = "".join(capfd.readouterr()) + caplog.text
    for content in (TOKEN, SECRET, "Traceback"):
        assert content not in answer
        assert content not in printed
    assert SECRET in target.ask_signed_in("GET /api/studies"), "it serves others"


def test_half_a_request_blocks_no_others(target: Target) -> None:
    halves = ["", "GET", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
    halves += ["POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\ntoken="]
    peers = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(40)]
    try:
        for number, peer in enumerate(peers):
            peer.sendall(halves[number % len(halves)].encode())
        assert SECRET in target.ask_signed_in("GET /api/studies")
    finally:
        for peer in peers:
            peer.close()


def test_a_client_that_sends_nothing_is_disconnected(
    target: Target, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(served._QuietHandler, "timeout", 0.05)
    for half in (
        "GET / HTTP/1.1\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nx",
    ):
        with socket.create_connection(("127.0.0.1", target.port), timeout=20) as peer:
            peer.sendall(half.encode())
            while peer.recv(1 << 16):
                pass
    assert "Traceback" not in "".join(capfd.readouterr())
