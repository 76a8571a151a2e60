"""Artifact of a job: what would be uploaded without tune_jobs, with the runner added.

    artifact.zip
      tune_jobs_start.py         the entry point, which starts the runner
      tune_jobs_run/tune_jobs/   the runtime of tune_jobs (standard library only)
      ...                        the script or folder; with ADS, what it built for the runtime

Nothing that ADS built is changed or moved, so its drivers find their files. The runner starts what
was the entry point.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.container import (
    build_runner_command,
    is_switched_off,
    start_words,
    write_runner,
)
from tune_jobs.backends.data_science.definition import RunnerStart
from tune_jobs.backends.data_science.job_details import ENTRYPOINT
from tune_jobs.backends.data_science.new_job import NewJob
from tune_jobs.backends.data_science.pytorch_launch import COMMAND, DRIVER, build_launch
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.package import copy_runtime
from tune_jobs.runtime.refusals import OLD_PYTHON

START_SCRIPT = "tune_jobs_start.py"
_RUNTIME_FOLDER = "tune_jobs_run"
_START = f'''\
"""Start the runner of tune_jobs, which starts the script; see tune_jobs/runtime/runner.py."""
import os
import sys

if sys.version_info < (3, 8):
    print("tune_jobs: Python 3.8 or newer is needed, and this is " + sys.version)
    sys.exit({OLD_PYTHON})
here = os.path.dirname(os.path.abspath(__file__))
os.environ["TUNE_JOBS_HERE"] = here
sys.path.insert(0, os.path.join(here, "{_RUNTIME_FOLDER}"))
from tune_jobs.runtime.runner import main

sys.exit(main(sys.argv[1:]))
'''


def with_runner(job: NewJob, start: RunnerStart, workspace: Path) -> NewJob:
    """Return a job whose artifact starts the runner, which starts what the job would.

    Args:
        job: The job. One for containers that has an artifact of its own, or is to have no runner,
            is returned unchanged.
        start: How the runner starts what is uploaded.
        workspace: A folder for the artifact, which must exist until the job is created.

    Raises:
        ConfigError: If the entry point is not in the artifact.
    """
    env = job.env
    if job.container is not None:
        own = job.artifact is not None or is_switched_off(env)
        return job if own else _contain(job, job.container, workspace)
    if job.artifact is None:
        return job
    unpacked = workspace / "unpacked"
    uploaded = _unpack(job.artifact, unpacked)
    command = start.command or _build_command(env.pop(ENTRYPOINT, "") or uploaded, unpacked)
    if Path(command[-1]).name == DRIVER:
        command = [*command, *build_launch(env, job.nodes)]
        env.pop(COMMAND, None)
    env["TUNE_JOBS_COMMAND"] = encode_json(list(command))
    env["TUNE_JOBS_WORK_DIR"] = start.work_dir
    env[ENTRYPOINT] = START_SCRIPT
    (unpacked / START_SCRIPT).write_text(_START)
    copy_runtime(unpacked / _RUNTIME_FOLDER)
    return _replace(job, env, pack_folder(unpacked, workspace / "artifact.zip"))


def _contain(job: NewJob, container: Mapping[str, Any], workspace: Path) -> NewJob:
    """Return a job for containers whose artifact is the runner, which they start."""
    env = {**job.env, "TUNE_JOBS_COMMAND": encode_json(start_words(container))}
    image = {key: value for key, value in container.items() if key not in ("entrypoint", "cmd")}
    return _replace(
        job,
        env,
        write_runner(workspace),
        jobEnvironmentConfigurationDetails={**image, **build_runner_command(container)},
    )


def _replace(job: NewJob, env: Mapping[str, str], artifact: Path, **more: Any) -> NewJob:
    settings = {**job.settings, "environmentVariables": dict(env)}
    details = {**job.details, "jobConfigurationDetails": settings, **more}
    return replace(job, details=details, artifact=artifact)


def _unpack(artifact: Path, folder: Path) -> str:
    """Unpack what would be uploaded into a folder, and return its name."""
    folder.mkdir()
    if artifact.is_dir():
        shutil.move(artifact, folder / artifact.name)
    elif zipfile.is_zipfile(artifact):
        with zipfile.ZipFile(artifact) as packed:
            packed.extractall(folder)
    elif tarfile.is_tarfile(artifact):
        with tarfile.open(artifact) as tar:
            tar.extractall(folder, filter="data")
    else:
        shutil.copy(artifact, folder)
    return artifact.name


def _build_command(entrypoint: str, folder: Path) -> list[str]:
    """Return the command with which the service would start an entry point."""
    if not (folder / entrypoint).is_file():
        raise ConfigError(
            f"the job's entry point {entrypoint!r} is not in its artifact, which has "
            f"{', '.join(sorted(p.name for p in folder.iterdir()))}"
        )
    path = f"{{here}}/{entrypoint}"
    if entrypoint.endswith(".py"):
        return ["{python}", path]
    return ["bash", path] if entrypoint.endswith(".sh") else [path]


def pack_folder(folder: Path, target: Path) -> Path:
    """Write an archive of a folder, with equal bytes for equal files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o755 << 16
            with file.open("rb") as source, archive.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed)
    return target
