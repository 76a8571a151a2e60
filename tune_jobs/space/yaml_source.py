"""Read YAML whose values know their place, for errors: ``study.yaml:12: parameters.lr: ...``.

`load` follows YAML 1.2 where PyYAML follows YAML 1.1: ``1e-5`` is a number, ``no`` and ``off`` are
strings. A duplicate key is an error. `located` converts plain Python values to the same form,
without lines, so that one reader serves both.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tune_jobs.errors import ConfigError, did_you_mean, suggest

_MAX_BYTES = 1 << 20
_MAX_NODES = 100_000  # with those of aliases, which multiply
_MAX_DEPTH = 50
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Located:
    """A value with its name and place.

    The methods that return the value as some type raise ConfigError if it is of another type.

    Attributes:
        value: A scalar, a list of `Located`, or a dict of `Located`.
        name: Path of keys, such as ``parameters.lr.low``.
        place: File and line, such as ``study.yaml:12``; empty if there is no file.
    """

    value: Any
    name: str = ""
    place: str = ""

    def error(self, problem: str) -> ConfigError:
        """Return an error about this value."""
        return ConfigError(": ".join(part for part in (self.place, self.name, problem) if part))

    def plain(self) -> Any:
        """Return the value without names and places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def mapping(self) -> dict[str, Located]:
        """Return the value as a mapping with any keys."""
        if not isinstance(self.value, dict):
            raise self._not_a("mapping of keys to values")
        return self.value

    def fields(
        self, *known: str, elsewhere: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, Located]:
        """Return the value as a mapping without other keys than these.

        Args:
            known: The keys.
            elsewhere: Where other keys belong, such as "under `backend:`", by key.
        """
        for key, item in self.mapping().items():
            if key not in known:
                hint = f"(write it {elsewhere[key]})" if key in elsewhere else ""
                hint = suggest(key, known) or hint or did_you_mean(key, known)
                raise replace(item, name=self.name).error(f"unknown key {key!r} {hint}")
        return self.mapping()

    def items(self) -> list[Located]:
        """Return the value as a list."""
        if not isinstance(self.value, list):
            raise self._not_a("list")
        return self.value

    def string(self) -> str:
        """Return the value as a string that is not empty."""
        if not isinstance(self.value, str):
            raise self._not_a("string: put it in quotes if it is meant as one")
        if not self.value.strip():
            raise self.error("is empty: write a string")
        return self.value

    def one_of(self, *known: str) -> str:
        """Return the value as one of these strings."""
        if self.string() not in known:
            raise self.error(f"{self.value!r} is unknown {did_you_mean(self.value, known)}")
        return self.string()

    def number(self) -> float:
        """Return the value as a finite number; a string that contains one is converted."""
        try:
            number = math.nan if isinstance(self.value, bool) else float(self.value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self._not_a("number")
        return number

    def integer(self, at_least: int | None = None) -> int:
        """Return the value as an integer; ``1e3`` is one."""
        number = self.number()
        if not number.is_integer():
            raise self._not_a("whole number")
        whole = self.value if isinstance(self.value, int) else int(number)
        if at_least is not None and whole < at_least:
            raise self.error(f"{whole} is too small: write at least {at_least}")
        return whole

    def flag(self) -> bool:
        """Return the value as a bool."""
        if not isinstance(self.value, bool):
            raise self._not_a("true or false")
        return self.value

    def _not_a(self, kind: str) -> ConfigError:
        if self.value is None:
            return self.error(f"is empty: write a {kind.partition(':')[0]}, or remove it")
        value = repr(self.plain())
        value = value if len(value) <= 60 else f"{value[:60]}..."
        return self.error(f"{value} is not a {kind}")


def located(value: object, name: str = "") -> Located:
    """Convert a plain Python value to `Located`, with names but without places.

    Raises:
        ConfigError: If a key is not a string.
    """
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise Located(value, name).error(f"key {wrong[0]!r} is not a string: put it in quotes")
        return Located({k: located(v, _join(name, k)) for k, v in value.items()}, name)
    if isinstance(value, list | tuple):
        return Located([located(v, f"{name}[{i}]") for i, v in enumerate(value)], name)
    return Located(value, name)


def load(path: str | os.PathLike[str]) -> Located:
    """Read a YAML file.

    Raises:
        ConfigError: If the file cannot be read, or `loads` rejects its contents.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        return loads(raw.decode("utf-8-sig"), os.fspath(path))
    except UnicodeDecodeError as error:
        if len(raw) > _MAX_BYTES:
            raise _too_large(os.fspath(path)) from None
        raise ConfigError(f"{os.fspath(path)}: is not UTF-8: {error}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{os.fspath(path)}: cannot be read: {error}") from error


def loads(string: str, source: str = "<string>") -> Located:
    """Read YAML from a string.

    Args:
        string: The YAML document.
        source: Name of the document in messages.

    Raises:
        ConfigError: If the document is invalid, empty or too large, or has a duplicate key, a key
            that is not a string, or a tag other than the plain ones.
    """
    if len(string.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        raise _too_large(source)
    try:
        node = yaml.compose(string, Loader=_Yaml12)
        if node is None:
            raise ConfigError(f"{source}: is empty: write a mapping of keys to values")
        return _Reader(source).read(node, "", _line(node))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: invalid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError(f"{source}: invalid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{source}: is nested deeper than {_MAX_DEPTH}: flatten it") from None


def _too_large(source: str) -> ConfigError:
    return ConfigError(f"{source}: is larger than {_MAX_BYTES} bytes: check the path")


class _Yaml12(yaml.SafeLoader):
    """PyYAML loader with the scalars of YAML 1.2: ``on`` and ``1:30`` are strings, ``0o7`` is 7."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Yaml12.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), list(_first))
_Yaml12.add_implicit_resolver(_TAG + "null", re.compile("^$"), [""])


@dataclass
class _Reader:
    source: str
    nodes: int = 0
    open: set[int] = field(default_factory=set)  # nodes around the current one

    def read(self, node: yaml.Node, name: str, line: int, depth: int = 0) -> Located:
        """Convert a node; ``line`` is that of its key if it has one."""
        here = Located(None, name, f"{self.source}:{line}")
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise here.error(f"aliases expand to more than {_MAX_NODES} values: write fewer")
        if id(node) in self.open:
            raise here.error("contains itself by an alias: write the value instead of `*...`")
        if depth > _MAX_DEPTH:
            raise here.error(f"is nested deeper than {_MAX_DEPTH}: flatten it")
        self.open.add(id(node))
        try:
            return replace(here, value=self._value(node, here, depth))
        finally:
            self.open.remove(id(node))

    def _value(self, node: yaml.Node, here: Located, depth: int) -> Any:
        kind, name = node.tag.removeprefix(_TAG), here.name
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, name, depth)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            items = enumerate(node.value)
            return [self.read(item, f"{name}[{i}]", _line(item), depth + 1) for i, item in items]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            try:
                return _SCALARS[kind](node.value)
            except (ValueError, KeyError):
                raise here.error(f"{node.value[:60]!r} is not a {kind}") from None
        raise here.error(f"tag {node.tag!r} is not supported: write a plain value")

    def _mapping(self, node: yaml.MappingNode, name: str, depth: int) -> dict[str, Located]:
        values: dict[str, Located] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            here = Located(None, name, f"{self.source}:{line}")
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
                shown = key_node.value if isinstance(key_node, yaml.ScalarNode) else "[...]"
                raise here.error(f"key {shown} is not a string: put it in quotes")
            key = key_node.value
            if key in values:
                raise here.error(
                    f"duplicate key {key!r}, first in line {lines[key]}: remove one of them"
                )
            lines[key] = line
            values[key] = self.read(value_node, _join(name, key), line, depth + 1)
        return values


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _integer(string: str) -> int:
    return int(string, {"0x": 16, "0o": 8}.get(string[:2], 10))


def _float(string: str) -> float:
    return float(string.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: Mapping[str, Any] = {
    "str": str,
    "null": lambda string: None,
    "bool": lambda string: {"true": True, "false": False}[string.lower()],
    "int": _integer,
    "float": _float,
}
