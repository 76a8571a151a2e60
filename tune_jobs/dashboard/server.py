"""The dashboard's server: a live page over one or several storages, read-only by default.

Security: every request needs a token (`access`), it listens on loopback unless told otherwise, and
it accepts commands only if control is allowed, and then only from its own page.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tune_jobs.core.commands import find_cancel_problem
from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.access import (
    CONTROL_HEADER,
    LOOPBACK,
    Access,
    choose_token,
    is_equal,
    parse_base_url,
    parse_hosts,
    refuse,
)
from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.figures import FIGURES, figure_names
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.plotly_bundle import plotly_js
from tune_jobs.dashboard.reading import Source, open_source
from tune_jobs.dashboard.views import comparison_view, head_view, study_view, trials_view
from tune_jobs.errors import ConfigError, TuneJobsError
from tune_jobs.metric_store.store import MetricStore, study_folder
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.database_errors import explain_database_error, is_database_error
from tune_jobs.storage.retry import is_transient
from tune_jobs.storage.sqlite_files import find_file_refusal

FRESH_SECONDS = 1.0
"""Seconds for which the same reading answers all requests."""

READ_PATIENCE = 2.0
"""Seconds during which a locked database is read again, beside its driver's own patience."""

READ_BACKOFF = Backoff(first=0.1, longest=1.0)

LOG_BYTES = 256 * 1024
"""Bytes of the end of a log that the page shows."""

MAX_COMPARED = 8
CONTROLS = ("pause", "resume", "stop", "cancel")

