"""Parameters -> what one job run is started with: argv, environment variables, files.

The script is not touched; its interface is described once. Without a description every
parameter is one token, ``batch_size=64`` -> ``--batch-size=64``. With one:

    CommandLine(
        arguments=["train", "--verbose", PARAMETERS, "--output-dir={outputs}"],
        parameters={
            "batch_size": Option("-b"),                     # -b 64
            "layers": Option("--layer", many="repeat"),     # --layer=64 --layer=32
            "augment": Switch("--aug", off="--no-aug"),     # --aug, or --no-aug
            "data": Positional(),                           # small.csv
            "opt.lr": Hydra("+optimizer.lr"),               # +optimizer.lr=1e-05
            "seed": Environment("SEED"),                    # SEED=3 in the environment
            "dropout": JsonField("--hparams"),              # --hparams={"dropout": 0.1}
            "derived": Omit(),                              # nothing
        },
    )

Everything here is a pure function of its arguments: nothing is read, written or started.
"""

from __future__ import annotations

import difflib
import json
import posixpath
import re
import shlex
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias, get_args, get_origin, get_type_hints

from tune_jobs.errors import CommandLineError

ParamValue: TypeAlias = (
    "bool | int | float | str | Sequence[ParamValue] | Mapping[str, ParamValue] | None"
)
"""What a parameter may be: JSON's types. numpy's scalars are taken as Python's."""

PARAMETERS = "{parameters}"
"""In ``arguments``: the place of every parameter that has no ``{param:NAME}`` of its own."""

Naming = Literal["dash", "underscore", "as_is"]
Many = Literal["json", "comma", "repeat", "spread"]

_Plain: TypeAlias = "bool | int | float | str | list[_Plain] | dict[str, _Plain] | None"

# What a parameter occupies, outermost name first: ("option", "--lr"), ("configuration field",
# "opt", "lr"). Two claims clash if they are equal, or if one is the beginning of the other.
_Claim: TypeAlias = tuple[str, ...]

# What a parameter travels in: ("argument", its name), ("variable", its name), or a document that
# it shares with others: ("JSON", the flag) or _FILE.
_Carrier: TypeAlias = tuple[str, str]
_FILE: _Carrier = ("configuration file", "")
_IN_ARGV = ("argument", "JSON")

_FLAG = re.compile(r"--?[^\s=-][^\s=]*")
_KEY = re.compile(r"[^=]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PAIR = re.compile(r"(?!-)([^/]+)/(?!\1$)([^/]+)")
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)

_ARGUMENT_LIMIT = 131_071  # bytes; Linux's MAX_ARG_STRLEN without the final NUL
_NOTHING: Mapping[str, ParamValue] = MappingProxyType({})


@dataclass(frozen=True)
class RunPaths:
    """The folders of one run, as the run itself sees them."""

    work: str
    outputs: str
    checkpoints: str


