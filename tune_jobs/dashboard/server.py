"""The live page over one or several storages: a small server that only reads, unless it is told.

Safe by default: it listens on loopback, answers only requests for a host that it is (so that no web
page elsewhere can read it by a name that points here), takes no command unless it was started with
control, and then only from its own page. On any other address it wants a token.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.figures import FIGURES, figure_names
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.reading import Source, open_source
from tune_jobs.dashboard.views import comparison_view, head_view, study_view, trials_view
from tune_jobs.errors import ConfigError, StoreError
from tune_jobs.metric_store.store import MetricStore, study_folder
from tune_jobs.storage.controls import Controls

FRESH_SECONDS = 1.0
"""Seconds for which what was read is shown to everybody who asks."""

LOG_BYTES = 256 * 1024
"""Bytes at the end of a log that the page shows."""

MAX_COMPARED = 8
LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "tune_jobs_token"
CONTROLS = ("pause", "resume", "stop", "cancel")

_HEADERS = {
    # Plotly draws with WebGL, whose library makes functions from text of its own.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:]+))(?::\d+)?")
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


class Dashboard:
    """The pages and what they ask for, as a WSGI application.

    Args:
        storages: Database URLs, or paths of SQLite and journal files.
        allow_control: Whether the page may pause, resume and stop studies and cancel trials.
        hosts: Names by which it may be asked, beside those of loopback.
        token: What every request has to know; None: nothing.
        clock: Seconds since the epoch.

    Raises:
        StudyError: a storage cannot be opened.
    """

    def __init__(
        self,
        storages: Sequence[str],
        *,
        allow_control: bool = False,
        hosts: Iterable[str] = (),
        token: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources: dict[str, Source] = {
            f"s{i}-": open_source(where, f"s{i}-") for i, where in enumerate(storages)
        }
        self._control = allow_control
        self._hosts = {*LOOPBACK, *hosts}
        self._token = token
        self._clock = clock
        self._lock = threading.Lock()
        self._read: dict[str, tuple[float, Any]] = {}
        self._drawn: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._stores: dict[str, MetricStore] = {}
        self._urls = Map(
            [
                Rule("/", endpoint=self._page),
                Rule("/static/<name>", endpoint=self._static),
                Rule("/api/studies", endpoint=self._studies),
                Rule("/api/studies/<key>", endpoint=self._study),
                Rule("/api/studies/<key>/figures/<name>", endpoint=self._figure),
                Rule("/api/studies/<key>/trials", endpoint=self._trials),
                Rule("/api/studies/<key>/runs/<name>/log", endpoint=self._log),
                Rule("/api/studies/<key>/control", endpoint=self._ask, methods=["POST"]),
                Rule("/api/studies/<key>/control/<int:number>", endpoint=self._asked),
                Rule("/api/compare", endpoint=self._compare),
            ]
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = 10_000
        try:
            response = self._refused(request) or self._answer(request)
        except HTTPException as error:
            response = _json({"error": error.description}, error.code or 500)
        except (ConfigError, StoreError, ValueError) as error:
            response = _json({"error": str(error)[:1000]}, 400)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        endpoint, values = self._urls.bind_to_environ(request.environ).match()
        answer: Response = endpoint(request, **values)
        return answer

    # -- who may ask ----------------------------------------------------------------------------

    def _refused(self, request: Request) -> Response | None:
        asked = _HOST.fullmatch(request.headers.get("Host", ""))
        if asked is None or (asked["six"] or asked["name"]) not in self._hosts:
            return _json({"error": f"this is not {request.host!r}"}, 403)
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            return _json({"error": "another page's request"}, 403)
        if self._token is None:
            return None
        given = request.args.get("token")
        if given is not None and request.path == "/" and self._knows(given):
            answer = Response(status=303, headers={"Location": "/"})
            answer.set_cookie(COOKIE, given, httponly=True, samesite="Strict")
            return answer
        if self._knows(request.cookies.get(COOKIE, "")):
            return None
        return _json({"error": "open the address with the token that was printed"}, 401)

    def _knows(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())

    # -- pages ----------------------------------------------------------------------------------

    def _page(self, request: Request) -> Response:
        return self._static(request, "index.html")

    def _static(self, request: Request, name: str) -> Response:
        if name == "plotly.js":
            data, kind = plotly_js(), "text/javascript"
        else:
            path = Path(__file__).parent / "static" / name
            if name not in ("index.html", "app.js", "style.css"):
                raise NotFound
            data, kind = path.read_bytes(), _TYPES[path.suffix]
        answer = Response(data, content_type=f"{kind}; charset=utf-8")
        if name == "plotly.js":
            answer.headers["Cache-Control"] = "private, max-age=86400"
        return answer

    # -- what they ask for ----------------------------------------------------------------------

    def _studies(self, request: Request) -> Response:
        now = self._clock()
        heads = [
            {**head_view(head, now), "storage": source.label}
            for prefix, source in self._sources.items()
            for head in self._fresh(prefix, source.heads)
        ]
        return _json({"studies": heads, "control": self._control, "now": now})

    def _study(self, request: Request, key: str) -> Response:
        study = self._load(key)
        view = study_view(study, self._clock())
        return _json({**view, "storage": self._source(key).label, "control": self._control})

    def _figure(self, request: Request, key: str, name: str) -> Response:
        study = self._load(key)
        if name not in figure_names(study):
            raise NotFound
        version = study.version()
        known = self._drawn.get((key, name))
        if known is None or known[0] != version:
            figure = FIGURES[name][1](study, self._clock())
            known = (version, json.dumps(finite(figure)).encode())
            self._drawn[key, name] = known
        return Response(known[1], content_type="application/json")

    def _trials(self, request: Request, key: str) -> Response:
        asked = request.args
        return _json(
            trials_view(
                self._load(key),
                offset=max(0, asked.get("offset", 0, type=int)),
                sort=asked.get("sort", "number"),
                descending=asked.get("order", "desc") == "desc",
                state=asked.get("state", ""),
                text=asked.get("text", ""),
            )
        )

    def _log(self, request: Request, key: str, name: str) -> Response:
        study = self._load(key)
        if all(run.name != name for run in study.runs):
            raise NotFound
        if study.store is None or study.uid is None:
            raise NotFound("the metric store of this study is not known")
        store = self._stores.get(key)
        if store is None:
            store = MetricStore(study.store, study_folder(study.name, study.uid))
            self._stores[key] = store
        return _json({"run": name, "log": store.log(name, LOG_BYTES)})

    def _compare(self, request: Request) -> Response:
        keys = request.args.getlist("study")[:MAX_COMPARED]
        if not keys:
            raise ValueError("choose at least one study to compare")
        return _json(finite(comparison_view([self._load(key) for key in keys])))

    def _ask(self, request: Request, key: str) -> Response:
        if not self._control:
            return _json({"error": "start the dashboard with --allow-control for this"}, 403)
        if request.mimetype != "application/json":  # a form elsewhere cannot send that
            return _json({"error": "send JSON"}, 415)
        asked = request.get_json()
        command = asked.get("command") if isinstance(asked, dict) else None
        if command not in CONTROLS:
            raise ValueError(f"command must be one of {', '.join(CONTROLS)}")
        study, engine = self._load(key), self._source(key).engine(key)
        if study.owner is None or study.uid is None or engine is None:
            raise ValueError("nobody is tuning this study at the moment")
        argument: dict[str, Any] = {}
        if command == "cancel":
            argument["trial"] = int(asked["trial"])
        if command == "stop":
            argument["runs"] = "cancel" if asked.get("runs") == "cancel" else "finish"
        number = Controls(engine, study.uid).ask(command, **argument)
        return _json({"asked": number})

    def _asked(self, request: Request, key: str, number: int) -> Response:
        study, engine = self._load(key), self._source(key).engine(key)
        if engine is None or study.uid is None:
            raise NotFound
        return _json({"done": Controls(engine, study.uid).is_done(number)})

    # -- reading --------------------------------------------------------------------------------

    def _source(self, key: str) -> Source:
        source = self._sources.get(f"{key.partition('-')[0]}-")
        if source is None:
            raise NotFound("there is no such study")
        return source

    def _load(self, key: str) -> Study:
        source = self._source(key)
        try:
            study: Study = self._fresh(key, lambda: source.study(key))
        except KeyError:
            raise NotFound("there is no such study") from None
        return study

    def _fresh(self, key: str, read: Callable[[], Any]) -> Any:
        """What was read a moment ago, or now; one thread reads."""
        with self._lock:
            known = self._read.get(key)
            if known is None or time.monotonic() - known[0] > FRESH_SECONDS:
                known = (time.monotonic(), read())
                self._read[key] = known
            return known[1]


def plotly_js() -> bytes:
    """Plotly for the browser, from its Python package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        package = import_module("plotly")
    except ImportError as error:
        raise ConfigError(
            "the dashboard draws with Plotly: pip install 'tune_jobs[dashboard]'"
        ) from error
    assert package.__file__ is not None
    return (Path(package.__file__).parent / "package_data" / "plotly.min.js").read_bytes()


def serve(
    storages: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8787,
    allow_control: bool = False,
) -> tuple[BaseWSGIServer, str]:
    """A server that is ready to ``serve_forever()``, and its address with the token, if it has one.

    Args:
        storages: See `Dashboard`.
        host: Where it listens; elsewhere than on loopback it wants a token.
        port: 0 takes one that is free.
        allow_control: See `Dashboard`.

    Raises:
        StudyError, ConfigError: a storage cannot be opened, or the address is not free.
    """
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    dashboard = Dashboard(storages, allow_control=allow_control, hosts=[host], token=token)
    plotly_js()
    try:
        server = make_server(host, port, dashboard, threaded=True, request_handler=_Quiet)
    except (OSError, SystemExit) as error:
        raise ConfigError(f"{host}:{port} is not free: choose another --port") from error
    server.daemon_threads = True  # type: ignore[attr-defined]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{server.server_port}/"
    return server, address if token is None else f"{address}?token={token}"


class _Quiet(WSGIRequestHandler):
    """Without a line for every request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing."""


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status=status, content_type="application/json")
