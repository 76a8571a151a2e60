"""Who may use the dashboard: tokens, cookies, host names, origins, and the base of addresses.

Every request needs the token: from the link that the server prints, which sets a cookie and
redirects to an address without it; from the form of the page that asks for it; or in an
``Authorization: Bearer`` header. So other users of the machine are kept out, and so are other
pages of the browser, whose requests do not carry the cookie (``SameSite=Strict``).

Browsers send a cookie to every port of a host. So it has a name for each port, and its value does
not reveal the token.

All addresses in the page are relative, so that a proxy may serve it below any path. The cookie has
no path of its own: browsers then limit it to the folder of the page as they see it.
"""

from __future__ import annotations

import hmac
import html
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from werkzeug.wrappers import Request, Response

from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE = "TUNE_JOBS_DASHBOARD_TOKEN"
CONTROL_HEADER = "X-Tune-Jobs-Control"
"""Header of commands: the value that the page has read with the study."""

_MIN_TOKEN = 16
_MAX_TOKEN = 1000
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:]+))(?::\d+)?")
_BASE = re.compile(r"(/[A-Za-z0-9._~@%+-]+)*/?")

_PUBLIC_FILES = ("/static/style.css", "/static/dark.css")
"""Files that the page that asks for the token needs."""

_SIGN_IN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tune_jobs: token required</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{again}
<link rel="icon" href="data:,"><link rel="stylesheet" href="static/style.css">
<link rel="stylesheet" href="static/dark.css" media="(prefers-color-scheme: dark)"></head>
<body><main id="main"><h1>Token required</h1>{problem}
<p>Open the link that <code>tune-jobs dashboard</code> printed when it started, or paste its
token.</p>
<form method="post" action="sign-in" class="tools">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button type="submit">Open the dashboard</button>
</form></main></body></html>
"""

_AGAIN = '\n<meta http-equiv="refresh" content="0; url=./">'


@dataclass(frozen=True)
class Access:
    """Rules of access to one dashboard.

    Args:
        token: The token that every request needs.
        hosts: Host names that requests may name beside those of loopback.
        any_host: Whether any host name is allowed: for addresses other than loopback.
        base: Path in front of all addresses, without a slash at the end, for a proxy that passes
            it on; a proxy that removes it needs none.
        cookie: Name of the cookie: one for each port, since browsers share them among ports.
    """

    token: str
    hosts: frozenset[str] = frozenset()
    any_host: bool = False
    base: str = ""
    cookie: str = "tune_jobs_token"

    @property
    def cookie_value(self) -> str:
        """Value of the cookie. It does not reveal the token, and is of no use at another port."""
        return hmac.new(self.token.encode(), self.cookie.encode(), "sha256").hexdigest()

    def strip_base(self, environ: dict[str, object]) -> None:
        """Move the base from the path of a request to its ``SCRIPT_NAME``."""
        path = str(environ.get("PATH_INFO", ""))
        if self.base and (path == self.base or path.startswith(f"{self.base}/")):
            environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}{self.base}"
            environ["PATH_INFO"] = path[len(self.base) :]

    def check(self, request: Request) -> Response | None:
        """Return the response to a request that may not pass, or that signs in; else None."""
        refusal = self._check_host(request) or self._check_origin(request)
        if refusal is not None:
            return refusal
        path = request.environ.get("PATH_INFO", "")
        if path in ("", "/") and (given := request.args.get("token")) is not None:
            return self._sign_in(request, given)
        if path == "" and self.base:  # relative addresses need the slash
            return _redirect(f"{self.base}/", request)
        if path == "/sign-in" and request.method == "POST":
            return self._sign_in(request, request.form.get("token", ""))
        if path in _PUBLIC_FILES or self._has_token(request) or self._has_cookie(request):
            return None
        return _ask_for_token(request)

    def _check_host(self, request: Request) -> Response | None:
        """Refuse names that are not ours: an attacker's may lead here (DNS rebinding)."""
        match = _HOST.fullmatch(request.headers.get("Host", ""))
        name = match and (match["six"] or match["name"])
        if name and (self.any_host or name.lower() in (*self.hosts, *LOOPBACK)):
            return None
        problem = f"this server does not know the host name {str(name)[:100]!r}"
        return refuse(f"{problem}: start it with --trusted-host and that name", 403)

    def _check_origin(self, request: Request) -> Response | None:
        origin = request.headers.get("Origin")
        # Browsers hide the origin of a form if the page sends no referrer; a form needs the token.
        if origin is None or (origin == "null" and request.path == "/sign-in"):
            return None
        try:
            parts = urlsplit(origin)
            name = parts.hostname
        except ValueError:
            parts, name = None, None
        if parts is not None and name and (parts.netloc == request.host or name in self.hosts):
            return None
        return refuse("requests from other pages are not allowed", 403)

    def _sign_in(self, request: Request, given: str) -> Response:
        if not self._is_token(given):
            return _ask_for_token(request, "This is not the token of this server.")
        is_whole = request.environ.get("PATH_INFO", "") != ""
        response = _redirect("./" if is_whole else f"{self.base}/", request)
        response.set_cookie(
            self.cookie,
            self.cookie_value,
            path=None if is_whole else f"{self.base}/",
            httponly=True,
            samesite="Strict",
            secure=_is_reached_by_tls(request),
        )
        return response

    def _has_token(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(given.strip())

    def _has_cookie(self, request: Request) -> bool:
        return is_equal(request.cookies.get(self.cookie, ""), self.cookie_value)

    def _is_token(self, given: str) -> bool:
        return is_equal(given, self.token)


def is_equal(given: str, expected: str) -> bool:
    """Compare in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _is_reached_by_tls(request: Request) -> bool:
    """Return whether the browser uses TLS, also up to a proxy that says so.

    Others may claim it, too, and then get a cookie that they send over TLS only.
    """
    scheme = request.headers.get("X-Forwarded-Proto") or request.scheme
    return scheme.partition(",")[0].strip().lower() == "https"


def _redirect(location: str, request: Request) -> Response:
    """Redirect to an address with the arguments of the request but the token."""
    others = [(k, v) for k, v in request.args.items(multi=True) if k != "token"]
    query = f"?{urlencode(others)}" if others else ""
    return Response(status=303, headers={"Location": f"{location}{query}"})


def refuse(problem: str, status: int) -> Response:
    """Return a response with an error."""
    content = encode_json({"error": problem})
    return Response(content, status=status, content_type="application/json")


def _ask_for_token(request: Request, problem: str = "") -> Response:
    if request.path.startswith("/api/"):
        return refuse("token required: open the link that the server printed", 401)
    note = f'<p class="note error" role="alert">{html.escape(problem)}</p>' if problem else ""
    # After a link in a page of another site, browsers send the cookie only with the next request.
    is_from_elsewhere = request.headers.get("Sec-Fetch-Site") == "cross-site"
    again = not problem and is_from_elsewhere and request.environ.get("PATH_INFO") == "/"
    page = _SIGN_IN.format(problem=note, again=_AGAIN if again else "")
    return Response(page, status=401, content_type="text/html; charset=utf-8")


def choose_token(file: str | os.PathLike[str] | None = None) -> str:
    """Return the token from a file or the environment, or a random one.

    Args:
        file: A file whose first line is the token. By default, `TOKEN_VARIABLE` is read.

    Raises:
        ConfigError: If the file cannot be read, or the token is too short or too long.
    """
    where, token = f"the environment variable {TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "")
    if file is not None:
        where = f"the token file {os.fspath(file)!r}"
        try:
            token = Path(file).read_text(encoding="utf-8").partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where} cannot be read: {error}") from error
    elif not token:
        return secrets.token_urlsafe(24)
    token = token.strip()
    if not (_MIN_TOKEN <= len(token) <= _MAX_TOKEN) or not re.fullmatch(r"[\w.~-]+", token, re.A):
        raise ConfigError(
            f"{where} has no usable token: give {_MIN_TOKEN} to {_MAX_TOKEN} letters, digits, "
            "'-', '_', '.' or '~'"
        )
    return token


def parse_base_url(value: str) -> str:
    """Return a base path without the slash at its end.

    Raises:
        ConfigError: If it is not a path.
    """
    if not value.startswith("/") or not _BASE.fullmatch(value):
        raise ConfigError(
            f"base URL {value!r} is not a path: write it such as /proxy/8787/, without a host"
        )
    return value.rstrip("/")


def parse_hosts(names: Iterable[str]) -> frozenset[str]:
    """Return host names in lower case.

    Raises:
        ConfigError: If one is not a host name.
    """
    found = set()
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-fA-F:]+", name):
            raise ConfigError(
                f"trusted host {name!r} is not a host name: write it without scheme and port"
            )
        found.add(name.lower())
    return frozenset(found)