@dataclass(frozen=True)
class Invocation:
    """What one run is started with; ``argv`` follows the entry point."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]  # path below RunPaths.work -> text, to be written as UTF-8


# --- How one parameter is written ---------------------------------------------------------------


@dataclass(frozen=True)
class Style:
    """How one parameter is written. This base writes nothing and occupies nothing."""

    def __post_init__(self) -> None:
        _check_settings(self)

    def claims(self, name: str, line: CommandLine) -> list[_Claim]:
        """What the parameter occupies, so that no other may."""
        return []

    def carrier(self, name: str) -> _Carrier:
        """What the parameter travels in."""
        return ("argument", name)

    def tokens(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
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
        _expect(self.many in self._MANY, f"{type(self).__name__}: many", self.many, rule)
        super().__post_init__()
        if self.booleans is not None:
            _check_booleans(f"{type(self).__name__}: booleans", self.booleans)

    def texts(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
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
        return [_by_commas(name, texts)] if self.many == "comma" else texts

    def _text(self, name: str, value: _Plain, line: CommandLine) -> str:
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
        return _json(value) if isinstance(value, list | dict) else repr(value)


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
        _check_flag("Option: flag", self.flag)

    def claims(self, name: str, line: CommandLine) -> list[_Claim]:
        return [("option", flag) for flag in self._flags(name, line) if flag]

    def tokens(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
        on, off = self._flags(name, line)
        if self.is_switch(value, line):
            return _switched(on, off, value)
        texts = self.texts(name, value, line)
        if (self.separate or self.many == "spread") and not self.allow_dash:
            fix = "write it as --flag=value or, if the script takes it so, set allow_dash=True"
            _refuse_dash(name, texts, fix)
        if self.many == "spread" and isinstance(value, list):
            return [on, *texts]
        return [
            token
            for text in texts
            for token in ([on, text] if self.separate else _joined(on, text))
        ]

    def is_switch(self, value: _Plain, line: CommandLine) -> bool:
        """Whether this value is written by the flag alone."""
        return isinstance(value, bool) and (self.booleans or line.booleans).startswith("--")

    def _flags(self, name: str, line: CommandLine) -> tuple[str, str | None]:
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
        _check_flag("Switch: on", self.on)
        _check_flag("Switch: off", self.off)
        rule = "it needs a flag for True, one for False, or two different ones"
        _expect(self.on != self.off, "Switch: on, like off,", self.on, rule)

    def claims(self, name: str, line: CommandLine) -> list[_Claim]:
        return [("option", flag) for flag in (self.on, self.off) if flag]

    def tokens(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
        rule = "a Switch takes True, False or None; write other values with Option"
        _expect(value is None or isinstance(value, bool), f"parameter {name!r}", value, rule)
        return _switched(self.on, self.off, value)


@dataclass(frozen=True)
class Positional(_Text):
    """The value alone; several stand in the order in which they are described or placed.

    A value that starts with a dash is refused, since most parsers take it for an option: put
    ``--`` before its place in ``arguments`` and set ``allow_dash=True``.
    """

    allow_dash: bool = field(default=False, kw_only=True)

    def tokens(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
        texts = self.texts(name, value, line)
        if not self.allow_dash:
            fix = f"put '--' and '{{param:{name}}}' into arguments and set allow_dash=True"
            _refuse_dash(name, texts, fix)
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
        _check_key("KeyValue: key", self.key)

    def claims(self, name: str, line: CommandLine) -> list[_Claim]:
        return [_key_claim(_key(self.key, name))]

    def tokens(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
        return [f"{_key(self.key, name)}={text}" for text in self.texts(name, value, line)]


@dataclass(frozen=True)
class Hydra(Style):
    """``key=value`` in Hydra's grammar: strings quoted where they need it, lists, dicts, null.

    Args:
        key: ``"optimizer.lr"``, ``"+optimizer.lr"``, ``"++seed"``. Without it the parameter's name.
    """

    key: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_key("Hydra: key", self.key)

    def claims(self, name: str, line: CommandLine) -> list[_Claim]:
        return [_key_claim(_key(self.key, name))]

    def tokens(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
        return [f"{_key(self.key, name)}={_hydra(name, value)}"]


@dataclass(frozen=True)
class Environment(_Text):
    """An environment variable; without ``variable`` it is called exactly as the parameter."""

    variable: str | None = None

    _MANY: ClassVar[tuple[Many, ...]] = ("json", "comma")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variable is not None:
            self._variable("Environment", self.variable)

    def claims(self, name: str, line: CommandLine) -> list[_Claim]:
        return [("environment variable", self._variable(f"parameter {name!r}", name))]

    def carrier(self, name: str) -> _Carrier:
        return ("variable", name)

    def tokens(self, name: str, value: _Plain, line: CommandLine) -> list[str]:
        variable = self._variable(f"parameter {name!r}", name)
        return [f"{variable}={text}" for text in self.texts(name, value, line)]

    def _variable(self, owner: str, name: str) -> str:
        variable = self.variable or name
        rule = "it must be letters, digits and '_', not a digit first"
        _expect(_VARIABLE.fullmatch(variable), f"{owner}: the variable", variable, rule)
        return variable


class _Field(Style):
    """A field of a document that several parameters share."""

    field: str | Sequence[str] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        path = self.field.split(".") if isinstance(self.field, str) else self.field
        good = path is None or (
            isinstance(path, list | tuple) and all(isinstance(key, str) and key for key in path)
        )
        rule = "it must be names with dots between them, or a list of names"
        _expect(good, f"{type(self).__name__}: field", self.field, rule)
        object.__setattr__(self, "field", path if path is None else tuple(path))

    def path(self, name: str) -> tuple[str, ...]:
        """Where in the document the parameter ``name`` is."""
        return tuple(name.split(".") if self.field is None else self.field)

    def claims(self, name: str, line: CommandLine) -> list[_Claim]:
        return [(" ".join(self.carrier(name)).strip(), *self.path(name))]


@dataclass(frozen=True)
class JsonField(_Field):
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
        _check_flag("JsonField: flag", self.flag or None)

    def carrier(self, name: str) -> _Carrier:
        return ("JSON", self.flag)


@dataclass(frozen=True)
class ConfigField(_Field):
    """A field of the run's configuration file (``CommandLine.config_file``); None is null.

    Args:
        field: as in ``JsonField``.
    """

    field: str | Sequence[str] | None = None

    def carrier(self, name: str) -> _Carrier:
        return _FILE


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
        _check_settings(self)
        rule = "it must be a path inside the work folder that ends in .json, .yaml or .yml"
        inside = not self.name.startswith("/") and ".." not in self.name.split("/")
        good = inside and self.name.endswith((".json", ".yaml", ".yml"))
        _expect(good, "ConfigFile: name", self.name, rule)
        object.__setattr__(self, "template", _template("ConfigFile: template", self.template))

    def text(self, document: object) -> str:
        """The file's text for this document."""
        if self.name.endswith(".json"):
            text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        else:
            text = _yaml(document)
        _encoded(f"the configuration file {self.name!r}", text, "strict")
        return text


