"""The reference of the command ``tune-jobs``, rendered from its argument parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tune_jobs.cli.exit_codes import EXIT_CODES
from tune_jobs.cli.main import build_parser


def render_cli() -> str:
    """Return one Markdown section for each command."""
    parser = build_parser()
    commands = list_commands(parser)
    summary = [f"| [`{name}`](#tune-jobs-{name}) | {c.description} |" for name, c in commands]
    parts = [parser.description or "", "\n".join(["| command | |", "| --- | --- |", *summary])]
    for name, command in commands:
        parts += _render_command(f"{parser.prog} {name}", command)
    codes = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    table = "\n".join(["| exit code | meaning |", "| --- | --- |", *codes])
    return "\n\n".join([*parts, "## Exit codes", table])


def list_commands(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    """Return the sub-commands of a parser, in the order of its help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return list(action.choices.items())
    return []


def _render_command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = parser.format_usage().removeprefix("usage: ").rstrip().replace("\n" + " " * 7, "\n")
    yield f"## {name}"
    yield f"{_sentence(parser.description or '')}"
    yield f"```text\n{usage}\n```"
    yield f"```{{program}} {name}\n```"
    for action in parser._actions:
        if action.dest != "help":
            yield _render_argument(action)


def _render_argument(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else action.metavar or action.dest.upper()
    names = action.option_strings or [str(action.metavar or action.dest)]
    title = ", ".join(
        f"{name} {value}".rstrip() if action.option_strings else name for name in names
    )
    notes = [_sentence(action.help or "")]
    if action.choices:
        notes.append(f"One of {', '.join(f'`{choice}`' for choice in action.choices)}.")
    if action.option_strings and action.default not in (None, False, [], argparse.SUPPRESS):
        notes.append(f"Default: `{action.default}`.")
    return f"```{{option}} {title}\n{' '.join(filter(None, notes))}\n```"


def _sentence(text: str) -> str:
    text = text.strip()
    return text and text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
