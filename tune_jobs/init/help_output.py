"""Run ``script --help`` so that it leaves nothing behind: bounded in time, output and place."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MAX_OUTPUT = 1 << 18
_MAX_ROUNDS = 10
_END_SECONDS = 5.0
_MARK = "TUNE_JOBS_INIT"
_SETTINGS = {
    # Wide and plain, so that a description is one line.
    "COLUMNS": "200",
    "TERMINAL_WIDTH": "200",
    "NO_COLOR": "1",
    "PYTHON_COLORS": "0",
    "TERM": "dumb",
    "PAGER": "cat",
    "PYTHONIOENCODING": "utf-8",
    # Nothing is written beside the script.
    "PYTHONDONTWRITEBYTECODE": "1",
    "WANDB_MODE": "disabled",
}


@dataclass(frozen=True)
class HelpOutput:
    """What a script printed.

    Attributes:
        text: Its output, or the beginning of it.
        problem: Why the output cannot be trusted; empty if it can.
    """

    text: str
    problem: str = ""


def run_help(command: Sequence[str], python_path: Sequence[str], seconds: float) -> HelpOutput:
    """Run a command in a scratch folder that is removed, and kill whatever it has started.

    Args:
        command: The command, with the argument that asks for help.
        python_path: Folders to put in front of PYTHONPATH.
        seconds: Time limit.
    """
    mark = secrets.token_hex(16)
    inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    env = {**os.environ, **_SETTINGS, _MARK: mark}
    env["PYTHONPATH"] = os.pathsep.join([*python_path, *inherited])
    with tempfile.TemporaryDirectory(prefix="tune-jobs-", ignore_cleanup_errors=True) as folder:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**env, "TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return HelpOutput("", f"it could not be started: {error}")
        try:
            output, problem = _read(process, time.monotonic() + seconds, seconds)
        finally:
            code = _end(process, mark)
    if not problem and code != 0:
        problem = _explain(output, code)
    return HelpOutput(output, problem)


def _read(process: subprocess.Popen[bytes], deadline: float, seconds: float) -> tuple[str, str]:
    """Read the output until the process ends, the time is over, or it is too long."""
    assert process.stdout is not None
    chunks: list[bytes] = []
    problem = ""
    with selectors.DefaultSelector() as selector, _watch(process) as ended:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            ready = {
                key.fileobj for key, _ in selector.select(max(0.0, deadline - time.monotonic()))
            }
            chunk = os.read(process.stdout.fileno(), 1 << 16) if process.stdout in ready else b""
            chunks.append(chunk)
            if not ready:
                problem = f"it did not end within {seconds:g} s"
            elif sum(map(len, chunks)) > _MAX_OUTPUT:
                problem = f"it printed more than {_MAX_OUTPUT >> 10} KiB"
            # What it has started may hold the pipe open, so the process itself counts, too.
            if problem or (not chunk and (process.stdout in ready or ended in ready)):
                return b"".join(chunks)[:_MAX_OUTPUT].decode("utf-8", "replace"), problem


@contextlib.contextmanager
def _watch(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """Open a file that becomes readable when a process ends."""
    descriptor = os.pidfd_open(process.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes], mark: str) -> int:
    """Kill the process, its group and whatever else it has started; return the exit code."""
    # Until the leader is reaped, the number of its group is not assigned again.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(_MAX_ROUNDS):  # one may start another one meanwhile
        found = [pid for pid in _find_marked(mark) if pid != process.pid]
        for pid in found:
            _kill(pid)
        if not found:
            break
    if process.stdout is not None:
        process.stdout.close()
    return process.wait()


def _kill(pid: int) -> None:
    """Kill a process that is no child, and wait for its end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], _END_SECONDS)
        finally:
            os.close(descriptor)


def _find_marked(mark: str) -> list[int]:
    """Return the processes with the mark in their environment, in whatever session they are."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def _explain(output: str, code: int) -> str:
    """Return what a failed command says, or how it ended."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    error = last if "Error" in last or "error" in last else ""
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    return error[:200] or f"it ended with {ended}"