# --- The whole command line ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where parameters go among the fixed arguments: one of them, or (None) all the others."""

    name: str | None


@dataclass(frozen=True)
class CommandLine:
    """The interface of the user's script.

    Args:
        arguments: the fixed arguments, and among them ``PARAMETERS`` (last, if it is not given)
            and ``"{param:NAME}"`` for a parameter with a place of its own. In the fixed ones
            ``{work}``, ``{outputs}``, ``{checkpoints}`` and ``{config}`` become paths of the
            run, and a brace is written twice. Values of parameters are never substituted.
        parameters: how each parameter is written. They need not all occur in every trial.
        default: how the parameters without a description are written.
        naming: how a name becomes an option when no flag is given: ``batch_size`` becomes
            ``--batch-size`` ("dash"); ``batch-size`` becomes ``--batch_size`` ("underscore");
            nothing changes ("as_is").
        booleans: how True and False are written: ``"true/false"``, ``"True/False"``, ``"1/0"``...
            or, for options, ``"--flag"`` or ``"--flag/--no-flag"``.
        json_templates: the rest of each JSON argument that ``JsonField`` writes into, by flag.
        config_file: the configuration file that ``ConfigField`` writes into.
            Placeholders are substituted in the texts of both kinds of template, too.

    Raises:
        CommandLineError: the description is contradictory; the message names what clashes.
    """

    arguments: Sequence[str] = (PARAMETERS,)
    parameters: Mapping[str, Style] = field(default_factory=dict)
    default: Style = field(default_factory=Option)
    naming: Naming = "dash"
    booleans: str = "true/false"
    json_templates: Mapping[str, Mapping[str, ParamValue]] = field(default_factory=dict)
    config_file: ConfigFile | None = None

    def __post_init__(self) -> None:
        _check_settings(self)
        _check_booleans("booleans", self.booleans)
        self._copy_containers()
        self._check_default()
        self._check_places()
        self._check_config_file()
        for flag in filter(None, self._json_flags):
            self._check_not_fixed("the JSON argument", ("option", flag))
        self.check()
        # Unknown placeholders, and fields that have no place in their template, show only when
        # something is rendered: here rather than in every run.
        in_templates = [
            name for name, style in self.parameters.items() if isinstance(style, _Field)
        ]
        self._render(dict.fromkeys(in_templates), RunPaths("", "", ""), self._slots)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> CommandLine:
        """The command line that a mapping describes, as read from YAML.

        The keys are the constructor's. A parameter is a text (``-b``: an option's flag;
        ``positional``, ``omit``, ``environment``: a style with nothing else to say), or a mapping
        of the style's key, with the style's main setting as its value, and its other settings:

            batch_size: -b
            data: positional
            aug: {switch: --aug, off: --no-aug}
            layers: {option: --layer, many: repeat}
            opt.lr: {hydra: +optimizer.lr}              # key: for KeyValue
            seed: {environment: SEED}
            dropout: {json: --hparams, field: model.dropout}
            wd: {config: optimizer.weight_decay}

        Raises:
            CommandLineError: a key is unknown (the message names the nearest), or a value is not
                possible; the message says where.
        """
        settings = _mapping("command line", mapping)
        _check_keys("command line", settings, [each.name for each in fields(cls)])
        settings = {key: item for key, item in settings.items() if item is not None}
        if "parameters" in settings:
            described = _mapping("parameters", settings["parameters"])
            settings["parameters"] = {
                name: _style_from(f"parameters: {name}", spec) for name, spec in described.items()
            }
        if "default" in settings:
            settings["default"] = _style_from("default", settings["default"])
        if "config_file" in settings:
            settings["config_file"] = _config_file_from(settings["config_file"])
        return cls(**settings)

    def render(
        self,
        params: Mapping[str, ParamValue],
        paths: RunPaths,
        overrides: Mapping[str, ParamValue] = _NOTHING,
    ) -> Invocation:
        """What the run with these parameters is started with.

        Overrides replace parameters of the same name. Where a fixed argument sets the option or
        key that an override is written as, ``--epochs=5`` or ``--epochs`` ``5``, the override
        takes its place (None removes it). A fixed option without ``=`` is taken to be followed
        by its value unless the override is a switch; ``-e5`` in one token is not recognised.

        Raises:
            CommandLineError: two parameters, or a parameter and a fixed argument, would be
                written to the same place; or a value cannot be passed. The message names it.
        """
        self.check([name for name in params if name not in overrides], overrides)
        values = {
            name: _plain(f"parameter {name!r}", value)
            for name, value in {**params, **overrides}.items()
        }
        slots = self._slots
        for name in overrides:
            rule = "it is an override, and Omit does not pass it on: describe it in parameters"
            passed = not isinstance(self._style(name), Omit)
            _expect(passed, f"parameter {name!r}", values[name], rule)
            slots = self._with_override(slots, name, values[name])
        return self._render(values, paths, slots)

    def check(self, names: Iterable[str] = (), overrides: Iterable[str] = ()) -> None:
        """Check what needs no values: ``render`` would raise the same for these parameters.

        Raises:
            CommandLineError: two names, or a name and a fixed argument, clash.
        """
        names = list(names)
        claimed = [
            (claim, f"parameter {name!r}")
            for name in dict.fromkeys([*self.parameters, *names, *overrides])
            for claim in self._style(name).claims(name, self)
        ]
        claimed += [(("option", flag), "the JSON argument") for flag in self._json_flags if flag]
        # In sorted order whatever begins with a claim comes right after it.
        for (first, owner), (second, other) in pairwise(sorted(claimed)):
            if second[: len(first)] == first and owner != other:
                raise CommandLineError(
                    f"{owner} and {other} are both written as {_claim_text(first)}: "
                    "describe one of them differently in parameters"
                )
        for name in names:
            for claim in self._style(name).claims(name, self):
                self._check_not_fixed(f"parameter {name!r}", claim)

    def unused(self, names: Iterable[str]) -> list[str]:
        """The parameters that are described, or placed in ``arguments``, but not among these."""
        return sorted({*self.parameters, *_placed(self._slots)} - set(names))

    def flag(self, name: str) -> str:
        """The option for a parameter whose description gives no flag.

        Raises:
            CommandLineError: the name has blanks, ``=`` or a dash in front.
        """
        changes = {"dash": ("_", "-"), "underscore": ("-", "_"), "as_is": ("", "")}
        flag = f"--{name.replace(*changes[self.naming])}"
        rule = "describe the parameter, with Option('--flag') for example"
        _expect(_FLAG.fullmatch(flag), f"the option for parameter {name!r}", flag, rule)
        return flag

    # What the description says

    @property
    def _slots(self) -> list[str | _Place]:
        """``arguments`` with the places of parameters told apart from the fixed ones."""
        slots: list[str | _Place] = []
        for argument in self.arguments:
            one = re.fullmatch(r"\{param:(.+)\}", argument, re.DOTALL)
            if argument == PARAMETERS:
                slots.append(_Place(None))
            else:
                slots.append(_Place(one[1]) if one else argument)
        return slots if _Place(None) in slots else [*slots, _Place(None)]

    @property
    def _fixed(self) -> list[str]:
        return [slot for slot in self._slots if isinstance(slot, str)]

    @property
    def _json_flags(self) -> list[str]:
        styles = [*self.parameters.values(), self.default]
        used = [style.flag for style in styles if isinstance(style, JsonField)]
        return list(dict.fromkeys([*used, *self.json_templates]))

    def _style(self, name: str) -> Style:
        return self.parameters.get(name, self.default)

    def _carrier(self, name: str) -> _Carrier:
        return self._style(name).carrier(name)

    # Construction

    def _copy_containers(self) -> None:
        """Hold own copies, so that a frozen object stays as it was checked."""
        good = isinstance(self.arguments, Sequence) and not isinstance(self.arguments, str)
        _expect(good, "arguments", self.arguments, "it must be a list of texts")
        for argument in self.arguments:
            _expect(isinstance(argument, str), "arguments", argument, "quote it: it must be text")
        parameters = _mapping("parameters", self.parameters)
        for name, style in parameters.items():
            good = isinstance(style, Style)
            _expect(good, f"parameters: {name}", style, "it must be a style such as Option('-b')")
        templates = {
            flag: _template(f"json_templates: {flag}", template)
            for flag, template in _mapping("json_templates", self.json_templates).items()
        }
        object.__setattr__(self, "arguments", tuple(self.arguments))
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "json_templates", templates)

    def _check_default(self) -> None:
        _expect(isinstance(self.default, Style), "default", self.default, "it must be a style")
        for claim in self.default.claims("a", self):
            rule = f"it would write every parameter as {_claim_text(claim)}"
            shared = claim in self.default.claims("b", self)
            _expect(not shared, "default", self.default, rule)

    def _check_places(self) -> None:
        once = self.arguments.count(PARAMETERS) < 2
        _expect(once, "arguments", self.arguments, f"{PARAMETERS} must be there once")
        placed = _placed(self._slots)
        carriers = [self._carrier(name) for name in placed]
        for name, carrier in zip(placed, carriers, strict=True):
            once = carriers.count(carrier) == 1
            rule = "the argument that carries it has two places; remove one"
            _expect(once, "arguments", f"{{param:{name}}}", rule)
            rule = "it is not written as an argument, so it can have no place"
            _expect(carrier[0] in _IN_ARGV, "arguments", f"{{param:{name}}}", rule)

    def _check_config_file(self) -> None:
        if self.config_file is None:
            for name, style in [*self.parameters.items(), ("default", self.default)]:
                if isinstance(style, ConfigField):
                    raise CommandLineError(
                        f"{name!r} goes into a configuration file and there is none: "
                        "add config_file=ConfigFile('config.yaml')"
                    )
            return
        good = isinstance(self.config_file, ConfigFile)
        _expect(good, "config_file", self.config_file, "it must be a ConfigFile")
        if not any("{config}" in fixed for fixed in self._fixed):
            raise CommandLineError(
                f"no argument passes the path of the configuration file {self.config_file.name!r}: "
                "add '--config={config}', or whatever the script calls it, to arguments"
            )

    def _check_not_fixed(self, owner: str, claim: _Claim) -> None:
        for fixed in self._fixed:
            if _fixed_claim(fixed) == claim:
                raise CommandLineError(
                    f"{owner} is written as {_claim_text(claim)}, which the fixed argument "
                    f"{fixed!r} sets already: remove it from arguments"
                )

    # Rendering

    def _with_override(
        self, slots: list[str | _Place], name: str, value: _Plain
    ) -> list[str | _Place]:
        """The slots with the override's place where fixed arguments set the same."""
        style = self._style(name)
        claims = style.claims(name, self)
        has_value = isinstance(style, Option) and not style.is_switch(value, self)
        several = isinstance(style, Option) and style.many == "spread"
        result: list[str | _Place] = []
        rest = deque(slots)
        while rest:
            slot = rest.popleft()
            if not isinstance(slot, str) or _fixed_claim(slot) not in claims:
                result.append(slot)
                continue
            if _Place(name) not in [*result, *rest]:
                result.append(_Place(name))
            if has_value and "=" not in slot:
                _drop_values(rest, several)
        return result

    def _render(
        self, values: Mapping[str, _Plain], paths: RunPaths, slots: list[str | _Place]
    ) -> Invocation:
        places = {"work": paths.work, "outputs": paths.outputs, "checkpoints": paths.checkpoints}
        if self.config_file is not None:
            places["config"] = posixpath.join(paths.work, self.config_file.name)
        documents = self._documents(values, places)
        files = {}
        if self.config_file is not None:
            files[self.config_file.name] = self.config_file.text(documents.pop(_FILE))
        tokens = self._tokens(values, documents)
        variables = [
            each for carrier in tokens if carrier[0] == "variable" for each in tokens[carrier]
        ]
        env = dict(variable.split("=", 1) for variable in variables)
        return Invocation(self._argv(tokens, slots, places), env, files)

    def _documents(
        self, values: Mapping[str, _Plain], places: Mapping[str, str]
    ) -> dict[_Carrier, _Plain]:
        """What the JSON arguments and the configuration file say in this run."""
        templates: dict[_Carrier, object] = {
            ("JSON", flag): self.json_templates.get(flag, {}) for flag in self._json_flags
        }
        if self.config_file is not None:
            templates[_FILE] = self.config_file.template
        documents = {carrier: _filled(template, places) for carrier, template in templates.items()}
        for name, value in values.items():
            style = self._style(name)
            if isinstance(style, _Field):
                document = documents[style.carrier(name)]
                documents[style.carrier(name)] = _put(document, style.path(name), value, name)
        return documents

    def _tokens(
        self, values: Mapping[str, _Plain], documents: Mapping[_Carrier, _Plain]
    ) -> dict[_Carrier, list[str]]:
        """The tokens of each carrier, in the order of the description; [] for absent ones."""
        tokens: dict[_Carrier, list[str]] = {}
        for name in dict.fromkeys([*self.parameters, *values]):
            style = self._style(name)
            own = style.tokens(name, values[name], self) if name in values else []
            tokens[style.carrier(name)] = [_argument(f"parameter {name!r}", each) for each in own]
        for carrier, document in documents.items():
            flag, text = carrier[1], _json(document)
            own = _joined(flag, text) if flag else [text]
            tokens[carrier] = [_argument(f"the JSON argument {flag}", each) for each in own]
        return tokens

    def _argv(
        self,
        tokens: Mapping[_Carrier, list[str]],
        slots: list[str | _Place],
        places: Mapping[str, str],
    ) -> tuple[str, ...]:
        placed = [self._carrier(name) for name in _placed(slots)]
        others = [carrier for carrier in tokens if carrier[0] in _IN_ARGV and carrier not in placed]
        argv: list[str] = []
        order: list[_Carrier] = []
        for slot in slots:
            if isinstance(slot, str):
                argv.append(_argument(f"argument {_shown(slot)}", _fill(slot, places)))
                continue
            here = others if slot.name is None else [self._carrier(slot.name)]
            argv += [each for carrier in here for each in tokens.get(carrier, [])]
            order += here
        self._check_positionals(
            [(name, tokens.get((kind, name))) for kind, name in order if kind == "argument"]
        )
        return tuple(argv)

    def _check_positionals(self, order: Iterable[tuple[str, list[str] | None]]) -> None:
        """Refuse a gap: the script would take the next positional argument for the missing one."""
        missing = ""
        for name, tokens in order:
            if isinstance(self._style(name), Positional):
                if tokens and missing:
                    raise CommandLineError(
                        f"parameter {missing!r} has no value, and the positional {name!r} after it "
                        "would be taken for it: give it a text with Positional(none=...)"
                    )
                missing = missing if tokens else missing or name


