"""One local run: its folder, its process, its history and its end.

The history ``run.jsonl`` in the run's folder has a line before the process starts, one after it
has started, and one after it has ended. A run without a history was never started.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_jobs.backends.local.masked_output import MaskedOutput
from tune_jobs.backends.local.node_ends import append_log, classify_ends, describe_live, kill_nodes
from tune_jobs.backends.local.node_group import build_command
from tune_jobs.core.strict_json import encode_json
from tune_jobs.runtime.follow import Follower
from tune_jobs.runtime.nodes import drop_launcher, has_files
from tune_jobs.runtime.private_files import make_folders, open_private
from tune_jobs.runtime.processes import (
    as_record,
    count_oom_kills,
    describe_signal,
    find_by_environment,
    from_record,
    identify,
    is_alive,
    kill_all,
    read_namespace,
)
from tune_jobs.runtime.regular_files import append, open_regular
from tune_jobs.runtime.secret_values import NAMES, mask_values, note_unmasked
from tune_jobs.runtime.steady_time import read_time
from tune_jobs.runtime.trouble import check_room, describe_trouble, is_in_output
from tune_jobs.runtime.usage import Machine, UsageMeter, summarize_child
from tune_jobs.runtime.usage_summary import describe_peak, is_nearly_full

_TAIL = 4096
_EVENTS = ("accepted", "started", "ended")
_REPORTS = "TUNE_JOBS_METRICS_FILE"


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
        nodes: Number of nodes.
        secrets: Further environment variables, whose values are masked in the output.
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
    nodes: int = 1
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def to_message(self) -> dict[str, Any]:
        """Return the fields; the last two only if they are used, as earlier hosts lack them."""
        fields = dict(vars(self))
        if self.nodes == 1:
            del fields["nodes"]
        if not self.secrets:
            del fields["secrets"]
        return fields


@dataclass
class LocalRun:
    """Live run; made by `launch`.

    Attributes:
        problem: What went wrong in the handling of this run; it fails then.
        ended: The last line of its history, once its process has been reaped.
        rank: Which of several nodes failed first, as its cause begins.
        oom_kills: Processes that the kernel had killed for memory when the run started.
        next_look: When its metrics are read next, by the monotonic clock.
        output: What copies its output to its log; None if the process writes to it itself.
        meter: Measures what it uses.
    """

    start: StartRequest
    process: subprocess.Popen[bytes]
    follower: Follower
    started: float
    stop_cause: str = ""
    canceled: bool = False
    problem: str = ""
    is_transient: bool = False
    ended: dict[str, Any] | None = None
    rank: str = ""
    oom_kills: int | None = None
    next_look: float = 0.0
    output: MaskedOutput | None = None
    meter: UsageMeter | None = None

    def has_all_output(self) -> bool:
        """Return whether its log is complete; to be called after the process was reaped."""
        return self.output is None or self.output.is_complete()

    def stop(self, cause: str, *, canceled: bool) -> None:
        """Send TERM to the process group; `kill` follows after the grace period."""
        self.stop_cause, self.canceled = cause, canceled
        _signal_group(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send KILL to the process group."""
        _signal_group(self.process.pid, signal.SIGKILL)

    def follow(self) -> int:
        """Collect new metrics, and return the number of new records.

        Raises:
            OSError: If the machine is in trouble; the next call continues.
        """
        if self.process.returncode is not None:
            return 0  # it has ended, and is only being published
        with self._handling():
            return self.follower.poll(read_time())
        return 0

    def reaped(self, status: int, usage: resource.struct_rusage) -> None:
        """Note the end of the process; `finish` follows.

        Args:
            status: As ``os.wait4`` returns it.
            usage: Resources that the process used.
        """
        start, code = self.start, os.waitstatus_to_exitcode(status)
        self.rank, code = classify_ends(start.folder, start.nodes, code)
        self.process.returncode = code
        if self.stop_cause:
            self.stop_cause += describe_live(start.folder, start.nodes)
        if self.stop_cause or start.nodes > 1:  # what has left the group was to stop, too
            kill_nodes(start.folder)
            kill_all(find_by_environment(_REPORTS, _reports_file(start.folder)), patience=0.0)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        used = summarize_child(self.meter, usage)
        self.ended = {
            "event": "ended",
            "exit_code": code if code >= 0 else None,
            "started": self.started,
            "finished": read_time(),
            "cpu_seconds": round(cpu_seconds, 3),
            "max_rss_kb": usage.ru_maxrss,
            "usage": used,
        }

    def finish(self) -> dict[str, Any] | None:
        """Collect the last metrics after the process was reaped, and record the end.

        Returns:
            The last line of the run's history; None if there is more to collect, with the next
            call.

        Raises:
            OSError: If the machine is in trouble; the next call continues.
        """
        assert self.ended is not None
        with self._handling():
            self.follower.poll(self.ended["finished"])
            if self.follower.is_behind:
                return None
            self.follower.finish(self.ended["finished"])
            append_log(self.start.folder, self.start.nodes)
        code = self.process.returncode
        state, cause = self._classify_end(code)
        trouble = self._find_trouble(state)
        ended = {
            **self.ended,
            "state": "FAILED" if trouble else state,
            "metrics_problem": self.follower.problem,
            "metrics_bytes": self.follower.size,
            "cause": trouble or cause,
            "transient": bool(trouble) or self.is_transient,
        }
        if trouble:
            ended["trouble"] = True
        try:
            _append_history(self.start.folder, ended)
        except OSError as error:
            if describe_trouble(error):
                raise
            gone = f"its folder was removed or replaced while it ran: {error}"
            ended |= {"state": "FAILED", "cause": gone, "transient": True}
        return ended

    def fail(self, error: Exception) -> dict[str, Any]:
        """Return the end of a run that could not be handled."""
        cause = f"its end could not be handled: {error!r}"
        failed = {"event": "ended", "state": "FAILED", "cause": cause, "transient": False}
        return {**(self.ended or {}), **failed}

    @contextlib.contextmanager
    def _handling(self) -> Iterator[None]:
        """Let an error fail this run, unless the machine is in trouble."""
        try:
            yield
        except Exception as error:
            if describe_trouble(error):
                raise
            self.problem = f"its metrics could not be collected: {error or type(error).__name__}"
            self.is_transient = isinstance(error, FileNotFoundError)  # its folder was removed

    def _classify_end(self, code: int) -> tuple[str, str]:
        if self.canceled and code != 0:
            return "CANCELED", self.stop_cause
        if self.stop_cause and not self.canceled:
            return "FAILED", self.stop_cause
        if self.problem:
            return "FAILED", self.problem
        if code == 0:
            return "SUCCEEDED", ""
        killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL)
        cause = f"killed by signal {describe_signal(-code)}" if code < 0 else f"exit code {code}"
        explained = f"{cause} ({self._explain_kill()})" if killed else cause
        return "FAILED", self.rank + explained

    def _explain_kill(self) -> str:
        """Return why a run was killed by a signal that tune_jobs did not send."""
        assert self.ended is not None
        peak = f"its peak was {self.ended['max_rss_kb'] / 1024:.0f} MB"
        used = self.ended["usage"]
        kills = count_oom_kills()
        if is_nearly_full(used) and (kills is None or kills != self.oom_kills):
            return f"out of memory: {describe_peak(used)}"
        if kills is None or self.oom_kills is None:
            return f"out of memory? {peak}"
        if kills > self.oom_kills:
            return f"out of memory: the kernel kills processes; {peak}"
        return f"not for memory: the kernel has killed nothing since its start; {peak}"

    def _find_trouble(self, state: str) -> str:
        """Return which trouble of the machine makes the result of a run worthless, if any.

        Output that a full disk has refused is missing without an error of many programs.
        """
        if state == "CANCELED" or self.stop_cause:
            return ""
        try:
            check_room(self.start.folder)
        except OSError as error:
            return f"it ended while the disk was full, so output may be missing: {error}"
        if state == "FAILED" and is_in_output(self.follower.read_tail(_TAIL)):
            return "the disk was full: it printed 'No space left on device'"
        return ""


