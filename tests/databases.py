"""Real PostgreSQL and MariaDB servers on loopback, for one test each."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError


class Server(Protocol):
    """A database server that can be restarted."""

    url: str

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        ...

    def stop(self) -> None:
        """Stop at once, even with open connections."""
        ...

    def suspend(self) -> None:
        """Answer nothing any more, with all connections open."""
        ...

    def resume(self) -> None:
        """Answer again."""
        ...


def free_port() -> int:
    """Return a free port that the kernel does not give to an outgoing connection meanwhile."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


def _program(name: str, *places: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *places]))
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install postgresql mariadb-server")
    return found


def _user() -> dict[str, str]:
    """Return the user that the server runs as: neither server runs as root."""
    return {"user": "nobody"} if os.getuid() == 0 else {}


class Process:
    """A server as one process in the foreground."""

    def __init__(self, command: list[str], url: str, folder: Path) -> None:
        self._command, self._folder = command, folder
        self.url = url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """See `Server.start`."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **_user(),  # type: ignore[call-overload]
            )
        engine = create_engine(self.url)
        give_up = time.monotonic() + 60
        while True:
            try:
                with engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                break
            except DBAPIError:
                assert time.monotonic() < give_up, (self._folder / "server.log").read_text()
                assert self._process.poll() is None, (self._folder / "server.log").read_text()
                time.sleep(0.1)  # it does not announce that it is ready
        engine.dispose()

    def stop(self) -> None:
        """See `Server.stop`."""
        process, self._process = self._process, None
        if process is None:
            return
        crashed = process.poll()
        process.kill()
        process.wait()
        log = (self._folder / "server.log").read_text(errors="replace")
        assert crashed is None, f"the server ended by itself with {crashed}:\n{log[-5000:]}"

    def suspend(self) -> None:
        """See `Server.suspend`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """See `Server.resume`."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to the server and to its processes for each connection."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in [pid, *map(int, children)]:
            os.kill(each, number)


@contextlib.contextmanager
def _owned() -> Iterator[Path]:
    """Create a folder that belongs to the user of the server.

    Not one of pytest's: those are closed to others whenever another pytest starts.
    """
    with tempfile.TemporaryDirectory("-server", ignore_cleanup_errors=True) as folder:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
        yield Path(folder)


@contextlib.contextmanager
def postgresql() -> Iterator[Server]:
    """Start an empty PostgreSQL server."""
    pytest.importorskip("psycopg")
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb = _program("initdb", *map(str, newest))
    port = free_port()
    with _owned() as data:
        subprocess.run(
            [initdb, "-D", data / "data", "-A", "trust", "-U", "tuner", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=data,
            **_user(),  # type: ignore[call-overload]
        )
        command = [
            *(str(Path(initdb).resolve().parent / "postgres"), "-D", str(data / "data")),
            *("-h", "127.0.0.1", "-p", str(port), "-k", str(data), "-F"),
        ]
        url = f"postgresql+psycopg://tuner@127.0.0.1:{port}/postgres"
        yield from _running(Process(command, url, data))


@contextlib.contextmanager
def mariadb() -> Iterator[Server]:
    """Start an empty MariaDB server."""
    pytest.importorskip("pymysql")
    install = _program("mariadb-install-db")
    server = _program("mariadbd", "/usr/sbin")
    port = free_port()
    with _owned() as data:
        subprocess.run(
            [
                *(install, "--no-defaults", f"--datadir={data}/data", "--skip-test-db"),
                "--auth-root-authentication-method=normal",
            ],
            check=True,
            capture_output=True,
            cwd=data,
            **_user(),  # type: ignore[call-overload]
        )
        command = [
            *(server, "--no-defaults", f"--datadir={data}/data", f"--socket={data}/s"),
            *("--bind-address=127.0.0.1", f"--port={port}", "--skip-grant-tables"),
            *(
                "--skip-networking=0",
                f"--pid-file={data}/pid",
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-buffer-pool-size=32M",
                "--innodb-log-file-size=16M",
            ),
        ]
        url = f"mysql+pymysql://root@127.0.0.1:{port}/mysql"
        yield from _running(Process(command, url, data), "CREATE DATABASE tuning", "tuning")


def _running(server: Process, statement: str = "", database: str = "") -> Iterator[Server]:
    server.start()
    try:
        if statement:
            engine = create_engine(server.url)
            with engine.begin() as connection:
                connection.execute(text(statement))
            engine.dispose()
            server.url = server.url.rpartition("/")[0] + f"/{database}"
        yield server
    finally:
        server.stop()


SERVERS = {"postgresql": postgresql, "mariadb": mariadb}
