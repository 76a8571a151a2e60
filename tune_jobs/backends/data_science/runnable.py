"""Jobs that cannot be run trial by trial, refused before anything is created.

A trial is one job run on one node. Replicas of a distributed runtime would wait for partners that
are never started, and every trial would be billed until they give up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_jobs.backends.data_science.container import check_command, check_container
from tune_jobs.errors import ConfigError

_DISTRIBUTED = "pytorchdistributed"
_NODE_COUNTS = {"NODE_COUNT": 1, "OCI__WORKER_COUNT": 0}
"""Variables in which ADS keeps the number of nodes, and the largest one of a single node."""

_FIX = (
    "tune_jobs runs each trial on one node. Use a single-node runtime (ScriptRuntime, "
    "PythonRuntime, or ContainerRuntime without replicas) on a larger shape"
)


def check_runtime(name: str, job: Mapping[str, Any]) -> None:
    """Check the specification of an ADS job.

    Args:
        name: The job, for the message.
        job: Its specification, as ``Job.to_dict()`` returns it.

    Raises:
        ConfigError: If its runs are distributed, or containers that take no arguments.
    """
    runtime = (job.get("spec") or {}).get("runtime") or {}
    kind, spec = str(runtime.get("type", "")), runtime.get("spec") or {}
    replicas = _read_count(spec.get("replicas", spec.get("replica")))
    if kind.lower() == _DISTRIBUTED:
        raise ConfigError(f"{name} has the runtime {kind}, which is distributed: {_FIX}")
    if replicas > 1:
        raise ConfigError(f"{name} has {replicas} replicas: {_FIX}")
    if kind.lower() == "container":
        check_container(name, spec)
    variables = spec.get("env") or []
    _check_variables(name, {str(v.get("name")): v.get("value") for v in variables})


def check_job(model: Any) -> None:
    """Check a job that exists, as the SDK describes it.

    Raises:
        ConfigError: If its runs have several nodes, or are containers that take no arguments.
    """
    name = f"job {model.id}"
    if getattr(model, "job_node_configuration_details", None) is not None:
        raise ConfigError(f"{name} is a multi-node job: {_FIX}")
    environment = getattr(model, "job_environment_configuration_details", None)
    if environment is not None:
        words = {"entrypoint": environment.entrypoint, "cmd": environment.cmd}
        check_command(name, words)
    settings = model.job_configuration_details
    _check_variables(name, getattr(settings, "environment_variables", None) or {})


def _check_variables(name: str, env: Mapping[str, Any]) -> None:
    for variable, largest in _NODE_COUNTS.items():
        if _read_count(env.get(variable)) > largest:
            raise ConfigError(f"{name} has {variable}={env[variable]}, several nodes: {_FIX}")


def _read_count(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
