"""The job's artifact: what ADS makes of a runtime, with the runner added.

    artifact.zip
      tune_jobs_start.py         the entry point: starts the runner
      tune_jobs_run/tune_jobs/   the run side of tune_jobs (standard library only)
      ...                        what ADS made: the script, or its driver and the code

Nothing of what ADS made is changed or moved, so its drivers find what they look for. What was the
entry point is what the runner starts.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.definition import RunnerStart
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.package import copy_runtime

ENTRYPOINT = "JOB_RUN_ENTRYPOINT"
"""The service's variable for what to start in an archive."""

START_SCRIPT = "tune_jobs_start.py"
_RUN_SIDE = "tune_jobs_run"
_START = f'''\
"""Starts the runner of tune_jobs, which starts the script; see tune_jobs/runtime/runner.py."""
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
os.environ["TUNE_JOBS_HERE"] = here
sys.path.insert(0, os.path.join(here, "{_RUN_SIDE}"))
from tune_jobs.runtime.runner import main

sys.exit(main(sys.argv[1:]))
'''


def with_runner(job: Any, start: RunnerStart, workspace: Path) -> Any:
    """A job like ``job`` whose artifact starts the runner, which starts what ``job`` would.

    Args:
        job: An ``ads.jobs.Job`` that is not created yet. One for containers is returned as it is:
            it has no artifact.
        start: How the runner starts what was uploaded.
        workspace: An empty folder for the artifact, which must exist until the job is created.

    Raises:
        ConfigError: ADS cannot make an artifact of the runtime.
    """
    from ads.jobs import Job, ScriptRuntime

    payload = _translated(job)
    artifact, settings = payload["artifact"], payload["job_configuration_details"]
    if artifact is None or "job_environment_configuration_details" in payload:
        return job
    env: dict[str, str] = dict(settings.get("environment_variables") or {})
    unpacked = workspace / "unpacked"
    uploaded = _unpack(artifact, unpacked)
    command = start.command or _command(env.pop(ENTRYPOINT, "") or uploaded, unpacked)
    env["TUNE_JOBS_COMMAND"] = json.dumps(list(command))
    env["TUNE_JOBS_WORK_DIR"] = start.work_dir
    (unpacked / START_SCRIPT).write_text(_START)
    copy_runtime(unpacked / _RUN_SIDE)
    runtime = ScriptRuntime().with_source(
        str(_zipped(unpacked, workspace / "artifact.zip")), entrypoint=START_SCRIPT
    )
    # ADS substitutes ${X} in values: these were substituted already.
    runtime.with_environment_variable(**{k: str(v).replace("$", "$$") for k, v in env.items()})
    if settings.get("command_line_arguments"):
        runtime.with_argument(*job.runtime.args)
    if job.runtime.maximum_runtime_in_minutes:
        runtime.with_maximum_runtime_in_minutes(job.runtime.maximum_runtime_in_minutes)
    runtime.with_freeform_tag(**(job.runtime.freeform_tags or {}))
    runtime.with_defined_tag(**(job.runtime.defined_tags or {}))
    return Job(name=job.name).with_infrastructure(job.infrastructure).with_runtime(runtime)


def _translated(job: Any) -> Mapping[str, Any]:
    from ads.jobs.builders.infrastructure.dsc_job_runtime import DataScienceJobRuntimeManager

    try:
        payload: Mapping[str, Any] = DataScienceJobRuntimeManager(job.infrastructure).translate(
            job.runtime
        )
    except Exception as error:  # ADS raises many kinds
        raise ConfigError(f"ADS cannot make a job of this runtime: {error}") from error
    return payload


def _unpack(artifact: Any, folder: Path) -> str:
    """What ADS would upload, unpacked; returns the file's name."""
    # A plain path, or an object that builds the file while it is entered.
    with artifact if hasattr(artifact, "__enter__") else nullcontext(artifact) as made:
        path = Path(os.fspath(getattr(made, "path", made)))
        folder.mkdir()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                packed.extractall(folder)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                tar.extractall(folder, filter="data")
        else:
            shutil.copy(path, folder)
        return path.name


def _command(entrypoint: str, folder: Path) -> list[str]:
    """How the service would start an entry point."""
    if not (folder / entrypoint).is_file():
        raise ConfigError(
            f"the job's entry point {entrypoint!r} is not in its artifact, which has "
            f"{', '.join(sorted(p.name for p in folder.iterdir()))}"
        )
    path = f"{{here}}/{entrypoint}"
    if entrypoint.endswith(".py"):
        return ["{python}", path]
    return ["bash", path] if entrypoint.endswith(".sh") else [path]


def _zipped(folder: Path, target: Path) -> Path:
    """An archive that is the same for the same files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o755 << 16
            with file.open("rb") as source, archive.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed)
    return target
