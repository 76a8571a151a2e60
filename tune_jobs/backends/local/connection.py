"""Connection of a tuner to the local host, which it starts when it is first needed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tune_jobs.backends.base import Notice
from tune_jobs.backends.local.forks import keep_socket
from tune_jobs.backends.local.place import HostPlace
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import BackendError, MachineTrouble
from tune_jobs.runtime import report
from tune_jobs.runtime.private_files import make_closed_folder
from tune_jobs.runtime.processes import read_namespace, read_state
from tune_jobs.runtime.trouble import describe_trouble

HOST_MODULE = "tune_jobs.backends.local.host"
"""The module that a host runs."""

CONNECT_SECONDS = 10.0
"""Seconds within which a host has to answer a tuner that begins."""

PING_SECONDS = 1.0
"""Seconds between two questions whether the host is well."""

NOTICE_SECONDS = 4.0
"""Seconds without an answer after which the tuner says that it waits."""

HOST_PATIENCE = 120.0
"""Seconds without an answer after which the call ends."""

_LONGEST_FOLDER = 50

# The standard library comes first: a project may have a ``types.py`` of its own.
_HOST = (
    "import runpy, sys; module, path, record, *folders = sys.argv[1:]; sys.path += folders; "
    "sys.argv[1:] = [path, record]; runpy.run_module(module, run_name='__main__')"
)


# A host that a run starts, since it tunes, is not part of that run.
_NOT_INHERITED = {"PYTHONPATH", "TUNE_JOBS_RUN", "TUNE_JOBS_METRICS_FILE"}


class HostGone(Exception):
    """The host has ended, and its runs with it. See `HostConnection.replace`."""


class HostConnection:
    """Connection to the host of one metric store.

    The host starts while the caller continues; the first message waits until it is ready.

    Args:
        place: Where the host is.
        keep_runs: Whether the host keeps the runs of this connection when it breaks.
        notice: Called with messages for a person.
    """

    def __init__(self, place: HostPlace, *, keep_runs: bool, notice: Notice) -> None:
        self._place, self._keep_runs, self._notice = place, keep_runs, notice
        self._connecting = threading.Lock()
        self._sending = threading.Lock()
        self._incoming = b""
        self._unusable = ""
        self._starting: subprocess.Popen[bytes] | None = None
        self._silence = _Silence(notice)
        self._answers_pings = False
        with _translated():
            self._socket = self._greet()
            if self._socket is None:
                self._starting = _start_host(place)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message. If the host is gone, `receive` says so.

        Raises:
            BackendError: If the host cannot be started, or the connection is closed.
        """
        with self._sending:
            connection = self._connect()
            with contextlib.suppress(ConnectionError):
                self._send_all(connection, encode_json(message).encode() + b"\n")

    def _send_all(self, connection: socket.socket, data: bytes) -> None:
        while data:
            if _wait_until(connection, select.POLLOUT, PING_SECONDS):
                data = data[connection.send(data, socket.MSG_DONTWAIT) :]
            else:
                self._silence.judge(time.monotonic())

    def receive(self, timeout: float | None) -> list[dict[str, Any]]:
        """Return the messages that have arrived, after at most ``timeout`` seconds.

        Raises:
            HostGone: If the host has ended.
            BackendError: If it cannot be started, or the connection is closed.
            MachineTrouble: If it does not answer for `HOST_PATIENCE` seconds.
        """
        connection = self._connect()
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        while b"\n" not in self._incoming:
            self._ping()
            now = time.monotonic()
            if _wait_until(connection, select.POLLIN, min(PING_SECONDS, max(0.0, deadline - now))):
                self._incoming += self._read(connection)
                self._silence.end()
            else:
                self._silence.judge(time.monotonic())
                if time.monotonic() >= deadline:
                    return []
        *lines, self._incoming = self._incoming.split(b"\n")
        return [json.loads(line) for line in lines]

    def _read(self, connection: socket.socket) -> bytes:
        try:
            data = connection.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            raise HostGone
        return data

    def _ping(self) -> None:
        """Ask whether the host is well, unless an earlier question is open."""
        if self._answers_pings and self._silence.begin(PING_SECONDS):
            self.send({"do": "ping"})

    def replace(self) -> str:
        """Start another host in place of one that is gone; return what is known of its end."""
        with self._connecting:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            self._incoming = b""
            self._silence.forget()
        pid, crash = self._silence.pid, self._place.read().get("crash", "")
        self._connect()
        reason = crash.strip().rpartition("\n")[2] or "it was killed"
        return f"the local host (process {pid}) is gone: {reason}"

    def close(self) -> None:
        """Close the connection. A host without connections exits once nothing runs."""
        if self._starting is not None:
            with contextlib.suppress(BackendError):  # it could not be started
                self._connect()  # a host that never saw a connection would wait for one
        with self._connecting:
            self._unusable = "the local backend's service is closed: open the backend again"
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _connect(self) -> socket.socket:
        with self._connecting, _translated():
            if self._unusable:
                raise BackendError(self._unusable)
            deadline = time.monotonic() + CONNECT_SECONDS
            while self._socket is None and time.monotonic() < deadline:
                starting, self._starting = self._starting, None
                _wait_until_ready(starting or _start_host(self._place))
                self._socket = self._greet()
                if self._socket is None:
                    time.sleep(0.05)  # another host is about to leave, or to listen
            if self._socket is None:
                raise MachineTrouble(self._describe_unreachable())
            return self._socket

    def _describe_unreachable(self) -> str:
        record = self._place.read()
        return (
            f"the local host of this metric store (process {record.get('pid')}) listens at "
            f"{record.get('socket')}, which cannot be reached from here: use the temporary folder "
            f"of the tuner that started it, or end that process. {self._place.record} names it"
        )

    def _greet(self) -> socket.socket | None:
        """Connect to a running host; None if there is none, or if it is about to leave."""
        for address in self._place.addresses():
            with contextlib.ExitStack() as stack:
                connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                connection.settimeout(CONNECT_SECONDS)
                try:
                    connection.connect(address)
                    hello = self._exchange(connection)
                except OSError:
                    continue
                if hello:
                    connection.settimeout(None)
                    self._answers_pings = bool(hello.get("pings"))
                    stack.pop_all()
                    return keep_socket(connection)
        return None

    def _exchange(self, connection: socket.socket) -> dict[str, Any]:
        """Exchange greetings; an empty one is from a host that is about to leave."""
        self._silence.pid = _read_peer(connection)
        self._silence.begin(0.0)
        while not _wait_until(connection, select.POLLIN, PING_SECONDS):
            self._silence.judge(time.monotonic(), CONNECT_SECONDS)
        self._silence.end()
        hello, _, self._incoming = connection.recv(4096).partition(b"\n")
        greeting = {"do": "hello", "env": dict(os.environ), "keep": self._keep_runs}
        connection.sendall(encode_json(greeting).encode() + b"\n")
        return dict(json.loads(hello)) if hello else {}


