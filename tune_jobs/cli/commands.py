"""How commands are declared: each has a name, a help text and a function that returns an exit code.

Commands are grouped in modules; each module has a function that adds its group to `Commands`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tune_jobs.config.study_config import StudyConfig, load_study
from tune_jobs.config.study_file import build_tuner, open_study
from tune_jobs.errors import ConfigError
from tune_jobs.space.yaml_source import loads
from tune_jobs.storage.opening import is_sqlite_file
from tune_jobs.tuner import Tuner

StudyCommand = Callable[[argparse.Namespace, StudyConfig], int]


class CommandParser(argparse.ArgumentParser):
    """Parser of a command.

    Attributes:
        intermixed: Whether a list of positional arguments may follow options, which argparse does
            not support by default.
    """

    intermixed = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; `parse_known_intermixed_args` calls this method, too."""
        if not self.intermixed:
            return super().parse_known_args(args, namespace)
        self.intermixed = False
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.intermixed = True


class Commands:
    """Subcommands of a parser.

    Args:
        parser: The parser of ``tune-jobs``.
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._subparsers = parser.add_subparsers(
            required=True, metavar="COMMAND", parser_class=CommandParser
        )

    def add(
        self, name: str, function: Callable[[argparse.Namespace], int], description: str
    ) -> CommandParser:
        """Add a command; returns its parser, which has ``--json`` already."""
        parser = self._subparsers.add_parser(name, help=description, description=description)
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(command=function, resumable=False)
        return parser

    def add_for_study(
        self, name: str, function: StudyCommand, description: str
    ) -> argparse.ArgumentParser:
        """Add a command whose first argument is a study.yaml, which it gets as `StudyConfig`."""

        def run(options: argparse.Namespace) -> int:
            return function(options, read_study_file(options.file))

        parser = self.add(name, run, description)
        parser.add_argument("file", type=Path, help="path of the study.yaml")
        return parser


def read_study_file(file: Path) -> StudyConfig:
    """Read a study.yaml.

    Raises:
        ConfigError: If it is invalid, or is a study's storage or a script instead; the message
            says what to write.
    """
    if "::" in str(file) or is_sqlite_file(file):
        raise ConfigError(
            f"{file} is a storage, and this command reads a study.yaml: give that, or use compare, "
            "report, dashboard or outputs, which also read storages"
        )
    if file.suffix in (".py", ".sh") and file.is_file():
        raise ConfigError(
            f"{file} is a script, and this command reads a study.yaml: `tune-jobs init {file}` "
            "writes one"
        )
    return load_study(file)


def open_tuner(options: argparse.Namespace, config: StudyConfig) -> Tuner:
    """Return the tuner of a study that exists.

    Raises:
        StudyError: If the study does not exist.
    """
    verbosity = getattr(options, "verbosity", None)
    return build_tuner(config, options.file, open_study(config, options.file), verbosity)


def add_verbosity_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--verbose``, which replace the file's ``verbosity``."""
    group = parser.add_mutually_exclusive_group()
    for name, description in (
        ("quiet", "show warnings only, no progress"),
        ("verbose", "also show each run that starts, and refused or known configurations"),
    ):
        group.add_argument(
            f"-{name[0]}",
            f"--{name}",
            dest="verbosity",
            action="store_const",
            const=name,
            help=description,
        )


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--set NAME=VALUE``, see `parse_settings`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="argument of the script to add or replace, such as epochs=50 (repeatable)",
    )


def parse_settings(items: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Parse items like ``epochs=50``; values are read as YAML.

    Args:
        items: The items.
        option: The option that they were given with.

    Raises:
        ConfigError: If an item is not ``NAME=VALUE``, its value is invalid YAML, or its name is
            given twice.
    """
    settings: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise ConfigError(f"invalid {option} {item!r}: write NAME=VALUE")
        if name in settings:
            raise ConfigError(f"{option}: {name} is given twice: give one value")
        settings[name] = loads(value, f"{option} {name}").plain() if value.strip() else None
    return settings
