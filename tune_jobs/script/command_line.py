"""Map parameters to what starts one job run: argv, environment variables and files.

The script stays unchanged; a `CommandLine` describes its interface once. Without a description
every parameter is one token: ``batch_size=64`` becomes ``--batch-size=64``. With a description:

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

Everything in this module is a pure function of its arguments, without I/O.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from tune_jobs.arguments.calls import strict_names
from tune_jobs.core.attempts import Invocation
from tune_jobs.core.formatting import abbreviate
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.errors import CommandLineError, did_you_mean
from tune_jobs.script.fixed_arguments import (
    PARAMETERS,
    Place,
    drop_values,
    find_fixed_claim,
    find_placed,
    format_claim,
    substitute,
    substitute_all,
)
from tune_jobs.script.from_yaml import (
    check_keys,
    parse_config_file,
    parse_style,
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
)
from tune_jobs.script.values import (
    FLAG,
    ParamValue,
    Plain,
    check_booleans,
    check_settings,
    join_flag,
    require,
    set_field,
    to_json,
    to_plain,
    validate_argument,
    validate_mapping,
    validate_template,
)

Naming = Literal["dash", "underscore", "as_is"]
NO_OVERRIDES: Mapping[str, ParamValue] = MappingProxyType({})


@strict_names
@dataclass(frozen=True)
class CommandLine:
    """Interface of the user's script.

    Placeholders are substituted in the fixed arguments and in the strings of the templates:
    ``{work}``, ``{outputs}``, ``{checkpoints}``, ``{resume}`` and ``{config}`` become paths of
    the run, ``{{`` and ``}}`` become braces. Parameter values are never substituted.

    Args:
        arguments: Fixed arguments, among them ``PARAMETERS`` (by default last) and
            ``"{param:NAME}"`` for a parameter with a place of its own.
        parameters: Style of each parameter. A trial need not have all of them.
        default: Style of the parameters that ``parameters`` does not list.
        naming: How a name becomes an option if its style gives no flag. "dash": ``batch_size``
            becomes ``--batch-size``; "underscore": ``batch-size`` becomes ``--batch_size``;
            "as_is": the name is used unchanged.
        booleans: How True and False are written: ``"true/false"``, ``"True/False"``, ``"1/0"`` and
            the like, or, for options, ``"--flag"`` or ``"--flag/--no-flag"``.
        json_templates: Further content of each JSON argument that ``JsonField`` writes into, by
            flag.
        config_file: Configuration file that ``ConfigField`` writes into.
        overrides: Names in ``parameters`` that no configuration has: arguments that only
            ``train_best()``, ``check()`` or ``replicate()`` sets. Any other name that the search
            space does not have is an error. A promotion's argument and ``seed`` need not be listed.

    Raises:
        CommandLineError: If the description contradicts itself; the message names the conflict.
    """

    arguments: Sequence[str] = (PARAMETERS,)
    parameters: Mapping[str, Style] = field(default_factory=dict)
    default: Style = field(default_factory=Option)
    naming: Naming = "dash"
    booleans: str = "true/false"
    json_templates: Mapping[str, Mapping[str, ParamValue]] = field(default_factory=dict)
    config_file: ConfigFile | None = None
    overrides: Sequence[str] = ()

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
        # Only rendering finds unknown placeholders and fields missing from their template: render
        # once now, so that the constructor fails and not every run.
        in_templates = [
            name for name, style in self.parameters.items() if isinstance(style, DocumentField)
        ]
        self._render(dict.fromkeys(in_templates), RunPaths.below(""), self._slots)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> CommandLine:
        """Return the command line that a mapping, as read from YAML, describes.

        The keys are the constructor's arguments. A parameter is either a string (``-b`` is an
        option's flag; ``positional``, ``omit`` and ``environment`` name a style without settings)
        or a mapping: the style's key, whose value is the style's main setting, and further
        settings.

            batch_size: -b
            data: positional
            aug: {switch: --aug, off: --no-aug}
            layers: {option: --layer, many: repeat}
            opt.lr: {hydra: +optimizer.lr}              # key: for KeyValue
            seed: {environment: SEED}
            dropout: {json: --hparams, field: model.dropout}
            wd: {config: optimizer.weight_decay}

        Raises:
            CommandLineError: If a key is unknown (the message suggests the closest one) or a
                value is invalid; the message says where.
        """
        settings = validate_mapping("command line", mapping)
        check_keys("command line", settings, [each.name for each in fields(cls)])
        settings = {key: item for key, item in settings.items() if item is not None}
        if "parameters" in settings:
            described = validate_mapping("parameters", settings["parameters"])
            settings["parameters"] = {
                name: parse_style(f"parameters: {name}", spec) for name, spec in described.items()
            }
        if "default" in settings:
            settings["default"] = parse_style("default", settings["default"])
        if "config_file" in settings:
            settings["config_file"] = parse_config_file(settings["config_file"])
        return cls(**settings)

    def render(
        self,
        params: Mapping[str, ParamValue],
        paths: RunPaths,
        overrides: Mapping[str, ParamValue] = NO_OVERRIDES,
    ) -> Invocation:
        """Render the invocation of a run with these parameters.

        Overrides replace parameters of the same name. If a fixed argument (``--epochs=5``, or
        ``--epochs`` ``5``) sets the option or key that an override is written as, the override
        replaces it; None removes it. A fixed option without ``=`` is assumed to be followed by its
        value, unless the override is a switch; ``-e5`` in one token is not recognized.

        Args:
            params: Values by parameter name.
            paths: Folders of the run, for placeholders.
            overrides: Values that take precedence over parameters and fixed arguments.

        Raises:
            CommandLineError: If two parameters, or a parameter and a fixed argument, are written
                to the same place, or if a value cannot be passed.
        """
        self.check([name for name in params if name not in overrides], overrides)
        values = {
            name: to_plain(f"parameter {name!r}", value)
            for name, value in {**params, **overrides}.items()
        }
        slots = self._slots
        for name in overrides:
            rule = "its style is Omit, so the override would be lost: describe it in parameters"
            passed = not isinstance(self._style(name), Omit)
            require(passed, f"parameter {name!r}", values[name], rule)
            slots = self._with_override(slots, name, values[name])
        return self._render(values, paths, slots)

    def check(self, names: Iterable[str] = (), overrides: Iterable[str] = ()) -> None:
        """Run those checks of ``render`` that need only the parameters' names.

        Raises:
            CommandLineError: If two names, or a name and a fixed argument, conflict.
        """
        names = list(names)
        claimed = [
            (claim, f"parameter {name!r}")
            for name in dict.fromkeys([*self.parameters, *names, *overrides])
            for claim in self._style(name).claims(name, self)
        ]
        claimed += [(("option", flag), "the JSON argument") for flag in self._json_flags if flag]
        # In sorted order, claims that begin with a given claim follow it directly.
        for (first, owner), (second, other) in pairwise(sorted(claimed)):
            if second[: len(first)] == first and owner != other:
                raise CommandLineError(
                    f"{owner} and {other} are both written as {format_claim(first)}: "
                    "describe one of them differently in parameters"
                )
        for name in names:
            for claim in self._style(name).claims(name, self):
                self._check_not_fixed(f"parameter {name!r}", claim)

    @property
    def described(self) -> frozenset[str]:
        """Parameters that are described or placed, without ``overrides``."""
        return frozenset({*self.parameters, *find_placed(self._slots)} - set(self.overrides))

    def unused(self, names: Iterable[str]) -> list[str]:
        """Return the described parameters that are not among ``names``."""
        return sorted(self.described - set(names))

    def check_described(self, names: Collection[str]) -> None:
        """Check that every described parameter is among ``names``, those of the search space.

        Raises:
            CommandLineError: If one is not; the message has the closest names.
        """
        unknown = [f"{name!r} {did_you_mean(name, names)}" for name in self.unused(names)]
        if unknown:
            raise CommandLineError(
                f"CommandLine describes {', '.join(unknown)}, which the search space does not "
                "have: correct or remove it, or list it in overrides if only train_best() or "
                "check() sets it"
            )

    def flag(self, name: str) -> str:
        """Return the option of a parameter whose style gives no flag.

        Raises:
            CommandLineError: If the name has whitespace or ``=`` in it, or starts with a dash.
        """
        changes = {"dash": ("_", "-"), "underscore": ("-", "_"), "as_is": ("", "")}
        flag = f"--{name.replace(*changes[self.naming])}"
        rule = "describe the parameter, for example with Option('--flag')"
        require(FLAG.fullmatch(flag), f"the option for parameter {name!r}", flag, rule)
        return flag

    # -- derived from the description --------------------------------------------------------

    @property
    def _slots(self) -> list[str | Place]:
        """``arguments``, with the places of parameters as `Place`."""
        slots: list[str | Place] = []
        for argument in self.arguments:
            one = re.fullmatch(r"\{param:(.+)\}", argument, re.DOTALL)
            if argument == PARAMETERS:
                slots.append(Place(None))
            else:
                slots.append(Place(one[1]) if one else argument)
        return slots if Place(None) in slots else [*slots, Place(None)]

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

    # -- construction -----------------------------------------------------------------------

    def _copy_containers(self) -> None:
        """Copy mutable arguments, so that the object stays as it was validated."""
        good = isinstance(self.arguments, Sequence) and not isinstance(self.arguments, str)
        require(good, "arguments", self.arguments, "it must be a list of strings")
        for argument in self.arguments:
            require(
                isinstance(argument, str), "arguments", argument, "it must be a string: quote it"
            )
        parameters = validate_mapping("parameters", self.parameters)
        for name, style in parameters.items():
            good = isinstance(style, Style)
            require(good, f"parameters: {name}", style, "it must be a style such as Option('-b')")
        good = not isinstance(self.overrides, str) and isinstance(self.overrides, Sequence)
        good = good and all(isinstance(name, str) for name in self.overrides)
        require(good, "overrides", self.overrides, "it must be a list of names")
        object.__setattr__(self, "overrides", tuple(self.overrides))
        templates = {
            flag: validate_template(f"json_templates: {flag}", template)
            for flag, template in validate_mapping("json_templates", self.json_templates).items()
        }
        object.__setattr__(self, "arguments", tuple(self.arguments))
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "json_templates", templates)

    def _check_default(self) -> None:
        require(isinstance(self.default, Style), "default", self.default, "it must be a style")
        for claim in self.default.claims("a", self):
            rule = f"it writes every parameter as {format_claim(claim)}: use another style"
            shared = claim in self.default.claims("b", self)
            require(not shared, "default", self.default, rule)

    def _check_places(self) -> None:
        once = self.arguments.count(PARAMETERS) < 2
        require(once, "arguments", self.arguments, f"{PARAMETERS} may occur only once")
        placed = find_placed(self._slots)
        carriers = [self._carrier(name) for name in placed]
        for name, carrier in zip(placed, carriers, strict=True):
            once = carriers.count(carrier) == 1
            rule = "its argument has two places: remove one"
            require(once, "arguments", f"{{param:{name}}}", rule)
            rule = "the parameter is not written as an argument: remove the placeholder"
            require(carrier[0] in IN_ARGV, "arguments", f"{{param:{name}}}", rule)

    def _check_config_file(self) -> None:
        if self.config_file is None:
            for name, style in [*self.parameters.items(), ("default", self.default)]:
                if isinstance(style, ConfigField):
                    raise CommandLineError(
                        f"{name!r} is a field of the configuration file, but there is none: "
                        "add config_file=ConfigFile('config.yaml')"
                    )
            return
        good = isinstance(self.config_file, ConfigFile)
        require(good, "config_file", self.config_file, "it must be a ConfigFile")
        if not any("{config}" in fixed for fixed in self._fixed):
            raise CommandLineError(
                f"no argument passes the path of the configuration file {self.config_file.name!r}: "
                "add '--config={config}', or the script's own option, to arguments"
            )

    def _check_not_fixed(self, owner: str, claim: Claim) -> None:
        for fixed in self._fixed:
            if find_fixed_claim(fixed) == claim:
                raise CommandLineError(
                    f"{owner} is written as {format_claim(claim)}, which the fixed argument "
                    f"{fixed!r} already sets: remove it from arguments"
                )

    # -- rendering --------------------------------------------------------------------------

    def _with_override(
        self, slots: list[str | Place], name: str, value: Plain
    ) -> list[str | Place]:
        """Replace the fixed arguments that set the same as an override by its place."""
        style = self._style(name)
        claims = style.claims(name, self)
        has_value = isinstance(style, Option) and not style.is_switch(value, self)
        several = isinstance(style, Option) and style.many == "spread"
        result: list[str | Place] = []
        rest = deque(slots)
        while rest:
            slot = rest.popleft()
            if not isinstance(slot, str) or find_fixed_claim(slot) not in claims:
                result.append(slot)
                continue
            if Place(name) not in [*result, *rest]:
                result.append(Place(name))
            if has_value and "=" not in slot:
                drop_values(rest, several)
        return result

    def _render(
        self, values: Mapping[str, Plain], paths: RunPaths, slots: list[str | Place]
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
        """Fill the JSON arguments and the configuration file with this run's values."""
        templates: dict[Carrier, object] = {
            ("JSON", flag): self.json_templates.get(flag, {}) for flag in self._json_flags
        }
        if self.config_file is not None:
            templates[IN_FILE] = self.config_file.template
        documents = {
            carrier: substitute_all(template, places) for carrier, template in templates.items()
        }
        for name, value in values.items():
            style = self._style(name)
            if isinstance(style, DocumentField):
                document = documents[style.carrier(name)]
                documents[style.carrier(name)] = set_field(document, style.path(name), value, name)
        return documents

    def _tokens(
        self, values: Mapping[str, Plain], documents: Mapping[Carrier, Plain]
    ) -> dict[Carrier, list[str]]:
        """Return each carrier's tokens in the order of the description; absent ones have none."""
        tokens: dict[Carrier, list[str]] = {}
        for name in dict.fromkeys([*self.parameters, *values]):
            style = self._style(name)
            own = style.tokens(name, values[name], self) if name in values else []
            owner = f"parameter {name!r}"
            tokens[style.carrier(name)] = [validate_argument(owner, each) for each in own]
        for carrier, document in documents.items():
            flag, string = carrier[1], to_json(document)
            own = join_flag(flag, string) if flag else [string]
            tokens[carrier] = [validate_argument(f"the JSON argument {flag}", each) for each in own]
        return tokens

    def _argv(
        self,
        tokens: Mapping[Carrier, list[str]],
        slots: list[str | Place],
        places: Mapping[str, str],
    ) -> tuple[str, ...]:
        placed = [self._carrier(name) for name in find_placed(slots)]
        others = [carrier for carrier in tokens if carrier[0] in IN_ARGV and carrier not in placed]
        argv: list[str] = []
        order: list[Carrier] = []
        for slot in slots:
            if isinstance(slot, str):
                argv.append(
                    validate_argument(f"argument {abbreviate(slot)}", substitute(slot, places))
                )
                continue
            here = others if slot.name is None else [self._carrier(slot.name)]
            argv += [each for carrier in here for each in tokens.get(carrier, [])]
            order += here
        self._check_positionals(
            [(name, tokens.get((kind, name))) for kind, name in order if kind == "argument"]
        )
        return tuple(argv)

    def _check_positionals(self, order: Iterable[tuple[str, list[str] | None]]) -> None:
        """Reject a gap: the script would read the next positional as the missing one."""
        missing = ""
        for name, tokens in order:
            if isinstance(self._style(name), Positional):
                if tokens and missing:
                    raise CommandLineError(
                        f"positional {missing!r} has no value, so the script would read {name!r} "
                        "in its place: write None as a string with Positional(none=...)"
                    )
                missing = missing if tokens else missing or name
