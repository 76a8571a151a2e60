"""The dashboard's server: a live page over one or several storages, read-only by default.

Security: every request needs a token (`access`), it listens on loopback unless told otherwise, and
it accepts commands only if control is allowed, and then only from its own page.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tune_jobs.core.strict_json import encode_json
from tune_jobs.dashboard.access import (
    LOOPBACK,
    Access,
    choose_token,
    parse_base_url,
    parse_hosts,
)
from tune_jobs.dashboard.answers import Answers
from tune_jobs.dashboard.comparison_view import (
    ComparisonFigures,
    comparison_view,
    parse_query,
)
from tune_jobs.dashboard.control_api import ControlApi, Reader
from tune_jobs.dashboard.drawing import finite
from tune_jobs.dashboard.figure_view import DrawnFigures
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.not_found import StudyNotFound
from tune_jobs.dashboard.objective_view import front_view
from tune_jobs.dashboard.reading import open_source
from tune_jobs.dashboard.run_requests import RunRequests
from tune_jobs.dashboard.source import Source
from tune_jobs.dashboard.static_files import load_static_files
from tune_jobs.dashboard.training import StudyFiles, Trainer
from tune_jobs.dashboard.trial_comparison_requests import TrialComparisonRequests
from tune_jobs.dashboard.trial_rows import TrialTables
from tune_jobs.dashboard.views import head_view, study_view
from tune_jobs.errors import ConfigError, TuneJobsError
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.storage.database_errors import explain_database_error, is_database_error
from tune_jobs.storage.retry import is_transient

READ_PATIENCE = 2.0
"""Seconds during which a locked database is read again, beside its driver's own patience."""

READ_BACKOFF = Backoff(first=0.1, longest=1.0)

MAX_BODY = 30_000
"""Bytes of a request: enough for a note of `MAX_NOTE` characters, each escaped."""

_LOG = logging.getLogger(__name__)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


StoreOptions = Mapping[tuple[str, str], Callable[[], Mapping[str, object]]]
"""How the metric store of a study is reached, see `open_folder`: functions that return its options,
by the prefix of its storage's keys and its name."""