def preview_text(entry: Sequence[str], invocation: Invocation) -> str:
    """The run as a line for a shell, with the variables in front and the files listed below it.

    The values of variables whose names look secret are masked.
    """
    shown = {
        name: "***" if _SECRET.search(name) else value for name, value in invocation.env.items()
    }
    assignments = [f"{name}={shlex.quote(value)}" for name, value in shown.items()]
    lines = [" ".join([*assignments, shlex.join([*entry, *invocation.argv])])]
    for path, text in invocation.files.items():
        lines += [f"# {path}:", *(f"#   {line}" for line in text.splitlines())]
    return "\n".join(lines)


# --- Tokens -------------------------------------------------------------------------------------


def _joined(flag: str, text: str) -> list[str]:
    """An option and its value as every parser reads them; see Option."""
    if len(flag) > 2:
        return [f"{flag}={text}"]
    return [flag + text] if text.startswith("-") else [flag, text]


def _switched(on: str | None, off: str | None, value: _Plain) -> list[str]:
    flag = None if value is None else on if value else off
    return [flag] if flag else []


def _key(key: str | None, name: str) -> str:
    if key is None:
        _check_key(f"parameter {name!r}: its key", name)
    return key or name


def _refuse_dash(name: str, texts: list[str], fix: str) -> None:
    for text in texts:
        if text.startswith("-") and text != "-":  # a lone dash is standard input, to everyone
            raise CommandLineError(
                f"parameter {name!r} would put {_shown(text)} on the command line as a word of "
                f"its own, and most parsers take it for an option: {fix}"
            )


