"""Validation of request bodies against the SDK's models and the service's limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import oci.data_science.models as models

from tests.oci_emulator.errors import invalid

MAX_ARGUMENTS = 4000
MAX_ENVIRONMENT = 20_000
MAX_COMMAND = 2048
MAX_NAME = 255
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 10, 100, 256
LONGEST_RUN = 43_200  # minutes [assumed]

_REQUIRED = {
    "CreateJobDetails": ("projectId", "compartmentId"),
    "CreateJobRunDetails": ("projectId", "compartmentId", "jobId"),
    "StandaloneJobInfrastructureConfigurationDetails": (
        *("shapeName", "subnetId", "blockStorageSizeInGBs"),
    ),
    "ManagedEgressStandaloneJobInfrastructureConfigurationDetails": (
        *("shapeName", "blockStorageSizeInGBs"),
    ),
    "OcirContainerJobEnvironmentConfigurationDetails": ("image",),
    "MultiNodeJobInfrastructureConfigurationDetails": ("shapeName", "blockStorageSizeInGBs"),
    "JobNodeGroupConfigurationDetails": ("name",),
    "JobCustomNetworkConfiguration": ("subnetId",),
    "DefaultJobConfigurationDetails": ("jobType",),
}
_PLAIN: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool}


def validate(kind: str, body: Any) -> dict[str, Any]:
    """Return a body after validating it as a model of the SDK.

    Raises:
        ServiceError: If a field is unknown, missing, of another type or over a limit (400).
    """
    _check_model(kind, body, kind)
    _check_limits(body)
    return dict(body)


def _check_model(kind: str, value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise invalid(f"{where} must be an object")
    cls = getattr(models, kind)
    if hasattr(cls, "get_subtype"):
        kind = cls.get_subtype(value)
        cls = getattr(models, kind)
    model = cls()
    fields = {
        name: model.swagger_types[attribute] for attribute, name in model.attribute_map.items()
    }
    for name, item in value.items():
        if name not in fields:
            raise invalid(f"{where} has an unknown field {name!r}")
        if item is not None:
            _check_value(fields[name], item, f"{where}.{name}")
    for name in _REQUIRED.get(kind, ()):
        if value.get(name) is None:
            raise invalid(f"{where}.{name} is required")
    _check_choices(cls, model.attribute_map, value, where)


def _check_value(kind: str, value: Any, where: str) -> None:
    is_list, is_dict = re.fullmatch(r"list\[(.*)\]", kind), re.fullmatch(r"dict\(str, (.*)\)", kind)
    if is_list:
        if not isinstance(value, list):
            raise invalid(f"{where} must be a list")
        for item in value:
            _check_value(is_list[1], item, where)
    elif is_dict:
        if not isinstance(value, dict):
            raise invalid(f"{where} must be an object")
        for item in value.values():
            _check_value(is_dict[1], item, where)
    elif kind in _PLAIN:
        if not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise invalid(f"{where} must be a {kind}")
    elif kind not in ("object", "datetime"):
        _check_model(kind, value, where)


def _check_choices(
    cls: Any, attributes: Mapping[str, str], value: Mapping[str, Any], where: str
) -> None:
    """Check enumerations, for which the SDK has constants ``FIELD_VALUE``."""
    for attribute, name in attributes.items():
        start = f"{attribute.upper()}_"
        allowed = {getattr(cls, c) for c in dir(cls) if c.startswith(start)}
        if allowed and name in value and value[name] not in allowed:
            raise invalid(f"{where}.{name} is {value[name]!r}, not one of {sorted(allowed)}")


def _check_limits(body: Mapping[str, Any]) -> None:
    for name in ("jobNodeConfigurationDetails", "jobNodeConfigurationOverrideDetails"):
        for group in (body.get(name) or {}).get("jobNodeGroupConfigurationDetailsList") or []:
            _check_limits(group)
    if len(body.get("displayName") or "") > MAX_NAME:
        raise invalid(f"displayName has more than {MAX_NAME} characters")
    tags = body.get("freeformTags") or {}
    if len(tags) > MAX_TAGS:
        raise invalid(f"{len(tags)} freeform tags; at most {MAX_TAGS}")
    for key, value in tags.items():
        if len(key) > MAX_TAG_KEY or len(value) > MAX_TAG_VALUE:
            raise invalid(f"freeform tag {key[:40]!r} is too long")
    for name in (
        "jobEnvironmentConfigurationDetails",
        "jobEnvironmentConfigurationOverrideDetails",
    ):
        container = body.get(name) or {}
        words = [*(container.get("entrypoint") or ()), *(container.get("cmd") or ())]
        if sum(len(word.encode()) for word in words) >= MAX_COMMAND:
            raise invalid(f"cmd and entrypoint must have less than {MAX_COMMAND} bytes")
    for name in ("jobConfigurationDetails", "jobConfigurationOverrideDetails"):
        _check_configuration(body.get(name) or {})


def _check_configuration(settings: Mapping[str, Any]) -> None:
    if len(settings.get("commandLineArguments") or "") > MAX_ARGUMENTS:
        raise invalid(f"commandLineArguments has more than {MAX_ARGUMENTS} characters")
    env = settings.get("environmentVariables") or {}
    if sum(len(k) + len(v) for k, v in env.items()) > MAX_ENVIRONMENT:
        raise invalid(f"environmentVariables has more than {MAX_ENVIRONMENT} characters")
    minutes = settings.get("maximumRuntimeInMinutes")
    if minutes is not None and not 1 <= minutes <= LONGEST_RUN:
        raise invalid(f"maximumRuntimeInMinutes {minutes} is not in 1..{LONGEST_RUN}")