def locate_host(scratch: str) -> HostPlace:
    """Return the place of the host for a local folder.

    Machines, containers and users that share the folder have hosts of their own.

    Raises:
        BackendError: If others can enter the folder of the socket.
    """
    viewer = f"{os.getuid()} {socket.gethostname()} {read_namespace('pid')}"
    digest = hashlib.sha256(viewer.encode()).hexdigest()[:12]
    return HostPlace(_find_socket_path(scratch), os.path.join(scratch, f".host-{digest}"))


def _find_socket_path(scratch: str) -> str:
    """Return a path that is short enough, in a folder that only this user can enter."""
    name = hashlib.sha256(scratch.encode()).hexdigest()[:16]
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) > _LONGEST_FOLDER:
        temporary = "/tmp"
    folder = os.path.join(temporary, f"tune-jobs-{os.getuid()}")
    try:
        make_closed_folder(folder)
    except PermissionError as error:
        raise BackendError(
            f"{folder} must belong to you and be closed to others (chmod 700): the processes that "
            "run your job runs are reached through it"
        ) from error
    return os.path.join(folder, name)


class _Silence:
    """How long the host has not answered.

    Args:
        notice: Called with messages for a person.

    Attributes:
        pid: Process id of the host.
    """

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._asked: float | None = None
        self._last = 0.0
        self._said = False
        self.pid = 0

    def begin(self, pause: float) -> bool:
        """Begin to wait for an answer, unless it is being waited for.

        Args:
            pause: Seconds since the last beginning before which this does nothing.
        """
        now = time.monotonic()
        if self._asked is not None or now - self._last < pause:
            return False
        self._asked = self._last = now
        return True

    def end(self) -> None:
        """Note that the host is alive."""
        if self._said:
            self._notice(f"the local host (process {self.pid}) answers again")
        self.forget()

    def forget(self) -> None:
        """Stop waiting, as the host is gone."""
        self._asked, self._said = None, False

    def judge(self, now: float, patience: float | None = None) -> None:
        """Say what is waited for.

        Args:
            now: By the monotonic clock.
            patience: Seconds; `HOST_PATIENCE` by default.

        Raises:
            MachineTrouble: After that.
        """
        patience = HOST_PATIENCE if patience is None else patience
        if self._asked is None:
            return
        silent = now - self._asked
        if silent >= patience:
            raise MachineTrouble(
                f"the local host ({self._describe()}) has not answered for {silent:.0f} s. Its "
                "runs continue, and the next call adopts them; if it is hung, end it with "
                f"kill -9 {self.pid}, and the next call tries its runs again"
            )
        if silent >= NOTICE_SECONDS and not self._said:
            self._said = True
            self._notice(
                f"waiting for the local host ({self._describe()}), which does not answer, for at "
                f"most {patience:g} s"
            )

    def _describe(self) -> str:
        if read_state(self.pid) in ("T", "t"):
            return f"process {self.pid}, which is stopped: continue it with kill -CONT {self.pid}"
        return f"process {self.pid}"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise `MachineTrouble` if the machine is in trouble."""
    try:
        yield
    except OSError as error:
        if trouble := describe_trouble(error):
            raise MachineTrouble(f"the local host cannot be reached: {trouble}") from error
        raise


def _read_peer(connection: socket.socket) -> int:
    """Return the process that listens, where the system says it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[0])


def _wait_until(connection: socket.socket, event: int, seconds: float) -> bool:
    poller = select.poll()  # unlike select, it takes descriptors above 1024
    poller.register(connection, event)
    return bool(poller.poll(seconds * 1000.0))


def _start_host(place: HostPlace) -> subprocess.Popen[bytes]:
    """Start a host that outlives this process; see `_wait_until_ready`."""
    package = str(Path(report.__file__).parents[2])
    folders = [package, *(os.path.abspath(folder) for folder in sys.path if folder)]
    return subprocess.Popen(
        # Without the site module it starts in half the time; all paths are passed instead.
        [sys.executable, "-P", "-S", "-c", _HOST, HOST_MODULE, place.path, place.record, *folders],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={k: v for k, v in os.environ.items() if k not in _NOT_INHERITED},
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
            trace = host.stderr.read().decode(errors="replace").strip()
            reason = trace.rpartition("\n")[2] or f"exit code {host.returncode}"
            raise BackendError(f"the local host could not be started: {reason}\n{trace[-2000:]}")
    threading.Thread(target=host.wait, daemon=True).start()  # reaps it when it leaves
