"""Job runs as local processes: the default backend.

The processes belong to the host (`tune_jobs.backends.local.host`), which starts when it is first
needed and outlives the tuner.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tune_jobs.arguments.calls import strict_types
from tune_jobs.backends.local.connection import HostConnection, locate_host
from tune_jobs.backends.local.forks import keep_lock, release_lock
from tune_jobs.backends.local.secret_lookup import find_values
from tune_jobs.backends.local.service import LocalService, RunSettings, StudyLocation, lock_study
from tune_jobs.core.nodes import check_nodes
from tune_jobs.core.secret import Secret, describe_environment, split_secrets
from tune_jobs.errors import BackendError, ConfigError
from tune_jobs.runtime import report
from tune_jobs.runtime.private_files import make_folders
from tune_jobs.runtime.processes import identify
from tune_jobs.runtime.steady_time import read_time
from tune_jobs.script.entry_point import EntryPoint

if TYPE_CHECKING:
    from tune_jobs.backends.base import Backend, Notice
    from tune_jobs.core.job_runs import MetricSources


class LocalBackend:
    """Backend whose job runs are processes on this machine.

    Each run has a process group and an empty working directory of its own, so runs cannot
    interfere with each other; ``link`` puts data there that the script opens by a relative path.

    Args:
        script: The entry point: a Python file, a shell script, an executable, a whole command as
            a list, or an `EntryPoint` (``EntryPoint.module("package.train")``).
        python: The interpreter for Python entry points; by default the one that runs the tuner.
        env: Environment variables for every run, beside the tuner's own environment. A `Secret`
            has the value of the variable of this name in the tuner's environment, or in the
            system's keyring.
        link: Files and folders to link into every run's working directory.
        time_limit: Seconds after which a run is stopped; None for no limit.
        grace: Seconds between TERM and KILL when a run is stopped.
        nodes: How many processes run the script side by side in each run, with the variables that
            the nodes of a multi-node job have on OCI Data Science. Such a run is one run for
            ``max_parallel``.

    Raises:
        ConfigError: If an option cannot be used.
    """

    name = "local"
    tick = 0.5
    default_store = "runs"
    clock = staticmethod(read_time)

    @strict_types
    def __init__(
        self,
        script: str | os.PathLike[str] | Sequence[str] | EntryPoint,
        *,
        python: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | Secret] | None = None,
        link: Sequence[str | os.PathLike[str]] = (),
        time_limit: float | None = None,
        grace: float = 10.0,
        nodes: int = 1,
    ) -> None:
        self.entry_point = script if isinstance(script, EntryPoint) else EntryPoint.parse(script)
        self.python = os.fspath(python or sys.executable)
        self.env, self.secrets = split_secrets(env)
        self.link = [Path(path).absolute() for path in link]
        self.time_limit = time_limit
        self.grace = grace
        self.nodes = check_nodes(nodes)
        if time_limit is not None and time_limit <= 0:
            raise ConfigError(f"time_limit={time_limit}: must be positive (seconds) or None")
        if grace < 0:
            raise ConfigError(f"grace={grace}: must be a number of seconds of at least 0")
        self.store_options: Mapping[str, object] = {}

    def __repr__(self) -> str:
        return f"LocalBackend({' '.join(self.entry_point.command(self.python))})"

    def check(self) -> None:
        """See `Backend.check`."""
        self.entry_point.check(self.python)
        find_values(self.secrets)
        for path in self.link:
            if not path.exists():
                raise ConfigError(f"link: {path} does not exist")

    def check_resources(self, resources: Mapping[str, object]) -> None:
        """See `Backend.check_resources`: local runs have none."""
        if resources:
            raise ConfigError(
                f"resources {dict(resources)}: a local run has no resources to choose: leave them "
                "out"
            )

    def describe(self) -> dict[str, object]:
        """See `Backend.describe`."""
        several = {"nodes": self.nodes} if self.nodes > 1 else {}
        return {
            "backend": self.name,
            **several,
            "command": self.entry_point.command(self.python),
            "code_sha256": self.entry_point.fingerprint(),
            "working_directory_links": [str(path) for path in self.link],
            **describe_environment(self.env, self.secrets),
        }

    def open(
        self,
        store: str,
        study: str,
        sources: MetricSources,
        *,
        keep_runs: bool,
        notice: Notice,
    ) -> LocalService:
        """See `Backend.open`. One service at a time is open for a study on a machine."""
        location = StudyLocation.locate(store, study)
        if identify(os.getpid()) is None:
            raise BackendError(
                "local runs need a way to identify processes: this system has no /proc, and psutil "
                "is not installed (pip install psutil)"
            )
        with contextlib.ExitStack() as stack:
            stack.callback(release_lock, keep_lock(lock_study(location.folder)))
            command = self.entry_point.command(self.python)
            settings = RunSettings(
                command=command,
                env={**self.env, **self._python_path(command, location)},
                links=[str(path) for path in self.link],
                sources=sources,
                time_limit=self.time_limit,
                grace=self.grace,
                nodes=self.nodes,
                secrets=find_values(self.secrets),
            )
            place = locate_host(location.scratch)
            host = HostConnection(place, keep_runs=keep_runs, notice=notice)
            release = stack.pop_all().close
        return LocalService(location, settings, host, self.describe, release, notice)

    def _python_path(self, command: Sequence[str], location: StudyLocation) -> dict[str, str]:
        """Return what a run needs to import its module, and ``tune_jobs.report`` anywhere.

        Relative folders of the given path are made absolute, since the run has another working
        folder: those of ``env`` start from the entry point's folder.
        """
        folders = [*self.entry_point.python_path]
        if command[0] != sys.executable:
            folder = Path(location.folder, "import")
            make_folders(folder)
            shutil.copyfile(report.__file__, folder / "tune_jobs.py")
            folders.append(str(folder))
        given, root = os.environ.get("PYTHONPATH"), os.getcwd()
        if "PYTHONPATH" in self.env:
            given, root = self.env["PYTHONPATH"], self.entry_point.root
        if given:
            folders += [os.path.join(root, each) for each in given.split(os.pathsep)]
        return {"PYTHONPATH": os.pathsep.join(folders)} if folders else {}

    def log(self, name: str, run_id: str | None) -> None:
        """See `Backend.log`: the output of a local run is in the metric store."""

    def console(self, run_id: str) -> None:
        """See `Backend.console`: there is no such page."""


if TYPE_CHECKING:
    _: Backend = LocalBackend("train.py")
