"""What a study's job runs on, as far as the doctor examines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """What a job runs on.

    Args:
        shapes: The job's shape and its fallbacks.
        ocpus: Of a run on the first shape, all nodes together.
        conda: Slug of a service environment, or the URI of a published one.
    """

    compartment: str
    project: str
    shapes: tuple[str, ...]
    ocpus: float = 1.0
    log_group: str | None = None
    subnet: str | None = None
    conda: str | None = None
    image: str | None = None

    @property
    def shape(self) -> str:
        """Shape of the job."""
        return self.shapes[0] if self.shapes else ""


def describe_target(job: Mapping[str, Any], fallback: tuple[str, ...], nodes: int = 1) -> Target:
    """Return what a job runs on.

    Args:
        job: An existing job, or the body of ``CreateJob``, as the REST API spells it.
        fallback: Further shapes.
        nodes: Number of nodes of each run.
    """
    on = job.get("jobInfrastructureConfigurationDetails") or {}
    log = job.get("jobLogConfigurationDetails") or {}
    settings = job.get("jobConfigurationDetails") or {}
    shape, size = on.get("shapeName"), on.get("jobShapeConfigDetails") or {}
    return Target(
        compartment=job["compartmentId"],
        project=job["projectId"],
        shapes=(*([shape] if shape else []), *fallback),
        ocpus=nodes * float(size.get("ocpus") or 1.0),
        log_group=log.get("logGroupId") if log.get("enableLogging") else None,
        subnet=on.get("subnetId"),
        conda=_find_conda(settings.get("environmentVariables") or {}),
        image=(job.get("jobEnvironmentConfigurationDetails") or {}).get("image"),
    )


def _find_conda(env: Mapping[str, str]) -> str | None:
    """Return the conda environment that a job's variables name, as ADS sets them."""
    if slug := env.get("CONDA_ENV_SLUG"):
        return slug
    if name := env.get("CONDA_ENV_OBJECT_NAME"):
        place = f"{env.get('CONDA_ENV_BUCKET')}@{env.get('CONDA_ENV_NAMESPACE')}"
        return f"oci://{place}/{name}"
    return None
