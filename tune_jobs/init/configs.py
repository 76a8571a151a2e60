"""Settings in configuration files: YAML with Hydra's defaults lists, and classes with defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tune_jobs.errors import ConfigError
from tune_jobs.init.flags import Carrier, Command, Flag, Many
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.interpreter import Interpreter
from tune_jobs.init.interpreting.modules import Sources
from tune_jobs.init.interpreting.values import is_literal
from tune_jobs.init.parsers.absl_flags import ConfigDict
from tune_jobs.init.parsers.findings import ConfigSource
from tune_jobs.init.parsers.modeled_packages import ModeledPackages
from tune_jobs.init.parsers.signatures import Convention, add_entries, read_fields
from tune_jobs.init.parsers.types import kind_of
from tune_jobs.space.yaml_source import load, loads

_MISSING = "???"
_MAX_FILES = 50


@dataclass
class ConfigFiles:
    """Configuration files that were read.

    Attributes:
        problems: Why a file could not be read.
        groups: Alternatives of each of Hydra's config groups; the chosen one is first.
    """

    problems: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    _read: int = 0

    def compose(self, folder: Path, name: str) -> dict[str, Any]:
        """Return a configuration with those that its defaults list names."""
        return self._compose(folder, name)[0]

    def _compose(self, folder: Path, name: str) -> tuple[dict[str, Any], str]:
        """Return a configuration and the package that its first lines name."""
        document, package = self._load(folder, name)
        defaults = document.pop("defaults", [])
        composed: dict[str, Any] = {}
        for entry in defaults if isinstance(defaults, list) else []:
            merge_into(composed, self._compose_entry(folder, name, entry))
        merge_into(composed, document)
        return composed, package

    def _compose_entry(self, folder: Path, name: str, entry: object) -> dict[str, Any]:
        if isinstance(entry, str):
            below = str(Path(name).parent / entry).lstrip("/")
            return {} if entry == "_self_" else self.compose(folder, below)
        if not isinstance(entry, dict) or len(entry) != 1:
            return {}
        (key, chosen), *_ = entry.items()
        group, _, package = str(key).split()[-1].partition("@")
        if "hydra" in group.split("/") or not isinstance(chosen, str):
            return {}
        absolute = group.startswith("/") or "override" in str(key).split()
        group = group.strip("/") if absolute else (Path(name).parent / group).as_posix()
        self.groups[group] = self._list_alternatives(folder, group, chosen)
        inner, header = self._compose(folder, f"{group}/{chosen}")
        return _wrap(inner, package or header or group.replace("/", "."))

    def _list_alternatives(self, folder: Path, group: str, chosen: str) -> list[str]:
        found = sorted(path.stem for path in (folder / group).glob("*.y*ml"))
        return list(dict.fromkeys([chosen, *found]))

    def _load(self, folder: Path, name: str) -> tuple[dict[str, Any], str]:
        path = folder / name
        path = path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")
        self._read += 1
        if self._read > _MAX_FILES or not path.is_file():
            self.problems.append(
                f"{name}: no such file" if not path.is_file() else "too many files"
            )
            return {}, ""
        try:
            document = load(path).plain()
            header = re.search(r"^#\s*@package\s+(\S+)", path.read_text("utf-8", "replace"), re.M)
        except (ConfigError, OSError) as error:
            self.problems.append(str(error))
            return {}, ""
        return (document if isinstance(document, dict) else {}), header[1] if header else ""


def _wrap(document: dict[str, Any], package: str) -> dict[str, Any]:
    """Return a document below the keys of a package."""
    keys = [] if package in ("_global_", "_here_") else package.split(".")
    for key in reversed(keys):
        document = {key: document}
    return document


def merge_into(document: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Merge a document into another one, recursively."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            merge_into(document[key], value)
        else:
            document[key] = value


def add_settings(command: Command, document: Mapping[str, Any], carrier: Carrier) -> None:
    """Add the scalars and lists of a document as flags with dotted names."""
    for name, value in _flatten(document, ""):
        before = command.flags.get(name)
        if before is not None:
            command.set(
                name, default=None if value == _MISSING else value, required=value == _MISSING
            )
            continue
        computed = isinstance(value, str) and "${" in value
        command.add(
            Flag(
                name,
                carrier=carrier,
                kind=kind_of(value) if value != _MISSING else None,
                default=None if value == _MISSING else value,
                required=value == _MISSING,
                many="json" if isinstance(value, list) else None,
                caution="it is computed from other settings" if computed else "",
            )
        )


def _flatten(document: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            if prefix or key != "hydra":
                yield from _flatten(value, f"{prefix}{key}.")
        elif key != "defaults":
            yield f"{prefix}{key}", value


def add_program(command: Command, source: ConfigSource, path: Path) -> None:
    """Add the settings of a Python file with a function ``get_config``, as ml_collections has it.

    They are flags below the one that names the file: ``--config.learning_rate``.
    """
    interpreter = Interpreter(Sources(path.parent, path.name), ModeledPackages())
    interpreter.run()
    config = interpreter.call_function("get_config")
    for name, value in _flatten(config.items if isinstance(config, ConfigDict) else {}, ""):
        if is_literal(value):
            full = f"{source.flag}.{name}"
            many: Many | None = "comma" if isinstance(value, list) else None
            flag = Flag(full, (f"--{full}",), kind=kind_of(value), default=value, many=many)
            command.add(flag)


def add_class(
    command: Command, source: ConfigSource, carrier: Carrier, evaluator: Evaluator
) -> None:
    """Add the fields of a class as settings."""
    found = Command()
    add_entries(found, read_fields(source.cls, evaluator), evaluator, Convention())
    for flag in found.flags.values():
        plain = replace(flag, options=(), carrier=carrier, switch=False, off=None)
        plain = replace(plain, many="json" if flag.many else None)
        missing = flag.default in (_MISSING, None) and flag.required
        command.add(replace(plain, required=missing, default=None if missing else flag.default))


def read_config(path: Path) -> dict[str, Any]:
    """Return the contents of a YAML or JSON file; empty if it cannot be read as such."""
    try:
        document = load(path).plain()
    except ConfigError:
        return {}
    return document if isinstance(document, dict) else {}


def read_printed(text: str) -> dict[str, Any]:
    """Return the configuration that ``--cfg job`` has printed.

    Raises:
        ConfigError: If it is none.
    """
    document = loads(text, "--cfg job").plain()
    if not isinstance(document, dict):
        raise ConfigError("--cfg job printed no configuration")
    return document