def _by_commas(name: str, texts: list[str]) -> str:
    """The texts in one, if splitting it gives them back."""
    if any("," in text for text in texts) or texts == [""]:
        raise CommandLineError(
            f"parameter {name!r} is {_shown(texts)}: joined by commas it could not be told apart "
            "again; write it with many='json' or many='repeat'"
        )
    return ",".join(texts)


def _argument(owner: str, text: str) -> str:
    """The text, if the kernel can pass it to a program."""
    if "\0" in text:
        raise CommandLineError(
            f"{owner} has a NUL character in it, {_shown(text)}, which no argument or variable "
            "can carry: remove it"
        )
    size = len(_encoded(owner, text, "surrogateescape"))
    if size > _ARGUMENT_LIMIT:
        raise CommandLineError(
            f"{owner} makes an argument of {size} bytes and Linux passes at most "
            f"{_ARGUMENT_LIMIT}: write it into a configuration file with ConfigField"
        )
    return text


def _encoded(owner: str, text: str, errors: str) -> bytes:
    try:
        return text.encode("utf-8", errors)
    except UnicodeEncodeError as error:
        raise CommandLineError(
            f"{owner} has the lone surrogate {text[error.start]!r} in {_shown(text)}, which is no "
            "character: remove it"
        ) from None


