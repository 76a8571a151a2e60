"""Scripts in the shell's language, in R and in Julia: flags and printed lines, found in their text.

Unlike Python they are not parsed: what is found is what such scripts usually look like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tune_jobs.errors import ConfigError
from tune_jobs.init.flags import Command, Flag, Kind
from tune_jobs.init.help_text import read_value
from tune_jobs.init.interpreting.values import Place
from tune_jobs.init.parsers.types import kind_of
from tune_jobs.init.printed_lines import PrintedLine

_MAX_BYTES = 1 << 20
_TYPES: Mapping[str, Kind] = {
    "double": "float",
    "numeric": "float",
    "float": "float",
    "Float64": "float",
    "Float32": "float",
    "integer": "int",
    "Int": "int",
    "Int64": "int",
    "character": "str",
    "String": "str",
    "logical": "bool",
    "Bool": "bool",
}
_CASE = re.compile(r"^\s*\(?((?:--?[A-Za-z][\w-]*(?:=\*)?\s*\|?\s*)+)\)(.*?)(?:;;|\Z)", re.M | re.S)
_GETOPTS = re.compile(r"getopts\s+[\"']:?([A-Za-z:]+)[\"']")
_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*):[-=]([^}]*)\}")
_POSITIONAL = re.compile(
    r"^\s*(?:local\s+|export\s+)?(\w+)=[\"']?\$\{?([1-9])(?::-([^}\"']*))?\}?[\"']?\s*$", re.M
)
_OPTION_CALL = re.compile(r"(?:make_option|add_argument|add_option)\s*\(")
_ARGUMENTS = re.compile(
    r"(\w+)\s*(?:<-|=)\s*(?:as\.\w+|parse)\(\s*(?:\w+,\s*)?(?:args|ARGS)\[(\d)\]"
)
_GETENV = re.compile(r"(?:Sys\.getenv|get)\((?:ENV,\s*)?[\"'](\w+)[\"'](?:,\s*[\"']?([\w.\-]+))?")
_PRINTING = re.compile(
    r"(?:^|[;&|{(\s])(echo|printf|cat|print|println|message|writeLines|@info|@printf)\b(.*)"
)
_SHELL_VALUE = re.compile(
    r"\$\(\([^)]*\)\)|\$\([^)]*\)|\$\{[^}]*\}|\$\w+|`[^`]*`|%[-+ #0]*[\d.*]*[dfegsi]"
)


def read_text(path: Path) -> str:
    """Return the text of a script.

    Raises:
        ConfigError: If it cannot be read, or is a binary.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return "" if b"\0" in raw else raw.decode("utf-8", "replace")


def find_text_flags(text: str, file: str, suffix: str) -> Command:
    """Return the flags of a script that is not Python."""
    command = Command()
    readers: list[Callable[[str], Iterator[Flag]]] = [_read_option_calls, _read_r_inputs]
    if suffix not in (".r", ".jl"):
        readers = [_read_cases, _read_getopts, _read_positional, _read_variables]
    found = [flag for reader in readers for flag in reader(text)]
    if not found:
        found = list(_read_mentioned(text))
    for flag in found:
        start = text.find(flag.option or flag.name)
        line = text.count("\n", 0, max(start, 0)) + 1
        if flag.name not in command.flags:
            command.add(replace(flag, place=Place(file, line)))
    return command


# -- the shell --------------------------------------------------------------------------------


def _read_cases(text: str) -> Iterator[Flag]:
    """Yield the flags of ``case "$1" in --lr=*) LR="${1#*=}" ;; --epochs) N="$2" ...``."""
    assigned = dict(re.findall(r"^\s*(\w+)=[\"']?([\w.+\-/]+)[\"']?\s*(?:#.*)?$", text, re.M))
    for names, body in _CASE.findall(text):
        options = [each.strip() for each in names.split("|") if each.strip()]
        plain = tuple(dict.fromkeys(each.removesuffix("=*") for each in options))
        long = max(plain, key=len)
        if long in ("-h", "--help"):
            continue
        joined = any(each.endswith("=*") for each in options)
        separate = not joined and bool(re.search(r"\$\{?2|\bshift\b.*\$\{?1", body, re.S))
        target = re.search(r"(\w+)=", body)
        default = read_value(assigned[target[1]]) if target and target[1] in assigned else None
        switch = not (joined or separate)
        yield Flag(
            long.lstrip("-").replace("-", "_"),
            plain,
            kind="bool" if switch else kind_of(default),
            default=False if switch else default,
            switch=switch,
            separate=separate,
        )