def launch(
    start: StartRequest, inherited: Mapping[str, str], machine: Machine | None = None
) -> LocalRun:
    """Start a run in a process group of its own.

    Args:
        start: The run.
        inherited: Environment variables beside the run's own.
        machine: Where what it uses is measured; None measures nothing.

    Raises:
        OSError: If it cannot be started; see `record_refusal`.
    """
    folder = start.folder
    work, log = os.path.join(folder, "work"), os.path.join(folder, "log.txt")
    check_room(folder)
    _make_folders(start)
    _write_inputs(work, start)
    inherited = drop_launcher(inherited, start.nodes)
    env = {**inherited, **start.env, **_build_variables(start), **start.secrets}
    masking = mask_values(start.secrets)
    follower = Follower(start.sources, log, env[_REPORTS], work, start.metrics, masking=masking)
    started, oom_kills = read_time(), count_oom_kills()
    try:
        _append_history(folder, {"event": "accepted", "time": started, "command": start.command})
        process = _spawn(start, work, log, env)
    except OSError as error:
        if describe_trouble(error):  # so that it counts as never started
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, "run.jsonl"))
        raise
    identity = as_record(identify(process.pid))
    started_line = {"event": "started", "pid": process.pid, "time": started, **identity}
    output = None
    try:
        if process.stdout is not None:
            output = MaskedOutput(process.stdout, log, masking)
        _append_history(folder, started_line)
    except BaseException:
        _signal_group(process.pid, signal.SIGKILL)  # no run lives that is not recorded
        process.wait()
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, "run.jsonl"))
        raise
    meter = None
    if machine is not None:
        path = os.path.join(folder, "usage.jsonl")
        meter = UsageMeter(process.pid, path, machine, visible=env.get("CUDA_VISIBLE_DEVICES"))
    return LocalRun(
        start, process, follower, started, oom_kills=oom_kills, output=output, meter=meter
    )


