"""What a study's job is made from: a script, a job of ADS, its YAML, or a job that exists.

A definition says everything that can be said without ADS, whose import takes seconds: what it is
(`JobDefinition.fingerprint`), and whether it can work. `JobDefinition.ads_job` makes the ADS job.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from tune_jobs.errors import ConfigError
from tune_jobs.script.entry_point import EntryPoint

_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar")
_FOLDER = "code"
_KNOWS_ITS_PLACE = {"NB_SESSION_OCID", "PROJECT_OCID"}
"""Variables of notebook sessions and job runs, by which ADS finds out where it is."""
_NOT_UPLOADED = (".*", "__pycache__", "venv", "node_modules", "*.egg-info")
"""What is left out of a folder: hidden files (.git, .venv, .env) and what can be made again."""


@dataclass(frozen=True)
class Infrastructure:
    """What a job runs on. In a notebook session whatever is None is the session's own.

    Args:
        compartment, project: OCIDs.
        shape: Compute shape (``VM.Standard.E4.Flex``).
        ocpus, memory_gb: Size of a flexible shape.
        block_storage_gb: Size of the disk, at least 50.
        subnet: OCID; None lets the service manage the way out.
        log_group, log: OCIDs; a group alone makes the service create a log for every run.
        storage_mounts: As ADS has them: ``{"src": "<mount target>:<export>", "dest": "data"}`` for
            file storage, ``{"src": "oci://bucket@namespace/prefix", "dest": "data"}`` for objects.
        tags: Freeform tags of the job and its runs; five of ten are left for tune_jobs.
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
                raise ConfigError(f"{name} {value!r} is not an OCID, which begins with 'ocid1.'")
        if self.log and not self.log_group:
            raise ConfigError("log is given without log_group: add the log's group")
        if (self.ocpus is None) != (self.memory_gb is None):
            raise ConfigError("a flexible shape needs both ocpus and memory_gb")
        if self.block_storage_gb is not None and self.block_storage_gb < 50:
            raise ConfigError(
                f"block_storage_gb is {self.block_storage_gb}: the service's least is 50"
            )
        if len(self.tags) > 5:
            raise ConfigError(f"{len(self.tags)} tags: at most 5 are left beside tune_jobs' own")


@dataclass(frozen=True)
class RunnerStart:
    """How the runner starts what was uploaded; ``{here}`` is where it was unpacked.

    Args:
        command: The first words; None: the artifact's own entry point.
        work_dir: Where it starts.
    """

    command: tuple[str, ...] | None = None
    work_dir: str = "{here}"


class JobDefinition(Protocol):
    """What a job is made from."""

    def check(self) -> None:
        """Look for what cannot work.

        Raises:
            ConfigError: its message says what to mend.
        """
        ...

    @property
    def compartment(self) -> str | None:
        """Where the job will be, if that is said."""
        ...

    def fingerprint(self) -> str:
        """Changes whenever the job that would be made changes; hexadecimal."""
        ...

    def ads_job(self, staging: Path) -> Any:
        """The ``ads.jobs.Job``, not created yet; ``staging`` is an empty folder for its files."""
        ...

    def start(self) -> RunnerStart:
        """How the runner starts what was uploaded."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class ScriptDefinition:
    """A script, or a folder with a script in it.

    Args:
        entry: A file, or a module below ``source``.
        source: The folder (or archive) that is uploaded; None: the file alone.
        conda: A service environment's slug (``generalml_p311_cpu_x86_64_v1``), or the
            ``oci://`` URI of a published one.
        env: Environment variables of the job.
        max_runtime: Minutes after which the service stops a run.
        infrastructure: What it runs on.
    """

    entry: EntryPoint
    source: str | None
    conda: str | None
    env: Mapping[str, str]
    max_runtime: int | None
    infrastructure: Infrastructure

    def __str__(self) -> str:
        return self.entry.words[0]

    def check(self) -> None:
        """See `JobDefinition.check`."""
        if self.source is not None and not os.path.exists(self.source):
            raise ConfigError(f"source {self.source} does not exist")
        if not self._in_archive:
            self.entry.check()
        on = self.infrastructure
        if (on.compartment is None or on.project is None) and not _KNOWS_ITS_PLACE & {*os.environ}:
            raise ConfigError(
                "compartment and project are not given: only in a notebook session of OCI are they "
                "the session's own. Say Infrastructure(compartment=..., project=..., shape=...)"
            )
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
        """The script within what is uploaded; empty for a module.

        Raises:
            ConfigError: it is not below ``source``.
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
    def _uploaded(self) -> str:
        """The file or folder on this machine that is uploaded."""
        if self.source is None and self._is_module:
            top = os.path.join(self.entry.root, self.entry.words[0].split(".")[0])
            return top if os.path.isdir(top) else f"{top}.py"
        return self.source or self.entry.words[0]

    def fingerprint(self) -> str:
        """See `JobDefinition.fingerprint`."""
        facts = {**asdict(self), "entry": self.entrypoint or self.entry.words[0]}
        facts.pop("source")
        return digest(facts, [self._uploaded])

    def start(self) -> RunnerStart:
        """See `JobDefinition.start`."""
        if self._is_module:
            return RunnerStart(("{python}", "-m", self.entry.words[0]), f"{{here}}/{_FOLDER}")
        has_folder = self.source is not None and not self._in_archive
        return RunnerStart(None, f"{{here}}/{_FOLDER}" if has_folder else "{here}")

    def ads_job(self, staging: Path) -> Any:
        """See `JobDefinition.ads_job`."""
        from ads.jobs import DataScienceJob, Job, ScriptRuntime

        runtime = ScriptRuntime()
        if os.path.isfile(self._uploaded) and not self._is_module:
            # A name for the entry point, of an archive only: a file is its own.
            named = {"entrypoint": self.entrypoint} if self._in_archive else {}
            runtime.with_source(self._uploaded, **named)
        else:
            runtime.with_source(str(self._stage(staging)), entrypoint=self.entrypoint or "-")
        if self.conda and self.conda.startswith("oci://"):
            runtime.with_custom_conda(self.conda)
        elif self.conda:
            runtime.with_service_conda(self.conda)
        if self.env:
            runtime.with_environment_variable(**self.env)
        if self.max_runtime:
            runtime.with_maximum_runtime_in_minutes(self.max_runtime)
        infrastructure = DataScienceJob(spec=_ads_spec(self.infrastructure))
        return Job().with_infrastructure(infrastructure).with_runtime(runtime)

    def _stage(self, staging: Path) -> Path:
        """A copy without what nobody means to upload; a module below its root."""
        folder = staging / _FOLDER
        source = Path(self._uploaded)
        target = folder / source.name if self.source is None else folder
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_NOT_UPLOADED))
        else:
            folder.mkdir()
            shutil.copy(source, target)
        return folder


