"""How one parameter is written on the command line, in the environment, or in a document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeAlias

from tune_jobs.errors import CommandLineError
from tune_jobs.script.values import (
    ParamValue,
    Plain,
    assignment_key,
    check_booleans,
    check_flag,
    check_key,
    check_settings,
    checked_encoding,
    checked_template,
    expect,
    hydra_text,
    joined_by_commas,
    joined_tokens,
    json_text,
    refuse_dash,
    switch_tokens,
    yaml_text,
)

# What a parameter occupies, outermost name first: ("option", "--lr"), ("configuration field",
# "opt", "lr"). Two claims clash if they are equal, or if one is the beginning of the other.
Claim: TypeAlias = tuple[str, ...]
# What a parameter travels in: ("argument", its name), ("variable", its name), or a document that
# it shares with others: ("JSON", the flag) or IN_FILE.
Carrier: TypeAlias = tuple[str, str]
IN_FILE: Carrier = ("configuration file", "")
IN_ARGV = ("argument", "JSON")
Many = Literal["json", "comma", "repeat", "spread"]
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Defaults(Protocol):
    """What a style takes from the command line that it is part of."""

    @property
    def booleans(self) -> str:
        """How True and False are written where a style does not say it."""
        ...

    def flag(self, name: str) -> str:
        """The option of a parameter whose style gives no flag."""
        ...


@dataclass(frozen=True)
class Style:
    """How one parameter is written. This base writes nothing and occupies nothing."""

    def __post_init__(self) -> None:
        check_settings(self)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        """What the parameter occupies, so that no other may."""
        return []

    def carrier(self, name: str) -> Carrier:
        """What the parameter travels in."""
        return ("argument", name)

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        """The parameter's own tokens in argv, or NAME=TEXT of its environment variable."""
        return []


@dataclass(frozen=True)
class _Text(Style):
    """A value written as text. These settings mean the same in every style that has them.

    Args:
        many: how a list is written: "json" (``[64, 32]``), "comma" (``64,32``), "repeat" (the
            whole argument once per element) or, for an option, "spread" (``--layers 64 32``,
            argparse's ``nargs="+"``; keep positionals from standing right after it). A dict is
            always JSON.
        booleans: how True and False are written, ``"True/False"`` or ``"1/0"`` for example. For
            an option also ``"--flag"`` (there or not) and ``"--flag/--no-flag"``. Without it,
            the CommandLine's choice.
        none: the text for None. Without it the parameter is left out.
    """

    many: Many = field(default="json", kw_only=True)
    booleans: str | None = field(default=None, kw_only=True)
    none: str | None = field(default=None, kw_only=True)

    _MANY: ClassVar[tuple[Many, ...]] = ("json", "comma", "repeat")

    def __post_init__(self) -> None:
        rule = f"it must be one of {self._MANY}"
        expect(self.many in self._MANY, f"{type(self).__name__}: many", self.many, rule)
        super().__post_init__()
        if self.booleans is not None:
            check_booleans(f"{type(self).__name__}: booleans", self.booleans)

    def texts(self, name: str, value: Plain, line: Defaults) -> list[str]:
        """The value as text: none, one, or one per element of a list that is repeated."""
        if value is None and self.none is None:
            return []
        if self.many == "json" or not isinstance(value, list):
            return [self._text(name, value, line)]
        texts = [self._text(name, element, line) for element in value]
        if self.many == "repeat" and not texts:
            raise CommandLineError(
                f"parameter {name!r} is an empty list, which repeating cannot write: use "
                "many='json' or many='comma', or None to leave the parameter out"
            )
        return [joined_by_commas(name, texts)] if self.many == "comma" else texts

    def _text(self, name: str, value: Plain, line: Defaults) -> str:
        if value is None:
            if self.none is None:
                raise CommandLineError(
                    f"parameter {name!r} has None in a list: choose a text for it, none='None'"
                )
            return self.none
        if isinstance(value, bool):
            booleans = self.booleans or line.booleans
            # "--flag" says how options are written; a text that is no option still needs words.
            yes, _, no = ("true/false" if booleans.startswith("--") else booleans).partition("/")
            return yes if value else no
        if isinstance(value, str):
            return value
        return json_text(value) if isinstance(value, list | dict) else repr(value)


