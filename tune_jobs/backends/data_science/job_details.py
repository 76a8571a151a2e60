"""Fields of ``CreateJob``, as the REST API spells them, built by pure functions.

They are what ADS would send for the same definition. ADS itself is only needed to read runtimes and
YAML of its own: its import costs seconds and a few hundred megabytes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tune_jobs.errors import ConfigError

ENTRYPOINT = "JOB_RUN_ENTRYPOINT"
"""The service's variable for the entry point of an archive."""

_MAX_DEPTH = 10
_REFERENCE = re.compile(r"\$\$|\$\{([^}]+)\}")

_INFRASTRUCTURE = {
    "jobInfrastructureType": "jobInfrastructureType",
    "shapeName": "shapeName",
    "subnetId": "subnetId",
    "blockStorageSize": "blockStorageSizeInGBs",
    "shapeConfigDetails": "jobShapeConfigDetails",
}
"""Names in a specification of ADS, and in the REST API."""


def build_settings(
    env: Mapping[str, str], arguments: Sequence[str] = (), max_runtime: int | None = None
) -> dict[str, Any]:
    """Return ``jobConfigurationDetails``.

    Args:
        env: Environment variables.
        arguments: The command line.
        max_runtime: Minutes; None for the service's own limit.
    """
    settings: dict[str, Any] = {"jobType": "DEFAULT", "environmentVariables": dict(env)}
    if arguments:
        settings["commandLineArguments"] = shlex.join(arguments)
    if max_runtime:
        settings["maximumRuntimeInMinutes"] = max_runtime
    return settings


def build_details(spec: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of ``CreateJob`` without its name.

    Args:
        spec: The infrastructure, as ADS specifies it.
        settings: See `build_settings`.

    Raises:
        ConfigError: If the shape has a size, but is not flexible.
    """
    details: dict[str, Any] = {
        "projectId": spec.get("projectId"),
        "compartmentId": spec.get("compartmentId"),
        "jobConfigurationDetails": dict(settings),
        "jobInfrastructureConfigurationDetails": _build_infrastructure(spec),
        "jobLogConfigurationDetails": _build_log(spec.get("logGroupId"), spec.get("logId")),
        "freeformTags": dict(spec.get("freeformTags") or {}),
        "definedTags": dict(spec.get("definedTags") or {}),
    }
    return {name: value for name, value in details.items() if value is not None}


def build_container(
    image: str,
    command: Mapping[str, Sequence[str]],
    digest: str | None = None,
    signature: str | None = None,
) -> dict[str, Any]:
    """Return ``jobEnvironmentConfigurationDetails``.

    Args:
        image: The image.
        command: Its ``entrypoint`` and ``cmd``.
        digest: Digest of the image.
        signature: OCID of its signature.
    """
    details: dict[str, Any] = {
        "jobEnvironmentType": "OCIR_CONTAINER",
        "image": image,
        **{key: [str(word) for word in words] for key, words in command.items()},
        "imageDigest": digest,
        "imageSignatureId": signature,
    }
    return {name: value for name, value in details.items() if value is not None}


def choose_conda(conda: str | None, region: str) -> dict[str, str]:
    """Return the variables that choose a conda environment.

    Args:
        conda: A service environment's slug, or the ``oci://`` URI of a published one.
        region: Region of the bucket of a published one.

    Raises:
        ConfigError: If the URI is incomplete.
    """
    if not conda:
        return {}
    if not conda.startswith("oci://"):
        return {"CONDA_ENV_TYPE": "service", "CONDA_ENV_SLUG": conda}
    uri = urlsplit(conda)
    if not (uri.username and uri.hostname and uri.path.strip("/")):
        raise ConfigError(
            f"conda environment {conda!r}: write oci://bucket@namespace/path/of/the/environment"
        )
    return {
        "CONDA_ENV_TYPE": "published",
        "CONDA_ENV_NAMESPACE": uri.netloc.rpartition("@")[2],
        "CONDA_ENV_BUCKET": uri.username,
        "CONDA_ENV_OBJECT_NAME": uri.path.lstrip("/"),
        "CONDA_ENV_REGION": region,
    }


def substitute_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return variables with ``${NAME}`` replaced by the value of another one, and ``$$`` by ``$``.

    As with ADS, a value is left alone from a name on that none of the variables has.

    Raises:
        ConfigError: If variables refer to each other in a circle.
    """
    return {name: _substitute(name, value, env, 0) for name, value in env.items()}


def _substitute(name: str, value: str, env: Mapping[str, str], depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise ConfigError(
            f"environment variable {name}={env.get(name, value)!r} refers to itself: write $$ for "
            "a dollar sign that refers to nothing"
        )
    pieces, start = [], 0
    for match in _REFERENCE.finditer(value):
        other = match[1]
        if other is not None and other not in env:
            break
        pieces.append(value[start : match.start()])
        pieces.append("$" if other is None else _substitute(other, env[other], env, depth + 1))
        start = match.end()
    return "".join([*pieces, value[start:]])


def _build_infrastructure(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``jobInfrastructureConfigurationDetails``."""
    found = {rest: spec[name] for name, rest in _INFRASTRUCTURE.items() if spec.get(name)}
    shape = str(found.get("shapeName", ""))
    if shape and not shape.endswith("Flex") and "jobShapeConfigDetails" in found:
        raise ConfigError(f"shape {shape} is not flexible: leave out ocpus and memory_gb")
    if "subnetId" in found:
        found["jobInfrastructureType"] = "STANDALONE"
    return found


def _build_log(group: str | None, log: str | None) -> dict[str, Any] | None:
    """Return ``jobLogConfigurationDetails``."""
    if not group:
        return None
    details = {"enableLogging": True, "enableAutoLogCreation": not log, "logGroupId": group}
    return {**details, "logId": log} if log else details
