"""Processes of one run with several nodes, started side by side on this machine.

    python -c ... FOLDER COUNT GRACE COMMAND...

The host starts this program in place of the script. It starts the script once for each node, in a
process group and a working directory of its own, with the variables of `tune_jobs.runtime.nodes`:
addresses are on loopback, and the port is free when the nodes start. It ends when all nodes have
ended, with the exit code of the first that failed, or 0. If one fails, the others are stopped:
SIGTERM, and SIGKILL after the grace period. A SIGTERM is passed to all nodes.

The processes of the nodes and how they ended are in ``nodes.json`` of the run's folder, for the
host. The host kills what is left of the nodes if this program is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tune_jobs.backends.local.masked_output import MaskedOutput
from tune_jobs.backends.local.node_ends import ENDS_FILE
from tune_jobs.core.strict_json import encode_json
from tune_jobs.runtime.nodes import (
    MASTER_ADDRESS,
    MASTER_PORT,
    Node,
    describe_node,
    encode_addresses,
    find_resume_folder,
    name_rank,
)
from tune_jobs.runtime.private_files import make_folders, open_private
from tune_jobs.runtime.processes import as_record, identify
from tune_jobs.runtime.secret_values import NAMES, mask_values

ADDRESSES_FILE = "addresses.json"
NOT_STARTED = 127

_PORTS = range(20000, 32000)
"""Below the ports that Linux gives to connections, so that none of these takes the run's port."""


_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from tune_jobs.backends.local.node_group import main; sys.exit(main(sys.argv[2:]))"
)


@dataclass
class NodeGroup:
    """The nodes of a run.

    Attributes:
        live: Ranks by process id.
        exit_codes: Exit codes by rank, of nodes that ended; negative numbers are signals.
        failed: The rank that failed first.
        problem: Why it could not be started.
        stopped: The ranks that ran when the run was stopped.
        identities: Records of the processes that were started.
        kill_at: When the nodes that a failed one leaves are killed, by the monotonic clock.
    """

    folder: str
    count: int
    grace: float
    live: dict[int, int] = field(default_factory=dict)
    exit_codes: dict[int, int] = field(default_factory=dict)
    failed: int | None = None
    problem: str = ""
    stopped: list[int] = field(default_factory=list)
    is_stopping: bool = False
    identities: list[dict[str, Any]] = field(default_factory=list)
    kill_at: float | None = None
    # Kept, since `subprocess` reaps processes that are forgotten.
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _outputs: list[MaskedOutput] = field(default_factory=list)

    def run(self, command: Sequence[str]) -> int:
        """Run all nodes; return the exit code of the run."""
        wakened = _wake_by_signals()
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        nodes = [Node(rank, self.count) for rank in range(self.count)]
        addresses = find_addresses(self.count)
        port = find_port(addresses[0])
        metadata = os.path.join(self.folder, ADDRESSES_FILE)
        _write(metadata, encode_addresses(addresses))
        for node in nodes[1:]:
            prepare_folders(self.folder, node)
        for node in nodes:
            if self.is_stopping:
                break
            self._start(node, command, describe_node(node, addresses, port, metadata))
        while self.live:
            self._wait(wakened)
            while self._reap():
                pass
        for output in self._outputs:
            output.join()
        self._record()
        if self.failed is None:  # unless it was stopped before all of them were started
            return 0 if len(self.exit_codes) == self.count else 128 + signal.SIGTERM
        code = self.exit_codes[self.failed]
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """Send SIGTERM to all nodes; the host sends SIGKILL after the grace period."""
        if not self.is_stopping:
            self.is_stopping, self.stopped = True, sorted(self.live.values())
        self._signal(signal.SIGTERM)

    def _start(self, node: Node, command: Sequence[str], variables: Mapping[str, str]) -> None:
        env = dict(os.environ)
        given = {n: env[n] for n in (MASTER_ADDRESS, MASTER_PORT) if n in env}
        paths = map_paths(self.folder, node)
        env = {name: _replace(value, paths) for name, value in env.items()}
        env = {**env, **variables, **given}
        try:
            words = [_replace(word, paths) for word in command]
            process, output = _spawn(words, env, self.folder, node)
        except OSError as error:
            self.problem = f"could not be started: {error}"
            self._ended(node.rank, NOT_STARTED)
            return
        self.live[process.pid] = node.rank
        self._processes.append(process)
        self._outputs += [] if output is None else [output]
        self.identities.append(as_record(identify(process.pid)))
        self._record()
        if self.is_stopping:  # since a moment ago
            _signal_group(process.pid, signal.SIGTERM)

    def _wait(self, wakened: int) -> None:
        """Wait for a signal; after the grace period, kill the nodes that a failed one leaves."""
        left = None if self.kill_at is None else max(0.0, self.kill_at - time.monotonic())
        if select.select([wakened], [], [], left)[0]:
            os.read(wakened, 4096)
        elif self.kill_at is not None:
            self.kill_at = None
            self._signal(signal.SIGKILL)

    def _reap(self) -> bool:
        """Note the end of a node; return False if none has ended."""
        if not self.live:
            return False
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return False
        _signal_group(ended.si_pid, signal.SIGKILL)  # what it left in its group
        pid, status = os.waitpid(ended.si_pid, 0)
        rank = self.live.pop(pid, None)
        if rank is not None:
            self._ended(rank, os.waitstatus_to_exitcode(status))
        return True

    def _ended(self, rank: int, code: int) -> None:
        self.exit_codes[rank] = code
        if code == 0 or self.failed is not None:
            return
        self.failed = rank
        if not self.is_stopping:
            self.is_stopping = True
            self._signal(signal.SIGTERM)
            self.kill_at = time.monotonic() + self.grace

    def _signal(self, number: int) -> None:
        for pid in list(self.live):
            _signal_group(pid, number)

    def _record(self) -> None:
        ends = {
            "nodes": self.count,
            "processes": self.identities,
            "exit_codes": {str(rank): code for rank, code in self.exit_codes.items()},
            "failed": self.failed,
            "problem": self.problem,
            "stopped": self.stopped,
        }
        with contextlib.suppress(OSError):  # then the host knows the exit code only
            _write(os.path.join(self.folder, ENDS_FILE), encode_json(ends))


