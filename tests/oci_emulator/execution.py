"""Execution of a job run: the artifact is unpacked and its entry point started.

[assumed] An archive is unpacked into ``decompressed_artifact`` in the home folder, which is the
working directory; ``.sh`` is started with bash; the output goes to the log line by line.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.oci_emulator.images import Image, translate

_HOOK = '''\
"""Make the SDK's clients use the emulator's endpoint by default."""
import importlib.abc
import importlib.util
import os
import sys


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "oci.base_client":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            original = module.BaseClient.__init__

            def init(client, *args, **kwargs):
                kwargs["service_endpoint"] = os.environ["OCI_EMULATOR"]
                original(client, *args, **kwargs)

            module.BaseClient.__init__ = init

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
'''


@dataclass(frozen=True)
class Program:
    """Program that a run executes.

    Args:
        artifact: Content and name of the job's file; a container may have one, which stays packed.
        command: Entry point and command of a container.
        image: The container's image, if its layout is known.
        arguments: The arguments.
        env: The variables of the job and the run.
        minutes: The maximum runtime.
        starts_at_home: Whether it starts in the home folder.
        hidden: Python that its interpreters execute first.
    """

    artifact: tuple[bytes, str] | None
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    env: Mapping[str, str]
    minutes: float | None
    image: Image | None = None
    starts_at_home: bool = False
    hidden: str = ""


class Execution:
    """Execution of a program in a process group.

    Args:
        folder: The run's home folder, which is created.
        program: The program.
        service_env: The service's variables.
        endpoint: The emulator's endpoint.
        line: Called with each line that is printed.
    """

    def __init__(
        self,
        folder: Path,
        program: Program,
        service_env: Mapping[str, str],
        endpoint: str,
        line: Callable[[str], None],
    ) -> None:
        self._folder, self._program, self._line = folder, program, line
        self._service_env, self._endpoint = service_env, endpoint
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self.timed_out = False

    @property
    def minutes(self) -> float | None:
        """The maximum runtime."""
        return self._program.minutes

    def run(self, seconds_per_minute: float, grace: float) -> int:
        """Execute to the end and return the exit code."""
        command, work = self._prepare()
        self._process = subprocess.Popen(
            command,
            cwd=work,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if self._stopped.is_set():
            self.stop(grace)
        limit = self._program.minutes and self._program.minutes * seconds_per_minute
        timer = threading.Timer(limit, self.time_out, (grace,)) if limit else None
        if timer:
            timer.start()
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self._line(line.decode("utf-8", "replace").rstrip("\n"))
        code = self._process.wait()
        if timer:
            timer.cancel()
        _signal(self._process.pid, signal.SIGKILL)  # the rest of the group
        return code

    def stop(self, grace: float | None) -> None:
        """Send TERM, and KILL after ``grace`` seconds; None to send only KILL."""
        self._stopped.set()
        process = self._process
        if process is None:
            return
        if grace is None:
            _signal(process.pid, signal.SIGKILL)
            return
        _signal(process.pid, signal.SIGTERM)
        timer = threading.Timer(grace, _signal, (process.pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def time_out(self, grace: float) -> None:
        """Stop it as if the maximum runtime were exceeded."""
        self.timed_out = True
        self.stop(grace)

    def _prepare(self) -> tuple[list[str], Path]:
        arguments = self._program.arguments
        work = self._folder / "decompressed_artifact"
        work.mkdir(parents=True)
        hook = self._folder / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(_HOOK + self._program.hidden)
        if self._program.command or self._program.artifact is None:
            return self._prepare_container(arguments, work)
        data, name = self._program.artifact
        file = self._folder / name
        file.write_bytes(data)
        entry = self._program.env.get("JOB_RUN_ENTRYPOINT")
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(work)
        elif tarfile.is_tarfile(file):
            with tarfile.open(file) as tar:
                tar.extractall(work, filter="data")
        else:
            file.rename(work / name)
            entry = name
        path = str(work / (entry or ""))
        start = self._folder if self._program.starts_at_home else work
        return [*_build_command(path), *arguments], start

    def _prepare_container(self, arguments: Sequence[str], work: Path) -> tuple[list[str], Path]:
        """Unpack the image, and put the artifact into the home folder as it is."""
        root = self._folder / "root"
        home = root / "home/datascience"
        home.mkdir(parents=True)
        if self._program.artifact is not None:
            data, name = self._program.artifact
            (home / name).write_bytes(data)
        if self._program.image is not None:
            self._program.image.unpack(root)
            work = root / self._program.image.work_dir.lstrip("/")
        return translate([*self._program.command, *arguments], root), work

    def _environment(self) -> dict[str, str]:
        env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            **(self._program.image.env if self._program.image else {}),
            **self._program.env,
            **self._service_env,
            "OCI_EMULATOR": self._endpoint,
        }
        inherited = self._program.env.get("PYTHONPATH")
        hook = str(self._folder / "hook")
        env["PYTHONPATH"] = os.pathsep.join([hook, *([inherited] if inherited else [])])
        return env


def _build_command(path: str) -> list[str]:
    if path.endswith(".py"):
        return [sys.executable, path]
    return ["bash", path] if path.endswith(".sh") else [path]


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
