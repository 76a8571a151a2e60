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

import posixpath
import re
import shlex
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from tune_jobs.core.job_runs import RunPaths
from tune_jobs.errors import CommandLineError
from tune_jobs.script.from_yaml import (
    check_keys,
    config_file_from,
    style_from,
)
from tune_jobs.script.styles import (
    IN_ARGV,
    IN_FILE,
    Carrier,
    Claim,
    ConfigField,
    ConfigFile,
    DocumentField,
    JsonField,
    Omit,
    Option,
    Positional,
    Style,
    key_claim,
)
from tune_jobs.script.values import (
    FLAG,
    ParamValue,
    Plain,
    check_booleans,
    check_settings,
    checked_argument,
    checked_mapping,
    checked_template,
    expect,
    joined_tokens,
    json_text,
    plain_value,
    put_field,
    shown,
)

Naming = Literal["dash", "underscore", "as_is"]
PARAMETERS = "{parameters}"
"""In ``arguments``: the place of every parameter that has no ``{param:NAME}`` of its own."""
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_NOTHING: Mapping[str, ParamValue] = MappingProxyType({})


@dataclass(frozen=True)
class Invocation:
    """What one run is started with; ``argv`` follows the entry point."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]  # path below RunPaths.work -> text, to be written as UTF-8


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
            ``{work}``, ``{outputs}``, ``{checkpoints}``, ``{resume}`` and ``{config}`` become
            paths of the run, and a brace is written twice. Values of parameters are never
            substituted.
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
        check_settings(self)
        check_booleans("booleans", self.booleans)
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
            name for name, style in self.parameters.items() if isinstance(style, DocumentField)
        ]
        self._render(dict.fromkeys(in_templates), RunPaths.below(""), self._slots)

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
        settings = checked_mapping("command line", mapping)
        check_keys("command line", settings, [each.name for each in fields(cls)])
        settings = {key: item for key, item in settings.items() if item is not None}
        if "parameters" in settings:
            described = checked_mapping("parameters", settings["parameters"])
            settings["parameters"] = {
                name: style_from(f"parameters: {name}", spec) for name, spec in described.items()
            }
        if "default" in settings:
            settings["default"] = style_from("default", settings["default"])
        if "config_file" in settings:
            settings["config_file"] = config_file_from(settings["config_file"])
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
            name: plain_value(f"parameter {name!r}", value)
            for name, value in {**params, **overrides}.items()
        }
        slots = self._slots
        for name in overrides:
            rule = "it is an override, and Omit does not pass it on: describe it in parameters"
            passed = not isinstance(self._style(name), Omit)
            expect(passed, f"parameter {name!r}", values[name], rule)
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
        expect(FLAG.fullmatch(flag), f"the option for parameter {name!r}", flag, rule)
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

    def _carrier(self, name: str) -> Carrier:
        return self._style(name).carrier(name)

    # Construction

    def _copy_containers(self) -> None:
        """Hold own copies, so that a frozen object stays as it was checked."""
        good = isinstance(self.arguments, Sequence) and not isinstance(self.arguments, str)
        expect(good, "arguments", self.arguments, "it must be a list of texts")
        for argument in self.arguments:
            expect(isinstance(argument, str), "arguments", argument, "quote it: it must be text")
        parameters = checked_mapping("parameters", self.parameters)
        for name, style in parameters.items():
            good = isinstance(style, Style)
            expect(good, f"parameters: {name}", style, "it must be a style such as Option('-b')")
        templates = {
            flag: checked_template(f"json_templates: {flag}", template)
            for flag, template in checked_mapping("json_templates", self.json_templates).items()
        }
        object.__setattr__(self, "arguments", tuple(self.arguments))
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "json_templates", templates)

    def _check_default(self) -> None:
        expect(isinstance(self.default, Style), "default", self.default, "it must be a style")
        for claim in self.default.claims("a", self):
            rule = f"it would write every parameter as {_claim_text(claim)}"
            shared = claim in self.default.claims("b", self)
            expect(not shared, "default", self.default, rule)

    def _check_places(self) -> None:
        once = self.arguments.count(PARAMETERS) < 2
        expect(once, "arguments", self.arguments, f"{PARAMETERS} must be there once")
        placed = _placed(self._slots)
        carriers = [self._carrier(name) for name in placed]
        for name, carrier in zip(placed, carriers, strict=True):
            once = carriers.count(carrier) == 1
            rule = "the argument that carries it has two places; remove one"
            expect(once, "arguments", f"{{param:{name}}}", rule)
            rule = "it is not written as an argument, so it can have no place"
            expect(carrier[0] in IN_ARGV, "arguments", f"{{param:{name}}}", rule)

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
        expect(good, "config_file", self.config_file, "it must be a ConfigFile")
        if not any("{config}" in fixed for fixed in self._fixed):
            raise CommandLineError(
                f"no argument passes the path of the configuration file {self.config_file.name!r}: "
                "add '--config={config}', or whatever the script calls it, to arguments"
            )

    def _check_not_fixed(self, owner: str, claim: Claim) -> None:
        for fixed in self._fixed:
            if _fixed_claim(fixed) == claim:
                raise CommandLineError(
                    f"{owner} is written as {_claim_text(claim)}, which the fixed argument "
                    f"{fixed!r} sets already: remove it from arguments"
                )

    # Rendering

    def _with_override(
        self, slots: list[str | _Place], name: str, value: Plain
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
        self, values: Mapping[str, Plain], paths: RunPaths, slots: list[str | _Place]
    ) -> Invocation:
        places = dict(vars(paths))
        if self.config_file is not None:
            places["config"] = posixpath.join(paths.work, self.config_file.name)
        documents = self._documents(values, places)
        files = {}
        if self.config_file is not None:
            files[self.config_file.name] = self.config_file.text(documents.pop(IN_FILE))
        tokens = self._tokens(values, documents)
        variables = [
            each for carrier in tokens if carrier[0] == "variable" for each in tokens[carrier]
        ]
        env = dict(variable.split("=", 1) for variable in variables)
        return Invocation(self._argv(tokens, slots, places), env, files)

    def _documents(
        self, values: Mapping[str, Plain], places: Mapping[str, str]
    ) -> dict[Carrier, Plain]:
        """What the JSON arguments and the configuration file say in this run."""
        templates: dict[Carrier, object] = {
            ("JSON", flag): self.json_templates.get(flag, {}) for flag in self._json_flags
        }
        if self.config_file is not None:
            templates[IN_FILE] = self.config_file.template
        documents = {carrier: _filled(template, places) for carrier, template in templates.items()}
        for name, value in values.items():
            style = self._style(name)
            if isinstance(style, DocumentField):
                document = documents[style.carrier(name)]
                documents[style.carrier(name)] = put_field(document, style.path(name), value, name)
        return documents

    def _tokens(
        self, values: Mapping[str, Plain], documents: Mapping[Carrier, Plain]
    ) -> dict[Carrier, list[str]]:
        """The tokens of each carrier, in the order of the description; [] for absent ones."""
        tokens: dict[Carrier, list[str]] = {}
        for name in dict.fromkeys([*self.parameters, *values]):
            style = self._style(name)
            own = style.tokens(name, values[name], self) if name in values else []
            owner = f"parameter {name!r}"
            tokens[style.carrier(name)] = [checked_argument(owner, each) for each in own]
        for carrier, document in documents.items():
            flag, text = carrier[1], json_text(document)
            own = joined_tokens(flag, text) if flag else [text]
            tokens[carrier] = [checked_argument(f"the JSON argument {flag}", each) for each in own]
        return tokens

    def _argv(
        self,
        tokens: Mapping[Carrier, list[str]],
        slots: list[str | _Place],
        places: Mapping[str, str],
    ) -> tuple[str, ...]:
        placed = [self._carrier(name) for name in _placed(slots)]
        others = [carrier for carrier in tokens if carrier[0] in IN_ARGV and carrier not in placed]
        argv: list[str] = []
        order: list[Carrier] = []
        for slot in slots:
            if isinstance(slot, str):
                argv.append(checked_argument(f"argument {shown(slot)}", _fill(slot, places)))
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


# Fixed arguments


def _placed(slots: Iterable[str | _Place]) -> list[str]:
    """The parameters with a place of their own."""
    return [slot.name for slot in slots if isinstance(slot, _Place) and slot.name is not None]


def _fixed_claim(fixed: str) -> Claim | None:
    name, equals, _ = fixed.partition("=")
    if _is_option(fixed):
        return ("option", name)
    return key_claim(name) if equals else None


def _claim_text(claim: Claim) -> str:
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


def _filled(template: object, places: Mapping[str, str]) -> Plain:
    """A copy of the template with the placeholders in its texts substituted."""
    if isinstance(template, str):
        return _fill(template, places)
    if isinstance(template, list):
        return [_filled(element, places) for element in template]
    if isinstance(template, dict):
        return {key: _filled(value, places) for key, value in template.items()}
    return plain_value("template", template)
