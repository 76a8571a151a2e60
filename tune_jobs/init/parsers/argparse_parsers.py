"""argparse, optparse, and the packages that extend argparse.ArgumentParser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tune_jobs.init.flags import Command, Flag, Many, Parser
from tune_jobs.init.interpreting.expressions import Evaluator, list_members
from tune_jobs.init.interpreting.values import (
    UNKNOWN,
    Call,
    EnumMember,
    External,
    Instance,
    Object,
    Value,
    is_literal,
)
from tune_jobs.init.parsers.findings import Findings, Handler, Input, find_literal
from tune_jobs.init.parsers.types import kind_of, read_converter

_ADD = ("add_argument", "add_option", "add", "add_arg")
_PARSE = (
    "parse_args",
    "parse_known_args",
    "parse_intermixed_args",
    "parse_known_intermixed_args",
    "parse_args_into_dataclasses",
    "parse_object",
    "parse",
)
_NOT_FLAGS = ("help", "version")


class ArgumentParser(Object):
    """A parser, or the parser of one of its commands.

    Args:
        findings: Where its use is noted.
        parser: The parser that parses the whole command line.
        command: What this one adds flags to.
    """

    def __init__(self, findings: Findings, parser: Parser, command: Command) -> None:
        self.findings = findings
        self.parser = parser
        self.command = command

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        if name in _ADD and _is_argument(call):
            return add_argument(self.command, call)
        if name in _PARSE:
            self.findings.use(self.parser, call.place)
            namespace = Namespace(self.command)
            pair = "known" in name or self.parser.kind == "optparse"
            return [namespace, UNKNOWN] if pair else namespace
        match name:
            case "add_argument_group" | "add_option_group":
                return self
            case "add_mutually_exclusive_group":
                group = str(call.place)
                if call.get("required") is True:
                    self.command.one_of.add(group)
                return ExclusiveGroup(self, group)
            case "add_subparsers" | "add_subcommands":
                return Subparsers(self)
            case "set_defaults":
                for key, value in call.keywords.items():
                    if is_literal(value):
                        self.command.set(key, default=value, required=False)
        return UNKNOWN

    def copy_parents(self, parents: Value) -> None:
        """Add the flags of ``parents=[...]``."""
        for parent in parents if isinstance(parents, list) else ():
            native = parent.native if isinstance(parent, Instance) else parent
            if isinstance(native, ArgumentParser):
                self.command.flags.update(native.command.flags)
                self.command.commands.update(native.command.commands)


class ExclusiveGroup(Object):
    """Group of arguments of which at most one may be given."""

    def __init__(self, owner: ArgumentParser, name: str) -> None:
        self._owner = owner
        self._name = name

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        if name in _ADD:
            return add_argument(self._owner.command, call, exclusive=self._name)
        return self._owner.call_method(name, call)


class Subparsers(Object):
    """Result of ``add_subparsers()``."""

    def __init__(self, owner: ArgumentParser) -> None:
        self._owner = owner

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        command = Command()
        if name == "add_parser":
            word = call.string("name", 0)
            below = ArgumentParser(self._owner.findings, self._owner.parser, command)
            below.copy_parents(call.get("parents"))
        elif name == "add_subcommand":  # jsonargparse
            word, below = call.string("name", 0), call.get("parser", 1)
            command = below.command if isinstance(below, ArgumentParser) else command
        else:
            return UNKNOWN
        if word:
            self._owner.command.commands[word] = command
        return below


class Namespace(Object):
    """Result of ``parse_args()``."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def attribute(self, name: str) -> Value:
        """Return the value of an argument."""
        if name in self._command.flags:
            return Input(self._command, name)
        return UNKNOWN


class AnyArgument(Object):
    """Result of ``add_argument()``."""


def add_argument(command: Command, call: Call, exclusive: str = "") -> Value:
    """Add the flag that a call of ``add_argument`` defines."""
    flag = read_argument(call)
    if flag is not None:
        command.add(replace(flag, exclusive=exclusive))
    return AnyArgument()


def read_argument(call: Call) -> Flag | None:
    """Return the flag that a call of ``add_argument`` defines; None if its name is not known."""
    names = [each for each in call.args if isinstance(each, str) and each]
    action = call.get("action")
    if not names or action in _NOT_FLAGS:
        return None
    # An option starts with one of the parser's prefix_chars.
    positional = names[0][0].isalpha() or names[0][0] == "_"
    name = call.string("dest") or _find_destination(names, positional)
    flag = Flag(
        name=name,
        options=() if positional else tuple(names),
        carrier="positional" if positional else "option",
        default=find_literal(_unwrap(call.get("default"))),
        choices=_read_choices(call.get("choices")),
        help=_clean_help(call.string("help")),
        hidden=call.get("help") == External("argparse.SUPPRESS"),
        required=_is_required(call, positional),
        place=call.place,
    )
    return _add_action(_add_type(flag, call), call)


