"""Job runs as local processes: the embedded default.

`LocalBackend` is the tuner's side; the processes belong to the host (`local_host`), which is
started when it is first needed and outlives the tuner.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tune_jobs.backends.local.run import StartRequest
from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.errors import BackendError, ConfigError, SubmitError
from tune_jobs.runtime import report
from tune_jobs.script.entry_point import EntryPoint

_CONNECT_SECONDS = 15.0


class LocalBackend:
    """Every job run is a process on this machine.

    A run has its own process group and its own empty working directory, so runs cannot get into
    each other's way; ``link`` puts data that the script opens by a relative path there.

    Args:
        script: The entry point: a Python file, a shell script, an executable, a whole command as
            a list, or an `EntryPoint` (``EntryPoint.module("package.train")``).
        python: The interpreter for Python entry points; by default the one that runs the tuner.
        env: Environment variables for every run, beside the tuner's own environment.
        link: Files and folders to link into every run's working directory.
        time_limit: Seconds after which a run is stopped; None: no limit.
        grace: Seconds between TERM and KILL when a run is stopped.

    Raises:
        ConfigError: an option cannot be used.
    """

    name = "local"
    tick = 0.5
    default_store = "runs"
    clock = staticmethod(time.time)

    def __init__(
        self,
        script: str | os.PathLike[str] | Sequence[str] | EntryPoint,
        *,
        python: str | None = None,
        env: Mapping[str, str] | None = None,
        link: Sequence[str | os.PathLike[str]] = (),
        time_limit: float | None = None,
        grace: float = 10.0,
    ) -> None:
        self.entry_point = script if isinstance(script, EntryPoint) else EntryPoint.parse(script)
        self.python = python or sys.executable
        self.env = dict(env or {})
        self.link = [Path(path).absolute() for path in link]
        self.time_limit = time_limit
        self.grace = grace
        if time_limit is not None and time_limit <= 0:
            raise ConfigError(f"time_limit must be positive (seconds) or None, not {time_limit}")
        self.store_options: Mapping[str, object] = {}
        self.notice: Callable[[str], None] = lambda text: None
        self._command: list[str] = []
        self._run_env: dict[str, str] = {}
        self._sources: dict[str, Any] = {}
        self._store = self._study = self._scratch = ""
        self._local_store = True
        self._host_path = ""
        self._lock: int | None = None
        self._starting: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._incoming = b""
        self._keep_runs = True
        self._sending = threading.Lock()

    def __repr__(self) -> str:
        return f"LocalBackend({' '.join(self.entry_point.command(self.python))})"

    def check(self) -> None:
        """See `Backend.check`."""
        self.entry_point.check(self.python)
        for path in self.link:
            if not path.exists():
                raise ConfigError(f"link: {path} does not exist")

    def open(self, store: str, study: str, sources: MetricSources, *, keep_runs: bool) -> None:
        """See `Backend.open`."""
        self._sources = asdict(sources)
        self._store, self._study, self._keep_runs = store.rstrip("/"), study, keep_runs
        scheme, _, rest = store.rpartition("://")
        self._local_store = scheme in ("", "file", "local")
        if scheme == "memory":
            raise BackendError(
                f"the metric store {store!r} exists only inside this process; local runs need one "
                "that other processes can reach, such as a folder"
            )
        if self._local_store:
            self._scratch = os.path.abspath(rest if scheme else store)
        else:
            digest = hashlib.sha256(store.encode()).hexdigest()[:16]
            self._scratch = str(Path.home() / ".cache" / "tune_jobs" / digest)
        self._take_lock()
        self._command = self.entry_point.command(self.python)
        self._run_env = {**self._python_path(), **self.env}
        self._host_path = _socket_path(self._scratch)
        # The host gets ready while the caller does; whatever is sent first waits for it.
        if not self._greet():
            self._starting = _start_host(self._host_path)

    def _take_lock(self) -> None:
        """Keep other tuners from this study's runs; the kernel lets go if this process dies."""
        if self._lock is not None:
            return
        folder = os.path.join(self._scratch, self._study)
        os.makedirs(folder, exist_ok=True)
        lock = os.open(os.path.join(folder, ".tuner.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise BackendError(
                f"another tuner is working on this study (it holds {folder}/.tuner.lock): "
                "wait until it has ended, or stop it"
            ) from None
        self._lock = lock

    def _python_path(self) -> dict[str, str]:
        """What a run needs to import: its module, and ``tune_jobs.report`` in any interpreter."""
        folders = [*self.entry_point.python_path]
        if self._command[0] != sys.executable:
            folder = Path(self._scratch, self._study, "import")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(report.__file__, folder / "tune_jobs.py")
            folders.append(str(folder))
        if not folders:
            return {}
        inherited = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": os.pathsep.join([*folders, *([inherited] if inherited else [])])}

    def paths(self, name: str) -> RunPaths:
        """See `Backend.paths`."""
        return RunPaths.below(self._folder(name))

    def submit(self, request: RunRequest) -> str:
        """See `Backend.submit`."""
        name = request.name
        if request.resources:
            raise SubmitError(f"{name}: a local run has no resources to choose: leave them out")
        remote = f"{self._store}/{self._study}"
        start = StartRequest(
            id=self._id(name),
            folder=self._folder(name),
            command=[*self._command, *request.argv],
            env={**self._run_env, **request.env},
            files=dict(request.files),
            links=[str(path) for path in self.link],
            resume=[f"{self._folder(earlier)}/checkpoints" for earlier in request.resume],
            checkpoints=request.checkpoints,
            metrics=f"{self._scratch}/{self._study}/metrics/{name}.jsonl",
            sources=self._sources,
            time_limit=self.time_limit,
            grace=self.grace,
            publish=None
            if self._local_store
            else (f"{remote}/metrics/{name}.jsonl", f"{remote}/runs/{name}"),
        )
        self._send({"do": "start", **vars(start)})
        return self._id(name)

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """See `Backend.wait`."""
        return [
            update
            for message in self._receive(timeout)
            if (update := self._update(message)) is not None
        ]

    def cancel(self, name: str) -> None:
        """See `Backend.cancel`."""
        self._send({"do": "cancel", "id": self._id(name)})

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """See `Backend.find`."""
        if not names:
            return {}
        self._send({"do": "find", "runs": {self._id(n): self._folder(n) for n in names}})
        answer: Mapping[str, Any] | None = None
        others: list[Mapping[str, Any]] = []
        while answer is None:
            for message in self._receive(None):
                if message["event"] == "found":
                    answer = message
                else:
                    others.append(message)
        self._incoming = _lines(others) + self._incoming  # for `wait`
        found = [{**m, "id": i} for i, m in answer["runs"].items() if m is not None]
        return {u.name: u for u in map(self._update, found) if u is not None}

    def log(self, name: str, run_id: str | None) -> None:
        """See `Backend.log`: what a local run prints is in its folder."""

    def console(self, run_id: str) -> None:
        """See `Backend.console`: there is no such place."""

    def describe(self) -> dict[str, object]:
        """See `Backend.describe`."""
        return {
            "backend": self.name,
            "command": self.entry_point.command(self.python),
            "code_sha256": self.entry_point.fingerprint(),
            "working_directory_links": [str(path) for path in self.link],
        }

    def close(self) -> None:
        """See `Backend.close`."""
        if self._starting is not None:
            self._connected()  # so that it sees that nobody is there any more
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- names and messages -------------------------------------------------------------------

    def _id(self, name: str) -> str:
        return f"{self._study}/{name}"

    def _folder(self, name: str) -> str:
        return f"{self._scratch}/{self._study}/runs/{name}"

    def _update(self, message: Mapping[str, Any]) -> RunUpdate | None:
        study, _, name = message["id"].rpartition("/")
        if study != self._study:
            return None
        run_id = message["id"]
        match message["event"]:
            case "metrics":
                return RunUpdate(name, RunState.IN_PROGRESS, run_id)
            case "live":
                return RunUpdate(name, RunState.IN_PROGRESS, run_id, started=message["started"])
            case _:
                return RunUpdate(
                    name,
                    RunState(message["state"]),
                    run_id,
                    started=message.get("started"),
                    finished=message.get("finished"),
                    exit_code=message.get("exit_code"),
                    cause=message["cause"],
                    transient=message["transient"],
                )

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._sending:
            connection = self._connected()
            try:
                connection.sendall(json.dumps(message).encode() + b"\n")
            except OSError as error:
                raise self._host_gone() from error

    def _receive(self, timeout: float | None) -> list[dict[str, Any]]:
        """Messages that have arrived; waits for the first up to ``timeout`` seconds."""
        if b"\n" not in self._incoming:
            connection = self._connected()
            readable, _, _ = select.select([connection], [], [], timeout)
            if not readable:
                return []
            try:
                data = connection.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                raise self._host_gone()
            self._incoming += data
        *lines, self._incoming = self._incoming.split(b"\n")
        return [json.loads(line) for line in lines]

    def _host_gone(self) -> BackendError:
        self.close()
        return BackendError(
            "the process that runs the local job runs was killed; call optimize() again to go on"
        )

    # -- connecting ---------------------------------------------------------------------------

    def _connected(self) -> socket.socket:
        """The connection to the host of this metric store, once it is ready."""
        if self._socket is not None:
            return self._socket
        if not self._host_path:
            raise BackendError("the local backend is not open")
        deadline = time.monotonic() + _CONNECT_SECONDS
        while time.monotonic() < deadline:
            _wait_until_ready(self._starting or _start_host(self._host_path))
            self._starting = None
            if self._greet():
                assert self._socket is not None
                return self._socket
        raise BackendError(
            f"the local host does not answer at {self._host_path} for {_CONNECT_SECONDS:g} s"
        )

    def _greet(self) -> bool:
        """Connect to a host that is there; False if there is none, or one that is leaving."""
        if self._socket is not None:
            return True
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self._host_path)
            connection.settimeout(_CONNECT_SECONDS)
            hello = connection.recv(4096)  # a host that was about to leave closes instead
            greeting = {"do": "hello", "env": dict(os.environ), "keep": self._keep_runs}
            connection.sendall(json.dumps(greeting).encode() + b"\n")
        except OSError:
            hello = b""
        if not hello:
            connection.close()
            return False
        connection.settimeout(None)
        self._socket, self._incoming = connection, b""
        return True