def _spawn(
    start: StartRequest, work: str, log: str, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the process of a run: its output goes to the log, or to a pipe if it has secrets."""
    command = build_command(start.folder, start.nodes, start.grace, start.command)
    with open(log, "ab", opener=open_private) as output:
        output.write(note_unmasked(start.secrets).encode())
        output.flush()
        return subprocess.Popen(
            command,
            cwd=work,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if start.secrets else output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def record_refusal(start: StartRequest, error: Exception) -> dict[str, Any]:
    """Record that a run could not be started, and return the last line of its history."""
    now = read_time()
    ended = {
        "event": "ended",
        "state": "FAILED",
        "cause": f"could not be started: {error}",
        "transient": isinstance(error, InterruptedError),
        "started": now,
        "finished": now,
    }
    with contextlib.suppress(OSError):
        _append_history(start.folder, ended)
    return ended


def find_outcome(folder: str) -> dict[str, Any] | None:
    """Return the last line of the history of a run that this host does not run.

    None if it was never started.

    Raises:
        OSError: If its history cannot be read.
    """
    history = _read_history(folder)
    if not history or history[-1]["event"] == "ended":
        return history[-1] if history else None
    # The host that started it is gone, and the exit code with it.
    cause = "its host ended before it did (was the machine restarted?)"
    if elsewhere := _end_leftovers(folder, history[-1]):
        cause += f"; it was started in {elsewhere}, so it may still run there"
    lost = {
        "event": "ended",
        "state": "LOST",
        "cause": cause,
        "transient": True,
        "started": history[0].get("time"),
        "finished": read_time(),
    }
    with contextlib.suppress(OSError):  # the next one finds the same
        _append_history(folder, lost)
    return lost


def _end_leftovers(folder: str, last: dict[str, Any]) -> str:
    """Kill what is left of a run whose host is gone.

    Returns:
        The PID namespace in which it was started, if its processes cannot be reached from here.
    """
    identity = from_record(last)
    if identity is not None and identity.namespace not in (None, read_namespace("pid")):
        return f"another container ({identity.namespace})"
    if identity is not None and is_alive(identity):
        _signal_group(identity.pid, signal.SIGKILL)
        kill_all([identity.pid])
    kill_nodes(folder)
    # Also what has left the group, and a run whose host was killed before it recorded the process.
    kill_all(find_by_environment(_REPORTS, _reports_file(folder)))
    return ""


def _write_inputs(work: str, start: StartRequest) -> None:
    """Create the links and files in the working directory."""
    for link in start.links:
        with contextlib.suppress(FileExistsError):
            os.symlink(link, os.path.join(work, os.path.basename(link)))
    for name, content in start.files.items():
        path = Path(work, name)
        make_folders(path.parent)
        with open(path, "w", encoding="utf-8", opener=open_private) as file:
            file.write(content)


def _make_folders(start: StartRequest) -> None:
    """Create the run's folder, its working directory, and the folders that it names."""
    for path in (start.folder, os.path.dirname(start.metrics), os.path.join(start.folder, "work")):
        make_folders(path)
    for checkpoints in start.resume:
        with contextlib.suppress(OSError):
            if has_files(checkpoints):
                os.symlink(checkpoints, os.path.join(start.folder, "resume"))
                break
    named = "\0".join([*start.command, *start.env.values(), *start.files.values()])
    for name in ("outputs", "checkpoints", "resume"):
        path = os.path.join(start.folder, name)
        # Three more folders would cost a short run as much as all of its files.
        if path in named or (start.checkpoints and name != "outputs"):
            make_folders(path)


def _build_variables(start: StartRequest) -> dict[str, str]:
    """Return the environment variables that tell a run its folders."""
    return {
        "TUNE_JOBS_RUN": start.id,
        _REPORTS: _reports_file(start.folder),
        "TUNE_JOBS_OUTPUTS_DIR": os.path.join(start.folder, "outputs"),
        "TUNE_JOBS_CHECKPOINT_DIR": os.path.join(start.folder, "checkpoints"),
        "TUNE_JOBS_RESUME_DIR": os.path.join(start.folder, "resume"),
        **({NAMES: ",".join(start.secrets)} if start.secrets else {}),
    }


def _reports_file(folder: str) -> str:
    return os.path.join(folder, "reported.jsonl")


def _read_history(folder: str) -> list[dict[str, Any]]:
    """Return the events of a run, oldest first; none if it was never started."""
    try:
        with open_regular(os.path.join(folder, "run.jsonl")) as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        with contextlib.suppress(ValueError):  # a line truncated by a crash
            event = json.loads(line)
            if isinstance(event, dict) and event.get("event") in _EVENTS:
                events.append(event)
    return events


def _append_history(folder: str, event: Mapping[str, Any]) -> None:
    append(os.path.join(folder, "run.jsonl"), (encode_json(event) + "\n").encode())


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