def _find_destination(names: Sequence[str], positional: bool) -> str:
    long = [each for each in names if each.startswith("--")]
    name = names[0] if positional else (long or names)[0]
    return name if positional else name.lstrip("-+/").replace("-", "_")


def _is_argument(call: Call) -> bool:
    return any(isinstance(each, str) for each in call.args)


def _is_required(call: Call, positional: bool) -> bool:
    if not positional:
        return call.get("required") is True
    return call.get("nargs") not in ("?", "*", External("argparse.REMAINDER"), "...")


def _clean_help(help: str) -> str:
    """Return a description without fields such as ``%(default)s``."""
    without = re.sub(r"\s*[(\[][^()\[\]]*%\(\w+\)[a-z][^()\[\]]*[)\]]|%\(\w+\)[a-z]", "", help)
    return without.replace("%%", "%").strip()


def _unwrap(value: Value) -> Value:
    return value.value if isinstance(value, EnumMember) else value


def _read_choices(value: Value) -> tuple[Any, ...]:
    members = list_members(value) or value
    if isinstance(members, dict):
        members = list(members)
    if not isinstance(members, list | tuple | range):
        return ()
    values = [_unwrap(each) for each in members[:100]]
    return tuple(values) if all(map(is_literal, values)) else ()


def _add_type(flag: Flag, call: Call) -> Flag:
    given = call.get("type")
    hint = read_converter(given)
    kind, caution = hint.kind, hint.caution
    if given == External("bool"):
        caution = "type=bool takes every value for True, even False"
    elif given is None and flag.default is not None and kind_of(flag.default) != "str":
        # A default that is no string stays what it is, but a value that is given is a string.
        caution = "it has no type, so that the script gets a string: add type="
    choices = flag.choices or hint.choices
    kind = kind or kind_of(list(choices))
    if kind is None and given is UNKNOWN:
        kind = kind_of(flag.default)  # what it is converted to is not known
    if kind in (None, "str") and given is None and isinstance(flag.default, str):
        kind = "str"
    return replace(flag, kind=kind, caution=caution, choices=choices, booleans=hint.booleans)


def _add_action(flag: Flag, call: Call) -> Flag:
    action = call.get("action", default="store")
    nargs = call.get("nargs")
    if action in ("store_true", "store_false"):
        # As a setting it means that the switch is given, which by default it is not.
        return replace(flag, switch=True, kind="bool", default=False, caution="")
    if isinstance(action, External) and action.name.endswith("BooleanOptionalAction"):
        off = f"--no-{flag.option.removeprefix('--')}"
        return replace(flag, switch=True, kind="bool", off=off, caution="")
    if action in ("store_const", "append_const", "count", "callback"):
        caution = f"action={action!r} takes no value"
        return replace(flag, switch=True, kind=None, default=None, caution=caution)
    many: Many | None = None
    if action in ("append", "extend"):
        many = "repeat" if action == "append" else "spread"
    elif nargs in ("+", "*") or (isinstance(nargs, int) and nargs > 0):
        many = "spread"
    caution = flag.caution
    if not isinstance(action, str) or action not in ("store", "append", "extend"):
        caution = "it has an action of its own"
    elif many and isinstance(nargs, int):
        caution = caution or f"it takes {nargs} values"
    return replace(flag, many=many, caution=caution)


# -- how parsers are built --------------------------------------------------------------------


def build(kind: str) -> Handler:
    """Return the handler of a class that is a parser."""

    def handle(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
        parser = findings.new_parser(kind, help=call.get("add_help") is not False)
        built = ArgumentParser(findings, parser, parser.command)
        built.copy_parents(call.get("parents"))
        return built

    return handle


def _group(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Return what ``optparse.OptionGroup(parser, ...)`` adds options to: the parser."""
    owner = call.get("parser", 0)
    return owner if isinstance(owner, Object) else UNKNOWN


HANDLERS: Mapping[str, Handler] = {
    "argparse.ArgumentParser": build("argparse"),
    "configargparse.ArgumentParser": build("configargparse"),
    "configargparse.ArgParser": build("configargparse"),
    "configargparse.get_argument_parser": build("configargparse"),
    "optparse.OptionParser": build("optparse"),
    "optparse.OptionGroup": _group,
    "gooey.GooeyParser": build("argparse"),
}
