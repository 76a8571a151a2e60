"""Build the backend that a study.yaml describes.

backend:                                 backend:
  type: local                              type: data_science
  link: [data]                             compartment: ocid1.compartment.oc1..aaaa
  time_limit: 1h                           project: ocid1.datascienceproject.oc1..aaaa
                                           shape: VM.Standard.E4.Flex
                                           ocpus: 2
                                           memory_gb: 16
                                           conda: generalml_p311_cpu_x86_64_v1
                                           connection: {profile: TUNING}

The options are the arguments of `LocalBackend`; or those of `Infrastructure`, of
`DataScienceBackend.from_script` and of `DataScienceBackend`, where ``job`` (an OCID, or a file in
the YAML of ADS) replaces the infrastructure. A variable of ``env`` may be a secret:
``HF_TOKEN: {secret: ocid1.vaultsecret...}``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tune_jobs.backends.base import Backend
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.config.study_config import StudyConfig, documented_keys
from tune_jobs.core.secret import Secret
from tune_jobs.script.entry_point import EntryPoint
from tune_jobs.space.yaml_arguments import argument_types, at_place, read_scalar
from tune_jobs.space.yaml_source import Located
from tune_jobs.tuning.option_kinds import read_seconds, read_strings

if TYPE_CHECKING:
    from tune_jobs.backends.data_science.controller_job import ControllerJob

_Reader = Callable[[Located], Any]


def make_backend(config: StudyConfig, folder: Path) -> Backend:
    """Build the backend of a study.yaml.

    Args:
        config: Contents of the file.
        folder: Folder of the file.

    Raises:
        ConfigError: If the type or an option of the backend is unknown or invalid.
    """
    builders = {"local": _build_local, "data_science": _build_data_science}
    written = dict(config.backend.mapping())
    build = builders[written.pop("type").one_of(*builders)]
    return build(config, folder, Located(written, config.backend.name, config.backend.place))


def _build_local(config: StudyConfig, folder: Path, written: Located) -> Backend:
    readers = _readers(LocalBackend) | {"time_limit": read_seconds}
    del readers["script"], readers["python"]  # keys of their own
    options = _read(written, readers)
    link = [folder / path for path in options.pop("link", ())]
    entry_point = _entry_point(config, folder)
    with at_place(written.place):
        return LocalBackend(entry_point, python=config.python, link=link, **options)


def _build_data_science(config: StudyConfig, folder: Path, written: Located) -> Backend:
    # Imported here, since studies with local runs do not need the OCI packages.
    from tune_jobs.backends.data_science.backend import DataScienceBackend
    from tune_jobs.backends.data_science.definition import Infrastructure
    from tune_jobs.oci.connection import Connection

    def read_connection(written: Located) -> Connection:
        options = _read(written, _readers(Connection))
        with at_place(written.place):
            return Connection(**options)

    infrastructure = _readers(Infrastructure)
    job = {"job": Located.string, "source": Located.string, "conda": Located.string}
    job |= {"nodes": partial(read_scalar, types=(int,))}
    others = _readers(DataScienceBackend) | {"connection": read_connection}
    del others["definition"]
    options = _read(written, others | infrastructure | job)
    for name in (*infrastructure, "source", "conda", "nodes"):
        if "job" in options and name in options:
            problem = f"{name!r} belongs to the job, which is given by `job`: remove it"
            raise written.mapping()[name].error(problem)
    size = {name: options.pop(name) for name in infrastructure if name in options}
    if "source" in options:
        options["source"] = folder / options["source"]
    with at_place(written.place):
        match options.pop("job", None):
            case None:
                script = _entry_point(config, folder)
                return DataScienceBackend.from_script(script, Infrastructure(**size), **options)
            case str(ocid) if ocid.startswith("ocid1."):
                return DataScienceBackend.from_ocid(ocid, **options)
            case path:
                return DataScienceBackend.from_yaml(folder / path, **options)


def make_controller(config: StudyConfig, folder: Path) -> ControllerJob | Literal["local"] | None:
    """Return what the controller of a study.yaml runs on.

    Args:
        config: Contents of the file.
        folder: Folder of the file.

    Raises:
        ConfigError: If an option is unknown or invalid.
    """
    written = config.controller
    if written is None:
        return None
    if not isinstance(written.value, dict):
        written.one_of("local")
        return "local"
    from tune_jobs.backends.data_science.controller_job import ControllerJob
    from tune_jobs.backends.data_science.definition import Infrastructure

    infrastructure = _readers(Infrastructure)
    job = _readers(ControllerJob)
    del job["infrastructure"]
    options = _read(written, job | infrastructure)
    size = {name: options.pop(name) for name in infrastructure if name in options}
    if "source" in options:
        options["source"] = str(folder / options["source"])
    with at_place(written.place):
        made = ControllerJob(Infrastructure(**size), **options)
        made.check()
    return made


def _readers(cls: type[Any]) -> dict[str, _Reader]:
    """Return a reader for each argument of a class; scalars have to be of the declared type."""
    types = argument_types(cls)
    readers: dict[str, _Reader] = {}
    for name in inspect.signature(cls).parameters:
        if not name.startswith("_"):
            scalar = partial(read_scalar, types=types[name]) if name in types else Located.plain
            readers[name] = _READERS.get(name, scalar)
    return readers


def _read(written: Located, readers: Mapping[str, _Reader]) -> dict[str, Any]:
    """Read the options of a mapping; an option without a value has its default."""
    top = dict.fromkeys(documented_keys(), "at the top level")
    given = written.fields("type", *readers, elsewhere=top)  # `type` has been read before
    return {name: readers[name](item) for name, item in given.items() if item.value is not None}


def _read_environment(written: Located) -> dict[str, str | Secret]:
    return {name: _read_variable(item) for name, item in written.mapping().items()}


def _read_variable(written: Located) -> str | Secret:
    """Read the value of a variable, or ``{secret: ocid1.vaultsecret...}``."""
    if isinstance(written.value, list):
        raise written.error("is a list, and an environment variable is a string")
    if not isinstance(written.value, dict):
        return str(written.plain())
    given = written.fields("secret")
    if not given:
        raise written.error("is empty: write {secret: ocid1.vaultsecret...}")
    ocid = given["secret"]
    with at_place(ocid.place):
        return Secret(ocid.value)  # which does not show what is none


_READERS: Mapping[str, _Reader] = {"env": _read_environment, "link": read_strings}


def _entry_point(config: StudyConfig, folder: Path) -> EntryPoint:
    key = "module" if config.module else "script" if config.script else "command"
    with at_place(config.places.get(key, "")):
        if config.module is not None:
            return EntryPoint.module(config.module, root=folder)
        return EntryPoint.parse(config.script or list(config.command or ()), root=folder)
