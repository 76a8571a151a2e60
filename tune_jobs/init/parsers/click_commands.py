"""click: commands that decorators describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tune_jobs.init.flags import Command, Flag, Many
from tune_jobs.init.interpreting.expressions import Evaluator, list_members
from tune_jobs.init.interpreting.values import (
    UNKNOWN,
    Call,
    Class,
    External,
    Function,
    Object,
    Value,
    is_literal,
)
from tune_jobs.init.parsers.findings import Findings, Handler, find_literal
from tune_jobs.init.parsers.types import Hint, kind_of, read_converter

_KINDS = {"INT": "int", "FLOAT": "float", "STRING": "str", "BOOL": "bool"}


class ParameterType(Object):
    """Type of click with settings, such as ``click.Choice([...])``."""

    def __init__(self, hint: Hint, low: Value = None, high: Value = None) -> None:
        self.hint = hint
        self.low = low if isinstance(low, int | float) else None
        self.high = high if isinstance(high, int | float) else None


class Decorator(Object):
    """Decorator that attaches something to a function or a command."""

    def __init__(self, apply: Callable[[Value, Call], Value]) -> None:
        self._apply = apply

    def call(self, call: Call) -> Value:
        """Decorate a function."""
        return self._apply(call.get("", 0), call)


class ClickCommand(Object):
    """Command or group of click.

    Args:
        findings: Where its use is noted.
        name: Its name.
        command: Its flags and commands.
    """

    def __init__(self, findings: Findings, name: str, command: Command) -> None:
        self.name = name
        self.command = command
        self._findings = findings

    def call(self, call: Call) -> Value:
        """Parse the command line."""
        parser = self._findings.new_parser("click", command=self.command)
        self._findings.use(parser, call.place)
        return UNKNOWN

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        if name in ("command", "group"):
            return make_command(self._findings, call, self.command)
        if name == "add_command":
            below = call.get("cmd", 0)
            if isinstance(below, ClickCommand):
                self.command.commands[call.string("name", 1) or below.name] = below.command
        if name == "main":
            return self.call(call)
        return UNKNOWN

    def add(self, flag: Flag) -> None:
        """Add a flag of a decorator above that of the command."""
        self.command.add(flag)


def make_command(findings: Findings, call: Call, group: Command | None = None) -> Value:
    """Return a decorator, or, without parentheses, the decorated command."""

    def apply(function: Value, _: Call) -> Value:
        options = list(function.options) if isinstance(function, Function) else []
        flags = sorted(options, key=lambda flag: flag.place.line if flag.place else 0)
        command = Command({flag.name: flag for flag in flags})
        default = function.name.replace("_", "-") if isinstance(function, Function) else ""
        name = (call.string("name", 0) or default).removesuffix("-command")
        if group is not None and name:
            group.commands[name] = command
        return ClickCommand(findings, name, command)

    if call.args and isinstance(call.args[0], Function):
        return apply(call.args[0], call)
    return Decorator(apply)


def _command(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return make_command(findings, call)


def _option(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return Decorator(lambda function, _: attach(function, read_option(call)))


def _argument(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    flag = read_option(call, positional=True)
    return Decorator(lambda function, _: attach(function, flag))


def attach(function: Value, flag: Flag | None) -> Value:
    """Attach a flag to a function, or to a command that was made of one."""
    if flag is not None and isinstance(function, Function):
        function.options.append(flag)
    elif flag is not None and isinstance(function, ClickCommand):
        function.add(flag)
    return function


def read_option(call: Call, positional: bool = False) -> Flag | None:
    """Return the flag that ``click.option`` or ``click.argument`` defines."""
    names = [each for each in call.args if isinstance(each, str)]
    if not names:
        return None
    name, on, off = split_names(names)
    hint, low, high = _read_type(call.get("type"))
    default = _read_default(call.get("default"), hint)
    many: Many | None = "repeat" if call.get("multiple") is True else None
    if call.get("nargs", default=1) != 1 or hint.many:
        many = "spread"
    positional_default = positional and (default is not None or call.get("required") is False)
    flag = Flag(
        name=name,
        options=() if positional else tuple(on),
        carrier="positional" if positional else "option",
        kind=hint.kind or kind_of(default) or ("str" if call.get("type") is None else None),
        default=default,
        required=call.get("required", default=positional and not positional_default) is True
        or call.get("prompt", default=False) is not False,
        choices=hint.choices,
        help=call.string("help"),
        many=many,
        low=low,
        high=high,
        caution=hint.caution,
        hidden=call.get("hidden") is True,
        place=call.place,
    )
    return _add_switch(flag, call, off)


def split_names(names: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Return the name of a parameter, its options, and its options that mean False.

    ``["--augment/--no-augment", "-a", "aug"]`` is the parameter ``aug``.
    """
    on: list[str] = []
    off: list[str] = []
    name = ""
    for each in names:
        if each.isidentifier():
            name = each
            continue
        separator = ";" if each.startswith("/") else "/"
        first, _, second = each.partition(separator)
        on.append(first.strip())
        if second.strip():
            off.append(second.strip())
    longest = max(on, key=lambda each: len(each) - len(each.lstrip("-")), default="")
    return name or longest.lstrip("-").replace("-", "_"), on, off


