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
        ocpus: Of a run on the first shape.
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


def describe_ads_job(job: Any, payload: Mapping[str, Any], fallback: tuple[str, ...]) -> Target:
    """Return what a job of ADS would run on.

    Args:
        job: An ``ads.jobs.Job``.
        payload: What ADS makes of its runtime.
        fallback: Further shapes.
    """
    on = job.infrastructure
    settings = payload["job_configuration_details"]
    environment = payload.get("job_environment_configuration_details") or {}
    size = on.shape_config_details or {}
    return Target(
        compartment=on.compartment_id,
        project=on.project_id,
        shapes=(*([on.shape_name] if on.shape_name else []), *fallback),
        ocpus=float(size.get("ocpus") or 1.0),
        log_group=on.log_group_id or None,
        subnet=on.subnet_id or None,
        conda=_find_conda(settings.get("environment_variables") or {}),
        image=environment.get("image"),
    )


def describe_created_job(model: Any, fallback: tuple[str, ...]) -> Target:
    """Return what an existing job runs on, from the SDK's model of it."""
    on, log = model.job_infrastructure_configuration_details, model.job_log_configuration_details
    settings = model.job_configuration_details
    environment = model.job_environment_configuration_details
    size = getattr(on, "job_shape_config_details", None)
    shape = getattr(on, "shape_name", None)
    return Target(
        compartment=model.compartment_id,
        project=model.project_id,
        shapes=(*([shape] if shape else []), *fallback),
        ocpus=float(getattr(size, "ocpus", None) or 1.0),
        log_group=log.log_group_id if log is not None and log.enable_logging else None,
        subnet=getattr(on, "subnet_id", None),
        conda=_find_conda(getattr(settings, "environment_variables", None) or {}),
        image=getattr(environment, "image", None),
    )


def _find_conda(env: Mapping[str, str]) -> str | None:
    """Return the conda environment that a job's variables name, as ADS sets them."""
    if slug := env.get("CONDA_ENV_SLUG"):
        return slug
    if name := env.get("CONDA_ENV_OBJECT_NAME"):
        place = f"{env.get('CONDA_ENV_BUCKET')}@{env.get('CONDA_ENV_NAMESPACE')}"
        return f"oci://{place}/{name}"
    return None
