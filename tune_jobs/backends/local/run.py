"""One local run: its folder, its process, its history and its end.

The history ``run.jsonl`` in the run's folder has a line before the process starts, one after it
has started, and one after it has ended. A run without a history was never started.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tune_jobs.core.strict_json import encode_json
from tune_jobs.runtime.follow import Follower
from tune_jobs.runtime.left_files import find_left_files, portable_name
from tune_jobs.runtime.processes import read_start_time

_TRANSIENT_ERRORS = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.EINTR}


@dataclass(frozen=True)
class StartRequest:
    """Run to start; its fields are those of the message ``start``.

    Args:
        id: ``study folder/run name``, unique within the metric store.
        folder: The run's folder.
        command: The whole command.
        env: Environment variables beside those of the connection's ``hello``.
        files: Files to write into the working directory: content by relative path.
        links: Paths to link into the working directory.
        resume: Folders with the checkpoints of earlier runs; the first that is not empty becomes
            the run's ``resume`` folder.
        checkpoints: Whether to create the folders for checkpoints even if the run does not name
            them.
        metrics: The file of the run's metrics.
        sources: The arguments of `MetricSources`.
        time_limit: Seconds, or None.
        grace: Seconds between TERM and KILL.
        publish: For a metric store that is not a local folder: the URI of this run's metrics and
            the URI of this run's folder in it.
    """

    id: str
    folder: str
    command: list[str]
    env: dict[str, str]
    files: dict[str, str]
    links: list[str]
    resume: list[str]
    checkpoints: bool
    metrics: str
    sources: dict[str, Any]
    time_limit: float | None
    grace: float
    publish: tuple[str, str] | None


@dataclass
class LocalRun:
    """Live run; made by `launch`."""

    start: StartRequest
    process: subprocess.Popen[bytes]
    follower: Follower
    started: float
    stop_cause: str = ""
    canceled: bool = False
    problem: str = ""

    def stop(self, cause: str, *, canceled: bool) -> None:
        """Send TERM to the process group; `kill` follows after the grace period."""
        self.stop_cause, self.canceled = cause, canceled
        _signal_group(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send KILL to the process group."""
        _signal_group(self.process.pid, signal.SIGKILL)

    def follow(self) -> int:
        """Collect new metrics, and return the number of new records."""
        if self.process.returncode is not None:
            return 0  # it has ended, and is only being published
        try:
            return self.follower.poll(time.time())
        except OSError as error:
            self.problem = f"its metrics could not be written: {error}"
            return 0

    def finish(self, status: int, usage: resource.struct_rusage) -> dict[str, Any]:
        """Collect the last metrics after the process was reaped.

        Args:
            status: As ``os.wait4`` returns it.
            usage: Resources that the process used.

        Returns:
            The last line of the run's history.
        """
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        finished = time.time()
        try:
            self.follower.finish(finished)
        except OSError as error:
            self.problem = f"its metrics could not be written: {error}"
        state, cause = self._classify_end(code)
        ended = {
            "event": "ended",
            "state": state,
            "metrics_problem": self.follower.problem,
            "metrics_bytes": self.follower.size,
            "exit_code": code if code >= 0 else None,
            "cause": cause,
            "transient": bool(self.problem),
            "started": self.started,
            "finished": finished,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "max_rss_kb": usage.ru_maxrss,
        }
        try:
            _append_history(self.start.folder, ended)
        except OSError as error:
            ended |= {"state": "FAILED", "cause": f"its end could not be recorded: {error}"}
        return ended

    def _classify_end(self, code: int) -> tuple[str, str]:
        if self.canceled and code != 0:
            return "CANCELED", self.stop_cause
        if self.stop_cause and not self.canceled:
            return "FAILED", self.stop_cause
        if self.problem:
            return "FAILED", self.problem
        if code == 0:
            return "SUCCEEDED", ""
        if code < 0:
            name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return "FAILED", f"killed by signal {name}{hint}"
        return "FAILED", f"exit code {code}"


def launch(start: StartRequest, inherited: Mapping[str, str]) -> LocalRun:
    """Start a run in a process group of its own.

    Args:
        start: The run.
        inherited: Environment variables beside the run's own.

    Raises:
        OSError: If it cannot be started; see `record_refusal`.
    """
    folder = start.folder
    work, log = os.path.join(folder, "work"), os.path.join(folder, "log.txt")
    _make_folders(start)
    _write_inputs(work, start)
    env = {**inherited, **start.env, **_build_variables(start)}
    follower = Follower(start.sources, log, env["TUNE_JOBS_METRICS_FILE"], work, start.metrics)
    started = time.time()
    _append_history(folder, {"event": "accepted", "time": started, "command": start.command})
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
    _append_history(folder, {"event": "started", "pid": process.pid, "time": started})
    return LocalRun(start, process, follower, started)


def record_refusal(start: StartRequest, error: Exception) -> dict[str, Any]:
    """Record that a run could not be started, and return the last line of its history."""
    now = time.time()
    ended = {
        "event": "ended",
        "state": "FAILED",
        "cause": f"could not be started: {error}",
        "transient": getattr(error, "errno", None) in _TRANSIENT_ERRORS,
        "started": now,
        "finished": now,
    }
    with contextlib.suppress(OSError):
        _append_history(start.folder, ended)
    return ended


