"""typer: commands that the signatures of functions describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tune_jobs.init.flags import Command, Flag
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.values import UNKNOWN, Call, Function, Object, Value
from tune_jobs.init.parsers.click_commands import Decorator, split_names
from tune_jobs.init.parsers.findings import Findings, Handler, find_literal
from tune_jobs.init.parsers.signatures import Convention, Entry, make_flag, read_arguments

TYPER = Convention(dashes=True, booleans="pair", many="repeat", positional=True, members="value")


class Parameter(Object):
    """Result of ``typer.Option()`` or ``typer.Argument()``."""

    def __init__(self, call: Call, positional: bool) -> None:
        self.call_arguments = call
        self.positional = positional


class App(Object):
    """Result of ``typer.Typer()``."""

    def __init__(self, findings: Findings, evaluator: Evaluator) -> None:
        self._findings = findings
        self._evaluator = evaluator
        self.commands: dict[str, Command] = {}
        self.root: Command | None = None

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        if name == "command":
            return self._decorate(call)
        if name == "callback":
            return Decorator(self._set_callback)
        if name == "add_typer":
            below = call.get("typer_instance", 0)
            if isinstance(below, App) and call.string("name"):
                self.commands[call.string("name")] = below.build(nested=True)
        return UNKNOWN

    def _decorate(self, call: Call) -> Value:
        def apply(function: Value, _: Call) -> Value:
            if isinstance(function, Function):
                name = call.string("name", 0) or function.name.replace("_", "-")
                self.commands[name] = read_function(function, self._evaluator)
            return function

        return Decorator(apply)

    def _set_callback(self, function: Value, call: Call) -> Value:
        if isinstance(function, Function):
            self.root = read_function(function, self._evaluator)
        return function

    def build(self, nested: bool = False) -> Command:
        """Return the command of the app; a single one needs no name."""
        if self.root is None and len(self.commands) == 1 and not nested:
            return next(iter(self.commands.values()))
        root = self.root or Command()
        root.commands.update(self.commands)
        return root

    def call(self, call: Call) -> Value:
        """Parse the command line."""
        self._findings.use(self._findings.new_parser("typer", command=self.build()), call.place)
        return UNKNOWN


def read_function(function: Function, evaluator: Evaluator) -> Command:
    """Return the flags of a function's arguments."""
    flags = [_read_entry(entry) for entry in read_arguments(function, evaluator)]
    return Command({flag.name: flag for flag in flags if flag is not None})


def _read_entry(entry: Entry) -> Flag | None:
    parameter = entry.spec if isinstance(entry.spec, Parameter) else None
    if parameter is None:
        return make_flag(entry, TYPER)
    call = parameter.call_arguments
    in_default = entry.default is parameter
    default = entry.default
    has_default = entry.has_default
    names = [each for each in call.args if isinstance(each, str)]
    if in_default:  # x: float = typer.Option(0.1, "--x")
        default = call.get("default", 0, Ellipsis)
        has_default = default is not Ellipsis
        names = names[1:] if call.args and isinstance(call.args[0], str) else names
    if has_default and default is None and not entry.hint.optional:
        has_default = False
    convention = replace(TYPER, positional=parameter.positional)
    entry = replace(entry, default=default, has_default=has_default, spec=None)
    flag = make_flag(entry, convention)
    if parameter.positional:
        flag = replace(flag, carrier="positional", options=(), switch=False, off=None)
    return _add_settings(flag, call, names)


def _add_settings(flag: Flag, call: Call, names: list[str]) -> Flag:
    low, high = find_literal(call.get("min")), find_literal(call.get("max"))
    hidden = call.get("hidden") is True
    flag = replace(flag, help=call.string("help") or flag.help, low=low, high=high, hidden=hidden)
    if call.get("prompt", default=False) is not False:
        flag = replace(flag, required=True)
    if not names or flag.carrier == "positional":
        return flag
    _, on, off = split_names(names)
    if flag.kind == "bool":
        # With names of its own a flag has no --no- form unless it is named, too.
        default = flag.default if off else False
        return replace(flag, options=tuple(on), off=off[0] if off else None, default=default)
    return replace(flag, options=tuple(on))


def _build(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return App(findings, evaluator)


def _run(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    function = call.get("function", 0)
    if isinstance(function, Function):
        command = read_function(function, evaluator)
        findings.use(findings.new_parser("typer", command=command), call.place)
    return UNKNOWN


def _parameter(positional: bool) -> Handler:
    def handle(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
        return Parameter(call, positional)

    return handle


HANDLERS: Mapping[str, Handler] = {
    "typer.Typer": _build,
    "typer.run": _run,
    "typer.Option": _parameter(False),
    "typer.Argument": _parameter(True),
}
