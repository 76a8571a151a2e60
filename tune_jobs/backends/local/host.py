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
    {"do": "ping"}                                if ``hello`` says that the host answers it

From the host: ``hello`` when it accepts a connection, ``found`` in answer to ``find``, ``metrics``
when a run has new metrics, ``ended`` with the last line of a run's history, ``pong`` in answer to
``ping``.

If the machine is in trouble (`tune_jobs.runtime.trouble`), such as a full disk, nothing fails: what
cannot be started or recorded waits and is tried again every second, and ``pong`` says why.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tune_jobs.backends.local.place import HostPlace
from tune_jobs.backends.local.publication import publish
from tune_jobs.backends.local.run import (
    LocalRun,
    StartRequest,
    find_outcome,
    launch,
    reap_next,
    record_refusal,
)
from tune_jobs.backends.local.waiting import Waiting
from tune_jobs.core.strict_json import encode_json
from tune_jobs.runtime.trouble import describe_trouble
from tune_jobs.runtime.usage import Machine

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

FIRST_CONNECTION_SECONDS = 30.0
"""Seconds to wait for the first connection before leaving."""

FOLLOW_INTERVAL = 1.0
"""Seconds between two reads of what live runs printed."""

OUTPUT_INTERVAL = 0.02
"""Seconds between two looks at whether the output of a run that has ended is copied."""

BYTES_PER_SECOND = 1 << 20
"""Bytes of metrics for which the pause between two reads is a second."""

