"""A run as a shell command, for people to read, copy and repeat."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from tune_jobs.core.attempts import Invocation

_SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_FOLDER = re.compile(r"(\$TUNE_JOBS_(?:WORK|OUTPUTS|CHECKPOINT|RESUME)_DIR)")
"""Placeholders of a run's folders, which a job run replaces by paths."""


def format_invocation(entry: Sequence[str], invocation: Invocation) -> str:
    """Format a run as a shell command: variables first, the files listed below it.

    Values of variables whose names look like secrets are masked. Placeholders of folders are
    variables that the shell expands.
    """
    masked = {
        name: "***" if _SECRET.search(name) else value for name, value in invocation.env.items()
    }
    assignments = [f"{name}={_quote(value)}" for name, value in masked.items()]
    lines = [" ".join([*assignments, *map(_quote, [*entry, *invocation.argv])])]
    for path, content in invocation.files.items():
        lines += [f"# {path}:", *(f"#   {line}" for line in content.splitlines())]
    return "\n".join(lines)


def _quote(word: str) -> str:
    parts = _FOLDER.split(word)
    if len(parts) == 1:
        return shlex.quote(word)
    return "".join(
        f'"{part}"' if _FOLDER.fullmatch(part) else shlex.quote(part) for part in parts if part
    )
