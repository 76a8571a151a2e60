"""Local job runs of one study, as the tuner sees them; the host runs them."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tune_jobs.backends.base import BackendService, Notice
from tune_jobs.backends.local.connection import HostConnection, HostGone
from tune_jobs.backends.local.run import StartRequest
from tune_jobs.core.job_runs import MetricSources, RunPaths, RunRequest, RunState, RunUpdate
from tune_jobs.core.nodes import describe_shape
from tune_jobs.core.resource_usage import ResourceUsage
from tune_jobs.core.secret import find_conflict
from tune_jobs.errors import BackendError, MachineTrouble, SubmitError
from tune_jobs.runtime.private_files import make_folders
from tune_jobs.runtime.steady_time import read_time

TROUBLE_PATIENCE = 600.0
"""Seconds during which the tuner waits for the end of the machine's trouble."""

_TROUBLE_RETRY = 5.0
"""Seconds before the first retry of a run that failed since the machine was in trouble."""

MAX_HOSTS = 5
"""Hosts that a service starts in place of those that are gone, without any run ending between."""


@dataclass(frozen=True)
class StudyLocation:
    """Where the runs of a study keep their data.

    Args:
        scratch: The local folder of the metric store.
        study: The study's folder in it.
        remote: URI of the study's folder in a metric store that is not a local folder; the host
            copies there what the runs leave in ``scratch``. None for a local store.
    """

    scratch: str
    study: str
    remote: str | None

    @classmethod
    def locate(cls, store: str, study: str) -> StudyLocation:
        """Return where a study of a metric store is.

        Raises:
            BackendError: If other processes cannot reach the store.
        """
        scheme, _, rest = store.rpartition("://")
        if scheme == "memory":
            raise BackendError(
                f"the metric store {store!r} exists only inside this process; local runs need one "
                "that other processes can reach, such as a folder"
            )
        if scheme in ("", "file", "local"):
            return cls(os.path.abspath(rest if scheme else store), study, None)
        digest = hashlib.sha256(store.encode()).hexdigest()[:16]
        scratch = str(Path.home() / ".cache" / "tune_jobs" / digest)
        return cls(scratch, study, f"{store.rstrip('/')}/{study}")

    @property
    def folder(self) -> str:
        """The study's local folder."""
        return f"{self.scratch}/{self.study}"

    def run_folder(self, name: str) -> str:
        """Return the local folder of a run."""
        return f"{self.folder}/runs/{name}"

    def metrics_file(self, name: str) -> str:
        """Return the local file of a run's metrics."""
        return f"{self.folder}/metrics/{name}.jsonl"

    def publication(self, name: str) -> tuple[str, str] | None:
        """Return the URIs that a run's metrics and its folder are copied to."""
        if self.remote is None:
            return None
        return f"{self.remote}/metrics/{name}.jsonl", f"{self.remote}/runs/{name}"


