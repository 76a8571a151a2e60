"""The local host: a small process that runs job runs and outlives the tuner.

It is for local runs what the service is for job runs in the cloud. It starts each run in a process
group of its own, learns of exits by SIGCHLD, enforces time limits, stops process groups, follows
metrics, and writes a run's history to ``run.jsonl``. When a tuner is killed, its runs continue; the
next tuner connects to the host, or, if the host is gone too, to a new one that reads the histories.
The host leaves when no tuner is connected and nothing runs.

Both sides exchange JSON lines over a Unix socket that only this user can reach. From the tuner:

    {"do": "hello", "env": {...}, "keep": true}   environment of its runs; whether they continue
    {"do": "start", "id": ..., ...}               see `StartRequest`; idempotent by id
    {"do": "cancel", "id": ...}
    {"do": "find", "runs": {id: folder}}

From the host: ``hello`` when it accepts a connection, ``found`` in answer to ``find``, ``metrics``
when a run has new metrics, ``ended`` with the last line of a run's history.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import heapq
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tune_jobs.backends.local.run import (
    LocalRun,
    StartRequest,
    find_outcome,
    launch,
    publish,
    reap_next,
    record_refusal,
)
from tune_jobs.core.strict_json import encode_json

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

FIRST_CONNECTION_SECONDS = 30.0
"""Seconds to wait for the first connection before leaving."""

FOLLOW_INTERVAL = 1.0
"""Seconds between two reads of what live runs printed."""


@dataclass(eq=False)
class _Connection:
    """Connection of a tuner; ``outgoing`` holds what it has not read yet."""

    socket: socket.socket
    env: dict[str, str] = field(default_factory=dict)
    keep: bool = True
    incoming: bytes = b""
    outgoing: bytearray = field(default_factory=bytearray)
    writing: bool = False


class Host:
    """Event loop of the host: messages, exits and deadlines, one at a time.

    Args:
        listener: The socket to accept connections from.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._runs: dict[str, LocalRun] = {}
        self._by_pid: dict[int, LocalRun] = {}
        self._owners: dict[str, _Connection] = {}
        self._deadlines: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._may_leave = False
        self._published: deque[Callable[[], None]] = deque()
        self._wake_write = -1

    def serve(self) -> None:
        """Serve until no tuner is connected and nothing runs."""
        wake_read, self._wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for name in (signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: self._wake_up(wake_read))
        self._later(FOLLOW_INTERVAL, self._follow_all)
        self._later(FIRST_CONNECTION_SECONDS, self._allow_leaving)
        while self._runs or self._connections or not self._may_leave:
            for key, _ in self._selector.select(self._until_next_deadline()):
                key.data()
            self._run_due_actions()

    def _allow_leaving(self) -> None:
        self._may_leave = True

    def _wake_up(self, wake_read: int) -> None:
        """Handle the ends of children and of publications."""
        with contextlib.suppress(BlockingIOError):
            while os.read(wake_read, 4096):
                pass
        self._reap()
        while self._published:
            self._published.popleft()()

    # -- time -----------------------------------------------------------------------------

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._deadlines, (time.monotonic() + seconds, self._sequence, action))

    def _until_next_deadline(self) -> float:
        return max(0.0, self._deadlines[0][0] - time.monotonic())

    def _run_due_actions(self) -> None:
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            heapq.heappop(self._deadlines)[2]()

    # -- connections ------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        accepted.setblocking(False)
        connection = _Connection(accepted)
        self._connections.add(connection)
        self._may_leave = True
        self._selector.register(accepted, selectors.EVENT_READ, lambda: self._read(connection))
        self._send(connection, {"event": "hello", "pid": os.getpid()})

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(1 << 20)
        except BlockingIOError:
            return self._flush(connection)
        except OSError:
            data = b""
        if not data:
            return self._disconnect(connection)
        *lines, connection.incoming = (connection.incoming + data).split(b"\n")
        for line in lines:
            self._handle(connection, json.loads(line))
        self._flush(connection)

    def _disconnect(self, connection: _Connection) -> None:
        """Release a connection that was closed, and stop its runs unless they are to be kept."""
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()
        for run_id in [i for i, owner in self._owners.items() if owner is connection]:
            del self._owners[run_id]
            if not connection.keep:
                self._stop(self._runs[run_id], "the tuner is gone", canceled=True)

    def _send(self, connection: _Connection | None, message: Mapping[str, Any]) -> None:
        if connection is not None and connection in self._connections:
            connection.outgoing += encode_json(message).encode() + b"\n"
            self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while connection.outgoing:
                sent = connection.socket.send(connection.outgoing)
                del connection.outgoing[:sent]
        if connection in self._connections and connection.writing != bool(connection.outgoing):
            connection.writing = bool(connection.outgoing)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.writing else 0)
            self._selector.modify(connection.socket, events, lambda: self._read(connection))

    def _handle(self, connection: _Connection, message: dict[str, Any]) -> None:
        match message.pop("do"):
            case "hello":
                connection.env, connection.keep = message["env"], message["keep"]
            case "start":
                self._start(connection, StartRequest(**message))
            case "cancel":
                if message["id"] in self._runs:
                    self._stop(self._runs[message["id"]], "canceled", canceled=True)
            case "find":
                found = {i: self._find(connection, i, f) for i, f in message["runs"].items()}
                self._send(connection, {"event": "found", "runs": found})

    # -- the life of a run ------------------------------------------------------------------

    def _start(self, connection: _Connection, start: StartRequest) -> None:
        known = self._find(connection, start.id, start.folder)
        if known is not None:
            if known["event"] == "ended":
                self._send(connection, {**known, "id": start.id})
            return
        try:
            run = launch(start, connection.env)
        except (OSError, ValueError, TypeError) as error:  # what the kernel, or Python, refuses
            self._send(connection, {**record_refusal(start, error), "id": start.id})
            return
        self._runs[start.id] = self._by_pid[run.process.pid] = run
        self._owners[start.id] = connection
        if start.time_limit is not None:
            cause = f"time limit of {start.time_limit:g} s reached"
            self._later(start.time_limit, lambda: self._stop(run, cause, canceled=False))

    def _stop(self, run: LocalRun, cause: str, *, canceled: bool) -> None:
        if self._runs.get(run.start.id) is run and not run.stop_cause:
            run.stop(cause, canceled=canceled)
            self._later(run.start.grace, lambda: self._kill(run))

    def _kill(self, run: LocalRun) -> None:
        if self._runs.get(run.start.id) is run:
            run.kill()

    def _reap(self) -> None:
        """Reap the children that have ended."""
        while ended := reap_next():
            pid, status, usage = ended
            run = self._by_pid.pop(pid, None)
            if run is not None:
                self._end(run, run.finish(status, usage))

    def _end(self, run: LocalRun, ended: dict[str, Any]) -> None:
        if run.start.publish is None:
            self._announce(run, ended)
        else:
            self._publish(run, lambda problem: self._announce(run, ended, problem), whole=True)

    def _announce(self, run: LocalRun, ended: dict[str, Any], problem: str = "") -> None:
        if problem:
            ended = {**ended, "state": "FAILED", "cause": problem, "transient": True}
        del self._runs[run.start.id]
        self._send(self._owners.pop(run.start.id, None), {**ended, "id": run.start.id})

    @functools.cached_property
    def _publishing(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor  # rarely needed, slow to import

        return ThreadPoolExecutor(max_workers=8)

    def _publish(self, run: LocalRun, then: Callable[[str], None], *, whole: bool) -> None:
        """Copy to the metric store in a thread, and then call ``then(problem)`` in the loop."""

        def work() -> None:
            problem = publish(run.start, whole=whole)
            self._published.append(lambda: then(problem))
            os.write(self._wake_write, b"p")

        self._publishing.submit(work)

    def _follow_all(self) -> None:
        for run in list(self._runs.values()):
            new = run.follow()
            if new and run.start.publish is None:
                self._send_metrics(run)
            elif new:
                self._publish(run, functools.partial(self._send_metrics, run), whole=False)
        self._later(FOLLOW_INTERVAL, self._follow_all)

    def _send_metrics(self, run: LocalRun, problem: str = "") -> None:
        self._send(self._owners.get(run.start.id), {"event": "metrics", "id": run.start.id})

    def _find(self, connection: _Connection, run_id: str, folder: str) -> dict[str, Any] | None:
        """Find the state of a run, whose updates go to this connection from now on."""
        run = self._runs.get(run_id)
        if run is None:
            return find_outcome(folder)
        self._owners[run_id] = connection
        return {"event": "live", "started": run.started}


def main(path: str) -> None:
    """Serve at the socket ``path``, unless another host does already."""
    lock = os.open(path + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    # The tuner waits for that line, and would wait for the pipe to be closed.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    Host(listener).serve()
    os.unlink(path)


if __name__ == "__main__":
    main(sys.argv[1])
