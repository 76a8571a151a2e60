"""The backend that a study.yaml asks for.

backend:                                 backend:
  type: local                              type: data_science
  link: [data]                             compartment: ocid1.compartment.oc1..aaaa
  time_limit: 3600                         project: ocid1.datascienceproject.oc1..aaaa
                                           shape: VM.Standard.E4.Flex
                                           ocpus: 2
                                           memory_gb: 16
                                           conda: generalml_p311_cpu_x86_64_v1
                                           connection: {profile: TUNING}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tune_jobs.backends.base import Backend
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.errors import ConfigError, did_you_mean
from tune_jobs.script.entry_point import EntryPoint

_LOCAL = ("env", "link", "time_limit", "grace")
_JOB = ("job", "source", "conda", "env", "max_runtime")
_RUNS = (
    *("fallback_shapes", "poll_seconds", "start_rate", "upload_seconds", "upload_rate"),
    *("metrics_from", "connection"),
)


def make_backend(config: StudyConfig, folder: Path) -> Backend:
    """The backend of a study.yaml that lies in ``folder``.

    Raises:
        ConfigError: its type or an option is not known, or cannot be used.
    """
    options = {name: value for name, value in config.backend.items() if name != "type"}
    place = config.places.get("backend", "backend")
    kinds = {"local": _local, "data_science": _data_science}
    kind = config.backend["type"]
    if kind not in kinds:
        raise ConfigError(f"{place}: unknown backend type {kind!r} {did_you_mean(kind, kinds)}")
    try:
        return kinds[kind](config, folder, options)
    except ConfigError as error:
        raise type(error)(f"{place}: {error}") from error


def _local(config: StudyConfig, folder: Path, options: Mapping[str, Any]) -> Backend:
    _check_names(options, _LOCAL)
    return LocalBackend(
        _entry_point(config, folder),
        python=config.python,
        env=_env(options),
        link=[folder / path for path in options.get("link") or ()],
        time_limit=options.get("time_limit"),
        grace=options.get("grace", 10.0),
    )


def _data_science(config: StudyConfig, folder: Path, options: Mapping[str, Any]) -> Backend:
    # Imported here: a study with local runs needs nothing of OCI.
    from tune_jobs.backends.data_science.backend import DataScienceBackend
    from tune_jobs.backends.data_science.definition import Infrastructure
    from tune_jobs.oci.connection import Connection

    on = [field.name for field in fields(Infrastructure)]
    _check_names(options, (*_JOB, *on, *_RUNS))
    given = {name: options[name] for name in _RUNS if name in options}
    connection = given.pop("connection", None) or {}
    _check_names(connection, [f.name for f in fields(Connection) if f.init and f.repr])
    given["connection"] = Connection(**connection)
    infrastructure = {name: options[name] for name in on if name in options}
    job = options.get("job")
    if job is None:
        source = options.get("source")
        return DataScienceBackend.from_script(
            _entry_point(config, folder),
            Infrastructure(**infrastructure),
            source=None if source is None else folder / source,
            conda=options.get("conda"),
            env=_env(options),
            max_runtime=options.get("max_runtime"),
            **given,
        )
    superfluous = [name for name in (*infrastructure, "source", "conda") if name in options]
    if superfluous:
        raise ConfigError(f"{superfluous[0]!r} belongs to the job, which is given by `job`: remove")
    given |= {"env": _env(options), "max_runtime": options.get("max_runtime")}
    if str(job).startswith("ocid1."):
        return DataScienceBackend.from_ocid(job, **given)
    return DataScienceBackend.from_yaml(folder / job, **given)


def _check_names(options: Mapping[str, Any], known: Any) -> None:
    for name in options:
        if name not in known:
            raise ConfigError(f"unknown key {name!r} {did_you_mean(name, known)}")


def _env(options: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in (options.get("env") or {}).items()}


def _entry_point(config: StudyConfig, folder: Path) -> EntryPoint:
    if config.module is not None:
        return EntryPoint.module(config.module, root=folder)
    return EntryPoint.parse(config.script or list(config.command or ()), root=folder)