@dataclass(frozen=True)
class RunSettings:
    """What the runs of a study have in common.

    Args:
        command: The command in front of a run's own arguments.
        env: Environment variables beside those of the tuner and the run's own.
        links: Paths to link into every working directory.
        sources: Where metrics are found.
        time_limit: Seconds after which a run is stopped; None for no limit.
        grace: Seconds between TERM and KILL.
        nodes: Number of nodes of each run.
        secrets: Values of secrets by the names of their variables.
    """

    command: list[str]
    env: Mapping[str, str]
    links: list[str]
    sources: MetricSources
    time_limit: float | None
    grace: float
    nodes: int
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class LocalService(BackendService):
    """Local job runs of one study. Made by `LocalBackend.open`.

    Args:
        location: Where the runs keep their data.
        settings: What they have in common.
        host: A connection of its own.
        describe: See `BackendService.describe`.
        release: Called when the service is closed.
        notice: Called with messages for a person.
    """

    def __init__(
        self,
        location: StudyLocation,
        settings: RunSettings,
        host: HostConnection,
        describe: Callable[[], dict[str, object]],
        release: Callable[[], object],
        notice: Notice,
    ) -> None:
        self._location, self._settings, self._notice = location, settings, notice
        self._host, self._describe, self._release = host, describe, release
        self._early: list[dict[str, Any]] = []
        self._open: dict[str, StartRequest | None] = {}  # runs that have not ended, by id
        self._replaced = 0
        self._in_trouble = False

    def clock(self) -> float:
        """See `BackendService.clock`."""
        return read_time()

    def paths(self, name: str) -> RunPaths:
        """See `BackendService.paths`."""
        return RunPaths.below(self._location.run_folder(name))

    def submit(self, request: RunRequest) -> str:
        """See `BackendService.submit`."""
        if request.resources:
            raise SubmitError(
                f"{request.name}: a local run has no resources to choose: leave them out"
            )
        if conflict := find_conflict(request.env, self._settings.secrets):
            raise SubmitError(f"{request.name}: {conflict}")
        start = self._start_request(request)
        self._open[start.id] = start
        self._host.send({"do": "start", **start.to_message()})
        return start.id

    def _start_request(self, request: RunRequest) -> StartRequest:
        settings, location, name = self._settings, self._location, request.name
        return StartRequest(
            id=self._run_id(name),
            folder=location.run_folder(name),
            command=[*settings.command, *request.argv],
            env={**settings.env, **request.env},
            files=dict(request.files),
            links=settings.links,
            resume=[f"{location.run_folder(earlier)}/checkpoints" for earlier in request.resume],
            checkpoints=request.checkpoints,
            metrics=location.metrics_file(name),
            sources=asdict(settings.sources),
            time_limit=settings.time_limit,
            grace=settings.grace,
            publish=location.publication(name),
            nodes=settings.nodes,
            secrets=dict(settings.secrets),
        )

    def wait(self, timeout: float | None) -> list[RunUpdate]:
        """See `BackendService.wait`."""
        messages, self._early = self._early, []
        messages = messages or self._receive(timeout)
        return [self._update(message) for message in messages if self._is_update(message)]

    def _update(self, message: Mapping[str, Any]) -> RunUpdate:
        nodes = self._settings.nodes
        update = _update(message)
        return update if nodes == 1 else replace(update, shape=describe_shape(nodes, "local"))

    def _receive(self, timeout: float | None) -> list[dict[str, Any]]:
        """Return the host's messages; if it is gone, another one says what happened to the runs."""
        is_gone = False
        while True:
            try:
                return self._replace_host() if is_gone else self._host.receive(timeout)
            except HostGone:
                is_gone = True

    def _is_update(self, message: Mapping[str, Any]) -> bool:
        if message["event"] == "pong":
            self._watch_trouble(message["trouble"])
        elif message["event"] == "ended":
            self._open.pop(message["id"], None)
            self._replaced = 0
        return message["event"] not in ("pong", "hello", "found")

    def _watch_trouble(self, trouble: Mapping[str, Any] | None) -> None:
        """Say what waits because the machine is in trouble, and until when.

        Raises:
            MachineTrouble: After `TROUBLE_PATIENCE` seconds without progress.
        """
        if trouble is None:
            if self._in_trouble:
                self._notice("the machine works again: continuing")
            self._in_trouble = False
            return
        if trouble["limited"] and trouble["seconds"] >= TROUBLE_PATIENCE:
            raise MachineTrouble(
                f"{trouble['what']}. Nothing has worked for {trouble['seconds']:.0f} s; live runs "
                "continue. Fix it and call optimize() again to resume"
            )
        if not self._in_trouble:
            self._in_trouble = True
            until = f"at most {TROUBLE_PATIENCE:g} s" if trouble["limited"] else "the live runs"
            self._notice(f"{trouble['what']}; waiting for {until}, no trial fails because of it")

    def _replace_host(self) -> list[dict[str, Any]]:
        """Start another host; return what happened to the runs of the one that is gone.

        Raises:
            MachineTrouble: If one host after the other ends.
        """
        self._replaced += 1
        happened = self._host.replace()
        if self._replaced > MAX_HOSTS:
            raise MachineTrouble(f"{happened}, as were {MAX_HOSTS} others before")
        folders = {i: self._location.run_folder(i.rpartition("/")[2]) for i in self._open}
        self._host.send({"do": "find", "runs": folders})
        messages = self._await_found()
        found = messages.pop()["runs"]
        ended = 0
        for run_id, start in list(self._open.items()):
            if found[run_id] is not None:
                ended += found[run_id]["event"] == "ended"
                messages.append({**found[run_id], "id": run_id})
            elif start is not None:
                self._host.send({"do": "start", **start.to_message()})
            else:
                messages.append({**_LOST, "id": run_id})
        self._notice(
            f"{happened}. Another one was started: {ended} of its runs have ended, "
            f"{len(self._open) - ended} are started or continued"
        )
        return messages

    def _await_found(self) -> list[dict[str, Any]]:
        """Return the messages up to the answer to ``find``, which is the last one."""
        messages: list[dict[str, Any]] = []
        while True:
            received = self._host.receive(None)
            for place, message in enumerate(received):
                messages.append(message)
                if message["event"] == "found":
                    self._early += received[place + 1 :]
                    return messages
                if message["event"] == "pong":
                    self._watch_trouble(message["trouble"])

    def cancel(self, name: str) -> None:
        """See `BackendService.cancel`."""
        self._host.send({"do": "cancel", "id": self._run_id(name)})

    def find(self, names: Collection[str]) -> dict[str, RunUpdate]:
        """See `BackendService.find`."""
        if not names:
            return {}  # without waiting for the host
        folders = {self._run_id(name): self._location.run_folder(name) for name in names}
        answer: dict[str, Any] | None = None
        is_gone = False
        while answer is None:
            try:
                if is_gone:
                    self._early += self._replace_host()
                self._host.send({"do": "find", "runs": folders})
                *early, answer = self._await_found()
                self._early += early  # for `wait`
            except HostGone:
                is_gone = True
        found = [{**m, "id": i} for i, m in answer["runs"].items() if m is not None]
        for message in found:
            if message["event"] == "live":
                self._open.setdefault(message["id"], None)
        return {update.name: update for update in map(self._update, found)}

    def describe(self) -> dict[str, object]:
        """See `BackendService.describe`."""
        return self._describe()

    def close(self) -> None:
        """See `BackendService.close`."""
        self._host.close()
        self._early.clear()
        self._release()

    def _run_id(self, name: str) -> str:
        return f"{self._location.study}/{name}"


def lock_study(folder: str) -> int:
    """Lock a study's local runs, and return the descriptor whose closing unlocks them.

    The kernel unlocks them if this process dies.

    Raises:
        BackendError: If they are locked already, by this process or another, or belong to another
            user.
    """
    path = os.path.join(folder, ".tuner.lock")
    try:
        make_folders(folder)
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise BackendError(
            f"{path} cannot be opened by user {os.getuid()}: {error.strerror}. The study's local "
            "runs belong to the user who started them: tune as that user, or copy the study and "
            "use another store"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BackendError(
            f"another tuner is working on this study, in this process or another (it holds {path}):"
            " wait until it has ended, or stop it"
        ) from None
    return lock


_LOST = {
    "event": "ended",
    "state": "LOST",
    "cause": "it is not known to the local host",
    "transient": True,
}


def _update(message: Mapping[str, Any]) -> RunUpdate:
    run_id = message["id"]
    name = run_id.rpartition("/")[2]
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
                trouble=message.get("trouble", False),
                retry_after=_TROUBLE_RETRY if message.get("trouble") else 0.0,
                has_history=True,
                metrics_bytes=message.get("metrics_bytes"),
                usage=ResourceUsage.from_summary(message.get("usage")),
            )
