"""The packages that are modeled, by the dotted names of their functions and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune_jobs.init.flags import Parser
from tune_jobs.init.interpreting import literals
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.values import UNKNOWN, Call, External, Place, Value
from tune_jobs.init.parsers import (
    absl_flags,
    argparse_parsers,
    click_commands,
    dataclass_parsers,
    hydra_configs,
    loaded_files,
    plain_inputs,
    signatures,
    typer_apps,
)
from tune_jobs.init.parsers.assignments import AssignedValue, collect
from tune_jobs.init.parsers.findings import Findings, Handler, Input
from tune_jobs.init.parsers.types import KINDS, kind_of

_HANDLERS: Mapping[str, Handler] = {
    **argparse_parsers.HANDLERS,
    **signatures.HANDLERS,
    **dataclass_parsers.HANDLERS,
    **click_commands.HANDLERS,
    **typer_apps.HANDLERS,
    **absl_flags.HANDLERS,
    **hydra_configs.HANDLERS,
    **loaded_files.HANDLERS,
    **plain_inputs.HANDLERS,
}
_WORK = {
    "backward",
    "fit",
    "fit_generator",
    "fit_transform",
    "learn",
    "partial_fit",
    "sleep",
    "train_on_batch",
    "serve_forever",
    "urlretrieve",
}
_TRAINING = {"epoch", "step", "iteration", "batch", "episode", "epochs", "steps", "it"}


class ModeledPackages:
    """Packages for an interpreter; it collects `Findings`."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._unknown: Parser | None = None

    def call(self, evaluator: Evaluator, name: str, call: Call) -> Value:
        """Call a function or a class of a package."""
        handler = _HANDLERS.get(name) or _find_by_end(name)
        if handler is not None:
            return handler(self.findings, evaluator, call)
        last = name.rpartition(".")[2]
        if last in _WORK:
            self._note_work(call.place)
        first = call.args[0] if call.args else None
        if isinstance(first, Input):
            return first.convert(KINDS[name]) if name in KINDS else first
        if isinstance(first, AssignedValue):
            return first
        if name == "dict" and (settings := collect(first)) is not UNKNOWN:
            return settings
        if name == "map" and len(call.args) == 2:
            return self._map(evaluator, call)
        if last in ("Path", "PurePath") and all(isinstance(each, str) for each in call.args):
            return "/".join(call.args) or "."
        if name == "os.path.join" and all(isinstance(each, str) for each in call.args):
            return "/".join(call.args)
        if last == "FileType":
            return External("open")
        if name == "type" and len(call.args) == 1 and (kind := kind_of(call.args[0])):
            return External(kind)
        return literals.call_builtin(name, call.args, call.keywords)

    def call_unknown(self, method: str, call: Call) -> Value:
        """Call a method of an object that is not known; it may be a parser."""
        if method in _WORK:
            self._note_work(call.place)
        is_argument = call.args and isinstance(call.args[0], str) and call.args[0]
        if method == "add_argument" and is_argument and call.args[0][0] in "-+/":
            if self._unknown is None:
                self._unknown = self.findings.new_parser("argparse")
            return argparse_parsers.add_argument(self._unknown.command, call)
        if method == "parse_args" and self._unknown is not None:
            self.findings.use(self._unknown, call.place)
            return argparse_parsers.Namespace(self._unknown.command)
        return UNKNOWN

    def item(self, name: str, key: Value, place: Place) -> Value:
        """Return an item of a package's object, such as ``sys.argv``."""
        return plain_inputs.read_item(self.findings, name, key, place)

    def bind(self, name: str, value: Value, before: Value) -> None:
        """Name an item of ``sys.argv`` after its variable, whose value before is the default."""
        if isinstance(value, Input) and value.name.startswith("argument_"):
            value.rename(name)
            if before is not UNKNOWN:
                value.with_default(before)

    def loop(self, place: Place, variables: Sequence[str], *, endless: bool) -> None:
        """Note that a loop starts."""
        if endless or _TRAINING & set(variables):
            self._note_work(place)

    def _note_work(self, place: Place) -> None:
        self.findings.work = self.findings.work or place

    def _map(self, evaluator: Evaluator, call: Call) -> Value:
        items = literals.iterate(call.args[1])
        if items is not None:
            return [evaluator.call(call.args[0], Call([each], {}, call.place)) for each in items]
        kind = KINDS.get(_name(call.args[0]))
        arguments = call.args[1]
        if kind and isinstance(arguments, plain_inputs.Arguments):
            return arguments.convert(kind)
        return UNKNOWN


def _name(value: Value) -> str:
    return value.name if isinstance(value, External) else ""


def _find_by_end(name: str) -> Handler | None:
    if name.endswith("HfArgumentParser"):
        return _HANDLERS["transformers.HfArgumentParser"]
    if name.endswith("LightningCLI"):
        return _HANDLERS["lightning.pytorch.cli.LightningCLI"]
    if ".flags.DEFINE_" in name:
        return absl_flags.TENSORFLOW.get(f"flags.{name.rpartition('.')[2]}")
    return None


def choose_parser(findings: Findings) -> Parser | None:
    """Return the parser of the command line: the first that parses, or the largest.

    Flags that were added to parsers that are not known belong to it, too.
    """
    used = [each for each in findings.parsers if each.used]
    others = sorted(findings.parsers, key=lambda each: -each.command.count())
    if not others:
        return None
    chosen = (used or others)[0]
    if chosen.command.count() == 0 and others[0].kind == chosen.kind:
        others[0].used, others[0].work = chosen.used, chosen.work
        chosen = others[0]
    return chosen