LOOK_SHARE = 8.0
"""The pause between two reads, as a multiple of what the first one took."""


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
        place: Where tuners find the host.
    """

    def __init__(self, listener: socket.socket, place: HostPlace) -> None:
        self._listener, self._place = listener, place
        self._waiting = Waiting()
        self._machine = Machine()
        self._blocked: dict[str, tuple[_Connection, StartRequest]] = {}
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
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: self._wake_up(wake_read))
        self._later(FOLLOW_INTERVAL, self._look)
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
        except OSError:  # the tuner has gone, or no more files may be opened: it tries again
            return
        accepted.setblocking(False)
        connection = _Connection(accepted)
        self._connections.add(connection)
        self._may_leave = True
        self._selector.register(accepted, selectors.EVENT_READ, lambda: self._read(connection))
        self._send(connection, {"event": "hello", "pid": os.getpid(), "pings": True})

    def _listen_again(self) -> None:
        listener = self._place.renew()
        if listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = listener
            self._selector.register(listener, selectors.EVENT_READ, self._accept)

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
            self._receive(connection, json.loads(line))
        self._flush(connection)

    def _disconnect(self, connection: _Connection) -> None:
        """Release a connection that was closed, and stop its runs unless they are to be kept."""
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()
        for run_id in [i for i, (owner, _) in self._blocked.items() if owner is connection]:
            del self._blocked[run_id]  # it was never started
            self._waiting.clear(run_id)
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

    def _receive(self, connection: _Connection, message: dict[str, Any]) -> None:
        """Handle a message; an error fails the run that it is about, and no other."""
        try:
            self._handle(connection, message)
        except Exception as error:
            if describe_trouble(error):
                self._waiting.note(str(message["do"]), "is not possible", error)
                self._later(FOLLOW_INTERVAL, lambda: self._receive(connection, message))
            elif "id" in message:
                cause = f"the local host failed: {error!r}"
                failed = {"event": "ended", "state": "FAILED", "cause": cause, "transient": False}
                self._send(connection, {**failed, "id": message["id"]})
        else:
            self._waiting.clear(str(message["do"]))

    def _handle(self, connection: _Connection, message: dict[str, Any]) -> None:
        match message["do"]:
            case "hello":
                connection.env, connection.keep = message["env"], message["keep"]
            case "start":
                arguments = {key: value for key, value in message.items() if key != "do"}
                self._start(connection, StartRequest(**arguments))
            case "cancel":
                self._cancel(connection, message["id"])
            case "find":
                found = {i: self._find(connection, i, f) for i, f in message["runs"].items()}
                self._send(connection, {"event": "found", "runs": found})
            case "ping":
                trouble = self._waiting.describe(live=len(self._by_pid))
                self._send(connection, {"event": "pong", "trouble": trouble})

    # -- the life of a run ------------------------------------------------------------------

    def _start(self, connection: _Connection, start: StartRequest) -> None:
        if start.id not in self._runs and self._blocked:
            self._blocked[start.id] = connection, start  # one after another
        else:
            self._launch(connection, start)

    def _launch(self, connection: _Connection, start: StartRequest) -> bool:
        """Start a run; return False if the machine is in trouble, so that it has to wait."""
        try:
            known = self._find(connection, start.id, start.folder)
            run = launch(start, connection.env, self._machine) if known is None else None
        except Exception as error:
            if describe_trouble(error):
                self._blocked[start.id] = connection, start
                self._waiting.note(start.id, "cannot be started", error)
                return False
            known, run = record_refusal(start, error), None
        self._unblock(start.id)
        if run is not None:
            self._watch(connection, run)
        elif known is not None and known["event"] == "ended":
            self._send(connection, {**known, "id": start.id})
        return True

    def _watch(self, connection: _Connection, run: LocalRun) -> None:
        start = run.start
        self._runs[start.id] = self._by_pid[run.process.pid] = run
        self._owners[start.id] = connection
        if start.time_limit is not None:
            cause = f"time limit of {start.time_limit:g} s reached"
            self._later(start.time_limit, lambda: self._stop(run, cause, canceled=False))

    def _unblock(self, run_id: str) -> None:
        self._blocked.pop(run_id, None)
        self._waiting.clear(run_id)

    def _retry_blocked(self) -> None:
        for connection, start in list(self._blocked.values()):
            if not self._launch(connection, start):
                return

    def _cancel(self, connection: _Connection, run_id: str) -> None:
        if run_id in self._runs:
            self._stop(self._runs[run_id], "canceled", canceled=True)
        elif run_id in self._blocked:
            self._unblock(run_id)
            never = {"event": "ended", "state": "CANCELED", "cause": "canceled", "transient": False}
            self._send(connection, {**never, "id": run_id})

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
                run.reaped(status, usage)
                self._end(run)

    def _end(self, run: LocalRun) -> None:
        """Collect and record what a run left, in steps between which the others are served."""
        if not run.has_all_output():
            self._later(OUTPUT_INTERVAL, lambda: self._end(run))
            return
        try:
            ended = run.finish()
        except Exception as error:
            if describe_trouble(error):
                self._waiting.note(run.start.id, "has ended, which cannot be recorded", error)
                self._later(FOLLOW_INTERVAL, lambda: self._end(run))
                return
            ended = run.fail(error)
        if ended is None:
            self._later(0.0, lambda: self._end(run))
            if run.start.publish is None and time.monotonic() >= run.next_look:
                run.next_look = time.monotonic() + FOLLOW_INTERVAL
                self._send_metrics(run)  # so that the tuner need not read all of it at once
            return
        self._waiting.clear(run.start.id)
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

        try:
            self._publishing.submit(work)
        except RuntimeError:  # no more threads may be started
            self._later(FOLLOW_INTERVAL, lambda: self._publish(run, then, whole=whole))

    def _look(self) -> None:
        """Look at everything that tells nothing by itself."""
        self._later(FOLLOW_INTERVAL, self._look)
        if not self._place.is_reachable():
            self._listen_again()
        self._retry_blocked()
        for run in list(self._by_pid.values()):
            if run.meter is not None:
                run.meter.look()
            if time.monotonic() >= run.next_look:
                self._follow(run)

    def _follow(self, run: LocalRun) -> None:
        """Collect a run's metrics; one that prints much, or much at a time, gets longer pauses."""
        began = time.monotonic()
        try:
            new = run.follow()
        except Exception as error:  # the machine is in trouble; others fail the run
            self._waiting.note(run.start.id, "has metrics that cannot be recorded", error)
            return
        self._waiting.clear(run.start.id)
        now = time.monotonic()
        # Each look of the tuner costs it time that grows with the number of records.
        run.next_look = now + LOOK_SHARE * (now - began) + run.follower.size / BYTES_PER_SECOND
        if new and run.start.publish is None:
            self._send_metrics(run)
        elif new:
            self._publish(run, functools.partial(self._send_metrics, run), whole=False)

    def _send_metrics(self, run: LocalRun, problem: str = "") -> None:
        self._send(self._owners.get(run.start.id), {"event": "metrics", "id": run.start.id})

    def _find(self, connection: _Connection, run_id: str, folder: str) -> dict[str, Any] | None:
        """Find the state of a run, whose updates go to this connection from now on."""
        run = self._runs.get(run_id)
        if run is None:
            return find_outcome(folder)
        self._owners[run_id] = connection
        return {"event": "live", "started": run.started}


def main(path: str, record: str = "") -> None:
    """Serve at the socket ``path``, unless another host serves the same metric store.

    Args:
        path: The socket.
        record: See `HostPlace`; by default beside the socket.
    """
    place = HostPlace(path, record or f"{path}.lock")
    if not place.take():
        return
    listener = place.listen()
    print("ready", flush=True)
    # The tuner waits for that line, and would wait for the pipe to be closed.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    try:
        Host(listener, place).serve()
    except BaseException:
        place.record_crash(traceback.format_exc())
        raise
    place.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
