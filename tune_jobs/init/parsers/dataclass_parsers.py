"""Packages whose parsers come from dataclasses: HfArgumentParser, simple_parsing, tyro, ..."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace

from tune_jobs.init.flags import Command, Flag, Kind
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.values import (
    UNKNOWN,
    Call,
    Class,
    External,
    Function,
    Instance,
    Object,
    Value,
)
from tune_jobs.init.parsers.argparse_parsers import ArgumentParser
from tune_jobs.init.parsers.findings import Findings, Handler
from tune_jobs.init.parsers.signatures import (
    Convention,
    add_entries,
    read_arguments,
    read_fields,
)

TRANSFORMERS = Convention(members="value", words="True/False", nested=False)
SIMPLE_PARSING = Convention(nested=False)
TYRO = Convention(dashes=True, booleans="pair")
JSONARGPARSE = Convention(many="json", positional=True, methods=True)
JSONARGPARSE_FIELDS = Convention(many="json")
TAP = Convention(booleans="toggle", nested=False)
DOTTED = Convention(many="json")
FIRE = Convention(many="json", words="True/False", methods=True)

# The arguments of transformers.TrainingArguments that are commonly set, with their defaults.
_TRAINING_ARGUMENTS: Mapping[str, tuple[Kind, object]] = {
    "output_dir": ("path", None),
    "learning_rate": ("float", 5e-5),
    "per_device_train_batch_size": ("int", 8),
    "per_device_eval_batch_size": ("int", 8),
    "gradient_accumulation_steps": ("int", 1),
    "num_train_epochs": ("float", 3.0),
    "max_steps": ("int", -1),
    "weight_decay": ("float", 0.0),
    "warmup_ratio": ("float", 0.0),
    "warmup_steps": ("int", 0),
    "adam_beta1": ("float", 0.9),
    "adam_beta2": ("float", 0.999),
    "max_grad_norm": ("float", 1.0),
    "label_smoothing_factor": ("float", 0.0),
    "lr_scheduler_type": ("str", "linear"),
    "do_train": ("bool", False),
    "do_eval": ("bool", False),
    "eval_strategy": ("str", "no"),
    "logging_steps": ("float", 500),
    "report_to": ("str", None),
    "seed": ("int", 42),
}


def add_component(
    command: Command,
    component: Value,
    evaluator: Evaluator,
    convention: Convention,
    prefix: str = "",
) -> None:
    """Add the flags of a dataclass, or of a function or the constructor of another class."""
    if isinstance(component, External):
        if component.name.endswith("TrainingArguments"):
            _add_training_arguments(command, convention)
        return
    if isinstance(component, Function):
        add_entries(command, read_arguments(component, evaluator), evaluator, convention, prefix)
    if not isinstance(component, Class):
        return
    if any(base.endswith("TrainingArguments") for base in component.external_bases()):
        _add_training_arguments(command, convention)
    constructor = component.find("__init__")
    entries = read_fields(component, evaluator)
    if constructor is not None and isinstance(constructor[0], Function):
        entries = read_arguments(constructor[0], evaluator)
    add_entries(command, entries, evaluator, convention, prefix)


def _add_training_arguments(command: Command, convention: Convention) -> None:
    for name, (kind, default) in _TRAINING_ARGUMENTS.items():
        words = convention.words if kind == "bool" else ""
        flag = Flag(name, (f"--{name}",), kind=kind, default=default, booleans=words)
        command.add(flag)


class HfArgumentParser(ArgumentParser):
    """transformers.HfArgumentParser and trl's TrlParser."""

    def add_dataclasses(self, classes: Value, evaluator: Evaluator) -> None:
        """Add the fields of dataclasses."""
        for each in classes if isinstance(classes, list) else [classes]:
            add_component(self.command, each, evaluator, TRANSFORMERS)


class SimpleParser(ArgumentParser):
    """simple_parsing.ArgumentParser, jsonargparse.ArgumentParser and datargs."""

    def __init__(
        self,
        findings: Findings,
        call: Call,
        kind: str,
        evaluator: Evaluator,
        convention: Convention,
    ) -> None:
        parser = findings.new_parser(kind)
        super().__init__(findings, parser, parser.command)
        self._evaluator = evaluator
        self._convention = convention

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        if name in ("add_arguments", "add_dataclass_arguments"):
            component, prefix = call.get("dataclass", 0), call.string("prefix")
        elif name in ("add_class_arguments", "add_function_arguments", "add_subclass_arguments"):
            component, prefix = call.args[0] if call.args else None, call.string("nested_key", 1)
        else:
            return super().call_method(name, call)
        if isinstance(component, Instance):
            component = component.cls
        prefix = f"{prefix}." if prefix and "class" in name else prefix
        add_component(self.command, component, self._evaluator, self._convention, prefix)
        return UNKNOWN


