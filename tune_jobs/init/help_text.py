"""Flags in the text that ``--help`` prints.

The formats of argparse, optparse, click, typer with and without rich, absl, tyro, simple_parsing,
jsonargparse and docopt:

      -b BATCH, --batch-size BATCH      input batch size (default: 64)
      --optimizer {adam,sgd}            which optimizer
      -l, --lr FLOAT RANGE              Learning rate.  [default: 0.1; 0<=x<=1]
      --augment / --no-augment
    │ *  --data       -d      <path>    [required]  │
      --[no]augment: Augment the data.
        (default: 'false')
      --lr=<x>     Learning rate [default: 0.1].

An entry has a head, of options and the names of their values, and a description behind two blanks
or in the lines below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.init.flags import Flag, Kind, Many

_RULE = re.compile(r"[\s│|╭╮╰╯─━]*")
_FRAME = re.compile(r"^\s*[│|] ?|\s*[│|]\s*$")
_HEADING = re.compile(r"(?:╭─+ )?(?P<title>[A-Za-z][^:{}<>=]*?)(?: \[.*\])?(?::| ─+╮)")
_OPTION = re.compile(r"(?<![\w\-])(?:--?|\+{1,2})(?:\[no\])?[A-Za-z0-9][\w.\-]*")
_VALUE_NAME = r"(?:<[^<>]*>|\{[^{}]*\}|[A-Z][A-Z_]*|\[[^\[\]]*(?:\||<=?x)[^\[\]]*\])"
_VALUE_NAMES = re.compile(rf"{_VALUE_NAME}(?: {_VALUE_NAME})*")
_DEFAULT = re.compile(r"[\[(](?:[^\[\]()]*; )?default(?:s to| is)?[:=]?\s+(.*?)[\])](?!\w)", re.I)
_TYPE = re.compile(r"\btype:\s*(float|int|str|bool)\b", re.I)
_CHOICES = re.compile(r"\{([^{}]+)\}|\[([^\[\]\s]+\|[^\[\]]+)\]|<([^<>\s]+\|[^<>]+)>")
_RANGE = re.compile(r"(?:(-?[\d.]+(?:e-?\d+)?)\s*<=?\s*)?\bx\b(?:\s*<=?\s*(-?[\d.]+(?:e-?\d+)?))?")
_INSIDE = r"(?:[^\[\]()]|\[[^\[\]()]*\]|\([^\[\]()]*\))*"  # of brackets: ``type: list[int]``
_NOTES = re.compile(
    rf"\s*[\[(](?:{_INSIDE}[;,] )?(?:default|required|env var|type|an? [\w -]*(?:integer|number)\b"
    rf"|-?[\d.]*(?:<=?)?x(?:<|\b)){_INSIDE}[\])]",
    re.I,
)
_COMMANDS = re.compile(r"^\s*\{([\w,-]+)\}", re.M)
_KINDS: Mapping[str, Kind] = {
    "FLOAT": "float",
    "NUMBER": "float",
    "INTEGER": "int",
    "INT": "int",
    "TEXT": "str",
    "STR": "str",
    "STRING": "str",
    "PATH": "path",
    "FILE": "path",
    "DIRECTORY": "path",
    "FILENAME": "path",
    "BOOLEAN": "bool",
    "BOOL": "bool",
}
_IGNORED = {
    "help",
    "version",
    "h",
    "helpfull",
    "helpshort",
    "install-completion",
    "show-completion",
}
_CONSTANTS = {"true": True, "false": False, "none": None, "null": None, "": None}


@dataclass(frozen=True)
class HelpText:
    """What a help says.

    Attributes:
        flags: Options and positional arguments.
        commands: Names of the script's commands.
    """

    flags: tuple[Flag, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """One option, argument or command."""

    title: str
    head: str
    description: str
    takes_value: bool = False

    @property
    def text(self) -> str:
        return f"{self.head}  {self.description}"


def read_help(text: str) -> HelpText:
    """Read a help."""
    flags: dict[str, Flag] = {}
    commands: list[str] = []
    for entry in _split_entries(text):
        flag = None
        if _OPTION.match(entry.head):
            flag = _read_option(entry)
        elif "command" in entry.title:
            commands += re.findall(r"^[\w-]+", entry.head)
        elif "argument" in entry.title and "{" not in entry.head:
            flag = _read_positional(entry)
        if flag is not None:
            flags.setdefault(flag.name, flag)
    listed = _COMMANDS.search(text)
    names = listed[1].split(",") if listed else commands
    return HelpText(tuple(flags.values()), tuple(dict.fromkeys(names)))


# -- entries ----------------------------------------------------------------------------------


def _split_entries(text: str) -> Iterator[_Entry]:
    """Yield the entries of a help.

    An entry starts with an option or, among arguments and commands, with a word that is not
    indented deeper than the first one; deeper lines continue it.
    """
    title, indent = "", 0
    lines: list[str] = []
    for raw in [*text.splitlines(), "end:"]:
        heading = _HEADING.fullmatch(raw.strip()) if raw[:1].strip() else None
        line = _FRAME.sub("", raw)
        content = line.lstrip(" *")
        depth = len(line) - len(content)
        is_named = "argument" in title or "command" in title
        starts = bool(_OPTION.match(content)) or (is_named and (not lines or depth <= indent))
        if lines and (heading or (starts and depth <= indent + 3)):
            yield _make_entry(title, lines)
            lines = []
        if heading:
            title = heading["title"].lower()
        elif lines and raw[:1].strip() and not _FRAME.match(raw) and not starts:
            yield _make_entry(title, lines)  # a paragraph behind the options
            lines = []
        elif content and not _RULE.fullmatch(raw):
            if lines:
                lines.append(content)
            elif starts:
                lines, indent = [content], depth


def _make_entry(title: str, lines: Sequence[str]) -> _Entry:
    absl = re.match(r"(--\S+):(?: |$)", lines[0])
    if absl:
        description = " ".join([lines[0][absl.end() :], *lines[1:]]).strip()
        return _Entry(title, absl[1], description, takes_value="[no]" not in absl[1])
    columns = re.split(r"\s{2,}", lines[0].strip())
    head = [columns.pop(0)]
    while columns and (_OPTION.match(columns[0]) or _VALUE_NAMES.fullmatch(columns[0])):
        head.append(columns.pop(0))
    return _Entry(title, " ".join(head), " ".join([*columns, *lines[1:]]).strip())


def read_usage(text: str) -> list[list[str]]:
    """Return the words that each line of a usage requires: commands, ``<data>``, ``DATA``."""
    found = re.search(r"(?im)^[ \t]*usage:[ \t]*\n?((?:[ \t]*\S.*\n?)+)", text)
    lines = found[1].splitlines() if found else []
    return [_read_words(line) for line in lines]


def _read_words(line: str) -> list[str]:
    """Return the words after a program's name that are not optional."""
    while "[" in line:
        shorter = re.sub(r"\[[^\[\]]*\](?:\.\.\.)?", " ", line)
        if shorter == line:
            break
        line = shorter
    line = re.sub(r"(?<!\S)--?[\w-]+[= ](?:<[^<>]*>|[A-Z][A-Z_]*(?!\S))", " ", line)
    line = re.sub(r"\(([^()|]*)\|[^()]*\)", r" \1 ", line)  # the first of several
    words = re.findall(r"(?<![\w-])(?:<[^<>]*>|[A-Za-z][\w.-]*)", line)
    return words[1:]