# --- Fixed arguments ----------------------------------------------------------------------------


def _placed(slots: Iterable[str | _Place]) -> list[str]:
    """The parameters with a place of their own."""
    return [slot.name for slot in slots if isinstance(slot, _Place) and slot.name is not None]


def _fixed_claim(fixed: str) -> _Claim | None:
    name, equals, _ = fixed.partition("=")
    if _is_option(fixed):
        return ("option", name)
    return _key_claim(name) if equals else None


def _key_claim(key: str) -> _Claim:
    # +lr and ++lr are Hydra's ways to add lr: the same field.
    return ("key", key.lstrip("+"))


def _claim_text(claim: _Claim) -> str:
    kind, *names = claim
    return f"{kind} {'.'.join(names)}".rstrip()


def _is_option(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return token.startswith("-") and token != "-"
    return False


def _drop_values(rest: deque[str | _Place], several: bool) -> None:
    """Drop the value, or the several values, that follow a fixed option."""
    while rest and isinstance(rest[0], str) and not _is_option(rest[0]):
        rest.popleft()
        if not several:
            return


def _fill(text: str, places: Mapping[str, str]) -> str:
    """The text with its placeholders substituted, ``{{`` and ``}}`` becoming braces."""

    def replacement(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] in places:
            return places[found[1]]
        if found[0] == PARAMETERS or found[0].startswith("{param:"):
            raise CommandLineError(f"{text!r}: {found[0]} must be an argument of its own")
        if found[0] == "{config}":
            raise CommandLineError(
                f"{text!r}: there is no configuration file for {{config}}: "
                "add config_file=ConfigFile('config.yaml')"
            )
        valid = ", ".join(f"{{{name}}}" for name in places)
        raise CommandLineError(
            f"{text!r}: {found[0]!r} is no placeholder; there are {valid}, and, as arguments of "
            f"their own, {PARAMETERS} and {{param:NAME}}; write {{{{ and }}}} for braces"
        )

    return re.sub(r"\{\{|\}\}|\{([^{}]*)\}|[{}]", replacement, text)


def _filled(template: object, places: Mapping[str, str]) -> _Plain:
    """A copy of the template with the placeholders in its texts substituted."""
    if isinstance(template, str):
        return _fill(template, places)
    if isinstance(template, list):
        return [_filled(element, places) for element in template]
    if isinstance(template, dict):
        return {key: _filled(value, places) for key, value in template.items()}
    return _plain("template", template)


# --- Values and documents -----------------------------------------------------------------------


def _plain(owner: str, value: object) -> _Plain:
    """The value in Python's own types, numpy's scalars and subclasses undone."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)  # repr(numpy.float64(0.1)) is not 0.1
    if isinstance(value, list | tuple):
        return [_plain(owner, element) for element in value]
    if isinstance(value, Mapping):
        for key in value:
            _expect(isinstance(key, str), f"{owner}: the key", key, "it must be text")
        return {str.__str__(key): _plain(owner, element) for key, element in value.items()}
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        scalar = value.item()
        if isinstance(scalar, bool | int | float | str):
            return scalar
    raise CommandLineError(
        f"{owner} is {_shown(value)}, a {type(value).__name__}: make it a number, a text, "
        "True, False, None, or a list or dict of these (an array has tolist())"
    )


def _put(document: _Plain, path: Sequence[str], value: _Plain, name: str) -> _Plain:
    """The document with the value at the path; objects that are missing on the way are added."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(document, dict):
        document[key] = _put(document.get(key, {}), rest, value, name)
    elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
        document[int(key)] = _put(document[int(key)], rest, value, name)
    else:
        raise CommandLineError(
            f"parameter {name!r}: its field has no {key!r} in the template, which has "
            f"{_shown(document)} there: correct the field or the template"
        )
    return document


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _yaml(document: object) -> str:
    import yaml  # only when a YAML file is written

    class Dumper(yaml.SafeDumper):
        """Quotes every text that some version of YAML reads as anything else."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None if _is_plain_word(value) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )


def _hydra(name: str, value: _Plain) -> str:
    """The value in the grammar of Hydra 1.1 and later."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _hydra_text(name, value)
    if isinstance(value, list):
        return "[" + ",".join(_hydra(name, element) for element in value) + "]"
    if isinstance(value, dict):
        for key in value:
            rule = "Hydra has no quoted keys; use letters, digits, '_', '-' and '.'"
            _expect(_is_plain_word(key), f"parameter {name!r}: the key", key, rule)
        return "{" + ",".join(f"{key}:{_hydra(name, item)}" for key, item in value.items()) + "}"
    return repr(value)


def _hydra_text(name: str, text: str) -> str:
    if "${" in text:
        raise CommandLineError(
            f"parameter {name!r} is {_shown(text)}, and Hydra replaces ${{...}} in texts: "
            "remove it, or if that is meant, use KeyValue"
        )
    if _is_plain_word(text):
        return text
    # In Hydra's quotes a backslash means itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda run: run[1] * 2 + ("\\'" if run[2] else ""), text)
    return f"'{escaped}'"


def _is_plain_word(text: str) -> bool:
    """Whether YAML 1.1, YAML 1.2 and Hydra all read these characters as this text."""
    special = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
    word = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*", text)
    return word is not None and text.lower() not in special


# --- Checks -------------------------------------------------------------------------------------


def _expect(good: object, what: str, value: object, rule: str) -> None:
    if not good:
        raise CommandLineError(f"{what} is {_shown(value)}: {rule}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _check_settings(settings: object) -> None:
    """Raise if a setting is not of the type that it is declared with: YAML may bring any."""
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        what = f"{type(settings).__name__}: {name}"
        if get_origin(hint) is Literal:
            _expect(value in get_args(hint), what, value, f"it must be one of {get_args(hint)}")
        elif hint is bool:
            _expect(isinstance(value, bool), what, value, "it must be True or False")
        elif hint in (str, str | None):
            good = isinstance(value, str) or (value is None and hint is not str)
            _expect(good, what, value, "it must be text; in YAML, quote it")


def _check_booleans(what: str, booleans: str) -> None:
    good = booleans in ("--flag", "--flag/--no-flag") or _PAIR.fullmatch(booleans)
    rule = "it must be two texts, 'true/false' or '1/0', or '--flag', or '--flag/--no-flag'"
    _expect(good, what, booleans, rule)


def _check_flag(what: str, flag: str | None) -> None:
    good = flag is None or _FLAG.fullmatch(flag)
    _expect(good, what, flag, "it must be an option such as '--batch-size' or '-b'")


def _check_key(what: str, key: str | None) -> None:
    good = key is None or _KEY.fullmatch(key)
    _expect(good, what, key, "it must be text without '='")


def _template(what: str, template: object) -> _Plain:
    return _plain(what, _mapping(what, template))


# --- From a mapping -----------------------------------------------------------------------------

# The key of each style, and the setting that the key's value is.
_STYLES: dict[str, tuple[type[Style], str | None]] = {
    "option": (Option, "flag"),
    "switch": (Switch, "on"),
    "positional": (Positional, None),
    "key": (KeyValue, "key"),
    "hydra": (Hydra, "key"),
    "environment": (Environment, "variable"),
    "json": (JsonField, "flag"),
    "config": (ConfigField, "field"),
    "omit": (Omit, None),
}


def _style_from(where: str, spec: object) -> Style:
    if isinstance(spec, str):
        spec = {"option": spec} if spec.startswith("-") else {spec: None}
    if isinstance(spec, Mapping):
        # YAML 1.1 reads the bare keys `on` and `off`, which a Switch has, as booleans.
        spec = {{True: "on", False: "off"}.get(key, key): item for key, item in spec.items()}
    settings = _mapping(where, spec)
    chosen = [key for key in settings if key in _STYLES]
    if not chosen:
        _check_keys(where, settings, _STYLES)
    _expect(len(chosen) == 1, where, spec, f"give it one of the keys {', '.join(_STYLES)}")
    kind, main = _STYLES[chosen[0]]
    value = settings.pop(chosen[0])
    _check_keys(where, settings, [each.name for each in fields(kind) if each.name != main])
    if value is not None:
        _expect(main, f"{where}: {chosen[0]}", value, "this style has nothing to say here")
        settings[str(main)] = value
    try:
        return kind(**settings)
    except CommandLineError as error:
        raise CommandLineError(f"{where}: {error}") from None


def _config_file_from(spec: object) -> ConfigFile:
    settings = {"name": spec} if isinstance(spec, str) else _mapping("config_file", spec)
    _check_keys("config_file", settings, [each.name for each in fields(ConfigFile)])
    return ConfigFile(**settings)


def _mapping(what: str, value: object) -> dict[str, Any]:
    """A copy of the value, which must be a mapping with text for keys."""
    if not isinstance(value, Mapping):
        raise CommandLineError(f"{what} is {_shown(value)}: it must be a mapping")
    for key in value:
        _expect(isinstance(key, str), f"{what}: the key", key, "it must be text; in YAML, quote it")
    return dict(value)


def _check_keys(where: str, given: Iterable[str], valid: Iterable[str]) -> None:
    valid = list(valid)
    for key in given:
        if key not in valid:
            near = difflib.get_close_matches(key, valid, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(valid)}"
            raise CommandLineError(f"{where}: unknown key {key!r}; {hint}")