@dataclass(frozen=True)
class AdsDefinition:
    """A job that was defined with ADS and is not created yet."""

    job: Any

    def __str__(self) -> str:
        return str(self.job.name or "a job of ADS")

    def check(self) -> None:
        """See `JobDefinition.check`."""
        if self.job.runtime is None or self.job.infrastructure is None:
            raise ConfigError("the ADS job needs a runtime and an infrastructure")

    @property
    def compartment(self) -> str | None:
        """See `JobDefinition.compartment`."""
        return _compartment(self.job.to_dict())

    def fingerprint(self) -> str:
        """See `JobDefinition.fingerprint`."""
        facts = self.job.to_dict()
        return digest(facts, _local_sources(facts))

    def ads_job(self, staging: Path) -> Any:
        """See `JobDefinition.ads_job`."""
        return self.job

    def start(self) -> RunnerStart:
        """See `JobDefinition.start`."""
        return RunnerStart()


@dataclass(frozen=True)
class YamlDefinition:
    """A job in the YAML of ADS, as ``Job.to_yaml()`` writes it."""

    path: Path

    def __str__(self) -> str:
        return self.path.name

    def check(self) -> None:
        """See `JobDefinition.check`."""
        facts = self._facts()
        if facts.get("kind") != "job" or "spec" not in facts:
            raise ConfigError(f"{self.path} is not the YAML of an ADS job: it has no `kind: job`")

    @property
    def compartment(self) -> str | None:
        """See `JobDefinition.compartment`."""
        return _compartment(self._facts())

    def fingerprint(self) -> str:
        """See `JobDefinition.fingerprint`."""
        facts = self._facts()
        return digest(facts, _local_sources(facts))

    def ads_job(self, staging: Path) -> Any:
        """See `JobDefinition.ads_job`."""
        from ads.jobs import Job

        return Job.from_dict(self._facts())

    def start(self) -> RunnerStart:
        """See `JobDefinition.start`."""
        return RunnerStart()

    def _facts(self) -> dict[str, Any]:
        import yaml

        try:
            facts = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"the job's YAML {self.path} cannot be read: {error}") from error
        return facts if isinstance(facts, dict) else {}


def _ads_spec(infrastructure: Infrastructure) -> dict[str, Any]:
    """The specification of ADS for an infrastructure."""
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


def _compartment(job: Mapping[str, Any]) -> str | None:
    """The compartment in the specification of an ADS job."""
    infrastructure = job.get("spec", {}).get("infrastructure", {}).get("spec", {})
    found = infrastructure.get("compartmentId") or infrastructure.get("compartment_id")
    return str(found) if found else None


def digest(facts: Any, paths: Sequence[str]) -> str:
    """SHA-256 of facts and of files, or of all files below folders that would be uploaded."""
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for root in map(Path, paths):
        for file in [root] if root.is_file() else sorted(root.rglob("*")):
            relative = file.relative_to(root)
            if file.is_file() and not any(map(_is_left_out, relative.parts)):
                sha.update(f"\0{relative}\0".encode())
                sha.update(hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()


def _is_left_out(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in _NOT_UPLOADED)


def _local_sources(facts: Any) -> list[str]:
    """Files and folders on this machine that a job's specification names."""
    found: list[str] = []
    if isinstance(facts, Mapping):
        for name, value in facts.items():
            names_source = "uri" in name.lower() or name in ("source", "notebook")
            if names_source and isinstance(value, str) and os.path.exists(value):
                found.append(value)
            found += _local_sources(value)
    elif isinstance(facts, list):
        for item in facts:
            found += _local_sources(item)
    return found