@dataclass(frozen=True)
class Option(_Text):
    """``--flag=value`` in one token, for a long option: the form that every parser takes.

    A short option, ``-b``, is two tokens, ``-b 64``, unless the value starts with a dash: then
    one, ``-b-1e-05``. So getopt, argparse and click all read back what was written: ``-b=64``
    would be "=64" to getopt, and a lone ``-1e-05`` an unknown option to argparse. Only the value
    ``--`` is lost, in any form, to argparse before Python 3.13.

    Args:
        flag: ``"--batch-size"``, ``"-b"`` or ``"-lr"``. Without it the parameter's name in the
            CommandLine's naming.
        separate: write ``--flag value`` as two tokens, for a script that reads sys.argv itself.
        allow_dash: with ``separate`` and ``many="spread"``, write values that start with a dash
            too. They are refused otherwise, since most parsers take them for options.
        many, booleans, none: how lists, True and False, and None are written; see the
            documentation of the styles.

    Raises:
        CommandLineError: a setting is not one of those above.
    """

    flag: str | None = None
    separate: bool = field(default=False, kw_only=True)
    allow_dash: bool = field(default=False, kw_only=True)

    _MANY: ClassVar[tuple[Many, ...]] = ("json", "comma", "repeat", "spread")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("Option: flag", self.flag)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [("option", flag) for flag in self._flags(name, line) if flag]

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        on, off = self._flags(name, line)
        if self.is_switch(value, line):
            return switch_tokens(on, off, value)
        texts = self.texts(name, value, line)
        if (self.separate or self.many == "spread") and not self.allow_dash:
            fix = "write it as --flag=value or, if the script takes it so, set allow_dash=True"
            refuse_dash(name, texts, fix)
        if self.many == "spread" and isinstance(value, list):
            return [on, *texts]
        return [
            token
            for text in texts
            for token in ([on, text] if self.separate else joined_tokens(on, text))
        ]

    def is_switch(self, value: Plain, line: Defaults) -> bool:
        """Whether this value is written by the flag alone."""
        return isinstance(value, bool) and (self.booleans or line.booleans).startswith("--")

    def _flags(self, name: str, line: Defaults) -> tuple[str, str | None]:
        """The flag, and the one for False if there is one."""
        flag = self.flag or line.flag(name)
        negated = (self.booleans or line.booleans) == "--flag/--no-flag"
        return flag, f"--no-{flag.lstrip('-')}" if negated else None


@dataclass(frozen=True)
class Switch(Style):
    """A flag that is there or not: ``Switch("--aug")``, ``Switch("--aug", off="--no-aug")``.

    ``Switch(off="--no-aug")`` is a flag that is there when the parameter is False.

    Raises:
        CommandLineError: neither flag is given, both are the same, or one is not a flag.
    """

    on: str | None = None
    off: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("Switch: on", self.on)
        check_flag("Switch: off", self.off)
        rule = "it needs a flag for True, one for False, or two different ones"
        expect(self.on != self.off, "Switch: on, like off,", self.on, rule)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [("option", flag) for flag in (self.on, self.off) if flag]

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        rule = "a Switch takes True, False or None; write other values with Option"
        expect(value is None or isinstance(value, bool), f"parameter {name!r}", value, rule)
        return switch_tokens(self.on, self.off, value)


@dataclass(frozen=True)
class Positional(_Text):
    """The value alone; several stand in the order in which they are described or placed.

    A value that starts with a dash is refused, since most parsers take it for an option: put
    ``--`` before its place in ``arguments`` and set ``allow_dash=True``.
    """

    allow_dash: bool = field(default=False, kw_only=True)

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        texts = self.texts(name, value, line)
        if not self.allow_dash:
            fix = f"put '--' and '{{param:{name}}}' into arguments and set allow_dash=True"
            refuse_dash(name, texts, fix)
        return texts


@dataclass(frozen=True)
class KeyValue(_Text):
    """``key=value``, the text as it is; Hydra's own grammar is ``Hydra``.

    Args:
        key: ``"optimizer.lr"``, ``"layers[0].units"``. Without it the parameter's name.
    """

    key: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_key("KeyValue: key", self.key)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [key_claim(assignment_key(self.key, name))]

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        key = assignment_key(self.key, name)
        return [f"{key}={text}" for text in self.texts(name, value, line)]


