"""Shells among the words of a command: ``sh -c 'train'`` would drop the words that follow it.

A POSIX shell takes them as $0, $1...; `pass_arguments` makes its command pass them on. Other shells
and programs that start one have rules of their own: what does not pass arguments on is refused.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.backends.data_science.shell_code import (
    UnclearCommand,
    find_last_command,
    place_arguments,
)
from tune_jobs.errors import ConfigError

_POSIX = re.compile(r"-?(?:r?ba|da|z|r?k|mk|pdk|lk|ya|po|o|hu|a)?sh(?:-?\d[\d.]*)?")
_ARGV_SHELL = re.compile(r"-?(?:fish|t?csh)")
_OTHER_SHELL = re.compile(
    r"(?:pwsh|powershell)(?:-\w+|\.exe)?|nu|xonsh|elvish|rc|es", re.IGNORECASE
)
_STARTS_SHELL = re.compile(r"su|runuser|sg|script|flock|sshpass|ssh|watch")
_LAUNCHERS = {
    *("busybox", "toybox", "env", "exec", "command", "time", "timeout", "nice", "ionice", "nohup"),
    *("setsid", "stdbuf", "unbuffer", "catchsegv", "chroot", "unshare", "numactl", "taskset"),
    *("tini", "dumb-init", "catatonit", "sudo", "doas", "gosu", "su-exec", "setpriv", "xvfb-run"),
    *("conda", "mamba", "micromamba", "poetry", "uv", "pipenv", "pixi", "mpirun", "mpiexec"),
    *("tini-static", "s6-setuidgid", "chpst", "prlimit", "strace", "ltrace", "valgrind", "nsys"),
}
"""Programs that start another one, with its words after their own."""

_FLAG = re.compile(r"[-+]")
_COMMAND_FLAG = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*")
_FLAG_WITH_VALUE = re.compile(r"[-+][a-zA-Z]*[oO][a-zA-Z]*|--(?:rcfile|init-file)")
_LONG_COMMAND_FLAG = re.compile(r"-[a-z]*c|--(?:session-)?command(?:=.*)?", re.DOTALL)
_POWERSHELL_FLAG = re.compile(r"[-/]{1,2}(?:c|com[a-z]*|commandwithargs|cwa|e|ec|en[a-z]*)", re.I)
_SPLIT_STRING = re.compile(r"(?:-[a-zA-Z0]*S|--split-string=?)(?P<words>.*)", re.DOTALL)
_TAKES_ARGV = re.compile(r"(?<!\\)\$\{?argv")


@dataclass(frozen=True)
class _Shell:
    """Shell that takes its command from one of the words.

    Args:
        program: How it is named.
        at: Where its command is; beyond the words if it is missing.
        is_posix: Whether it takes further words as $0, $1...
        takes: What its command has to name if it is to pass further words on.
    """

    program: str
    at: int
    is_posix: bool = True
    takes: re.Pattern[str] | None = None


def pass_arguments(name: str, words: Sequence[str]) -> tuple[str, ...]:
    """Return words after which arguments reach the program.

    Args:
        name: The job, for the message.
        words: The command.

    Raises:
        ConfigError: If the words would drop them, or it is not clear where they belong.
    """
    shell = _find_shell(words)
    if shell is None:
        return tuple(words)
    if shell.at >= len(words):
        raise ConfigError(f"{name} has the command {list(words)}: the shell's command is missing")
    *before, script = words[: shell.at + 1]
    after = words[shell.at + 1 :]
    if not shell.is_posix:
        if shell.takes is not None and shell.takes.search(_without_literals(script)):
            return tuple(words)
        raise ConfigError(
            f"{name} has the command {list(words)}: {shell.program} would not pass a trial's "
            "arguments on to the program. Use a list without a shell, as in "
            "with_entrypoint(['python', 'train.py']), or a script in the image"
        )
    try:
        placed = place_arguments(script, after)
        if placed[0] != script and _has_shell(find_last_command(script)):
            raise UnclearCommand
        return (*before, *placed)
    except UnclearCommand:
        raise ConfigError(
            f'{name} has the shell command {script!r}: write "$@" where the trial\'s arguments '
            "belong, or use a list without a shell, as in with_entrypoint(['python', 'train.py'])"
        ) from None


def expects_code(words: Sequence[str]) -> bool:
    """Return whether the word after these would be the command of a shell."""
    shell = _find_shell([*words, "some command"])
    return shell is not None and shell.at == len(words)


def _find_shell(words: Sequence[str]) -> _Shell | None:
    """Return the first shell with a command; None if there is none.

    Another program may start it: ``env bash -c 'train'``, ``timeout 60 sh -c 'train'``, or a script
    in the image: ``/entrypoint.sh sh -c 'train'``. Further on in the words of a program that is not
    known to start others, only a command of several words is one.
    """
    is_known = bool(words) and posixpath.basename(words[0]) in _LAUNCHERS
    for start, word in enumerate(words):
        shell = _read_shell(posixpath.basename(word), words, start + 1)
        if shell is None:
            continue
        if start <= 1 or is_known or " " in "".join(words[shell.at : shell.at + 1]):
            return shell
    return None


def _read_shell(program: str, words: Sequence[str], at: int) -> _Shell | None:
    """Return the shell that a program with these words is; None if it takes no command."""
    if _POSIX.fullmatch(program):
        code = _find_code(words, at)
        return None if code is None else _Shell(program, code)
    if _ARGV_SHELL.fullmatch(program):
        return _find_flag(program, words, at, _LONG_COMMAND_FLAG, _TAKES_ARGV)
    if _OTHER_SHELL.fullmatch(program):
        is_power = program.lower().startswith("p")
        return _find_flag(program, words, at, _POWERSHELL_FLAG if is_power else _LONG_COMMAND_FLAG)
    if _STARTS_SHELL.fullmatch(program):
        return _find_flag(program, words, at, _LONG_COMMAND_FLAG, options_first=False)
    if program == "env":
        return _read_env(words, at)
    return None


def _find_code(words: Sequence[str], at: int) -> int | None:
    """Return where the command of a POSIX shell is; None if it runs a file."""
    has_command = False
    while at < len(words) and _FLAG.match(words[at]):
        if words[at] in ("--", "-"):
            at += 1
            break
        has_command |= _COMMAND_FLAG.fullmatch(words[at]) is not None
        at += 2 if _FLAG_WITH_VALUE.fullmatch(words[at]) else 1
    return at if has_command else None


def _find_flag(
    program: str,
    words: Sequence[str],
    at: int,
    flag: re.Pattern[str],
    takes: re.Pattern[str] | None = None,
    *,
    options_first: bool = True,
) -> _Shell | None:
    """Return the shell whose command follows a flag, or is part of it (``--command=train``)."""
    for place in range(at, len(words)):
        word = words[place]
        if flag.fullmatch(word):
            return _Shell(program, place if "=" in word else place + 1, False, takes)
        if options_first and not _FLAG.match(word):
            return None
    return None


def _read_env(words: Sequence[str], at: int) -> _Shell | None:
    """Return the shell that ``env -S 'bash -c train'`` starts; None if it starts none."""
    for place in range(at, len(words)):
        match = _SPLIT_STRING.fullmatch(words[place])
        if match is None:
            if not _FLAG.match(words[place]) and "=" not in words[place]:
                return None
            continue
        rest = [match["words"]] if match["words"] else list(words[place + 1 : place + 2])
        return _Shell("env -S", place, False) if any(map(_has_shell, rest)) else None
    return None


def _has_shell(text: str) -> bool:
    """Return whether a text of words has a shell with a command of its own."""
    try:
        return _find_shell(shlex.split(text)) is not None
    except ValueError:  # a quotation that does not end
        return True


def _without_literals(script: str) -> str:
    """Return a shell's command without what is between single quotes, as ``awk '{print $1}'``."""
    return re.sub(r'("(?:\\.|[^"\\])*")|\'[^\']*\'', lambda match: match[1] or "''", script)