def _wake_by_signals() -> int:
    """Return a descriptor that can be read when SIGCHLD or SIGTERM has arrived.

    A signal that arrives just before a system call would not interrupt it.
    """
    wakened, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wakened


def find_addresses(count: int) -> dict[int, str]:
    """Return an address on loopback for each rank: different ones, where the system has several."""
    addresses = {rank: f"127.0.0.{rank + 1}" for rank in range(count)} if count < 255 else {}
    last = addresses.get(count - 1)
    if last is None or not _can_listen(last, 0):
        return dict.fromkeys(range(count), "127.0.0.1")
    return addresses


def find_port(address: str) -> int:
    """Return a port that is free now; runs that start at the same time get different ones.

    Raises:
        OSError: If there is none.
    """
    start = os.getpid() % len(_PORTS)
    candidates: list[int] = [*_PORTS[start:], *_PORTS[:start]]
    for port in candidates:
        if _can_listen(address, port) and _can_listen("", port):
            return port
    raise OSError(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free")


def map_paths(folder: str, node: Node) -> dict[str, str]:
    """Return the paths of a rank by those of rank 0, which are on the command line."""
    if node.is_first:
        return {}
    rank, resume = name_rank(node.rank), os.path.join(folder, "resume")
    return {
        os.path.join(folder, "outputs"): os.path.join(folder, "outputs", rank),
        os.path.join(folder, "checkpoints"): os.path.join(folder, "checkpoints", rank),
        resume: find_resume_folder(resume, node),
        os.path.join(folder, "work"): os.path.join(folder, rank, "work"),
    }


def prepare_folders(folder: str, node: Node) -> None:
    """Create the folders of a rank, with the input files that rank 0 has."""
    paths = map_paths(folder, node)
    for name in ("outputs", "checkpoints"):
        if os.path.isdir(os.path.join(folder, name)):
            make_folders(paths[os.path.join(folder, name)])
    work = os.path.join(folder, "work")
    for at, folders, files in os.walk(work):
        target = paths[work] + at[len(work) :]
        make_folders(target)
        for name in (*folders, *files):
            source = os.path.join(at, name)
            if os.path.islink(source):
                shutil.copy(source, os.path.join(target, name), follow_symlinks=False)
            elif name in files:
                with open(source, encoding="utf-8", newline="") as file:
                    _write(os.path.join(target, name), _replace(file.read(), paths))


def _spawn(
    command: Sequence[str], env: Mapping[str, str], folder: str, node: Node
) -> tuple[subprocess.Popen[bytes], MaskedOutput | None]:
    """Start a node, whose output goes to its log, through what masks secrets if it has some."""
    own = folder + node.folder
    log = None if node.is_first else os.path.join(own, "log.txt")
    secrets = {name: env[name] for name in filter(None, env.get(NAMES, "").split(","))}
    with contextlib.ExitStack() as stack:
        output: IO[bytes] | int | None = None  # that of this program, which is the run's log
        if log is not None:
            file = stack.enter_context(open(log, "ab", opener=open_private))
            output = subprocess.PIPE if secrets else file
        process = subprocess.Popen(
            command,
            cwd=os.path.join(own, "work"),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,
        )
    if process.stdout is None or log is None:
        return process, None
    return process, MaskedOutput(process.stdout, log, mask_values(secrets))


def _can_listen(address: str, port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind((address, port))
        except OSError:
            return False
        return True


def _replace(string: str, paths: Mapping[str, str]) -> str:
    for path, own in paths.items():
        string = string.replace(path, own)
    return string


def _write(path: str, content: str) -> None:
    """Write a file atomically (temporary file, then rename)."""
    with open(f"{path}.part", "w", encoding="utf-8", opener=open_private) as file:
        file.write(content)
    os.replace(f"{path}.part", path)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def build_command(folder: str, count: int, grace: float, command: Sequence[str]) -> list[str]:
    """Return the command that runs the nodes of a run; the script's own if there is one node.

    Args:
        folder: The run's folder.
        count: Number of nodes.
        grace: Seconds between SIGTERM and SIGKILL, if a node failed.
        command: The script's command.
    """
    if count == 1:
        return list(command)
    package = str(Path(__file__).parents[3])
    program = [sys.executable, "-I", "-S", "-c", _PROGRAM, package]
    return [*program, folder, str(count), str(grace), *command]


def main(argv: Sequence[str]) -> int:
    """Run the nodes that the arguments describe; return the exit code."""
    folder, count, grace, *command = argv
    return NodeGroup(folder, int(count), float(grace)).run(command)
