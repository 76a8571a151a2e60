"""Combine what the source says with what ``--help`` says.

The source wins for types and defaults. The help confirms which options exist, and adds those that
the source does not show, such as the ones that another package defines.
"""

from __future__ import annotations

from dataclasses import replace

from tune_jobs.init.flags import Command, Flag, Kind
from tune_jobs.init.help_text import HelpText


def merge(command: Command, text: HelpText, *, complete: bool) -> list[str]:
    """Change a command by what its help says.

    Args:
        command: What the source says.
        text: What the help says.
        complete: Whether the help lists every option, so that others do not exist.

    Returns:
        Names of the flags that the help does not know, which are removed.
    """
    listed = {option: flag for flag in text.flags for option in flag.options}
    removed = []
    for flag in list(command.flags.values()):
        found = next((listed[each] for each in flag.options if each in listed), None)
        if found is not None:
            command.add(_complete(flag, found))
        elif flag.options and complete and not flag.hidden:
            del command.flags[flag.name]
            removed.append(flag.name)
    known = {option for flag in command.flags.values() for option in flag.options}
    names = [flag.name for flag in command.flags.values() if flag.carrier == "positional"]
    for flag in text.flags:
        is_new = not known & set(flag.options) and flag.name not in command.flags
        if is_new and (flag.options or not names):
            command.add(flag)
    return removed


def _find_default(flag: Flag, found: Flag, kind: Kind | None) -> object:
    """Return the default of the source, or that of the help if it is of the flag's type."""
    if flag.default is not None or flag.required or (found.switch and not flag.switch):
        return flag.default
    return found.default if kind in (None, found.kind, "float", "path") else None


def _complete(flag: Flag, found: Flag) -> Flag:
    """Return a flag of the source with what only the help knows."""
    kind = flag.kind or (None if flag.caution else found.kind)
    return replace(
        flag,
        kind=kind,
        default=_find_default(flag, found, kind),
        choices=flag.choices or found.choices,
        help=flag.help or found.help,
        low=found.low if flag.low is None else flag.low,
        high=found.high if flag.high is None else flag.high,
        required=flag.required or found.required,
    )