@dataclass(frozen=True)
class Hydra(Style):
    """``key=value`` in Hydra's grammar: strings quoted where they need it, lists, dicts, null.

    Args:
        key: ``"optimizer.lr"``, ``"+optimizer.lr"``, ``"++seed"``. Without it the parameter's name.
    """

    key: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_key("Hydra: key", self.key)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [key_claim(assignment_key(self.key, name))]

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        return [f"{assignment_key(self.key, name)}={hydra_text(name, value)}"]


@dataclass(frozen=True)
class Environment(_Text):
    """An environment variable; without ``variable`` it is called exactly as the parameter."""

    variable: str | None = None

    _MANY: ClassVar[tuple[Many, ...]] = ("json", "comma")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variable is not None:
            self._variable("Environment", self.variable)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [("environment variable", self._variable(f"parameter {name!r}", name))]

    def carrier(self, name: str) -> Carrier:
        return ("variable", name)

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        variable = self._variable(f"parameter {name!r}", name)
        return [f"{variable}={text}" for text in self.texts(name, value, line)]

    def _variable(self, owner: str, name: str) -> str:
        variable = self.variable or name
        rule = "it must be letters, digits and '_', not a digit first"
        expect(VARIABLE.fullmatch(variable), f"{owner}: the variable", variable, rule)
        return variable


class DocumentField(Style):
    """A field of a document that several parameters share."""

    field: str | Sequence[str] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        path = self.field.split(".") if isinstance(self.field, str) else self.field
        good = path is None or (
            isinstance(path, list | tuple) and all(isinstance(key, str) and key for key in path)
        )
        rule = "it must be names with dots between them, or a list of names"
        expect(good, f"{type(self).__name__}: field", self.field, rule)
        object.__setattr__(self, "field", path if path is None else tuple(path))

    def path(self, name: str) -> tuple[str, ...]:
        """Where in the document the parameter ``name`` is."""
        return tuple(name.split(".") if self.field is None else self.field)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [(" ".join(self.carrier(name)).strip(), *self.path(name))]


@dataclass(frozen=True)
class JsonField(DocumentField):
    """A field of a JSON object that is passed as ``--flag={...}``.

    None is written as null, and nan and inf as Python's json module writes and reads them. The
    rest of the object comes from ``CommandLine.json_templates[flag]``.

    Args:
        flag: the option; without it the object is a positional argument.
        field: ``"optimizer.lr"``, or ``["optimizer", "lr"]`` for names with dots in them; a number
            is an index into a list of the template. Without it the parameter's name; ``[]``
            makes the value the whole document.
    """

    flag: str = ""
    field: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("JsonField: flag", self.flag or None)

    def carrier(self, name: str) -> Carrier:
        return ("JSON", self.flag)


@dataclass(frozen=True)
class ConfigField(DocumentField):
    """A field of the run's configuration file (``CommandLine.config_file``); None is null.

    Args:
        field: as in ``JsonField``.
    """

    field: str | Sequence[str] | None = None

    def carrier(self, name: str) -> Carrier:
        return IN_FILE


@dataclass(frozen=True)
class Omit(Style):
    """Not passed to the script at all."""


@dataclass(frozen=True)
class ConfigFile:
    """The configuration file that is written for each run; ``{config}`` is its path.

    Args:
        name: below the run's work folder; ``.json``, ``.yaml`` or ``.yml`` decides the format.
        template: what the file says besides the parameters that are its fields.

    Raises:
        CommandLineError: the name has no such ending or leaves the folder, or the template is
            not made of JSON's types.
    """

    name: str = "config.yaml"
    template: Mapping[str, ParamValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)
        rule = "it must be a path inside the work folder that ends in .json, .yaml or .yml"
        inside = not self.name.startswith("/") and ".." not in self.name.split("/")
        good = inside and self.name.endswith((".json", ".yaml", ".yml"))
        expect(good, "ConfigFile: name", self.name, rule)
        template = checked_template("ConfigFile: template", self.template)
        object.__setattr__(self, "template", template)

    def text(self, document: object) -> str:
        """The file's text for this document."""
        if self.name.endswith(".json"):
            text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        else:
            text = yaml_text(document)
        checked_encoding(f"the configuration file {self.name!r}", text, "strict")
        return text


def key_claim(key: str) -> Claim:
    # +lr and ++lr are Hydra's ways to add lr: the same field.
    return ("key", key.lstrip("+"))