def _lines(messages: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def _socket_path(scratch: str) -> str:
    """A short path (the kernel allows about 100 characters) in a folder of this user's only."""
    folder = os.path.join(tempfile.gettempdir(), f"tune-jobs-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    status = os.stat(folder)
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise BackendError(
            f"{folder} must belong to you and be closed to others (chmod 700): the processes that "
            "run your job runs are reached through it"
        )
    return os.path.join(folder, hashlib.sha256(scratch.encode()).hexdigest()[:16])


def _start_host(path: str) -> subprocess.Popen[bytes]:
    """StartRequest a host that outlives this process; see `_wait_until_ready`."""
    package = str(Path(report.__file__).parents[2])
    return subprocess.Popen(
        # Without the site module it is there in half the time; all paths are given instead.
        [sys.executable, "-S", "-m", "tune_jobs.backends.local.host", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([package, *filter(None, sys.path)])},
    )


def _wait_until_ready(host: subprocess.Popen[bytes]) -> None:
    """Until a host serves, or finds that another one does.

    Raises:
        BackendError: it ended with an error.
    """
    assert host.stdout is not None
    assert host.stderr is not None
    with host.stdout, host.stderr:
        if not host.stdout.readline() and host.wait() != 0:
            raise BackendError(
                f"the local host could not be started: {host.stderr.read().decode()[-2000:]}"
            )
    threading.Thread(target=host.wait, daemon=True).start()  # no zombie when it leaves