# -- options and arguments --------------------------------------------------------------------


def _read_option(entry: _Entry) -> Flag | None:
    names = list(dict.fromkeys(_OPTION.findall(entry.head)))
    off = _find_off(names)
    if "[no]" in names[0]:
        names = [names[0].replace("[no]", "")]
        off = f"--no{names[0].removeprefix('--')}"
    names = [each for each in names if each != off]
    name = max(names, key=lambda each: len(each) - len(each.lstrip("-")), default="").lstrip("-+")
    if not name or name in _IGNORED:
        return None
    default = read_default(entry.text)
    kind, choices = _read_kind(entry, default)
    value = re.sub(r"[\s,/=]+", "", _OPTION.sub("", entry.head))
    switch = off is not None or not (value or entry.takes_value or default is not None or choices)
    if switch:
        kind, choices = "bool", ()
        default = False if default is None else not str(default).lower().startswith(("no", "f"))
    low, high = _read_range(entry.text)
    return Flag(
        name=name.replace("-", "_"),
        options=tuple(names),
        kind=kind,
        default=default,
        required=bool(re.search(r"[\[(;]\s*required\s*[\])]", entry.text)),
        choices=choices,
        help=strip_notes(entry.description),
        switch=switch,
        off=off,
        many=_read_many(entry.head),
        low=low,
        high=high,
    )


