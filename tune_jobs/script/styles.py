"""Styles: how one parameter is written as an argument, a variable or a document's field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeAlias

from tune_jobs.arguments.calls import strict_names
from tune_jobs.errors import CommandLineError
from tune_jobs.script.values import (
    ParamValue,
    Plain,
    check_booleans,
    check_flag,
    check_key,
    check_settings,
    encode_utf8,
    join_by_commas,
    join_flag,
    reject_dash,
    render_switch,
    require,
    resolve_key,
    to_hydra,
    to_json,
    to_yaml,
    validate_template,
)

Claim: TypeAlias = tuple[str, ...]
"""What a parameter occupies, outermost name first: ``("option", "--lr")``, ``("configuration
field", "opt", "lr")``. Two claims conflict if one equals or begins with the other."""

Carrier: TypeAlias = tuple[str, str]
"""What transports a parameter: ``("argument", name)``, ``("variable", name)``, or a document that
it shares with other parameters, ``("JSON", flag)`` or `IN_FILE`."""

IN_FILE: Carrier = ("configuration file", "")
IN_ARGV = ("argument", "JSON")
Many = Literal["json", "comma", "repeat", "spread"]
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Defaults(Protocol):
    """Settings that a style inherits from its command line."""

    @property
    def booleans(self) -> str:
        """How True and False are written by styles without a setting of their own."""
        ...

    def flag(self, name: str) -> str:
        """Return the option of a parameter whose style gives no flag."""
        ...


@dataclass(frozen=True)
class Style:
    """Base of the styles; writes nothing and occupies nothing."""

    def __post_init__(self) -> None:
        check_settings(self)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        """Return what the parameter occupies exclusively."""
        return []

    def carrier(self, name: str) -> Carrier:
        """Return what transports the parameter."""
        return ("argument", name)

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        """Return the parameter's tokens in argv, or ``NAME=VALUE`` of its variable."""
        return []


@dataclass(frozen=True)
class _StringStyle(Style):
    """Value written as a string; base of the styles that share these settings.

    Args:
        many: How a list is written: "json" (``[64, 32]``), "comma" (``64,32``), "repeat" (the
            whole argument once per element) or, for an option, "spread" (``--layers 64 32``,
            argparse's ``nargs="+"``; no positional may follow it directly). A dict is always
            JSON.
        booleans: How True and False are written, for example ``"True/False"`` or ``"1/0"``; for
            an option also ``"--flag"`` (present or absent) and ``"--flag/--no-flag"``. By default
            the CommandLine's setting.
        none: String for None. By default the parameter is omitted.
    """

    many: Many = field(default="json", kw_only=True)
    booleans: str | None = field(default=None, kw_only=True)
    none: str | None = field(default=None, kw_only=True)

    _MANY: ClassVar[tuple[Many, ...]] = ("json", "comma", "repeat")

    def __post_init__(self) -> None:
        rule = f"it must be one of {self._MANY}"
        require(self.many in self._MANY, f"{type(self).__name__}: many", self.many, rule)
        super().__post_init__()
        if self.booleans is not None:
            check_booleans(f"{type(self).__name__}: booleans", self.booleans)

    def strings(self, name: str, value: Plain, line: Defaults) -> list[str]:
        """Return the value as no string, one, or one for each element of a repeated list."""
        if value is None and self.none is None:
            return []
        if self.many == "json" or not isinstance(value, list):
            return [self._to_string(name, value, line)]
        strings = [self._to_string(name, element, line) for element in value]
        if self.many == "repeat" and not strings:
            raise CommandLineError(
                f"parameter {name!r} is an empty list, which many='repeat' cannot write: use "
                "many='json' or many='comma', or None to omit the parameter"
            )
        return [join_by_commas(name, strings)] if self.many == "comma" else strings

    def _to_string(self, name: str, value: Plain, line: Defaults) -> str:
        if value is None:
            if self.none is None:
                raise CommandLineError(
                    f"parameter {name!r} has None in a list: set its string, as in none='None'"
                )
            return self.none
        if isinstance(value, bool):
            booleans = self.booleans or line.booleans
            # "--flag" applies to options only; other arguments need two words.
            yes, _, no = ("true/false" if booleans.startswith("--") else booleans).partition("/")
            return yes if value else no
        if isinstance(value, str):
            return value
        return to_json(value) if isinstance(value, list | dict) else repr(value)


@strict_names
@dataclass(frozen=True)
class Option(_StringStyle):
    """Option: ``--flag=value`` in one token, the form that every parser accepts.

    A short option is two tokens, ``-b 64``, unless the value starts with a dash: then it is one,
    ``-b-1e-05``. So getopt, argparse and click all read back the value: getopt would read
    ``-b=64`` as "=64", and argparse a separate ``-1e-05`` as an unknown option. Only the value
    ``--`` is lost, in any form, to argparse before Python 3.13.

    Args:
        flag: ``"--batch-size"``, ``"-b"`` or ``"-lr"``. By default the parameter's name, as the
            CommandLine's ``naming`` changes it.
        separate: Write ``--flag value`` as two tokens, for scripts that parse sys.argv themselves.
        allow_dash: With ``separate`` or ``many="spread"``, also write values that start with a
            dash. By default they are rejected, since most parsers read them as options.
        many, booleans, none: How lists, booleans and None are written.

    Raises:
        CommandLineError: If a setting is invalid.
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
            return render_switch(on, off, value)
        strings = self.strings(name, value, line)
        if (self.separate or self.many == "spread") and not self.allow_dash:
            fix = "write it as --flag=value, or set allow_dash=True if the script accepts it"
            reject_dash(name, strings, fix)
        if self.many == "spread" and isinstance(value, list):
            return [on, *strings]
        return [
            token
            for string in strings
            for token in ([on, string] if self.separate else join_flag(on, string))
        ]

    def is_switch(self, value: Plain, line: Defaults) -> bool:
        """Return whether this value is written as a flag alone."""
        return isinstance(value, bool) and (self.booleans or line.booleans).startswith("--")

    def _flags(self, name: str, line: Defaults) -> tuple[str, str | None]:
        """Return the flag, and the flag for False, if there is one."""
        flag = self.flag or line.flag(name)
        negated = (self.booleans or line.booleans) == "--flag/--no-flag"
        return flag, f"--no-{flag.lstrip('-')}" if negated else None


@strict_names
@dataclass(frozen=True)
class Switch(Style):
    """Flag that is present or absent: ``Switch("--aug")``, ``Switch("--aug", off="--no-aug")``.

    ``Switch(off="--no-aug")`` is a flag that is present when the parameter is False.

    Args:
        on: Flag for True; None writes nothing.
        off: Flag for False; None writes nothing.

    Raises:
        CommandLineError: If neither flag is given, both are the same, or one is not a flag.
    """

    on: str | None = None
    off: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("Switch: on", self.on)
        check_flag("Switch: off", self.off)
        rule = "give a flag for True, one for False, or two different ones"
        require(self.on != self.off, "Switch: on, like off,", self.on, rule)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [("option", flag) for flag in (self.on, self.off) if flag]

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        rule = "a Switch accepts True, False or None: use Option for other values"
        require(value is None or isinstance(value, bool), f"parameter {name!r}", value, rule)
        return render_switch(self.on, self.off, value)


@strict_names
@dataclass(frozen=True)
class Positional(_StringStyle):
    """Positional argument: the value alone, in the order of description or placement.

    A value that starts with a dash is rejected, since most parsers read it as an option: put
    ``--`` before its place in ``arguments`` and set ``allow_dash=True``.
    """

    allow_dash: bool = field(default=False, kw_only=True)

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        strings = self.strings(name, value, line)
        if not self.allow_dash:
            fix = f"add '--' and '{{param:{name}}}' to arguments and set allow_dash=True"
            reject_dash(name, strings, fix)
        return strings


@strict_names
@dataclass(frozen=True)
class KeyValue(_StringStyle):
    """Assignment ``key=value`` without any quoting; see `Hydra` for Hydra's grammar.

    Args:
        key: ``"optimizer.lr"``, ``"layers[0].units"``. By default the parameter's name.
    """

    key: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_key("KeyValue: key", self.key)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [key_claim(resolve_key(self.key, name))]

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        key = resolve_key(self.key, name)
        return [f"{key}={string}" for string in self.strings(name, value, line)]


@strict_names
@dataclass(frozen=True)
class Hydra(Style):
    """Assignment ``key=value`` in Hydra's grammar: quoted strings, lists, dicts, null.

    Args:
        key: ``"optimizer.lr"``, ``"+optimizer.lr"``, ``"++seed"``. By default the parameter's name.
    """

    key: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_key("Hydra: key", self.key)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [key_claim(resolve_key(self.key, name))]

    def tokens(self, name: str, value: Plain, line: Defaults) -> list[str]:
        return [f"{resolve_key(self.key, name)}={to_hydra(name, value)}"]


@strict_names
@dataclass(frozen=True)
class Environment(_StringStyle):
    """Environment variable.

    Args:
        variable: Its name; by default the parameter's name, unchanged.
    """

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
        return [f"{variable}={string}" for string in self.strings(name, value, line)]

    def _variable(self, owner: str, name: str) -> str:
        variable = self.variable or name
        rule = "use letters, digits and '_', and no digit first"
        require(VARIABLE.fullmatch(variable), f"{owner}: the variable", variable, rule)
        return variable


class DocumentField(Style):
    """Field of a document that several parameters share."""

    field: str | Sequence[str] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        path = self.field.split(".") if isinstance(self.field, str) else self.field
        good = path is None or (
            isinstance(path, list | tuple) and all(isinstance(key, str) and key for key in path)
        )
        rule = "it must be names joined by dots, or a list of names"
        require(good, f"{type(self).__name__}: field", self.field, rule)
        object.__setattr__(self, "field", path if path is None else tuple(path))

    def path(self, name: str) -> tuple[str, ...]:
        """Return the path of the parameter ``name`` in the document."""
        return tuple(name.split(".") if self.field is None else self.field)

    def claims(self, name: str, line: Defaults) -> list[Claim]:
        return [(" ".join(self.carrier(name)).strip(), *self.path(name))]


@strict_names
@dataclass(frozen=True)
class JsonField(DocumentField):
    """Field of a JSON object that is passed as ``--flag={...}``.

    None is written as null, NaN and infinity as Python's json module writes and reads them. The
    other fields come from ``CommandLine.json_templates[flag]``.

    Args:
        flag: Option; if empty, the object is a positional argument.
        field: ``"optimizer.lr"``, or ``["optimizer", "lr"]`` for names that contain dots. A number
            is an index into a list of the template. By default the parameter's name; ``[]`` makes
            the value the whole document.
    """

    flag: str = ""
    field: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("JsonField: flag", self.flag or None)

    def carrier(self, name: str) -> Carrier:
        return ("JSON", self.flag)


@strict_names
@dataclass(frozen=True)
class ConfigField(DocumentField):
    """Field of the run's configuration file (``CommandLine.config_file``); None is null.

    Args:
        field: As in `JsonField`.
    """

    field: str | Sequence[str] | None = None

    def carrier(self, name: str) -> Carrier:
        return IN_FILE


@strict_names
@dataclass(frozen=True)
class Omit(Style):
    """Parameter that is not passed to the script."""


@strict_names
@dataclass(frozen=True)
class ConfigFile:
    """Configuration file that is written for each run; ``{config}`` is its path.

    Args:
        name: Path below the run's working directory; the suffix ``.json``, ``.yaml`` or ``.yml``
            selects the format.
        template: Content besides the parameters that are its fields.

    Raises:
        CommandLineError: If the name has another suffix or leaves the directory, or if the
            template has values other than JSON's types.
    """

    name: str = "config.yaml"
    template: Mapping[str, ParamValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)
        rule = "it must be a path inside the working directory that ends in .json, .yaml or .yml"
        inside = not self.name.startswith("/") and ".." not in self.name.split("/")
        good = inside and self.name.endswith((".json", ".yaml", ".yml"))
        require(good, "ConfigFile: name", self.name, rule)
        template = validate_template("ConfigFile: template", self.template)
        object.__setattr__(self, "template", template)

    def text(self, document: object) -> str:
        """Return the file's content for a document."""
        if self.name.endswith(".json"):
            content = to_json(document, indent=2) + "\n"
        else:
            content = to_yaml(document)
        encode_utf8(f"the configuration file {self.name!r}", content, "strict")
        return content


def key_claim(key: str) -> Claim:
    """Return the claim of an assignment's key; Hydra's ``+lr`` and ``++lr`` set the field lr."""
    return ("key", key.lstrip("+"))
