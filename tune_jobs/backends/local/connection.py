"""Connection of a tuner to the local host, which it starts when it is first needed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import BackendError
from tune_jobs.runtime import report

HOST_MODULE = "tune_jobs.backends.local.host"
"""The module that a host runs."""

_CONNECT_SECONDS = 15.0

_HOST_KILLED = "the process that runs local job runs was killed; call optimize() again to resume"


class HostConnection:
    """Connection to the host of one metric store.

    The host starts while the caller continues; the first message waits until it is ready.

    Args:
        path: The host's socket.
        keep_runs: Whether the host keeps the runs of this connection when it breaks.
    """

    def __init__(self, path: str, *, keep_runs: bool) -> None:
        self._path, self._keep_runs = path, keep_runs
        self._connecting = threading.Lock()
        self._sending = threading.Lock()
        self._incoming = b""
        self._unusable = ""
        self._starting: subprocess.Popen[bytes] | None = None
        self._socket = self._greet()
        if self._socket is None:
            self._starting = _start_host(path)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message.

        Raises:
            BackendError: If the host is gone, cannot be started, or the connection is closed.
        """
        with self._sending:
            connection = self._connect()
            try:
                connection.sendall(encode_json(message).encode() + b"\n")
            except OSError as error:
                raise self._host_killed() from error

    def receive(self, timeout: float | None) -> list[dict[str, Any]]:
        """Return the messages that have arrived, after at most ``timeout`` seconds.

        Raises:
            BackendError: If the host is gone, cannot be started, or the connection is closed.
        """
        connection = self._connect()
        if b"\n" not in self._incoming:
            if not _is_readable(connection, timeout):
                return []
            try:
                data = connection.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                raise self._host_killed()
            self._incoming += data
        *lines, self._incoming = self._incoming.split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close the connection. A host that nobody is connected to leaves once nothing runs."""
        if self._starting is not None:
            with contextlib.suppress(BackendError):  # it could not be started
                self._connect()  # a host that never saw a connection would wait for one
        self._discard("the local backend's service is closed: open the backend again")

    def _discard(self, reason: str) -> None:
        with self._connecting:
            self._unusable = self._unusable or reason
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _host_killed(self) -> BackendError:
        self._discard(_HOST_KILLED)
        return BackendError(self._unusable)

    def _connect(self) -> socket.socket:
        with self._connecting:
            if self._unusable:
                raise BackendError(self._unusable)
            deadline = time.monotonic() + _CONNECT_SECONDS
            while self._socket is None and time.monotonic() < deadline:
                starting, self._starting = self._starting, None
                _wait_until_ready(starting or _start_host(self._path))
                self._socket = self._greet()
            if self._socket is None:
                raise BackendError(
                    f"the local host at {self._path} did not answer within {_CONNECT_SECONDS:g} s"
                )
            return self._socket

    def _greet(self) -> socket.socket | None:
        """Connect to a running host; None if there is none, or if it is about to leave."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self._path)
            connection.settimeout(_CONNECT_SECONDS)
            hello = connection.recv(4096)  # a host that was about to leave closes instead
            greeting = {"do": "hello", "env": dict(os.environ), "keep": self._keep_runs}
            connection.sendall(encode_json(greeting).encode() + b"\n")
        except OSError:
            hello = b""
        if not hello:
            connection.close()
            return None
        connection.settimeout(None)
        return connection


def socket_path(scratch: str) -> str:
    """Return the socket of the host for a local folder.

    The path is short, since the kernel allows about 100 characters, and in a folder that only this
    user can enter.

    Raises:
        BackendError: If others can enter that folder.
    """
    folder = os.path.join(tempfile.gettempdir(), f"tune-jobs-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    status = os.stat(folder)
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise BackendError(
            f"{folder} must belong to you and be closed to others (chmod 700): the processes that "
            "run your job runs are reached through it"
        )
    return os.path.join(folder, hashlib.sha256(scratch.encode()).hexdigest()[:16])


def _is_readable(connection: socket.socket, timeout: float | None) -> bool:
    poller = select.poll()  # unlike select, it takes descriptors above 1024
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(None if timeout is None else math.ceil(timeout * 1000.0)))


def _start_host(path: str) -> subprocess.Popen[bytes]:
    """Start a host that outlives this process; see `_wait_until_ready`."""
    package = str(Path(report.__file__).parents[2])
    return subprocess.Popen(
        # Without the site module it starts in half the time; all paths are passed instead.
        [sys.executable, "-S", "-m", HOST_MODULE, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([package, *filter(None, sys.path)])},
    )


def _wait_until_ready(host: subprocess.Popen[bytes]) -> None:
    """Wait until a host serves, or leaves because another one does.

    Raises:
        BackendError: If it ended with an error.
    """
    assert host.stdout is not None
    assert host.stderr is not None
    with host.stdout, host.stderr:
        if not host.stdout.readline() and host.wait() != 0:
            raise BackendError(
                f"the local host could not be started: {host.stderr.read().decode()[-2000:]}"
            )
    threading.Thread(target=host.wait, daemon=True).start()  # reaps it when it leaves