class Dashboard:
    """WSGI application with the page and its API.

    Args:
        storages: Database URLs, or paths of SQLite and journal files.
        allow_control: Whether the page may change something: send commands to the process that
            tunes a study, enqueue trials, write notes, start final runs.
        study_files: Files by which the page may start final runs, if control is allowed.
        store_options: See `StoreOptions`; by default, stores are opened without options.
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
        study_files: StudyFiles | None = None,
        store_options: StoreOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sources: dict[str, Source] = {
            f"s{i}-": open_source(where, f"s{i}-") for i, where in enumerate(storages)
        }
        self._allow_control = allow_control
        self._access = access or Access(choose_token())
        reader = Reader(self._read_study, self._find_source, self._forget)
        trainer = Trainer(study_files or {}, allow_control)
        self._control = ControlApi(reader, trainer, allowed=allow_control)
        self._clock = clock
        self._static = load_static_files()
        self._lock = threading.Lock()
        self._readings: dict[str, tuple[float, Any]] = {}
        """Until when a reading is fresh, and what was read."""
        self._answers = Answers()
        self._figures = DrawnFigures()
        self._comparisons = ComparisonFigures()
        self._store_options = store_options or {}
        runs = RunRequests(
            self._read_study, control=allow_control, find_options=self._find_store_options
        )
        compared_trials = TrialComparisonRequests(self._read_study, runs)
        run_path = "api/studies/<key>/runs/<name>"
        self._tables = TrialTables()
        self._urls = Map(
            [
                Rule(f"/{path}", endpoint=endpoint, methods=[method])
                for method, path, endpoint in (
                    ("GET", "", self._get_page),
                    ("GET", "static/<name>", self._get_static),
                    ("GET", "static/<version>/<name>", self._get_static),
                    ("GET", "api/studies", self._get_studies),
                    ("GET", "api/studies/<key>", self._get_study),
                    ("GET", "api/studies/<key>/figures/<name>", self._get_figure),
                    ("GET", "api/studies/<key>/front", self._get_front),
                    ("GET", "api/studies/<key>/trials", self._get_trials),
                    (
                        "GET",
                        "api/studies/<key>/trials/<int(max=999999999):number>",
                        runs.get_trial,
                    ),
                    ("GET", "api/studies/<key>/final-runs/<name>", runs.get_final),
                    ("GET", f"{run_path}/metrics", runs.get_metrics),
                    ("GET", f"{run_path}/usage", runs.get_usage),
                    ("GET", f"{run_path}/log", runs.get_log),
                    ("GET", f"{run_path}/log/matches", runs.get_matches),
                    ("GET", f"{run_path}/log/file", runs.get_whole_log),
                    ("GET", f"{run_path}/outputs", runs.get_outputs),
                    ("GET", f"{run_path}/outputs/file", runs.get_output),
                    ("GET", "api/compare", self._get_comparison),
                    ("GET", "api/compare/figures/<name>", self._get_compared_figure),
                    ("GET", "api/compare-trials", compared_trials.get_view),
                    ("GET", "api/compare-trials/curves/<axis>", compared_trials.get_curves),
                    *self._control.rules(),
                )
            ],
            merge_slashes=False,
        )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._access.strip_base(environ)
        request = Request(environ)
        request.max_content_length = MAX_BODY
        try:
            response = self._access.check(request) or self._dispatch(request)
        except StudyNotFound as error:
            response = _json({"error": error.description, "missing": "study"}, 404)
        except HTTPException as error:
            response = _json({"error": error.description}, error.code or 500)
        except (TuneJobsError, ValueError) as error:
            response = _json({"error": str(error)[:1000]}, 400)
        except Exception as error:
            response = _explain_failure(error)
        self._answers.shorten(request, response)
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

    def _get_static(self, request: Request, name: str, version: str | None = None) -> Response:
        response = self._static.respond(request, name, version)
        if response is None:
            raise NotFound
        return response

    # -- studies --------------------------------------------------------------------------------

    def _get_studies(self, request: Request) -> Response:
        now = self._clock()
        heads = [
            {**head_view(head, now), "storage": source.label}
            for prefix, source in self._sources.items()
            for head in self._read(prefix, source, source.heads)
        ]
        return _json({"studies": heads, "control": self._allow_control})

    def _get_study(self, request: Request, key: str) -> Response:
        view = study_view(self._read_study(key), self._clock())
        storage = self._find_source(key).label
        facts = {
            "storage": storage,
            "control": self._allow_control,
            "control_key": self._control.key,
        }
        return _json({**view, **facts})

    def _get_figure(self, request: Request, key: str, name: str) -> Response:
        study = self._read_study(key)
        try:
            drawn = self._figures.draw(study, name, request.args.to_dict(), self._clock())
        except KeyError:
            raise NotFound from None
        return Response(drawn, content_type="application/json")

    def _get_front(self, request: Request, key: str) -> Response:
        return _json(front_view(self._read_study(key)))

    def _get_trials(self, request: Request, key: str) -> Response:
        return _json(self._tables.answer(self._read_study(key), request.args))

    def _get_comparison(self, request: Request) -> Response:
        query = parse_query(dict(request.args.lists()))
        studies = [self._read_study(key) for key in query.keys]
        return _json(finite(comparison_view(studies, query)))

    def _get_compared_figure(self, request: Request, name: str) -> Response:
        query = parse_query(dict(request.args.lists()))
        studies = [self._read_study(key) for key in query.keys]
        return _json(finite(self._comparisons.draw(name, studies, query)))

    # -- reading --------------------------------------------------------------------------------

    def _find_source(self, key: str) -> Source:
        source = self._sources.get(f"{key.partition('-')[0]}-")
        if source is None:
            raise StudyNotFound(key)
        return source

    def _find_store_options(self, study: Study) -> Mapping[str, object]:
        prefix, separator, _ = study.key.partition("-")
        find = self._store_options.get((prefix + separator, study.name))
        return find() if find else {}

    def _read_study(self, key: str) -> Study:
        source = self._find_source(key)
        try:
            study: Study = self._read(key, source, lambda: source.study(key))
        except KeyError:
            raise StudyNotFound(key) from None
        return study

    def _forget(self, key: str) -> None:
        """Read a study anew, as it was changed."""
        with self._lock:
            self._readings.pop(key, None)

    def _read(self, key: str, source: Source, read: Callable[[], Any]) -> Any:
        """Return the last reading if it is fresh, else read; one thread reads at a time.

        Readings that are not fresh are forgotten: thousands of trials, perhaps of a deleted study.
        """
        with self._lock:
            now = time.monotonic()
            fresh = {k: kept for k, kept in self._readings.items() if kept[0] > now}
            if key not in fresh:
                found = _retry_briefly(read)
                fresh[key] = (time.monotonic() + source.fresh, found)
            self._readings = fresh
            return fresh[key][1]


def serve(
    storages: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8787,
    allow_control: bool = False,
    base_url: str = "/",
    trusted_hosts: Iterable[str] = (),
    token_file: str | os.PathLike[str] | None = None,
    study_files: StudyFiles | None = None,
    store_options: StoreOptions | None = None,
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
        study_files: See `Dashboard`.
        store_options: See `Dashboard`.

    Raises:
        StudyError: If a storage cannot be opened.
        ConfigError: If the address is in use, or an argument is wrong.
    """
    if not 0 <= port <= 65_535:
        raise ConfigError(f"port {port} does not exist: choose one from 1024 to 65535, or 0")
    token, base, hosts = choose_token(token_file), parse_base_url(base_url), trusted_hosts
    hosts = parse_hosts([*hosts, *([] if host in LOOPBACK else [host])])
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
        dashboard = Dashboard(
            storages,
            allow_control=allow_control,
            access=access,
            study_files=study_files,
            store_options=store_options,
        )
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


def _explain_failure(error: Exception) -> Response:
    """Return the answer to a request that a storage, or a fault, has kept from being answered."""
    if is_database_error(error):
        problem = explain_database_error(error)[:1000]
        return _json({"error": f"the database does not answer: {problem}"}, 503)
    if isinstance(error, OSError):
        return _json({"error": f"the storage cannot be read: {error}"[:1000]}, 503)
    _LOG.error("A request failed", exc_info=error)
    return _json({"error": f"{type(error).__name__}: {error}"[:1000]}, 500)


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(encode_json(content), status=status, content_type="application/json")
