"""Commands of POSIX shells, as in ``sh -c 'cd /app && python train.py'``: who takes the arguments.

The shell has them as ``"$@"``. A command that names them is left alone, unless it only prints them
or replaces them before. To another one ``"$@"`` is appended, if it is clear which program is meant.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

_SETUP = {
    *(".", "source", "cd", "pushd", "popd", "export", "unset", "set", "shopt", "umask", "ulimit"),
    *("alias", "module", "ml", "eval", "conda", "mamba", "micromamba", "pip", "pip3", "apt-get"),
    *("mkdir", "ln", "cp", "mv", "rm", "chmod", "chown", "tar", "unzip", "gunzip", "git", "dvc"),
    *("ls", "pwd", "date", "hostname", "whoami", "id", "nvidia-smi", "free", "df", "sleep"),
    *("[", "[[", "test", "true", ":", "echo", "printf", "logger", "command", "which", "type"),
}
"""Programs before the one that is meant; none of them is that."""

_PRINTS = {"echo", "printf", "logger", ":", "true", "test", "[", "[["}
"""Programs that may name the arguments without passing them on."""

_AFTERWARDS = {
    "exit",
    "wait",
    "sync",
    "touch",
    "cat",
    "tail",
    "tee",
    "zip",
    "gzip",
    "rsync",
    "curl",
}
"""Programs after the one that is meant."""

_PREFIXES = {
    *("{", "}", "!", "if", "then", "else", "elif", "fi", "while", "until", "do", "done", "time"),
    *("exec", "nohup"),
}
"""Words before the name of a program."""

_SOURCES = {".", "source"}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*")
_ALL = re.compile(r"\$(?:[@*]|\{[@*])")
_NUMBERED = re.compile(r"\$(?:([1-9])|\{([1-9]\d*))")
_ZEROTH = re.compile(r"\$(?:0|\{0)")
_NAMES_PROGRAM = re.compile(r"\s*(?:exec\s+)?\"?\$(?:[@*]|\{[@*])")
_FUNCTION = re.compile(r"[\w-]\s*\(\s*\)|\bfunction\s+\w")
_LOOP = re.compile(r"\b(?:while|until|for|case)\s")
_UNCLEAR = re.compile(r"[|;&#\n<>()`]|\\$")


class UnclearCommand(Exception):
    """Command of which it is not clear where arguments belong."""


def place_arguments(script: str, after: Sequence[str]) -> list[str]:
    """Return a shell's command and its further words, after which arguments reach the program.

    Args:
        script: The command.
        after: The words after it, which the shell has as $0, $1...

    Raises:
        UnclearCommand: If the arguments would be dropped, or it is not clear where they belong.
    """
    code = _blank(script)
    every = [command for command in _split(code) if command.strip()]
    commands = [command for command in every if _find_program(command)]
    if not commands:
        raise UnclearCommand
    own = max(0, len(after) - 1)
    uses_zeroth = any(_ZEROTH.search(c) for c in every if _find_program(c) not in _SETUP | _PRINTS)
    if _are_taken(code, every, own):
        # Without further words, the first argument would be $0, as some commands expect.
        return [script, *(after or (() if uses_zeroth else ("sh",)))]
    programs = [command for command in every if _find_program(command) not in _PRINTS]
    if uses_zeroth or any(p.search(c) for c in programs for p in (_ALL, _NUMBERED)):
        raise UnclearCommand
    if _FUNCTION.search(code) or not _is_last_meant(commands):
        raise UnclearCommand
    if _UNCLEAR.search(find_last_command(script)):
        raise UnclearCommand
    return [f'{script.rstrip()} "$@"', *(after or ("sh",))]


def _is_last_meant(commands: Sequence[str]) -> bool:
    """Return whether the last command is a program, and those before it are none."""
    *before, last = map(_find_program, commands)
    if last in _AFTERWARDS or last in _SETUP - _SOURCES:
        return False
    others = set(before) - _SETUP
    return not others or (all(n.endswith(".sh") for n in others) and not last.endswith(".sh"))


def find_last_command(script: str) -> str:
    """Return the last one of the commands that are joined by ``&&``."""
    return script.rpartition("&&")[2].strip()


def _are_taken(code: str, commands: Sequence[str], own: int) -> bool:
    """Return whether a command takes the arguments after its own ones."""
    if _FUNCTION.search(code):  # within a function, "$@" are its own arguments
        commands = [c for c in commands if _find_program(c) not in _AFTERWARDS][-1:]
    if not own and any(_NAMES_PROGRAM.match(command) for command in commands):
        return False
    taken, is_loop = False, bool(_LOOP.search(code))
    for command in commands:
        program, takes_all = _find_program(command), bool(_ALL.search(command))
        if program == "shift" and not is_loop:
            own -= int("".join(filter(str.isdigit, command)) or 1)
        if own < 0 or (program == "set" and not takes_all and _replaces_arguments(command)):
            return taken
        if program in _PRINTS or program == "set":
            continue
        numbers = [int(a or b) for a, b in _NUMBERED.findall(command)]
        taken |= takes_all or max(numbers, default=0) > own
    return taken


def _replaces_arguments(command: str) -> bool:
    """Return whether ``set`` has words that are not options."""
    options = re.sub(r"[-+]\w*o\s+\w+", "", command)
    words = options.split()[1:]
    return "--" in words or any(word[0] not in "-+" for word in words)


def _find_program(command: str) -> str:
    """Return the name of the program of a command; empty for assignments alone."""
    for word in command.split():
        if word not in _PREFIXES and not _ASSIGNMENT.fullmatch(word):
            return posixpath.basename(word.strip("\"'")) or word
    return ""


def _split(code: str) -> Iterator[str]:
    """Yield the simple commands of a shell's code, as `_blank` returns it."""
    quoted, start = False, 0
    for place, character in enumerate(code):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in ";&|\n()`":
            yield code[start:place]
            start = place + 1
    yield code[start:]


def _blank(script: str) -> str:
    """Return a shell's code without comments, escaped characters and what is in single quotes.

    Raises:
        UnclearCommand: If a quotation does not end.
    """
    kept, place, quoted = [], 0, False
    while place < len(script):
        character = script[place]
        if character == "\\":
            kept.append(" " if script[place + 1 : place + 2] == "\n" else "_")
            place += 2
            continue
        if character == "'" and not quoted:
            place = script.find("'", place + 1)
            if place < 0:
                raise UnclearCommand
            kept.append("_")
        elif character == "#" and not quoted and (not kept or kept[-1] in " \t\n;&|("):
            end = script.find("\n", place)
            place = len(script) if end < 0 else end
            continue
        else:
            quoted ^= character == '"'
            kept.append(character)
        place += 1
    if quoted:
        raise UnclearCommand
    return "".join(kept)
