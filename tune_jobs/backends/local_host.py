"""The local host: a small process that runs job runs and outlives the tuner that asked for them.

It is to local runs what the service is to job runs in the cloud. It starts every run in a process
group of its own, learns of exits by SIGCHLD, enforces time limits, stops whole groups, follows
metrics, and keeps a run's history in ``run.jsonl``. When the tuner is killed the runs go on; the
next tuner connects again, or, if the host is gone too, reads the histories. The host leaves when
nobody is connected and nothing runs.

Both sides speak JSON lines over a Unix socket that only this user can reach. From the tuner:

    {"do": "hello", "env": {...}, "keep": true}   the environment of its runs; whether they go on
    {"do": "start", "id": ..., ...}               see `Start`; an id that is known is not started
    {"do": "cancel", "id": ...}
    {"do": "find", "runs": {id: folder}}

From the host: ``hello`` when a connection is accepted, ``found`` as the answer to ``find``,
``metrics`` when a run has new ones, ``ended`` with the last line of a run's history.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import heapq
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_jobs.metrics.follow import Follower

FOLLOW_INTERVAL = 1.0
"""Seconds between two looks at what a live run printed."""

_TRANSIENT = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.EINTR}


@dataclass(frozen=True)
class Start:
    """One run to start.

    Args:
        id: ``study folder/run name``; unique on this machine's metric store.
        folder: The run's folder; ``run.jsonl`` in it is the run's history.
        command: The whole command.
        env: Variables beside those of the connection's ``hello``.
        files: Files to write into the working directory first.
        links: Paths to link into the working directory.
        metrics: Where the run's metrics go.
        sources: What `Follower` looks for.
        time_limit: Seconds, or None.
        grace: Seconds between TERM and KILL.
        publish: For a metric store that is not a local folder: its URI of this run's metrics
            and its URI of this run's folder.
    """

    id: str
    folder: str
    command: list[str]
    env: dict[str, str]
    files: dict[str, str]
    links: list[str]
    metrics: str
    sources: dict[str, Any]
    time_limit: float | None
    grace: float
    publish: tuple[str, str] | None


@dataclass
class _Run:
    start: Start
    owner: _Connection | None
    process: subprocess.Popen[bytes]
    follower: Follower
    started: float
    stop_cause: str = ""
    canceled: bool = False
    problem: str = ""


@dataclass(eq=False)
class _Connection:
    """One tuner; what it does not read at once waits in ``outgoing``."""

    socket: socket.socket
    env: dict[str, str] = field(default_factory=dict)
    keep: bool = True
    incoming: bytes = b""
    outgoing: bytearray = field(default_factory=bytearray)
    writing: bool = False


class Host:
    """The host's loop: messages, exits and deadlines, one at a time."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._runs: dict[str, _Run] = {}
        self._by_pid: dict[int, _Run] = {}
        self._deadlines: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._seen_anyone = False
        self._publishing = ThreadPoolExecutor(max_workers=8)  # starts threads when first used
        self._published: deque[Callable[[], None]] = deque()
        self._wake = -1

    def serve(self) -> None:
        """Until nobody is connected and nothing runs."""
        wake_read, self._wake = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for name in (signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(wake_read, selectors.EVENT_READ, lambda: self._awake(wake_read))
        self._later(FOLLOW_INTERVAL, self._follow_all)
        self._later(30.0, lambda: setattr(self, "_seen_anyone", True))
        while self._runs or self._connections or not self._seen_anyone:
            for key, _ in self._selector.select(self._until_next_deadline()):
                key.data()
            self._pass_deadlines()

    def _awake(self, wake_read: int) -> None:
        """A child has ended, or something was published."""
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

    def _pass_deadlines(self) -> None:
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
        self._seen_anyone = True
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
            return self._part(connection)
        *lines, connection.incoming = (connection.incoming + data).split(b"\n")
        for line in lines:
            self._obey(connection, json.loads(line))
        self._flush(connection)

    def _part(self, connection: _Connection) -> None:
        """A tuner is gone: its runs go on or not, as it said in its hello."""
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()
        for run in list(self._runs.values()):
            if run.owner is connection:
                run.owner = None
                if not connection.keep:
                    self._stop(run, "the tuner is gone", canceled=True)

    def _send(self, connection: _Connection | None, message: Mapping[str, Any]) -> None:
        if connection is not None and connection in self._connections:
            connection.outgoing += json.dumps(message).encode() + b"\n"
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

    def _obey(self, connection: _Connection, message: dict[str, Any]) -> None:
        match message.pop("do"):
            case "hello":
                connection.env, connection.keep = message["env"], message["keep"]
            case "start":
                self._start(connection, Start(**message))
            case "cancel":
                if message["id"] in self._runs:
                    self._stop(self._runs[message["id"]], "canceled", canceled=True)
            case "find":
                found = {i: self._find(connection, i, f) for i, f in message["runs"].items()}
                self._send(connection, {"event": "found", "runs": found})

    # -- the life of a run ------------------------------------------------------------------

    def _start(self, connection: _Connection, start: Start) -> None:
        known = self._find(connection, start.id, start.folder)
        if known is not None:
            if known["event"] == "ended":
                self._send(connection, {**known, "id": start.id})
            return
        try:
            self._launch(connection, start)
        except OSError as error:
            ended = {
                "event": "ended",
                "state": "FAILED",
                "cause": f"could not be started: {error}",
                "transient": error.errno in _TRANSIENT,
                "started": time.time(),
                "finished": time.time(),
            }
            with contextlib.suppress(OSError):
                _write_history(start.folder, ended)
            self._send(connection, {**ended, "id": start.id})

    def _launch(self, connection: _Connection, start: Start) -> None:
        folder = start.folder
        work = os.path.join(folder, "work")
        for name in ("work", "outputs", "checkpoints"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        os.makedirs(os.path.dirname(start.metrics), exist_ok=True)
        for link in start.links:
            with contextlib.suppress(FileExistsError):
                os.symlink(link, os.path.join(work, os.path.basename(link)))
        for name, text in start.files.items():
            path = Path(work, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        log, reported = os.path.join(folder, "log.txt"), os.path.join(folder, "reported.jsonl")
        env = {
            **connection.env,
            **start.env,
            "TUNE_JOBS_RUN": start.id,
            "TUNE_JOBS_METRICS_FILE": reported,
            "TUNE_JOBS_OUTPUTS_DIR": os.path.join(folder, "outputs"),
            "TUNE_JOBS_CHECKPOINT_DIR": os.path.join(folder, "checkpoints"),
        }
        follower = Follower(start.sources, log, reported, work, start.metrics)
        started = time.time()
        # The history begins before the process does: a run with a history was perhaps started, a
        # run without one certainly was not.
        _write_history(folder, {"event": "accepted", "time": started, "command": start.command})
        with open(log, "ab") as output:
            process = subprocess.Popen(
                start.command,
                cwd=work,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        run = _Run(start, connection, process, follower, started)
        self._runs[start.id] = self._by_pid[process.pid] = run
        _write_history(
            folder, {"event": "started", "pid": process.pid, "birth": _birth(process.pid)}
        )
        if start.time_limit is not None:
            cause = f"time limit of {start.time_limit:g} s reached"
            self._later(start.time_limit, lambda: self._stop(run, cause))

    def _stop(self, run: _Run, cause: str, *, canceled: bool = False) -> None:
        """TERM to the whole group now, KILL after the grace period."""
        if self._runs.get(run.start.id) is not run or run.stop_cause:
            return
        run.stop_cause, run.canceled = cause, canceled
        _signal_group(run.process.pid, signal.SIGTERM)
        self._later(run.start.grace, lambda: self._kill(run))

    def _kill(self, run: _Run) -> None:
        if self._runs.get(run.start.id) is run:
            _signal_group(run.process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Every child that has ended; what is left of its group is ended too."""
        while ended := _next_ended():
            pid, status, usage = ended
            run = self._by_pid.pop(pid, None)
            if run is not None:
                code = os.waitstatus_to_exitcode(status)
                run.process.returncode = code
                self._end(run, code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)

    def _end(self, run: _Run, code: int, cpu: float, max_rss: int) -> None:
        finished = time.time()
        try:
            run.follower.finish(finished)
        except OSError as error:
            run.problem = f"its metrics could not be written: {error}"
        state, cause = _judge(run, code)
        ended = {
            "event": "ended",
            "state": state,
            "exit_code": code if code >= 0 else None,
            "cause": cause,
            "transient": bool(run.problem),
            "started": run.started,
            "finished": finished,
            "cpu_seconds": round(cpu, 3),
            "max_rss_kb": max_rss,
        }
        try:
            _write_history(run.start.folder, ended)
        except OSError as error:
            ended = {**ended, "state": "FAILED", "cause": f"its end could not be kept: {error}"}
        if run.start.publish is None:
            self._announce(run, ended)
        else:
            self._publish(run, lambda problem: self._announce(run, ended, problem), whole=True)

    def _announce(self, run: _Run, ended: dict[str, Any], problem: str = "") -> None:
        if problem:
            ended = {**ended, "state": "FAILED", "cause": problem, "transient": True}
        del self._runs[run.start.id]
        self._send(run.owner, {**ended, "id": run.start.id})

    def _publish(self, run: _Run, then: Callable[[str], None], *, whole: bool) -> None:
        """Copy to the metric store in a thread; ``then(problem)`` runs in the host's loop."""

        def work() -> None:
            problem = _publish(run.start, whole=whole)
            self._published.append(lambda: then(problem))
            os.write(self._wake, b"p")

        self._publishing.submit(work)

    def _follow_all(self) -> None:
        for run in list(self._runs.values()):
            try:
                new = run.follower.poll(time.time())
            except OSError as error:
                run.problem = f"its metrics could not be written: {error}"
                continue
            if new and run.start.publish is None:
                self._send_metrics(run)
            elif new:
                self._publish(run, functools.partial(self._send_metrics, run), whole=False)
        self._later(FOLLOW_INTERVAL, self._follow_all)

    def _send_metrics(self, run: _Run, problem: str = "") -> None:
        self._send(run.owner, {"event": "metrics", "id": run.start.id})

    def _find(self, connection: _Connection, run_id: str, folder: str) -> dict[str, Any] | None:
        """What became of a run; whoever asks is its owner from now on."""
        run = self._runs.get(run_id)
        if run is not None:
            run.owner = connection
            return {"event": "live", "started": run.started}
        history = read_history(folder)
        if not history or history[-1]["event"] == "ended":
            return history[-1] if history else None
        # A host before this one started it and is gone: its exit code is lost with that host.
        started = history[-1]
        if started.get("birth") and _birth(started["pid"]) == started["birth"]:
            _signal_group(started["pid"], signal.SIGKILL)
        lost = {
            "event": "ended",
            "state": "LOST",
            "cause": "the process that ran it ended before it did (a restart of the machine?)",
            "transient": True,
            "started": history[0].get("time"),
            "finished": time.time(),
        }
        _write_history(folder, lost)
        return lost


def _judge(run: _Run, code: int) -> tuple[str, str]:
    """State and cause of a run that has ended."""
    if run.canceled and code != 0:
        return "CANCELED", run.stop_cause
    if run.stop_cause and not run.canceled:
        return "FAILED", run.stop_cause
    if run.problem:
        return "FAILED", run.problem
    if code == 0:
        return "SUCCEEDED", ""
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return "FAILED", f"killed by signal {name}{hint}"
    return "FAILED", f"exit code {code}"


def read_history(folder: str) -> list[dict[str, Any]]:
    """The events of a run, oldest first; empty if it was never started."""
    try:
        text = Path(folder, "run.jsonl").read_text(encoding="utf-8")
    except OSError:
        return []
    events = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # a line cut short by a crash
            events.append(json.loads(line))
    return events


def _write_history(folder: str, event: Mapping[str, Any]) -> None:
    with open(os.path.join(folder, "run.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def _publish(start: Start, *, whole: bool) -> str:
    """Copy a run's metrics, at its end all that it left, to a store that is not a local folder.

    Returns what went wrong, or an empty text.
    """
    import fsspec

    assert start.publish is not None
    metrics, folder = start.publish
    try:
        if os.path.exists(start.metrics):
            fs, path = fsspec.core.url_to_fs(metrics)
            fs.put_file(start.metrics, path)
        for local in sorted(Path(start.folder).rglob("*")) if whole else ():
            relative = local.relative_to(start.folder).as_posix()
            if local.is_file() and not relative.startswith("work/"):
                fs, path = fsspec.core.url_to_fs(f"{folder}/{relative}")
                fs.put_file(str(local), path)
    except Exception as error:  # every file system behind fsspec has errors of its own
        return f"its data could not be copied to {folder}: {error}"
    return ""


def _next_ended() -> tuple[int, int, resource.struct_rusage] | None:
    """Reap one child that has ended and end what is left of its group."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        # The leader is not reaped yet: its group's number cannot belong to anybody else.
        _signal_group(ended.si_pid, signal.SIGKILL)
        return os.wait4(ended.si_pid, 0)
    except ChildProcessError:
        return None


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _birth(pid: int) -> str:
    """When a process was started, as the kernel tells it: a pid given again has another birth."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rsplit(")", 1)[1].split()[19]


def main(path: str) -> None:
    """Serve at the socket ``path``; leave at once if another host does already."""
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
    # Whoever started us waits for that line; the pipe must not stay open behind its back.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    Host(listener).serve()
    os.unlink(path)


if __name__ == "__main__":
    main(sys.argv[1])