def _read_getopts(text: str) -> Iterator[Flag]:
    for letters in _GETOPTS.findall(text):
        for letter, colon in re.findall(r"([A-Za-z])(:?)", letters):
            if letter != "h":
                target = re.search(rf"\b{letter}\)\s*(\w+)=", text)
                name = target[1].lower() if target else letter
                default = re.search(rf"^{target[1]}=([\w.]+)", text, re.M) if target else None
                value = read_value(default[1]) if default and colon else None
                switch = not colon
                kind: Kind | None = "bool" if switch else kind_of(value)
                yield Flag(name, (f"-{letter}",), kind=kind, default=value, switch=switch)


def _read_positional(text: str) -> Iterator[Flag]:
    if _CASE.search(text) or _GETOPTS.search(text):
        return
    found = sorted(_POSITIONAL.findall(text), key=lambda each: each[1])
    for name, position, default in found:
        value = read_value(default) if default else None
        yield Flag(
            name.lower(),
            (f"${position}",),
            carrier="positional",
            kind=kind_of(value),
            default=value,
            required=not default,
        )


def _read_variables(text: str) -> Iterator[Flag]:
    for name, default in _VARIABLE.findall(text):
        value = read_value(default.strip("\"'"))
        yield Flag(name, carrier="environment", kind=kind_of(value), default=value)


# -- R and Julia ------------------------------------------------------------------------------


def _read_option_calls(text: str) -> Iterator[Flag]:
    """Yield the flags of ``make_option(c("-l", "--lr"), type = "double", default = 0.1)``."""
    starts = [match.end() for match in _OPTION_CALL.finditer(text)]
    starts += [match.start() for match in re.finditer(r"^\s*\"--", text, re.M)]  # Julia's ArgParse
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        call = text[start : min(end, start + 600)]
        first = re.split(r"\btype\b|\bdefault\b|\bhelp\b|\baction\b|\n\s*\n", call)[0]
        options = tuple(re.findall(r"[\"'](--?[A-Za-z][\w.-]*)[\"']", first))
        if not options or options[-1] == "--help":
            continue
        default = re.search(r"\bdefault\s*=\s*[\"']?([^\s,)\"']+)", call)
        said = re.search(r"\b(?:arg_)?type\s*=\s*[\"']?(\w+)", call)
        description = re.search(r"\bhelp\s*=\s*[\"']([^\"']*)", call)
        value = read_value(default[1]) if default else None
        switch = "store_true" in call or "store_false" in call
        long = max(options, key=len)
        yield Flag(
            long.lstrip("-").replace("-", "_"),
            options,
            kind="bool" if switch else _TYPES.get(said[1]) if said else kind_of(value),
            default=False if switch else value,
            help=description[1] if description else "",
            switch=switch,
        )


def _read_r_inputs(text: str) -> Iterator[Flag]:
    for name, position in sorted(_ARGUMENTS.findall(text), key=lambda each: each[1]):
        integer = re.search(rf"{name}\s*(?:<-|=)\s*(?:as\.integer|parse\(Int)", text)
        kind: Kind = "int" if integer else "float"
        shown = (f"args[{position}]",)
        yield Flag(name, shown, carrier="positional", kind=kind, required=True)
    for name, default in _GETENV.findall(text):
        value = read_value(default) if default else None
        yield Flag(name, carrier="environment", kind=kind_of(value), default=value)


def _read_mentioned(text: str) -> Iterator[Flag]:
    for option in dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][\w-]+", text)):
        if option != "--help":
            yield Flag(option.lstrip("-").replace("-", "_"), (option,))


# -- printed lines ----------------------------------------------------------------------------


def sample_text_lines(text: str, file: str) -> list[PrintedLine]:
    """Return samples of what the statements of a script print, as for Python."""
    found: list[PrintedLine] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _PRINTING.search(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        values: dict[str, str] = {}
        first = sum(len(each.values) for each in found)
        pieces = _SHELL_VALUE.split(printed := _join_strings(match[2], match[1]))
        sample = pieces[0]
        for piece, value in zip(pieces[1:], _SHELL_VALUE.findall(printed), strict=True):
            is_step = re.search(r"(?i)epoch|step|iter", value)
            written = "3" if is_step else f"0.{50_000_001 + first + len(values)}"
            if not is_step:
                values[written] = value
            sample += written + piece
        if values:
            found.append(PrintedLine(sample, values, file, number))
    return found


def _join_strings(arguments: str, function: str) -> str:
    """Return what is printed, with ``$name`` for each value."""
    if function in ("echo", "printf"):
        return arguments.strip().strip("\"'").replace('"', "").replace("\\n", "")
    strings = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
    parts = re.findall(rf"{strings}|[A-Za-z_][\w.$]*", arguments)
    has_fields = "sprintf" in arguments or function == "@printf"
    words = []
    for part in parts:
        if part[0] in "\"'":
            words.append(part[1:-1].replace("\\n", "").replace("\\t", " "))
        elif not has_fields and part not in ("paste", "paste0", "format", "round", "sep", "string"):
            words.append(f"${part.replace('.', '_').replace('$', '_')}")
    return " ".join(filter(None, words))