_HEADERS = {
    # Plotly's WebGL library compiles functions from strings, which needs 'unsafe-eval'.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


class Dashboard:
    """WSGI application with the page and its API.

    Args:
        storages: Database URLs, or paths of SQLite and journal files.
        allow_control: Whether the page may pause, resume and stop studies and cancel trials.
        access: Who may use it; by default, with the token of the environment or a random one.
        clock: Returns the seconds since the epoch.

    Raises:
        StudyError: If a storage cannot be opened.
    """

    def __init__(
        self,
        storages: Sequence[str],
        *,
        allow_control: bool = False,
        access: Access | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources: dict[str, Source] = {
            f"s{i}-": open_source(where, f"s{i}-") for i, where in enumerate(storages)
        }
        self._allow_control = allow_control
        self._access = access or Access(choose_token())
        self._control_key = secrets.token_urlsafe(24)
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: dict[str, tuple[float, Any]] = {}
        self._figures: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._stores: dict[str, MetricStore] = {}
        self._urls = Map(
            [
                Rule(f"/{path}", endpoint=endpoint, methods=[method])
                for method, path, endpoint in (
                    ("GET", "", self._get_page),
                    ("GET", "static/<name>", self._get_static),
                    ("GET", "api/studies", self._get_studies),
                    ("GET", "api/studies/<key>", self._get_study),
                    ("GET", "api/studies/<key>/figures/<name>", self._get_figure),
                    ("GET", "api/studies/<key>/trials", self._get_trials),
                    ("GET", "api/studies/<key>/runs/<name>/log", self._get_log),
                    ("POST", "api/studies/<key>/control", self._post_control),
                    (
                        "GET",
                        "api/studies/<key>/control/<int(max=999999999):number>",
                        self._get_control,
                    ),
                    ("GET", "api/compare", self._get_comparison),
                )
            ],
            merge_slashes=False,
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._access.strip_base(environ)
        request = Request(environ)
        request.max_content_length = 10_000
        try:
            response = self._access.check(request) or self._dispatch(request)
        except HTTPException as error:
            response = _json({"error": error.description}, error.code or 500)
        except (TuneJobsError, ValueError) as error:
            response = _json({"error": str(error)[:1000]}, 400)
        except Exception as error:
            if not is_database_error(error):
                raise
            problem = explain_database_error(error)[:1000]
            response = _json({"error": f"the database does not answer: {problem}"}, 503)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response(environ, start_response)

    def _dispatch(self, request: Request) -> Response:
        endpoint, values = self._urls.bind_to_environ(request.environ).match()
        response: Response = endpoint(request, **values)
        return response

    # -- the page -------------------------------------------------------------------------------

    def _get_page(self, request: Request) -> Response:
        return self._get_static(request, "index.html")

    def _get_static(self, request: Request, name: str) -> Response:
        if name == "plotly.js":
            response = Response(plotly_js(), content_type="text/javascript; charset=utf-8")
            response.headers["Cache-Control"] = "private, max-age=86400"
            return response
        path = _STATIC / name
        if path.suffix not in _TYPES or path not in _STATIC.iterdir():
            raise NotFound
        content_type = f"{_TYPES[path.suffix]}; charset=utf-8"
        return Response(path.read_bytes(), content_type=content_type)

    # -- studies --------------------------------------------------------------------------------

    def _get_studies(self, request: Request) -> Response:
        now = self._clock()
        heads = [
            {**head_view(head, now), "storage": source.label}
            for prefix, source in self._sources.items()
            for head in self._read(prefix, source.heads)
        ]
        return _json({"studies": heads, "control": self._allow_control, "now": now})

    def _get_study(self, request: Request, key: str) -> Response:
        view = study_view(self._read_study(key), self._clock())
        storage = self._find_source(key).label
        control_key = self._control_key if self._allow_control else None
        facts = {"storage": storage, "control": self._allow_control, "control_key": control_key}
        return _json({**view, **facts})

    def _get_figure(self, request: Request, key: str, name: str) -> Response:
        study = self._read_study(key)
        if name not in figure_names(study):
            raise NotFound
        version = study.version()
        drawn = self._figures.get((key, name))
        if drawn is None or drawn[0] != version:
            figure = FIGURES[name][1](study, self._clock())
            drawn = (version, encode_json(finite(figure)).encode())
            self._figures[key, name] = drawn
        return Response(drawn[1], content_type="application/json")

    def _get_trials(self, request: Request, key: str) -> Response:
        query = request.args
        return _json(
            trials_view(
                self._read_study(key),
                offset=max(0, query.get("offset", 0, type=int)),
                sort=query.get("sort", "number"),
                descending=query.get("order", "desc") == "desc",
                state=query.get("state", ""),
                text=query.get("text", ""),
            )
        )

    def _get_log(self, request: Request, key: str, name: str) -> Response:
        study = self._read_study(key)
        if all(run.name != name for run in study.runs):
            raise NotFound
        if study.store is None or study.uid is None:
            raise NotFound("the metric store of this study is unknown")
        store = self._stores.get(key)
        if store is None:
            store = MetricStore(study.store, study_folder(study.name, study.uid))
            self._stores[key] = store
        return _json({"run": name, "log": store.log(name, LOG_BYTES)})

    def _get_comparison(self, request: Request) -> Response:
        keys = request.args.getlist("study")[:MAX_COMPARED]
        if not keys:
            raise ValueError("nothing to compare: select at least one study")
        return _json(finite(comparison_view([self._read_study(key) for key in keys])))

    # -- control --------------------------------------------------------------------------------

    def _post_control(self, request: Request, key: str) -> Response:
        if not self._allow_control:
            return refuse("control is off: start the dashboard with --allow-control", 403)
        if request.mimetype != "application/json":  # forms of other pages cannot send JSON
            return refuse("the request body must be JSON", 415)
        if not is_equal(request.headers.get(CONTROL_HEADER, ""), self._control_key):
            stale = "the page is of an earlier server: reload it, and try again; a program sends"
            return refuse(f"{stale} the study's control_key in {CONTROL_HEADER}", 403)
        content = _read_object(request)
        command = content.get("command")
        if command not in CONTROLS:
            raise ValueError(f"command must be one of {', '.join(CONTROLS)}")
        trial = content.get("trial", -1)
        if type(trial) is not int:
            raise ValueError("trial must be the number of a trial")
        study, engine = self._read_study(key), self._find_source(key).engine(key)
        if study.owner is None or study.uid is None or engine is None:
            raise ValueError("no process is tuning this study")
        argument: dict[str, Any] = {}
        if command == "cancel":
            argument["trial"] = trial
            states = {t.number: t.state for t in study.trials}
            if problem := find_cancel_problem(trial, states.get(trial), study.runs):
                raise ValueError(problem)
        if command == "stop":
            argument["runs"] = "cancel" if content.get("runs") == "cancel" else "finish"
        if refusal := find_file_refusal(str(engine.url), write=True):
            raise ValueError(refusal)
        number = Controls(engine, study.uid).request(command, **argument)
        return _json({"asked": number})

    def _get_control(self, request: Request, key: str, number: int) -> Response:
        study, engine = self._read_study(key), self._find_source(key).engine(key)
        if engine is None or study.uid is None:
            raise NotFound
        return _json({"done": Controls(engine, study.uid).is_done(number)})

    # -- reading --------------------------------------------------------------------------------

    def _find_source(self, key: str) -> Source:
        source = self._sources.get(f"{key.partition('-')[0]}-")
        if source is None:
            raise NotFound(f"no study with the key {key!r}")
        return source

    def _read_study(self, key: str) -> Study:
        source = self._find_source(key)
        try:
            study: Study = self._read(key, lambda: source.study(key))
        except KeyError:
            raise NotFound(f"no study with the key {key!r}") from None
        return study

    def _read(self, key: str, read: Callable[[], Any]) -> Any:
        """Return the last reading if it is fresh, else read; one thread reads at a time."""
        with self._lock:
            reading = self._readings.get(key)
            if reading is None or time.monotonic() - reading[0] > FRESH_SECONDS:
                reading = (time.monotonic(), _retry_briefly(read))
                self._readings[key] = reading
            return reading[1]


def serve(
    storages: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8787,
    allow_control: bool = False,
    base_url: str = "/",
    trusted_hosts: Iterable[str] = (),
    token_file: str | os.PathLike[str] | None = None,
) -> tuple[BaseWSGIServer, str]:
    """Return a server that is ready to ``serve_forever()``, and its address with its token.

    Args:
        storages: See `Dashboard`.
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one.
        allow_control: See `Dashboard`.
        base_url: Path in front of all addresses, such as ``/proxy/8787/``, for a proxy that
            passes it on.
        trusted_hosts: Names by which a proxy or a browser reaches the server, beside those of
            loopback.
        token_file: See `choose_token`.

    Raises:
        StudyError: If a storage cannot be opened.
        ConfigError: If the address is in use, Plotly is not installed, or an argument is wrong.
    """
    if not 0 <= port <= 65_535:
        raise ConfigError(f"port {port} does not exist: choose one from 1024 to 65535, or 0")
    token, base, hosts = choose_token(token_file), parse_base_url(base_url), trusted_hosts
    hosts = parse_hosts([*hosts, *([] if host in LOOPBACK else [host])])
    plotly_js()
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    access = Access(
        token,
        hosts,
        any_host=host not in LOOPBACK,
        base=base,
        cookie=f"tune_jobs_token_{port}",
    )
    try:
        dashboard = Dashboard(storages, allow_control=allow_control, access=access)
        server = make_server(
            host,
            port,
            dashboard,
            threaded=True,
            request_handler=_QuietHandler,
            fd=listener.fileno(),
        )
    finally:
        listener.close()  # the server has a copy
    server.daemon_threads = True  # type: ignore[attr-defined]
    return server, f"http://{_choose_name(host)}:{port}{base}/?token={token}"


def _choose_name(host: str) -> str:
    """Return a name by which browsers reach an address that a server listens on."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: choose another --port or --host"
        ) from error


def _retry_briefly(read: Callable[[], Any]) -> Any:
    """Read from a database that may be locked for a moment, for at most `READ_PATIENCE` seconds."""
    give_up, attempt = time.monotonic() + READ_PATIENCE, 0
    while True:
        try:
            return read()
        except Exception as error:
            if not is_transient(error) or time.monotonic() > give_up:
                raise
        attempt += 1
        time.sleep(READ_BACKOFF.pause(attempt))  # the writer is another process


class _QuietHandler(WSGIRequestHandler):
    """Request handler that logs no requests, which may contain the token."""

    timeout = 60.0
    """Seconds to wait for a client that sends nothing."""

    def version_string(self) -> str:
        """Return the name of the server, without the versions of its parts."""
        return "tune_jobs"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

    def log_error(self, format: str, *args: Any) -> None:
        """Log nothing: the message quotes malformed requests."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request without quoting it."""
        super().send_error(code)


def _read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Raises:
        ValueError: If it is none.
        HTTPException: If it is no JSON, or too large.
    """
    try:
        content = request.get_json()
    except RecursionError:
        content = None
    if not isinstance(content, dict):
        raise ValueError("the request body must be a JSON object")
    return content


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(encode_json(content), status=status, content_type="application/json")
