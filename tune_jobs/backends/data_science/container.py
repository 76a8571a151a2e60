"""Commands of containers: which words start the program, and where a trial's arguments go.

A run's ``entrypoint`` and ``cmd`` replace those of its image, as in Docker: a ``cmd`` alone
replaces the image's CMD, which may be the program itself. What the image would start is not known
here, so the job has to name it.

With the runner, a zip in the job's artifact that the service puts into `FOLDER`, these words start
the runner, and the runner starts the words that the job names, with the trial's arguments after
them. The runner is the run's entry point if the job names one. Otherwise it is the run's ``cmd``:
the image's ENTRYPOINT, often a script that sets up an environment, starts it as Docker would.
"""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_jobs.backends.data_science.shell_words import expects_code, pass_arguments
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

_SCRIPT = re.compile(r"[^/]+\.(?:py|R|jl|sh)")
"""Script in the working directory, which only an ENTRYPOINT that is an interpreter would start."""

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


def is_switched_off(env: Mapping[str, Any]) -> bool:
    """Return whether a job's variables leave the runner out; YAML reads ``off`` as false."""
    return str(env.get(SWITCH, "")).lower() in ("off", "false")


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
    start, cmd = _split(runtime.get("entrypoint")), _split(runtime.get("cmd"))
    check_command(name, {"entrypoint": start, "cmd": cmd})
    variables = {v.get("name"): v.get("value") for v in runtime.get("env") or ()}
    if not start and _SCRIPT.fullmatch(cmd[0]) and not is_switched_off(variables):
        raise ConfigError(
            f"{name} has the cmd {cmd}, which begins with a script: write its interpreter as well, "
            "as in with_entrypoint(['python', 'train.py'])"
        )


def check_command(name: str, container: Mapping[str, Any]) -> None:
    """Check the command of a container, as the REST API spells it.

    Raises:
        ConfigError: If a trial's arguments would not reach the program.
    """
    words = _words(container)
    if not any(word.strip() for word in words[:1]):
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
    pass_arguments(name, words)


def build_command(container: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return ``entrypoint`` and ``cmd`` of a run without the runner.

    Args:
        container: The job's image, ``cmd`` and ``entrypoint``.
        arguments: What to append.

    Raises:
        ConfigError: If the arguments would not reach the program.
    """
    words = pass_arguments("the container", _words(container))
    start = container.get("entrypoint") or []
    if not start:
        return {"cmd": [*words, *arguments]}
    return {"entrypoint": list(words[: len(start)]), "cmd": [*words[len(start) :], *arguments]}


def build_runner_command(
    container: Mapping[str, Any], arguments: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return ``entrypoint`` and ``cmd`` that start the runner where the job's own words would be.

    Args:
        container: The job's ``cmd`` and ``entrypoint``, its own or those with the runner.
        arguments: What to append.
    """
    if container.get("entrypoint"):
        return {"entrypoint": list(RUNNER_ENTRYPOINT), "cmd": list(arguments)}
    return {"cmd": [*RUNNER_ENTRYPOINT, *arguments]}


def starts_runner(container: Mapping[str, Any]) -> bool:
    """Return whether a job's ``entrypoint`` or ``cmd`` is the runner."""
    return RUNNER_ENTRYPOINT in (
        tuple(container.get("entrypoint") or ()),
        tuple(container.get("cmd") or ()),
    )


def start_words(container: Mapping[str, Any]) -> list[str]:
    """Return the words that start the image's program; arguments are appended to them."""
    return list(pass_arguments("the container", _words(container)))


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


def _check_split(name: str, key: str, runtime: Mapping[str, Any]) -> None:
    """Check that a string, which ADS splits at commas, was not meant as a shell's command."""
    value = runtime.get(key)
    if not isinstance(value, str):
        return
    pieces = _split(value)
    is_shell = key == "cmd" and expects_code(_split(runtime.get("entrypoint")))
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
