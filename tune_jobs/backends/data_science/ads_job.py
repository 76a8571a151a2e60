"""Jobs defined with ADS: what ADS makes of their runtime, as a job to create."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.job_details import (
    build_container,
    build_details,
    build_settings,
)
from tune_jobs.backends.data_science.new_job import NewJob
from tune_jobs.backends.data_science.runnable import count_replicas
from tune_jobs.errors import ConfigError


def read_ads_job(job: Any, workspace: Path) -> NewJob:
    """Return what ADS would create for a job.

    Args:
        job: An ``ads.jobs.Job`` that is not created yet.
        workspace: An empty folder for its artifact.

    Raises:
        ConfigError: If ADS cannot make a job of its runtime.
    """
    with quiet_ads():
        payload = _translate(job)
        artifact = _build_artifact(payload["artifact"], workspace)
        spec = _complete_log(job.infrastructure.to_dict()["spec"])
    runtime, settings = job.runtime, payload["job_configuration_details"]
    details = build_details(
        spec,
        build_settings(
            settings.get("environment_variables") or {},
            list(map(str, runtime.args or ())),
            runtime.maximum_runtime_in_minutes,
        ),
    )
    details["freeformTags"].update(runtime.freeform_tags or {})
    if runtime.defined_tags:
        details["definedTags"] = dict(runtime.defined_tags)
    if container := payload.get("job_environment_configuration_details"):
        details["jobEnvironmentConfigurationDetails"] = _read_container(container)
    mounts = tuple(spec.get("storageMount") or ())
    return NewJob(details, artifact, mounts, count_replicas(job.to_dict()))


def _read_container(container: Mapping[str, Any]) -> dict[str, Any]:
    command = {key: container[key] for key in ("entrypoint", "cmd") if key in container}
    return build_container(
        container["image"],
        command,
        container.get("image_digest"),
        container.get("image_signature_id"),
    )


def _translate(job: Any) -> Mapping[str, Any]:
    """Return the details of a job that ADS makes of its runtime."""
    from ads.jobs.builders.infrastructure.dsc_job_runtime import DataScienceJobRuntimeManager

    try:
        payload: Mapping[str, Any] = DataScienceJobRuntimeManager(job.infrastructure).translate(
            job.runtime
        )
    except Exception as error:  # ADS raises errors of many kinds
        raise ConfigError(f"ADS cannot make a job of this runtime: {error}") from error
    return payload


def _build_artifact(artifact: Any, workspace: Path) -> Path | None:
    """Write what ADS would upload into a folder, and return its path."""
    if artifact is None:
        return None
    # It is a path, or an object that builds the file when it is entered, and then removes it.
    with artifact if hasattr(artifact, "__enter__") else nullcontext(artifact) as entered:
        path = Path(os.fspath(getattr(entered, "path", entered)))
        return Path(shutil.copy(path, workspace))


def _complete_log(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an infrastructure with the group of its log, which ADS looks up."""
    if not spec.get("logId") or spec.get("logGroupId"):
        return spec
    from ads.common.oci_logging import OCILog

    return {**spec, "logGroupId": OCILog.from_ocid(spec["logId"]).log_group_id}


@contextlib.contextmanager
def quiet_ads() -> Iterator[None]:
    """Undo what importing ADS does to the root logger, and ignore its warnings.

    ADS would send every record of every logger to stdout.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
