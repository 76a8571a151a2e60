"""Definitions of a study's job: a script, a job of ADS, or its YAML.

A definition identifies itself (`JobDefinition.fingerprint`) and checks itself without ADS, whose
import takes seconds. `JobDefinition.build` builds the job, for which a script needs no ADS either.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from tune_jobs.arguments.calls import strict_types
from tune_jobs.backends.data_science.ads_job import quiet_ads, read_ads_job
from tune_jobs.backends.data_science.job_details import (
    ENTRYPOINT,
    build_details,
    build_settings,
    choose_conda,
    substitute_variables,
)
from tune_jobs.backends.data_science.mounts import check_mounts
from tune_jobs.backends.data_science.new_job import NewJob
from tune_jobs.backends.data_science.runnable import check_runtime
from tune_jobs.backends.oci_runs.shapes import check_size, check_values
from tune_jobs.core.nodes import check_nodes
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import ConfigError
from tune_jobs.oci.connection import Connection
from tune_jobs.script.entry_point import EntryPoint

_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
_FOLDER = "code"
_SESSION_VARIABLES = {"NB_SESSION_OCID", "PROJECT_OCID"}
"""Variables of notebook sessions and job runs, from which ADS takes compartment and project."""
_EXCLUDED = (".*", "__pycache__", "venv", "node_modules", "*.egg-info")
"""Names excluded from a folder: hidden files (.git, .venv, .env) and what can be rebuilt."""


@strict_types
@dataclass(frozen=True)
class Infrastructure:
    """What a job runs on. In a notebook session, what is None is taken from the session.

    Args:
        compartment, project: OCIDs.
        shape: Compute shape (``VM.Standard.E4.Flex``).
        ocpus, memory_gb: Size of a flexible shape.
        block_storage_gb: Size of the disk, at least 50.
        subnet: OCID; None for a network that the service manages.
        log_group, log: OCIDs; with a group alone, the service creates a log for each run.
        storage_mounts: As in ADS: ``{"src": "10.0.0.5:/export", "dest": "data"}`` for file
            storage (the address of its mount target, or the OCIDs of mount target and export),
            ``{"src": "oci://bucket@namespace/prefix", "dest": "data"}`` for objects.
        tags: Freeform tags of the job and its runs, at most five: tune_jobs sets five others.
        defined_tags: Defined tags, by namespace.
    """

    compartment: str | None = None
    project: str | None = None
    shape: str | None = None
    ocpus: float | None = None
    memory_gb: float | None = None
    block_storage_gb: int | None = None
    subnet: str | None = None
    log_group: str | None = None
    log: str | None = None
    storage_mounts: Sequence[Mapping[str, str]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    defined_tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("compartment", "project", "subnet", "log_group", "log"):
            value = getattr(self, name)
            if value is not None and not value.startswith("ocid1."):
                raise ConfigError(f"{name} {value!r} is not an OCID: it must begin with 'ocid1.'")
        if self.log and not self.log_group:
            raise ConfigError("log needs log_group: add the log's group")
        size = {"shape": self.shape, "ocpus": self.ocpus, "memory_gb": self.memory_gb}
        check_values("infrastructure", {k: v for k, v in size.items() if v is not None})
        if self.block_storage_gb is not None and self.block_storage_gb < 50:
            raise ConfigError(f"block_storage_gb={self.block_storage_gb}: it must be at least 50")
        check_mounts(self.storage_mounts)
        if len(self.tags) > 5:
            raise ConfigError(
                f"{len(self.tags)} tags: at most 5 are possible beside those of tune_jobs"
            )


@dataclass(frozen=True)
class RunnerStart:
    """How the runner starts what was uploaded; ``{here}`` is where it was unpacked.

    Args:
        command: The first words of the command; None for the artifact's own entry point.
        work_dir: The working directory.
    """

    command: tuple[str, ...] | None = None
    work_dir: str = "{here}"


class JobDefinition(Protocol):
    """Definition of a job."""

    def check(self) -> None:
        """Check that the definition can work.

        Raises:
            ConfigError: If it cannot; the message names the fix.
        """
        ...

    @property
    def compartment(self) -> str | None:
        """OCID of the job's compartment, if it is known."""
        ...

    def fingerprint(self) -> str:
        """Return a hexadecimal string that changes whenever the job would."""
        ...

    def build(self, connection: Connection, staging: Path) -> NewJob:
        """Build the job to create; ``staging`` is an empty folder for its files.

        Raises:
            ConfigError: If no job can be made of the definition.
        """
        ...

    def runner_start(self) -> RunnerStart:
        """Return how the runner starts what was uploaded."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class ScriptDefinition:
    """Script, or folder with a script in it.

    Args:
        entry: A file, or a module below ``source``.
        source: The folder (or archive) that is uploaded; None for the file alone.
        conda: A service environment's slug (``generalml_p311_cpu_x86_64_v1``), or the
            ``oci://`` URI of a published one.
        env: Environment variables of the job.
        max_runtime: Minutes after which the service stops a run.
        infrastructure: What it runs on.
        nodes: Number of nodes of each run.
    """

    entry: EntryPoint
    source: str | None
    conda: str | None
    env: Mapping[str, str]
    max_runtime: int | None
    infrastructure: Infrastructure
    nodes: int = 1

    def __str__(self) -> str:
        return self.entry.words[0]

    @property
    def command(self) -> list[str]:
        """The first words of the command, as a shell takes them."""
        entry = self.entry.words[0]
        if self._is_module:
            return ["python", "-m", entry]
        programs = {".py": "python", ".sh": "bash"}
        program = programs.get(os.path.splitext(entry)[1])
        return [program, entry] if program else [entry]

    def check(self) -> None:
        """See `JobDefinition.check`."""
        if self.source is not None and not os.path.exists(self.source):
            raise ConfigError(f"source {self.source} does not exist")
        if not self._in_archive:
            self.entry.check()
        on = self.infrastructure
        if (on.compartment is None or on.project is None) and not _SESSION_VARIABLES & {
            *os.environ
        }:
            raise ConfigError(
                "compartment and project are missing: only in a notebook session of OCI do they "
                "default to the session's. Use Infrastructure(compartment=..., project=..., "
                "shape=...)"
            )
        if on.shape is not None and not _SESSION_VARIABLES & {*os.environ}:
            check_size(on.shape, has_size=on.ocpus is not None)
        if self.entry.kind == "program" and len(self.entry.words) > 1:
            raise ConfigError(
                f"entry point {list(self.entry.words)}: a job has one script; put the command "
                "into a shell script, and the arguments into the command line"
            )
        _ = self.entrypoint

    @property
    def compartment(self) -> str | None:
        """See `JobDefinition.compartment`."""
        return self.infrastructure.compartment

    @property
    def entrypoint(self) -> str:
        """Path of the script within what is uploaded; empty for a module.

        Raises:
            ConfigError: If it is not below ``source``.
        """
        if self._is_module:
            return ""
        path = self.entry.words[0]
        if self.source is None:
            return os.path.basename(path)
        if self._in_archive:
            return os.path.relpath(path, self.entry.root)
        relative = os.path.relpath(path, self.source)
        if relative.startswith(".."):
            raise ConfigError(f"the script {path} is not below source {self.source}")
        return f"{_FOLDER}/{relative}"

    @property
    def _in_archive(self) -> bool:
        return self.source is not None and self.source.endswith(_ARCHIVES)

    @property
    def _is_module(self) -> bool:
        return self.entry.kind == "module"

    @property
    def uploaded(self) -> str:
        """Local file or folder that is uploaded."""
        if self.source is None and self._is_module:
            top = os.path.join(self.entry.root, self.entry.words[0].split(".")[0])
            return top if os.path.isdir(top) else f"{top}.py"
        return self.source or self.entry.words[0]

    def fingerprint(self) -> str:
        """See `JobDefinition.fingerprint`."""
        facts = {**asdict(self), "entry": self.entrypoint or self.entry.words[0]}
        facts.pop("source")
        if self.nodes == 1:  # as jobs of earlier versions have been recorded
            facts.pop("nodes")
        return digest(facts, [self.uploaded])

    def runner_start(self) -> RunnerStart:
        """See `JobDefinition.runner_start`."""
        if self._is_module:
            return RunnerStart(("{python}", "-m", self.entry.words[0]), f"{{here}}/{_FOLDER}")
        has_folder = self.source is not None and not self._in_archive
        return RunnerStart(None, f"{{here}}/{_FOLDER}" if has_folder else "{here}")

    def build(self, connection: Connection, staging: Path) -> NewJob:
        """See `JobDefinition.build`."""
        env = substitute_variables(self.env)
        if self.conda:
            env.update(choose_conda(self.conda, connection.region_in_use))
        if os.path.isfile(self.uploaded) and not self._is_module:
            artifact = Path(self.uploaded)
        else:
            artifact = self.stage(staging)
        if self.entrypoint and artifact.name != self.entrypoint:
            env[ENTRYPOINT] = self.entrypoint
        settings = build_settings(env, max_runtime=self.max_runtime)
        details = build_details(build_spec(self.infrastructure), settings)
        mounts = tuple(self.infrastructure.storage_mounts)
        return NewJob(details, artifact, mounts, check_nodes(self.nodes))

    def stage(self, staging: Path) -> Path:
        """Copy what is uploaded, without the excluded names; a module goes below its root."""
        folder = staging / _FOLDER
        source = Path(self.uploaded)
        target = folder / source.name if self.source is None else folder
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_EXCLUDED))
        else:
            folder.mkdir()
            shutil.copy(source, target)
        return folder


@dataclass(frozen=True)
class AdsDefinition:
    """Job that was defined with ADS and is not created yet."""

    job: Any

    def __str__(self) -> str:
        return str(self.job.name or "an ADS job")

    def check(self) -> None:
        """See `JobDefinition.check`."""
        if self.job.runtime is None or self.job.infrastructure is None:
            raise ConfigError("the ADS job needs a runtime and an infrastructure")
        check_runtime(str(self), self.job.to_dict())

    @property
    def compartment(self) -> str | None:
        """See `JobDefinition.compartment`."""
        return _find_compartment(self.job.to_dict())

    def fingerprint(self) -> str:
        """See `JobDefinition.fingerprint`."""
        spec = self.job.to_dict()
        return digest(spec, _find_local_sources(spec))

    def build(self, connection: Connection, staging: Path) -> NewJob:
        """See `JobDefinition.build`."""
        return read_ads_job(self.job, staging)

    def runner_start(self) -> RunnerStart:
        """See `JobDefinition.runner_start`."""
        return RunnerStart()


@dataclass(frozen=True)
class YamlDefinition:
    """Job in the YAML of ADS, as ``Job.to_yaml()`` writes it."""

    path: Path

    def __str__(self) -> str:
        return self.path.name

    def check(self) -> None:
        """See `JobDefinition.check`."""
        spec = self._read()
        if spec.get("kind") != "job" or "spec" not in spec:
            raise ConfigError(f"{self.path} is not the YAML of an ADS job: it has no `kind: job`")
        check_runtime(str(self.path), spec)

    @property
    def compartment(self) -> str | None:
        """See `JobDefinition.compartment`."""
        return _find_compartment(self._read())

    def fingerprint(self) -> str:
        """See `JobDefinition.fingerprint`."""
        spec = self._read()
        return digest(spec, _find_local_sources(spec))

    def build(self, connection: Connection, staging: Path) -> NewJob:
        """See `JobDefinition.build`."""
        with quiet_ads():
            from ads.jobs import Job

            job = Job.from_dict(self._read())
        return read_ads_job(job, staging)

    def runner_start(self) -> RunnerStart:
        """See `JobDefinition.runner_start`."""
        return RunnerStart()

    def _read(self) -> dict[str, Any]:
        import yaml

        try:
            spec = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"the job's YAML {self.path} cannot be read: {error}") from error
        return spec if isinstance(spec, dict) else {}


def build_spec(infrastructure: Infrastructure) -> dict[str, Any]:
    """Return an infrastructure as ADS specifies it."""
    spec: dict[str, Any] = {
        "compartmentId": infrastructure.compartment,
        "projectId": infrastructure.project,
        "shapeName": infrastructure.shape,
        "blockStorageSize": infrastructure.block_storage_gb,
        "subnetId": infrastructure.subnet,
        "logGroupId": infrastructure.log_group,
        "logId": infrastructure.log,
        "storageMount": [dict(mount) for mount in infrastructure.storage_mounts] or None,
        "freeformTags": dict(infrastructure.tags) or None,
        "definedTags": {k: dict(v) for k, v in infrastructure.defined_tags.items()} or None,
    }
    if infrastructure.ocpus is not None:
        spec["shapeConfigDetails"] = {
            "ocpus": infrastructure.ocpus,
            "memoryInGBs": infrastructure.memory_gb,
        }
    return {name: value for name, value in spec.items() if value is not None}


def _find_compartment(job: Mapping[str, Any]) -> str | None:
    """Return the compartment in the specification of an ADS job."""
    infrastructure = job.get("spec", {}).get("infrastructure", {}).get("spec", {})
    compartment = infrastructure.get("compartmentId") or infrastructure.get("compartment_id")
    return str(compartment) if compartment else None


def digest(facts: Any, paths: Sequence[str]) -> str:
    """Return the SHA-256 of facts and of files; of folders, all files that would be uploaded."""
    sha = hashlib.sha256(encode_json(facts, sort_keys=True, default=str).encode())
    for root in map(Path, paths):
        for file in [root] if root.is_file() else sorted(root.rglob("*")):
            relative = file.relative_to(root)
            if file.is_file() and not any(map(_is_excluded, relative.parts)):
                sha.update(f"\0{relative}\0".encode())
                sha.update(hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()


def _is_excluded(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in _EXCLUDED)


def _find_local_sources(spec: Any) -> list[str]:
    """Return the local files and folders that the specification of a job names."""
    found: list[str] = []
    if isinstance(spec, Mapping):
        for name, value in spec.items():
            names_source = "uri" in name.lower() or name in ("source", "notebook")
            if names_source and isinstance(value, str) and os.path.exists(value):
                found.append(value)
            found += _find_local_sources(value)
    elif isinstance(spec, list):
        for item in spec:
            found += _find_local_sources(item)
    return found
