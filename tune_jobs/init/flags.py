"""What a script can be given: flags and commands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tune_jobs.init.interpreting.values import Place

Kind = Literal["float", "int", "bool", "str", "path"]
Carrier = Literal["option", "positional", "hydra", "key", "environment", "config"]
Many = Literal["spread", "repeat", "comma", "json"]


@dataclass(frozen=True)
class Flag:
    """Setting of a script.

    Attributes:
        name: Its name.
        options: How it is written: ``("--lr", "-l")``; empty if it is no option.
        carrier: What it is passed as.
        kind: Type of its value, or of the items of a list; None if it is not known.
        default: Its default; None if there is none, or if it is not known.
        required: Whether the script does not run without it.
        choices: Values that it accepts; empty if there is no such list.
        help: Its description.
        switch: Whether it is an option without a value, which is given or not.
        off: Option that means False, if there is one.
        booleans: How True and False are written, if not as ``true`` and ``false``.
        many: How several values are passed, if it takes several.
        separate: Whether its value has to be a word of its own.
        low, high: Range that the script accepts.
        exclusive: Name of a group of which at most one flag may be given; empty if there is none.
        caution: What a person has to know before it is tuned.
        given: Why it is given its default, if it is.
        hidden: Whether ``--help`` does not show it.
        place: Where it is defined.
    """

    name: str
    options: tuple[str, ...] = ()
    carrier: Carrier = "option"
    kind: Kind | None = None
    default: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()
    help: str = ""
    switch: bool = False
    off: str | None = None
    booleans: str = ""
    many: Many | None = None
    separate: bool = False
    low: float | None = None
    high: float | None = None
    exclusive: str = ""
    caution: str = ""
    given: str = ""
    hidden: bool = False
    place: Place | None = None

    @property
    def option(self) -> str:
        """The option to pass it by: the first long one, or else the first."""
        long = [each for each in self.options if each.startswith("--")]
        return (long or list(self.options) or [""])[0]

    @property
    def label(self) -> str:
        """How a person writes it."""
        written = f"{self.name}=" if self.carrier in ("hydra", "key") else self.name
        return self.option or written


@dataclass
class Command:
    """The script, or one of its commands.

    Attributes:
        flags: By name, in the order of definition.
        commands: Commands below it, by name.
        one_of: Groups of flags of which one has to be given.
    """

    flags: dict[str, Flag] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    one_of: set[str] = field(default_factory=set)

    def add(self, flag: Flag) -> None:
        """Add a flag, or replace the one of that name."""
        self.flags[flag.name] = flag

    def set(self, name: str, **changes: Any) -> None:
        """Change a flag, if there is one of that name."""
        if name in self.flags:
            self.flags[name] = replace(self.flags[name], **changes)

    def count(self) -> int:
        """Return the number of flags, those of its commands included."""
        return len(self.flags) + sum(each.count() for each in self.commands.values())


@dataclass
class Parser:
    """A parser of the command line that was found in a source.

    Attributes:
        kind: Name of its package, such as ``argparse``.
        command: What it parses.
        help: Whether it has a ``--help`` that can be trusted to end.
        used: Where it is used; None if it is only built.
        work: Where the script works before; None if it does not.
        help_arguments: What makes the script describe itself.
    """

    kind: str
    command: Command = field(default_factory=Command)
    help: bool = True
    used: Place | None = None
    work: Place | None = None
    help_arguments: tuple[str, ...] = ("--help",)
