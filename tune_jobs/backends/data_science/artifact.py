"""Artifact of a job: what ADS builds for a runtime, with the runner added.

    artifact.zip
      tune_jobs_start.py         the entry point, which starts the runner
      tune_jobs_run/tune_jobs/   the runtime of tune_jobs (standard library only)
      ...                        what ADS built: the script, or its driver and the code

Nothing that ADS built is changed or moved, so its drivers find their files. The runner starts what
was the entry point.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.container import (
    RUNNER_ENTRYPOINT,
    SWITCH,
    start_words,
    write_runner,
)
from tune_jobs.backends.data_science.definition import RunnerStart
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.package import copy_runtime
from tune_jobs.runtime.refusals import OLD_PYTHON

ENTRYPOINT = "JOB_RUN_ENTRYPOINT"
"""The service's variable for the entry point of an archive."""

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


def with_runner(job: Any, start: RunnerStart, workspace: Path) -> Any:
    """Return a copy of a job whose artifact starts the runner, which starts what the job would.

    Args:
        job: An ``ads.jobs.Job`` that is not created yet. A job for containers that has an artifact
            of its own, or is to have no runner, is returned unchanged.
        start: How the runner starts what was uploaded.
        workspace: An empty folder for the artifact, which must exist until the job is created.

    Raises:
        ConfigError: If ADS cannot build an artifact of the runtime.
    """
    from ads.jobs import ScriptRuntime

    payload = translate(job)
    artifact, settings = payload["artifact"], payload["job_configuration_details"]
    if container := payload.get("job_environment_configuration_details"):
        own = artifact is not None or _is_switched_off(settings)
        return job if own else _contain(job, container, settings, workspace)
    if artifact is None:
        return job
    env: dict[str, str] = dict(settings.get("environment_variables") or {})
    unpacked = workspace / "unpacked"
    uploaded = _unpack(artifact, unpacked)
    command = start.command or _build_command(env.pop(ENTRYPOINT, "") or uploaded, unpacked)
    env["TUNE_JOBS_COMMAND"] = encode_json(list(command))
    env["TUNE_JOBS_WORK_DIR"] = start.work_dir
    (unpacked / START_SCRIPT).write_text(_START)
    copy_runtime(unpacked / _RUNTIME_FOLDER)
    runtime = ScriptRuntime().with_source(
        str(pack_folder(unpacked, workspace / "artifact.zip")), entrypoint=START_SCRIPT
    )
    return _with_settings(job, runtime, settings, env)


def _with_settings(
    job: Any, runtime: Any, settings: Mapping[str, Any], env: Mapping[str, Any]
) -> Any:
    """Return a job with another runtime, and everything else as it was."""
    from ads.jobs import Job

    # ADS substitutes ${X} in values, which was done already.
    runtime.with_environment_variable(**{k: str(v).replace("$", "$$") for k, v in env.items()})
    if settings.get("command_line_arguments"):
        runtime.with_argument(*job.runtime.args)
    if job.runtime.maximum_runtime_in_minutes:
        runtime.with_maximum_runtime_in_minutes(job.runtime.maximum_runtime_in_minutes)
    runtime.with_freeform_tag(**(job.runtime.freeform_tags or {}))
    runtime.with_defined_tag(**(job.runtime.defined_tags or {}))
    return Job(name=job.name).with_infrastructure(job.infrastructure).with_runtime(runtime)


def _is_switched_off(settings: Mapping[str, Any]) -> bool:
    return (settings.get("environment_variables") or {}).get(SWITCH) == "off"


def _contain(
    job: Any, container: Mapping[str, Any], settings: Mapping[str, Any], workspace: Path
) -> Any:
    """Return a job for containers whose artifact is the runner, which is their entry point."""
    from ads.jobs import ContainerRuntime

    env = dict(settings.get("environment_variables") or {})
    env["TUNE_JOBS_COMMAND"] = encode_json(start_words(container))
    runtime = ContainerRuntime().with_image(
        container["image"],
        entrypoint=list(RUNNER_ENTRYPOINT),
        image_digest=container.get("image_digest"),
        image_signature_id=container.get("image_signature_id"),
    )
    runtime.with_artifact(str(write_runner(workspace)))
    return _with_settings(job, runtime, settings, env)


def translate(job: Any) -> Mapping[str, Any]:
    """Return the details of a job that ADS makes of its runtime.

    Raises:
        ConfigError: If ADS cannot make a job of it.
    """
    from ads.jobs.builders.infrastructure.dsc_job_runtime import DataScienceJobRuntimeManager

    try:
        payload: Mapping[str, Any] = DataScienceJobRuntimeManager(job.infrastructure).translate(
            job.runtime
        )
    except Exception as error:  # ADS raises errors of many kinds
        raise ConfigError(f"ADS cannot make a job of this runtime: {error}") from error
    return payload


def _unpack(artifact: Any, folder: Path) -> str:
    """Unpack what ADS would upload into a folder, and return the file's name."""
    # It is a path, or an object that builds the file when it is entered.
    with artifact if hasattr(artifact, "__enter__") else nullcontext(artifact) as entered:
        path = Path(os.fspath(getattr(entered, "path", entered)))
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