def _read_type(value: Value) -> tuple[Hint, float | None, float | None]:
    if isinstance(value, ParameterType):
        return value.hint, value.low, value.high
    if isinstance(value, External) and value.name.rpartition(".")[2] in _KINDS:
        return read_converter(External(_KINDS[value.name.rpartition(".")[2]])), None, None
    return read_converter(value), None, None


def _read_default(value: Value, hint: Hint) -> Any:
    from_enum = getattr(value, "name" if hint.members else "value", value)
    return find_literal(from_enum)


def _add_switch(flag: Flag, call: Call, off: Sequence[str]) -> Flag:
    if call.get("count") is True or call.get("flag_value") is not None:
        return replace(flag, switch=True, kind=None, default=None, caution="it takes no value")
    if off:
        return replace(flag, switch=True, kind="bool", off=off[0], caution="")
    takes_value = call.get("type") is not None or flag.carrier == "positional"
    if call.get("is_flag") is True or (isinstance(flag.default, bool) and not takes_value):
        return replace(flag, switch=True, kind="bool", default=False, caution="")
    return flag


# -- types ------------------------------------------------------------------------------------


def _choice(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    given = call.get("choices", 0)
    if members := list_members(given):
        assert isinstance(given, Class)
        return ParameterType(Hint("str", tuple(m.name for m in members), members=given))
    items = list(given) if isinstance(given, list | dict) else []
    choices = tuple(items) if items and all(map(is_literal, items)) else ()
    return ParameterType(Hint(kind_of(list(choices)), choices))


def _range(kind: str) -> Handler:
    def handle(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
        low, high = call.get("min", 0), call.get("max", 1)
        return ParameterType(read_converter(External(kind)), low, high)

    return handle


def _path(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return ParameterType(Hint("path"))


def _pass(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model a decorator that adds no flag."""
    return call.args[0] if call.args else Decorator(lambda function, _: function)


def _by_package(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    packages = ("click", "rich_click", "asyncclick", "cloup")
    return {f"{package}.{name}": each for package in packages for name, each in handlers.items()}


HANDLERS: Mapping[str, Handler] = _by_package(
    {
        "command": _command,
        "group": _command,
        "option": _option,
        "argument": _argument,
        "Choice": _choice,
        "IntRange": _range("int"),
        "FloatRange": _range("float"),
        "Path": _path,
        "File": _path,
        "pass_context": _pass,
        "version_option": _pass,
        "help_option": _pass,
        "pass_obj": _pass,
    }
)