def _build_transformers(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    parser = findings.new_parser("HfArgumentParser")
    built = HfArgumentParser(findings, parser, parser.command)
    built.add_dataclasses(call.get("dataclass_types", 0), evaluator)
    return built


def _build_simple_parsing(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return SimpleParser(findings, call, "simple_parsing", evaluator, SIMPLE_PARSING)


def _build_jsonargparse(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return SimpleParser(findings, call, "jsonargparse", evaluator, JSONARGPARSE_FIELDS)


def _build_tap(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model the constructor of ``tap.Tap``, whose first argument is the class itself."""
    parser = findings.new_parser("tap")
    add_component(parser.command, call.get("", 0), evaluator, TAP)
    return ArgumentParser(findings, parser, parser.command)


def _build_pydantic_settings(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model a subclass of ``pydantic_settings.BaseSettings``, the first argument."""
    cls = call.get("", 0)
    if not isinstance(cls, Class):
        return UNKNOWN
    source = "".join(ast.unparse(each.node) for each in cls.lineage())
    found = Command()
    add_component(found, cls, evaluator, DOTTED)
    found.flags.pop("model_config", None)
    if re.search(r"cli_parse_args['\"]?[=:] ?True", source):
        parser = findings.new_parser("pydantic_settings", command=found)
        findings.use(parser, call.place)
        return UNKNOWN
    prefix = re.search(r"env_prefix['\"]?[=:] ?['\"](\w*)", source)
    for flag in found.flags.values():
        name = f"{prefix[1] if prefix else ''}{flag.name}".upper()
        if "." not in name:
            findings.inputs.add(replace(flag, name=name, options=(), carrier="environment"))
    return UNKNOWN


def parse_component(kind: str, convention: Convention, *, help: bool = True) -> Handler:
    """Return the handler of a function that parses the command line for what it is given."""

    def handle(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
        parser = findings.new_parser(kind, help=help)
        findings.use(parser, call.place)
        component = call.get("component", 0, call.get("config_class", 0))
        if component is None and convention.methods:
            component = evaluator.list_functions(call.place.file)
            if convention.positional and len(component) == 1:  # jsonargparse needs no command
                (component,) = component.values()
        _add_commands(parser.command, component, evaluator, convention)
        return UNKNOWN

    return handle


def _add_commands(
    command: Command, component: Value, evaluator: Evaluator, convention: Convention
) -> None:
    """Add a component, or each of several as a command."""
    if isinstance(component, list):
        component = {each.name: each for each in component if isinstance(each, Function | Class)}
    if not isinstance(component, dict):
        add_component(command, component, evaluator, convention)
        component = _list_methods(component) if convention.methods else {}
    for name, each in component.items():
        below = command.commands[str(name)] = Command()
        add_component(below, each, evaluator, convention)


def _list_methods(component: Value) -> dict[str, Value]:
    """Return the public methods of a class, or of the class of an instance."""
    cls = component.cls if isinstance(component, Instance) else component
    if not isinstance(cls, Class):
        return {}
    return {
        name: value
        for each in reversed(cls.lineage())
        for name, value in each.scope.names.items()
        if isinstance(value, Function) and value.role != "property" and name[0] != "_"
    }


class Wrapper(Object):
    """Decorator that parses the command line for the function's first argument."""

    def __init__(self, findings: Findings, kind: str, evaluator: Evaluator) -> None:
        self._findings = findings
        self._kind = kind
        self._evaluator = evaluator
        self._function: Value = None

    def call(self, call: Call) -> Value:
        """Decorate a function, or call the decorated function."""
        if self._function is None:
            self._function = call.get("", 0)
            return self
        parser = self._findings.new_parser(self._kind)
        self._findings.use(parser, call.place)
        if isinstance(self._function, Function):
            entries = list(read_arguments(self._function, self._evaluator))
            for entry in entries[:1]:
                add_component(parser.command, entry.hint.cls, self._evaluator, DOTTED)
        return UNKNOWN


def _wrap(kind: str) -> Handler:
    def handle(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
        return Wrapper(findings, kind, evaluator)

    return handle


def _parse_lightning(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``LightningCLI(Model, Data)``: commands with the arguments of the constructors."""
    parser = findings.new_parser("LightningCLI")
    findings.use(parser, call.place)
    command = parser.command.commands["fit"] = Command()
    for name, position in (("model", 0), ("data", 1)):
        component = call.get("model_class" if position == 0 else "datamodule_class", position)
        add_component(command, component, evaluator, JSONARGPARSE_FIELDS, f"{name}.")
    command.add(Flag("trainer.max_epochs", ("--trainer.max_epochs",), kind="int"))
    return UNKNOWN


HANDLERS: Mapping[str, Handler] = {
    "transformers.HfArgumentParser": _build_transformers,
    "transformers.hf_argparser.HfArgumentParser": _build_transformers,
    "trl.TrlParser": _build_transformers,
    "simple_parsing.ArgumentParser": _build_simple_parsing,
    "simple_parsing.parse": parse_component("simple_parsing", SIMPLE_PARSING),
    "jsonargparse.ArgumentParser": _build_jsonargparse,
    "jsonargparse.CLI": parse_component("jsonargparse", JSONARGPARSE),
    "jsonargparse.auto_cli": parse_component("jsonargparse", JSONARGPARSE),
    "tyro.cli": parse_component("tyro", TYRO),
    "tap.Tap": _build_tap,
    "pydantic_settings.BaseSettings": _build_pydantic_settings,
    "datargs.parse": parse_component("datargs", Convention(dashes=True, booleans="toggle")),
    "pyrallis.parse": parse_component("pyrallis", DOTTED),
    "pyrallis.wrap": _wrap("pyrallis"),
    "draccus.parse": parse_component("draccus", DOTTED),
    "draccus.wrap": _wrap("draccus"),
    "fire.Fire": parse_component("fire", FIRE, help=False),
    "lightning.pytorch.cli.LightningCLI": _parse_lightning,
    "pytorch_lightning.cli.LightningCLI": _parse_lightning,
    "pytorch_lightning.utilities.cli.LightningCLI": _parse_lightning,
}