def _find_off(names: Sequence[str]) -> str | None:
    """Return the option that negates another one: ``--no-x``, ``--nox``, ``--group.no-x``."""
    for name in names:
        positive = {name.replace("no-", "", 1), name.replace("--no", "--", 1)} - {name}
        if positive & set(names):
            return name
    return None


def _read_positional(entry: _Entry) -> Flag | None:
    found = re.match(r"[<\[]?([A-Za-z_][\w-]*)", entry.head)
    if found is None:
        return None
    default = read_default(entry.text)
    kind, choices = _read_kind(entry, default)
    return Flag(
        name=found[1].lower().replace("-", "_"),
        carrier="positional",
        kind=kind,
        default=default,
        required=default is None and not entry.head.startswith("["),
        choices=choices,
        help=strip_notes(entry.description),
    )


def _read_kind(entry: _Entry, default: Any) -> tuple[Kind | None, tuple[Any, ...]]:
    listed = _CHOICES.search(entry.head) or _CHOICES.match(entry.description)
    if listed:
        words = re.split(r"[,|]", next(filter(None, listed.groups())))
        values = tuple(read_value(w.strip().strip("'\"")) for w in words if w.strip() != "...")
        if len(values) > 1:
            return _kind_of(values[0]), values
    said = _TYPE.search(entry.description)
    if said:
        return _KINDS[said[1].upper()], ()
    absl = re.search(r"\(an? [\w -]*(integer|number)\b", entry.description)
    if absl:
        return _KINDS[absl[1].upper()], ()
    for word in re.findall(r"[A-Za-z]+", _OPTION.sub("", entry.head)):
        if word.upper() in _KINDS:
            return _KINDS[word.upper()], ()
    return _kind_of(default), ()


def _kind_of(value: object) -> Kind | None:
    kinds: Mapping[type, Kind] = {bool: "bool", int: "int", float: "float", str: "str"}
    return kinds.get(type(value))


def read_default(text: str) -> Any:
    """Return the default that a description names; None if it names none."""
    found = _DEFAULT.search(text)
    return read_value(found[1].partition(";")[0].strip().strip("'\"`")) if found else None


def read_value(word: str) -> Any:
    """Return a number, a boolean, None, or the string itself."""
    if word.lower() in _CONSTANTS:
        return _CONSTANTS[word.lower()]
    for convert in (int, float):
        try:
            return convert(word)
        except ValueError:
            continue
    return word


def _read_range(text: str) -> tuple[float | None, float | None]:
    inside = re.search(r"[\[(][^\[\]()]*<=?[^\[\]()]*[\])]", text)
    found = _RANGE.search(inside[0]) if inside else None
    if found is None:
        return None, None
    return (float(found[1]) if found[1] else None), (float(found[2]) if found[2] else None)


def _read_many(head: str) -> Many | None:
    return "spread" if re.search(r"\[\w[\w-]* \.\.\.\]", head) else None


def strip_notes(description: str) -> str:
    """Return a description without defaults and the like in brackets."""
    return _NOTES.sub("", description).strip()
