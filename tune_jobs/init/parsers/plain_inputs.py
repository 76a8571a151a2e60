"""Scripts without a parser: environment variables, ``sys.argv``, getopt and docopt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tune_jobs.init.flags import Command, Flag, Kind
from tune_jobs.init.help_text import read_help, read_usage
from tune_jobs.init.interpreting.expressions import Evaluator
from tune_jobs.init.interpreting.values import UNKNOWN, Call, Object, Place, Value
from tune_jobs.init.parsers.assignments import AnyArgument
from tune_jobs.init.parsers.findings import Findings, Handler, Input, find_literal

_ENVIRONMENT = ("os.environ", "environ")


class Arguments(Object):
    """``sys.argv``, or what follows its first items.

    Args:
        findings: Where the items that are read are noted.
        offset: Position in ``sys.argv`` of the first item.
        kind: Type to which all of them are converted.
    """

    def __init__(self, findings: Findings, offset: int, kind: Kind | None = None) -> None:
        self._findings = findings
        self._offset = offset
        self._kind = kind

    def convert(self, kind: Kind) -> Arguments:
        """Return the same items, converted."""
        return Arguments(self._findings, self._offset, kind)

    def iterate(self) -> list[Value] | None:
        """Return what stands for each item."""
        return [AnyArgument(self._findings)]

    def item(self, key: Value) -> Value:
        """Return an item, or the items from a position on."""
        if isinstance(key, slice):
            start = key.start if isinstance(key.start, int) else 0
            return Arguments(self._findings, self._offset + start, self._kind)
        value = read_argument(self._findings, key, self._offset)
        return value.convert(self._kind) if self._kind and isinstance(value, Input) else value


def read_argument(findings: Findings, key: Value, offset: int = 0) -> Value:
    """Note that an item of ``sys.argv`` is read."""
    if not isinstance(key, int) or isinstance(key, bool) or key + offset < 1:
        return UNKNOWN
    name, shown = f"argument_{key + offset}", f"sys.argv[{key + offset}]"
    found = [each for each in findings.inputs.flags.values() if shown in each.options]
    if not found:
        # Not an option, but how a person knows it; the flag gets the name of its variable.
        flag = Flag(name, (shown,), carrier="positional", required=True)
        findings.inputs.add(flag)
        return Input(findings.inputs, name)
    return Input(findings.inputs, found[0].name)


def read_item(findings: Findings, name: str, key: Value, place: Place) -> Value:
    """Note that an item of ``sys.argv`` or a variable of ``os.environ`` is read."""
    if name in ("sys.argv", "argv"):
        return Arguments(findings, 0).item(key)
    if name in _ENVIRONMENT and isinstance(key, str):
        return read_variable(findings, key, None, place, required=True)
    return UNKNOWN


def read_variable(
    findings: Findings, name: str, default: Value, place: Place, *, required: bool = False
) -> Value:
    """Note that an environment variable is read."""
    if name not in findings.inputs.flags:
        flag = Flag(
            name,
            carrier="environment",
            default=find_literal(default),
            required=required,
            place=place,
        )
        findings.inputs.add(flag)
    return Input(findings.inputs, name)


def _get_variable(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    name = call.string("key", 0)
    return read_variable(findings, name, call.get("default", 1), call.place) if name else UNKNOWN


def _getopt(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``getopt.getopt(sys.argv[1:], "hb:", ["help", "batch-size="])``."""
    parser = findings.new_parser("getopt", help=False)
    findings.use(parser, call.place)
    names = call.get("longopts", 2, [])
    for name in names if isinstance(names, list) else [names]:
        if isinstance(name, str) and name.rstrip("=") != "help":
            takes_value = name.endswith("=")
            option = f"--{name.rstrip('=')}"
            parser.command.add(
                Flag(
                    name.rstrip("=").replace("-", "_"),
                    (option,),
                    kind=None if takes_value else "bool",
                    default=None if takes_value else False,
                    switch=not takes_value,
                    place=call.place,
                )
            )
    return UNKNOWN


def _docopt(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``docopt(__doc__)``, which parses what the help says."""
    parser = findings.new_parser("docopt", help=False)
    findings.use(parser, call.place)
    text = call.string("docstring", 0) or call.string("doc", 0)
    for flag in read_help(text).flags:
        parser.command.add(flag)
    for i, words in enumerate(read_usage(text)):
        _add_words(parser.command, words, is_first=i == 0)
    return UNKNOWN


def _add_words(command: Command, words: Sequence[str], *, is_first: bool) -> None:
    """Add the commands and positional arguments of one line of docopt's usage."""
    if not is_first and not any(map(_is_command, words)):
        return  # another way to call it
    for word in words:
        if _is_command(word):
            command = command.commands.setdefault(word, Command())
        else:
            name = word.strip("<>").lower().replace("-", "_")
            command.add(Flag(name, carrier="positional", required=True))


def _is_command(word: str) -> bool:
    return word[0] != "<" and not word.isupper()


HANDLERS: Mapping[str, Handler] = {
    "os.environ.get": _get_variable,
    "environ.get": _get_variable,
    "os.getenv": _get_variable,
    "getopt.getopt": _getopt,
    "getopt.gnu_getopt": _getopt,
    "docopt.docopt": _docopt,
}
