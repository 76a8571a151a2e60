"""Commands of containers: which words start the program, and where a trial's arguments go.

A run's ``entrypoint`` and ``cmd`` replace those of its image, as in Docker: a ``cmd`` alone
replaces the image's CMD, which may be the program itself. What the image would start is not known
here, so the job has to name it.

With the runner, the run's entry point is the runner, a zip in the job's artifact, which the service
puts into `FOLDER`; it starts the words that the job names, with the trial's arguments after them.
"""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_jobs.errors import ConfigError
from tune_jobs.runtime.package import copy_runtime

MAX_COMMAND = 2048
"""Bytes of ``cmd`` and ``entrypoint`` together, limited by the service."""

FOLDER = "/home/datascience"
"""Where the service puts the artifact of a job of containers, as it is."""

RUNNER = "tune_jobs_runner.zip"
RUNNER_ENTRYPOINT = ("python", f"{FOLDER}/{RUNNER}")

SWITCH = "TUNE_JOBS_RUNNER"
"""Variable of a job that leaves the runner out with the value ``off``."""

_MAIN = '''\
"""Start the runner of tune_jobs, which starts the program of the image."""
import os
import sys

if sys.version_info < (3, 8):
    print("tune_jobs: Python 3.8 or newer is needed, and this is " + sys.version)
    sys.exit(75)
os.environ.setdefault("TUNE_JOBS_HERE", os.getcwd())
from tune_jobs.runtime.runner import main

sys.exit(main(sys.argv[1:]))
'''
_SHELL = re.compile(r"(?:.*/)?(?:ba|da|z|k|a)?sh")
_FLAG = re.compile(r"[-+]")
_COMMAND_FLAG = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*")
_FLAG_WITH_VALUE = re.compile(r"[-+][a-zA-Z]*[oO]|--(?:rcfile|init-file)")
_TAKES_ARGUMENTS = re.compile(r"\$(?:[@*1-9]|\{[@*1-9])")
_COMPOUND = re.compile(r"[|;&#\n<>()`]")


def check_container(name: str, runtime: Mapping[str, Any]) -> None:
    """Check how an ADS runtime of containers names its command.

    Args:
        name: The job, for the message.
        runtime: The specification of its runtime.

    Raises:
        ConfigError: If a trial's arguments would not reach the program.
    """
    for key in ("entrypoint", "cmd"):
        _check_split(name, key, runtime)
    words = (_split(runtime.get("entrypoint")), _split(runtime.get("cmd")))
    check_command(name, {"entrypoint": words[0], "cmd": words[1]})


def check_command(name: str, container: Mapping[str, Any]) -> None:
    """Check the command of a container, as the REST API spells it.

    Raises:
        ConfigError: If a trial's arguments would not reach the program.
    """
    words = _words(container)
    if not words:
        raise ConfigError(
            f"{name} names no command, and arguments would replace the one of its image: write "
            "what the image runs, as in with_entrypoint(['python', 'train.py'])"
        )
    if not container.get("entrypoint") and words[0].startswith("-"):
        raise ConfigError(
            f"{name} has the cmd {list(words)}, which begins with an option: write the program as "
            "well, as in with_entrypoint(['python', 'train.py'])"
        )
    size = _count_bytes(words)
    if size >= MAX_COMMAND:
        raise ConfigError(
            f"{name}: its cmd and entrypoint have {size} bytes, and the service takes less than "
            f"{MAX_COMMAND}: put the command into a script in the image"
        )
    _with_placeholder(name, words)


def build_command(container: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return ``entrypoint`` and ``cmd`` of a run without the runner.

    Args:
        container: The job's image, ``cmd`` and ``entrypoint``.
        arguments: What to append.

    Raises:
        ConfigError: If the arguments would not reach the program.
    """
    words = _with_placeholder("the container", _words(container))
    start = container.get("entrypoint") or []
    if not start:
        return {"cmd": [*words, *arguments]}
    return {"entrypoint": list(words[: len(start)]), "cmd": [*words[len(start) :], *arguments]}


def start_words(container: Mapping[str, Any]) -> list[str]:
    """Return the words that start the image's program; arguments are appended to them."""
    return list(_with_placeholder("the container", _words(container)))


def count_bytes(container: Mapping[str, Any]) -> int:
    """Return the bytes of ``cmd`` and ``entrypoint``, with one between two words."""
    return _count_bytes(_words(container))


def write_runner(folder: Path) -> Path:
    """Write the runner as a zip that Python executes; return its path."""
    copied, target = folder / "runner", folder / RUNNER
    copy_runtime(copied)
    (copied / "__main__.py").write_text(_MAIN)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in copied.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(copied)), (2020, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


def _words(container: Mapping[str, Any]) -> tuple[str, ...]:
    return (*(container.get("entrypoint") or ()), *(container.get("cmd") or ()))


def _count_bytes(words: Sequence[str]) -> int:
    return sum(len(word.encode()) + 1 for word in words)


def _with_placeholder(name: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return words that pass arguments on: ``sh -c 'train'`` would take them as $0, $1...

    Raises:
        ConfigError: If it is not clear where they belong.
    """
    at = _find_shell_command(words)
    if at is None:
        return words
    if at >= len(words):
        raise ConfigError(f"{name} has the command {list(words)}: the shell's command is missing")
    *before, script = words[: at + 1]
    after = words[at + 1 :] or ("sh",)
    if _TAKES_ARGUMENTS.search(script):
        return (*before, script, *after)
    last = script.rpartition("&&")[2]
    if _COMPOUND.search(last):
        raise ConfigError(
            f'{name} has the shell command {script!r}: write "$@" where the trial\'s arguments '
            "belong, or use a list without a shell, as in with_entrypoint(['python', 'train.py'])"
        )
    return (*before, f'{script.rstrip()} "$@"', *after)


def _find_shell_command(words: Sequence[str]) -> int | None:
    """Return where the command after a shell's ``-c`` is; None if the words have no such command.

    Another program may start the shell: ``env bash -c 'train'``, ``timeout 60 sh -c 'train'``.
    """
    for start, word in enumerate(words):
        if not _SHELL.fullmatch(word):
            continue
        at, has_command = start + 1, False
        while at < len(words) and _FLAG.match(words[at]):
            has_command |= _COMMAND_FLAG.fullmatch(words[at]) is not None
            at += 2 if _FLAG_WITH_VALUE.fullmatch(words[at]) else 1
        if has_command and (start == 0 or " " in "".join(words[at : at + 1])):
            return at
    return None


def _check_split(name: str, key: str, runtime: Mapping[str, Any]) -> None:
    """Check that a string, which ADS splits at commas, was not meant as a shell's command."""
    value = runtime.get(key)
    if not isinstance(value, str):
        return
    pieces = _split(value)
    is_shell = key == "cmd" and bool(_split(runtime.get("entrypoint")))
    is_shell = is_shell and _SHELL.fullmatch(_split(runtime.get("entrypoint"))[0]) is not None
    if (" " in (pieces or [""])[0] and not is_shell) or (is_shell and len(pieces) > 1):
        raise ConfigError(
            f"{name} has the {key} {value!r}: ADS splits a string at its commas, not at blanks. "
            f"Write a list: {shlex.split(value) if not is_shell else [value]}"
        )


def _split(value: Any) -> list[str]:
    """Return words as ADS makes them of a string or a list."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",")] if value else []
    return [str(word) for word in value or ()]
