"""Flags in the text that ``--help`` prints.

Formats of argparse, optparse, click, typer (with and without rich), absl, tyro and docopt:

      -b BATCH, --batch-size BATCH      input batch size (default: 64)
      --optimizer {adam,sgd}            which optimizer
      -l, --lr FLOAT RANGE  [x>0]       Learning rate.  [default: 0.1]
      --augment / --no-augment
    │ *  --data        TEXT             [required]  │
      --[no]augment: Augment the data.
        (default: 'false')
      --lr=<x>     Learning rate [default: 0.1].
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tune_jobs.init.flags import Flag, Kind, Many

_FRAME = re.compile(r"^[│|]\s?|\s*[│|]$")
_OPTION = re.compile(r"(?:-{1,2}|\+)(?:\[no\])?[A-Za-z0-9][\w.\-]*")
_DEFAULT = re.compile(r"[\[(]\s*(?:env.*?;\s*)?default(?:s to| is)?[:=]?\s+(.*?)[\])](?!\w)", re.I)
_TYPE = re.compile(r"\(?\btype:\s*(float|int|str|bool)\b", re.I)
_CHOICES = re.compile(r"\{([^{}]+)\}|\[([^\[\]\s]+\|[^\[\]]+)\]|<([^<>\s]+\|[^<>]+)>")
_RANGE = re.compile(r"\[?(-?[\d.]+)?\s*(<=?)\s*x\s*(?:(<=?)\s*(-?[\d.]+))?\]?")
_METAVARS: dict[str, Kind] = {
    "FLOAT": "float",
    "INTEGER": "int",
    "INT": "int",
    "TEXT": "str",
    "STR": "str",
    "PATH": "path",
    "FILE": "path",
    "DIRECTORY": "path",
    "FILENAME": "path",
    "BOOLEAN": "bool",
    "BOOL": "bool",
}
_NO_FLAGS = {"help", "version", "h", "install-completion", "show-completion", "helpfull"}
_COMMANDS = re.compile(r"^\s*[│|]?\s*\{([\w,-]+)\}", re.M)
_HEADING = re.compile(r"^(?:╭─+ )?(?P<title>[A-Za-z][\w /-]*?)(?::| ─+╮)\s*$")


@dataclass(frozen=True)
class HelpText:
    """What a help says.

    Attributes:
        flags: Options and positional arguments.
        commands: Names of the script's commands.
    """

    flags: tuple[Flag, ...] = ()
    commands: tuple[str, ...] = ()


def read_help(text: str) -> HelpText:
    """Read a help."""
    flags: dict[str, Flag] = {}
    commands: list[str] = []
    for title, entry in _split_entries(text):
        head, _, description = entry.partition("\n")
        if head.lstrip("* ").startswith(("-", "+")):
            flag = _read_option(head.lstrip("* "), description)
        elif "command" in title:
            commands += re.findall(r"^[\w-]+", head.strip())
            continue
        elif "argument" in title and "{" not in head:
            flag = _read_positional(head.lstrip("* "), description)
        else:
            continue
        if flag is not None:
            flags.setdefault(flag.name, flag)
    listed = _COMMANDS.search(text)
    names = listed[1].split(",") if listed else commands
    return HelpText(tuple(flags.values()), tuple(dict.fromkeys(names)))


def _split_entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield the heading in lower case and, for each entry below it, its head and description.

    An entry starts with an option, or in a section of arguments or commands with a word that is
    indented like the first one; what is indented deeper continues it.
    """
    title, indent = "", 0
    entry: list[str] = []
    for raw in [*text.splitlines(), "end:"]:
        line = _FRAME.sub("", raw.rstrip())
        heading = _HEADING.match(raw.strip()) if raw[:1].strip() else None
        stripped = line.strip()
        depth = len(line) - len(line.lstrip("* "))
        is_option = bool(_OPTION.match(stripped.lstrip("* ")))
        starts = is_option or (title and "option" not in title and (not entry or depth <= indent))
        if entry and (heading or (starts and depth <= indent + 3)):
            yield title, _format_entry(entry)
            entry = []
        if heading:
            title = heading["title"].lower()
        elif starts and stripped and not entry:
            entry, indent = [stripped], depth
        elif entry and stripped:
            entry.append(stripped)


def _format_entry(lines: list[str]) -> str:
    """Return the head of an entry in the first line, and its description in the second."""
    head, _, description = _split_head(lines[0])
    return f"{head}\n{' '.join(filter(None, [description, *lines[1:]]))}"


def _split_head(line: str) -> tuple[str, str, str]:
    absl = re.match(r"(-\S+):(?: |$)", line)
    if absl:
        return absl[1], ":", line[absl.end() :]
    head, _, description = line.partition("  ")
    # rich aligns the names of an option in columns.
    description = description.strip()
    while re.match(r"[-+,/]|[A-Z]{2,}(?:\s{2,}|$)|\[[^\]]*\|", description):
        more, _, description = description.partition("  ")
        head, description = f"{head} {more}", description.strip()
    return head, " ", description


