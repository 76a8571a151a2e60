"""Create a study.yaml: inspect a script, write the text, and check that it can be loaded."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from tune_jobs.config.study_config import FILL_IN, find_blanks, read_study
from tune_jobs.errors import ConfigError
from tune_jobs.init.document import write_document
from tune_jobs.init.draft import Draft, Entry
from tune_jobs.init.inspection import Inspection
from tune_jobs.init.targets import find_sources, name_study
from tune_jobs.space.yaml_source import Located, loads

HELP_SECONDS = 15.0
"""Time limit of a script's ``--help`` in seconds."""

_BLANKS = {"metric": "metric", "direction": "minimize", "parameters": "{blank_parameter: [1, 2]}"}


@dataclass(frozen=True)
class NewStudy:
    """A study.yaml that was created.

    Attributes:
        draft: What it says.
        text: Its text.
        blanks: What a person has to fill in.
    """

    draft: Draft
    text: str
    blanks: tuple[Located, ...]


def create_study(entry: Entry, file: Path, *, seconds: float | None = HELP_SECONDS) -> NewStudy:
    """Create the study.yaml of a script, without writing it.

    Args:
        entry: The script, see `find_entry`.
        file: Path of the study.yaml.
        seconds: Time limit for ``--help``; None not to run it.

    Raises:
        ConfigError: If the script cannot be read.
    """
    base = file.absolute().parent
    sources = find_sources(entry, base)
    name = name_study(entry, sources.folder)
    draft = Inspection(entry, sources, base, seconds).draft(name)
    text = write_document(draft, os.fspath(file))
    document = loads(text, os.fspath(file))
    check_text(text)
    return NewStudy(draft, text, tuple(find_blanks(document)))


def check_text(text: str) -> None:
    """Check that a study.yaml is accepted once its blanks are filled in.

    Raises:
        ConfigError: If it is not.
    """
    for key, value in _BLANKS.items():
        text = re.sub(rf"(?m)^{key}: {FILL_IN}", f"{key}: {value}", text)
    config = read_study(loads(text.replace(FILL_IN, "value"), "study.yaml"))
    line = config.options.command_line
    if line is not None and not callable(line):
        line.check(config.space.names)


def write_new(file: Path, text: str, *, overwrite: bool) -> None:
    """Write a file at once.

    Raises:
        ConfigError: If it exists and is not to be overwritten, or cannot be written.
    """
    scratch = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        scratch.write_text(text, encoding="utf-8")
        try:
            if overwrite:
                os.replace(scratch, file)
            else:
                os.link(scratch, file)  # unlike a rename, it does not replace a file
        finally:
            scratch.unlink(missing_ok=True)
    except FileExistsError:
        raise ConfigError(
            f"{file} exists: add --force to overwrite it, -o to write another file, or --stdout"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
