"""The messages between tuner and local host are those of an earlier version.

Local runs outlive their tuner, so after an upgrade a new tuner adopts the runs of an old host, and
may start further ones there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility.restoring import DATA, read_recording
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.local.service import LocalService
from tune_jobs.core.job_runs import MetricSources, RunRequest, RunState, RunUpdate

OUTCOME = ("event", "state", "exit_code", "cause", "transient", "metrics_problem", "id")


@dataclass(frozen=True)
class Line:
    """One recorded message."""

    sender: str
    message: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.message.get("do") or self.message.get("event"))


@pytest.fixture
def recorded(tmp_path: Path) -> list[Line]:
    """The recorded messages of two tuners, each from its hello."""
    shutil.copy(DATA / "train.sh", tmp_path)
    lines = map(json.loads, read_recording("protocol.jsonl", tmp_path).splitlines())
    return [Line(line["from"], line["message"]) for line in lines]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The socket that the earlier version derives from the metric store."""
    folder = Path(tempfile.gettempdir(), f"tune-jobs-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / hashlib.sha256(f"{tmp_path}/runs".encode()).hexdigest()[:16]
    yield str(path)
    path.unlink(missing_ok=True)


class Peer:
    """JSON lines over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(30.0)
        self._socket, self._lines = connection, connection.makefile("rb")

    def send(self, *messages: dict[str, Any]) -> None:
        """Send messages such that they arrive together."""
        self._socket.sendall(b"".join(json.dumps(m).encode() + b"\n" for m in messages))

    def receive(self) -> dict[str, Any]:
        return dict(json.loads(self._lines.readline()))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


# -- a tuner of the earlier version, and the present host -----------------------------------------


@pytest.fixture
def host(address: str) -> Iterator[str]:
    """The present host at an address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tune_jobs.backends.local.host", address], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield address
    process.kill()
    process.communicate()


def test_host_understands_an_earlier_tuner(
    host: str, recorded: Sequence[Line], tmp_path: Path
) -> None:
    tuner: Peer | None = None
    for line in recorded:
        if line.sender == "tuner":
            assert tuner is not None
            tuner.send(line.message)
            continue
        if line.kind == "hello":
            if tuner is not None:
                tuner.close()
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(host)
            tuner = Peer(connection)
        assert tuner is not None
        answer = tuner.receive()
        while answer["event"] == "metrics" != line.kind:
            answer = tuner.receive()
        assert answer.keys() >= line.message.keys()
        for key in OUTCOME:
            assert answer.get(key) == line.message.get(key)
        if line.kind == "found":
            assert [run["event"] for run in answer["runs"].values()] == ["live"]
            (tmp_path / "go").touch()
    assert tuner is not None
    tuner.close()


# -- the present tuner, and a host of the earlier version -----------------------------------------


class EarlierHost(threading.Thread):
    """The recorded host's part, played to the present tuner."""

    def __init__(self, address: str, lines: Sequence[Line]) -> None:
        super().__init__(daemon=True)
        self.received: list[dict[str, Any]] = []
        self._lines = lines
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen()

    def run(self) -> None:
        tuner: Peer | None = None
        for sender, lines in itertools.groupby(self._lines, lambda line: line.sender):
            messages = [line.message for line in lines]
            if messages[0].get("event") == "hello":
                if tuner is not None:
                    tuner.close()
                tuner = Peer(self._listener.accept()[0])
            assert tuner is not None
            if sender == "host":
                tuner.send(*messages)
            else:
                self.received += [tuner.receive() for _ in messages]
        assert tuner is not None
        tuner.close()
        self._listener.close()


def open_service(study: str, folder: Path) -> LocalService:
    backend = LocalBackend(folder / "train.sh", env={"HERE": str(folder)})
    sources = MetricSources(("value",), step="epoch")
    return backend.open(f"{folder}/runs", study, sources, keep_runs=True, notice=print)


def rebuild_request(message: dict[str, Any]) -> RunRequest:
    name = message["id"].rpartition("/")[2]
    return RunRequest(name, tuple(message["command"][2:]), env={}, files={})


def test_tuner_understands_an_earlier_host(
    address: str, recorded: Sequence[Line], tmp_path: Path
) -> None:
    host = EarlierHost(address, recorded)
    host.start()
    study = next(line.message["id"] for line in recorded if line.kind == "start").split("/")[0]
    service: LocalService | None = None
    updates: list[RunUpdate] = []
    for line in recorded:
        name = str(line.message.get("id")).rpartition("/")[2]
        match line.sender, line.kind:
            case "host", "hello":
                if service is not None:
                    service.close()
                service = open_service(study, tmp_path)
            case "tuner", "start" if service:
                service.submit(rebuild_request(line.message))
            case "tuner", "cancel" if service:
                service.cancel(name)
            case "tuner", "find" if service:
                found = service.find([run.rpartition("/")[2] for run in line.message["runs"]])
                updates += found.values()
            case "host", "metrics" | "ended" if service:
                updates += service.wait(30.0)
    assert service is not None
    service.close()
    host.join(30.0)
    assert [(u.name[-3:], u.state, u.exit_code) for u in updates] == [
        ("0-1", RunState.SUCCEEDED, 0),
        ("1-1", RunState.IN_PROGRESS, None),
        ("1-1", RunState.CANCELED, None),
        ("2-1", RunState.FAILED, 3),
        ("3-1", RunState.IN_PROGRESS, None),
        ("3-1", RunState.SUCCEEDED, 0),
    ]
    sent = [line.message for line in recorded if line.sender == "tuner"]
    assert len(host.received) == len(sent)
    for ours, theirs in zip(host.received, sent, strict=True):
        assert ours.keys() == theirs.keys(), "the host passes them as keyword arguments"
        assert {k: v for k, v in ours.items() if k != "env"} == {
            k: v for k, v in theirs.items() if k != "env"
        }
        if theirs["do"] == "start":
            assert ours["env"].keys() == theirs["env"].keys()