def _read_option(head: str, description: str) -> Flag | None:
    on, _, off = head.partition(" / ") if " / " in head else head.partition("/-")
    names = [each.replace("[no]", "") for each in _OPTION.findall(on)]
    is_pair = "[no]" in head or ", --no" in head
    negated = [each for each in names if re.match(r"--no-?\w", each)]
    names = [each for each in names if each not in negated or len(names) == 1] or names
    name = max(names, key=lambda each: len(each) - len(each.lstrip("-")), default="").lstrip("-+")
    if not name or name in _NO_FLAGS:
        return None
    rest = re.sub(r"^[\s=<\[]+|[>\s]+$", "", _OPTION.sub("", on.replace(",", " ")))
    full = f"{head} {description}"
    default = read_default(full)
    kind, choices = _read_kind(head, description, default)
    off_name = _find_off(names, off, negated, head) if is_pair or off or negated else None
    switch = bool(off_name) or not (rest or "=" in head or default is not None or choices)
    low, high = _read_range(full)
    return Flag(
        name=name.replace("-", "_"),
        options=tuple(dict.fromkeys(names)),
        kind="bool" if switch else kind,
        default=bool(default) if switch else default,
        required="[required]" in full or "(required)" in full,
        choices=choices,
        help=strip_notes(description),
        switch=switch,
        off=off_name,
        many=_read_many(head),
        low=low,
        high=high,
    )


def _find_off(names: list[str], off: str, negated: list[str], head: str) -> str | None:
    if "[no]" in head:
        return f"--no{names[0].lstrip('-')}"
    found = _OPTION.search(f"-{off}" if off and not off.startswith("-") else off)
    if found:
        return found[0]
    return negated[0] if negated else None


def _read_positional(head: str, description: str) -> Flag | None:
    found = re.match(r"<?([A-Za-z_][\w-]*)>?", head)
    if found is None:
        return None
    default = read_default(description)
    kind, choices = _read_kind(head, description, default)
    return Flag(
        name=found[1].lower().replace("-", "_"),
        carrier="positional",
        kind=kind,
        default=default,
        required=default is None and not head.startswith("["),
        choices=choices,
        help=strip_notes(description),
    )


def _read_kind(head: str, description: str, default: Any) -> tuple[Kind | None, tuple[Any, ...]]:
    listed = _CHOICES.search(f"{head} {description.partition('.')[0]}")
    if listed:
        inner = next(filter(None, listed.groups()))
        values = [each.strip().strip("'\"") for each in re.split(r"[,|]", inner)]
        values = [each for each in values if each not in ("...", "")]
        if len(values) > 1:
            parsed = tuple(read_value(each) for each in values)
            return _kind_of(parsed[0]), parsed
    said = _TYPE.search(description)
    if said:
        return {"float": "float", "int": "int", "bool": "bool"}.get(said[1].lower(), "str"), ()  # type: ignore[return-value]
    if "(a number" in description:  # absl
        return "float", ()
    if "(an integer" in description:
        return "int", ()
    words = re.findall(r"[A-Za-z]+", _OPTION.sub("", head))
    for word in words:
        if word.upper() in _METAVARS:
            return _METAVARS[word.upper()], ()
    return _kind_of(default), ()


def _kind_of(value: object) -> Kind | None:
    if isinstance(value, bool):
        return "bool"
    kinds: dict[type, Kind] = {int: "int", float: "float", str: "str"}
    return kinds.get(type(value))


def read_default(text: str) -> Any:
    """Return the default that a description names; None if it names none."""
    found = _DEFAULT.search(text)
    return read_value(found[1].strip().strip("'\"`")) if found else None


def read_value(word: str) -> Any:
    """Return a number, a boolean, None, or the string itself."""
    constants = {"true": True, "false": False, "none": None, "null": None, "": None}
    if word.lower() in constants:
        return constants[word.lower()]
    for convert in (int, float):
        try:
            return convert(word)
        except ValueError:
            continue
    return word


def _read_range(text: str) -> tuple[float | None, float | None]:
    found = _RANGE.search(text)
    if found is None:
        return None, None
    low, high = found[1], found[4]
    return (float(low) if low else None), (float(high) if high else None)


def _read_many(head: str) -> Many | None:
    return "spread" if re.search(r"\[\w[\w-]* \.\.\.\]", head) else None


def strip_notes(description: str) -> str:
    """Return a description without the default and the like in brackets."""
    return re.sub(
        r"\s*[\[(](?:default|required|env var|type)\b[^\])]*[\])]", "", description
    ).strip()
