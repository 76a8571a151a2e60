"""HTTP server: verifies requests, applies faults and calls the services."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.oci_emulator import signing
from tests.oci_emulator.data_science import DataScience
from tests.oci_emulator.errors import ServiceError, not_found
from tests.oci_emulator.faults import Fault, Faults
from tests.oci_emulator.identities import Identities
from tests.oci_emulator.log_search import LogSearch
from tests.oci_emulator.monitoring import Monitoring
from tests.oci_emulator.object_storage import ObjectStorage
from tests.oci_emulator.run_life import Run, principal_of_run
from tests.oci_emulator.tenancy import Tenancy
from tests.oci_emulator.vault import Vault
from tests.oci_emulator.world import Delays, Limits, World


class Service(Protocol):
    """Service of OCI."""

    prefixes: tuple[str, ...]

    def operation(self, request: Request) -> str:
        """Return the operation that a request calls, by the SDK's name."""
        ...

    def handle(self, request: Request, body: bytes) -> Response:
        """Answer a request.

        Raises:
            ServiceError: If the answer is an error.
        """
        ...


@dataclass(frozen=True)
class Seen:
    """Request that was made."""

    method: str
    path: str
    operation: str
    status: int
    time: float


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # with persistent connections

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing: requests are recorded in `Emulator.requests`."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time of an answer."""
        if self.server.world.deviates("clock-header"):  # type: ignore[attr-defined]
            return "now"
        return super().date_time_string(time.time() + getattr(self.server, "clock_ahead", 0.0))

    def run_wsgi(self) -> None:
        """Answer a request, and keep the connection: werkzeug closes every one."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        answer: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            answer.extend((status, headers))

        data = b"".join(self.server.app(self.make_environ(), start_response))
        code, _, phrase = answer[0].partition(" ")
        self.send_response(int(code), phrase)
        for name, value in answer[1]:
            self.send_header(name, value)
        names = {name.lower() for name, _ in answer[1]}
        if "content-length" not in names and int(code) not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)  # type: ignore[attr-defined]
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)  # type: ignore[attr-defined]
        super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError):  # the connection was dropped on purpose
            self.close_connection = True


class Emulator:
    """Emulator of OCI Data Science jobs and the services around them on a loopback port.

    Args:
        folder: Folder for job runs and the configuration file.
        delays: Delays of the services.
        execute: Whether job runs execute their artifact, or only take time.
        port: The port; 0 to choose a free one.
    """

    def __init__(
        self, folder: Path, *, delays: Delays | None = None, execute: bool = True, port: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.limits, self.delays = Limits(), delays or Delays()
        self.world = World(folder.resolve(), self.delays, self.limits, execute)
        self.faults = Faults()
        self.requests: list[Seen] = []
        self._verifier = signing.Verifier()
        self.identities = Identities(self.world, self._verifier)
        self.access = self.world.access
        self.object_storage = ObjectStorage(self.world)
        self.log_search = LogSearch(self.world)
        self.monitoring = Monitoring(self.world)
        signing.run_key()  # generated before concurrent runs need it
        self.data_science = DataScience(self.world, self.log_search, self._sign_in)
        self.services = Tenancy(self.world)
        self.vault = Vault(self.world)
        self._services: list[Service] = [
            self.data_science,
            self.log_search,
            self.monitoring,
            self.object_storage,
            self.services,
            self.vault,
        ]
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, self._application, threaded=True, request_handler=_Handler
        )
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._server.world = self.world  # type: ignore[attr-defined]
        self._server.connections = set()  # type: ignore[attr-defined]
        self._server.socket.listen(256)
        self.world.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.config_file = self.world.config_file = self.identities.write_config()
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    endpoint = property(lambda self: self.world.endpoint)

    def set_clock_ahead(self, seconds: float) -> None:
        """Let the times in the headers of answers be ahead of this machine's."""
        self._server.clock_ahead = seconds  # type: ignore[attr-defined]

    compartment = property(lambda self: self.world.compartment)
    project = property(lambda self: self.world.project)
    namespace = property(lambda self: self.world.namespace)
    tenancy = property(lambda self: self.world.tenancy)

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the job runs and the server, and close its connections."""
        self.identities.close()
        self.data_science.close()
        self._server.shutdown()
        for connection in list(self._server.connections):  # type: ignore[attr-defined]
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def config(self) -> dict[str, str]:
        """Return the user's configuration for a client of the SDK."""
        return self.identities.config()

    def add_token(self, token: str) -> None:
        """Accept a security token, signed by the user's key."""
        self.identities.add_token(token)

    def resource_principal(self) -> dict[str, str]:
        """Return the variables by which the SDK in a job run finds its principal."""
        return self.identities.resource_principal()

    def _sign_in(self, run: Run) -> dict[str, str]:
        """Return the variables of a run's resource principal."""
        if self.world.deviates("resource-principal"):
            return {}
        who = principal_of_run(run.id, run.facts["compartmentId"])
        folder = self.world.folder / "principals" / run.id[-12:]
        in_files = folder if self.identities.in_files else None
        return self.identities.resource_principal(who, in_files=in_files)

    # -- one request ----------------------------------------------------------------------------

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        target = str(environ.get("RAW_URI", request.full_path))
        body = request.get_data(cache=True)
        service = next((s for s in self._services if request.path.startswith(s.prefixes)), None)
        if request.path.startswith(self.identities.prefixes):
            service = self.identities
        operation = service.operation(request) if service else "none"
        faults = self.faults.select(operation, unquote(request.path))
        response = self._answer(request, target, body, service, faults)
        self.requests.append(
            Seen(request.method, request.path, operation, response.status_code, time.time())
        )
        if any(fault.kind.startswith("drop") for fault in faults):
            _drop(environ)
        return response(environ, start_response)

    def _answer(
        self,
        request: Request,
        target: str,
        body: bytes,
        service: Service | None,
        faults: list[Fault],
    ) -> Response:
        try:
            for fault in faults:
                _apply(fault, request)
            if request.path.startswith(self.identities.prefixes):
                return self.identities.handle(request, body)  # neither is signed by a key of OCI
            request.environ["emulator.principal"] = self._verifier.verify(request, target, body)
            if service is None:
                raise not_found(request.path)
            response = service.handle(request, body)
        except ServiceError as error:
            content = json.dumps({"code": error.code, "message": error.message})
            response = Response(
                "" if request.method == "HEAD" else content,
                error.status,
                error.headers,
                content_type="application/json",
            )
        response.headers["opc-request-id"] = secrets.token_hex(16).upper()
        return response


def _apply(fault: Fault, request: Request) -> None:
    if fault.kind == "slow":
        time.sleep(fault.seconds)
    elif fault.kind == "stale":
        request.environ["emulator.stale"] = fault.seconds
    elif fault.kind in ("frozen", "empty", "false"):
        request.environ[f"emulator.{fault.kind}"] = fault.at
    elif fault.kind == "throttle":
        raise ServiceError(429, "TooManyRequests", "Tenancy request throttled")
    elif fault.kind == "error":
        raise ServiceError(fault.status, fault.code, "error on demand")
    elif fault.kind == "drop_before":
        raise ServiceError(503, "Dropped", "never sent")


def _drop(environ: dict[str, Any]) -> None:
    """Close the connection without a response."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("dropped on purpose")