def find_outcome(folder: str) -> dict[str, Any] | None:
    """Return the last line of the history of a run that this host does not run.

    None if it was never started.
    """
    history = _read_history(folder)
    if not history or history[-1]["event"] == "ended":
        return history[-1] if history else None
    # The host that started it is gone, and the exit code with it.
    last = history[-1]
    if last["event"] == "started" and _has_started_at(last["pid"], last["time"]):
        _signal_group(last["pid"], signal.SIGKILL)
    lost = {
        "event": "ended",
        "state": "LOST",
        "cause": "its host ended before it did (was the machine restarted?)",
        "transient": True,
        "started": history[0].get("time"),
        "finished": time.time(),
    }
    _append_history(folder, lost)
    return lost


def _write_inputs(work: str, start: StartRequest) -> None:
    """Create the links and files in the working directory."""
    for link in start.links:
        with contextlib.suppress(FileExistsError):
            os.symlink(link, os.path.join(work, os.path.basename(link)))
    for name, content in start.files.items():
        path = Path(work, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _make_folders(start: StartRequest) -> None:
    """Create the run's folder, its working directory, and the folders that it names."""
    try:
        os.mkdir(start.folder)
    except FileNotFoundError:
        os.makedirs(start.folder)
        os.makedirs(os.path.dirname(start.metrics), exist_ok=True)
    except FileExistsError:
        pass  # an earlier host was killed at this point
    _make_folder(os.path.join(start.folder, "work"))
    for checkpoints in start.resume:
        with contextlib.suppress(OSError):
            if os.listdir(checkpoints):
                os.symlink(checkpoints, os.path.join(start.folder, "resume"))
                break
    named = "\0".join([*start.command, *start.env.values(), *start.files.values()])
    for name in ("outputs", "checkpoints", "resume"):
        path = os.path.join(start.folder, name)
        # Three more folders would cost a short run as much as all of its files.
        if path in named or (start.checkpoints and name != "outputs"):
            _make_folder(path)


def _make_folder(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)


def _build_variables(start: StartRequest) -> dict[str, str]:
    """Return the environment variables that tell a run its folders."""
    return {
        "TUNE_JOBS_RUN": start.id,
        "TUNE_JOBS_METRICS_FILE": os.path.join(start.folder, "reported.jsonl"),
        "TUNE_JOBS_OUTPUTS_DIR": os.path.join(start.folder, "outputs"),
        "TUNE_JOBS_CHECKPOINT_DIR": os.path.join(start.folder, "checkpoints"),
        "TUNE_JOBS_RESUME_DIR": os.path.join(start.folder, "resume"),
    }


def _read_history(folder: str) -> list[dict[str, Any]]:
    """Return the events of a run, oldest first; none if it was never started."""
    try:
        lines = Path(folder, "run.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        with contextlib.suppress(ValueError):  # a line truncated by a crash
            events.append(json.loads(line))
    return events


def _append_history(folder: str, event: Mapping[str, Any]) -> None:
    with open(os.path.join(folder, "run.jsonl"), "a", encoding="utf-8") as file:
        file.write(encode_json(event) + "\n")


def publish(start: StartRequest, *, whole: bool) -> str:
    """Copy a run's metrics to a metric store that is not a local folder.

    Args:
        start: The run.
        whole: Whether to copy all that it left, at its end.

    Returns:
        The reason for a failure, or an empty string.
    """
    import fsspec

    assert start.publish is not None
    metrics, folder = start.publish
    try:
        if os.path.exists(start.metrics):
            fs, path = fsspec.core.url_to_fs(metrics)
            fs.put_file(start.metrics, path)
        for relative in _list_published(start) if whole else ():
            fs, path = fsspec.core.url_to_fs(f"{folder}/{portable_name(relative)}")
            fs.put_file(os.path.join(start.folder, relative), path)
    except Exception as error:  # each file system of fsspec raises errors of its own
        return f"its data could not be copied to {folder}: {error}"
    return ""


def _list_published(start: StartRequest) -> list[str]:
    """Return what a run left: paths relative to its folder, the history last."""
    root = Path(start.folder)
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    below = [path for path in paths if not path.startswith("work/")]
    left = find_left_files(os.path.join(root, "work"), {}, start.env, partial(is_input, start))
    omitted = left.describe_omitted()
    if omitted is not None:
        Path(root, "omitted.json").write_text(encode_json(omitted), encoding="utf-8")
        below.append("omitted.json")
    below += [f"work/{path}" for path, _ in left.kept]
    return sorted(below, key=lambda path: (path == "run.jsonl", path))


def is_input(start: StartRequest, path: str) -> bool:
    """Return whether a file in the working folder is a configuration file as it was written."""
    content = start.files.get(path)
    if content is None:
        return False
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(start.folder, "work", path).read_text(encoding="utf-8") == content
    return False


def reap_next() -> tuple[int, int, resource.struct_rusage] | None:
    """Reap a child that has ended, after killing the rest of its process group.

    Returns:
        What ``os.wait4`` returns, or None if no child has ended.
    """
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        # The leader is not reaped yet, so the number of its group is not assigned again.
        _signal_group(ended.si_pid, signal.SIGKILL)
        return os.wait4(ended.si_pid, 0)
    except ChildProcessError:
        return None


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _has_started_at(pid: int, expected: float) -> bool:
    """Return whether the process with this id is the one that was started at that time."""
    started = read_start_time(pid)
    return started is not None and abs(started - expected) < 2.0
