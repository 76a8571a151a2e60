"""What the models of packages collect while a script is interpreted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tune_jobs.init.flags import Command, Flag, Kind, Parser
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.values import Call, Object, Place, Value, is_literal

Handler = Callable[["Findings", Evaluator, Call], Value]
"""Function that models a call of a package's function or class."""


@dataclass(frozen=True)
class ConfigSource:
    """Configuration that a script reads: a file, or a class with defaults.

    Attributes:
        parser: Parser to which its settings belong.
        folder: Folder of the configuration, relative to that of the source that names it.
        flag: Flag that names the file, if its settings are flags below that one.
        name: Name of the file; empty if it is a class.
        cls: The class; None if it is a file.
        place: Where it is named.
    """

    parser: Parser
    folder: str
    name: str
    cls: Value
    place: Place
    flag: str = ""


@dataclass(frozen=True)
class LoadedFile:
    """Configuration file that a script opens and loads.

    Attributes:
        flag: Name of the flag that names it; empty if its path is written in the source.
        path: The path, or the flag's default.
    """

    flag: str
    path: str


@dataclass
class Findings:
    """What was found in a script.

    Attributes:
        parsers: Parsers, in the order in which they are built.
        inputs: Environment variables and items of ``sys.argv`` that are read.
        work: Where the script first trains, waits or runs an endless loop.
        configs: Configurations that it reads.
        loaded: Configuration files that it loads itself.
        classes: Classes that are registered as configurations, by name.
    """

    parsers: list[Parser] = field(default_factory=list)
    inputs: Command = field(default_factory=Command)
    work: Place | None = None
    configs: list[ConfigSource] = field(default_factory=list)
    loaded: list[LoadedFile] = field(default_factory=list)
    classes: dict[str, Value] = field(default_factory=dict)

    def new_parser(self, kind: str, **settings: Any) -> Parser:
        """Return a new parser."""
        parser = Parser(kind, **settings)
        self.parsers.append(parser)
        return parser

    def use(self, parser: Parser, place: Place) -> None:
        """Note that a parser parses the command line."""
        if parser.used is None:
            parser.used, parser.work = place, self.work


class Input(Object):
    """Value of a setting. Its conversions show its type.

    Args:
        command: Where the setting is.
        name: Its name.
    """

    def __init__(self, command: Command, name: str) -> None:
        self._command = command
        self.name = name

    @property
    def flag(self) -> Flag | None:
        """The setting; None if it is not known."""
        return self._command.flags.get(self.name)

    def convert(self, kind: Kind) -> Input:
        """Note that the value is converted."""
        flag = self.flag
        if flag is not None and flag.kind in (None, "str") and not flag.choices:
            default = convert_default(flag.default, kind)
            self._command.set(self.name, kind=kind, default=default, caution="")
        return self

    def rename(self, name: str) -> None:
        """Name the setting after the variable that holds it."""
        flags = self._command.flags
        if self.flag is None or name in flags:
            return
        renamed = replace(self.flag, name=name)
        items = [(name, renamed) if k == self.name else (k, flag) for k, flag in flags.items()]
        flags.clear()
        flags.update(items)
        self.name = name

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method of the string; its result is still the setting."""
        if name == "split" and call.args == [","]:
            self._command.set(self.name, many="comma")
        return self

    def with_default(self, default: Value) -> Value:
        """Note a default."""
        if is_literal(default) and self.flag is not None and self.flag.default is None:
            converted = convert_default(default, self.flag.kind)
            self._command.set(self.name, default=converted, required=False)
        return self


def convert_default(default: Any, kind: Kind | None) -> Any:
    """Return a default that is written as a string as what it is converted to."""
    if isinstance(default, str) and kind in ("float", "int"):
        try:
            return float(default) if kind == "float" else int(default)
        except ValueError:
            pass
    return default


def find_literal(value: Value) -> Any:
    """Return a literal; None for anything else."""
    return value if is_literal(value) else None
