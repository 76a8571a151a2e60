"""Arguments that every run has: their options, placeholders and places for parameters."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tune_jobs.errors import CommandLineError
from tune_jobs.script.styles import (
    Claim,
    key_claim,
)
from tune_jobs.script.values import (
    Plain,
    to_plain,
)

PARAMETERS = "{parameters}"
"""In ``arguments``, where the parameters go that have no ``{param:NAME}`` of their own."""


@dataclass(frozen=True)
class Place:
    """Place among the fixed arguments for one parameter, or, if None, for all others."""

    name: str | None


def find_placed(slots: Iterable[str | Place]) -> list[str]:
    """Return the parameters with a place of their own."""
    return [slot.name for slot in slots if isinstance(slot, Place) and slot.name is not None]


def find_fixed_claim(fixed: str) -> Claim | None:
    name, equals, _ = fixed.partition("=")
    if is_option(fixed):
        return ("option", name)
    return key_claim(name) if equals else None


def format_claim(claim: Claim) -> str:
    kind, *names = claim
    return f"{kind} {'.'.join(names)}".rstrip()


def is_option(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return token.startswith("-") and token != "-"
    return False


def drop_values(rest: deque[str | Place], several: bool) -> None:
    """Drop the value, or the values, of a fixed option."""
    while rest and isinstance(rest[0], str) and not is_option(rest[0]):
        rest.popleft()
        if not several:
            return


def substitute(string: str, places: Mapping[str, str]) -> str:
    """Substitute the placeholders of a string; ``{{`` and ``}}`` become braces."""

    def replacement(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] in places:
            return places[found[1]]
        if found[0] == PARAMETERS or found[0].startswith("{param:"):
            raise CommandLineError(f"{string!r}: {found[0]} must be an argument of its own")
        if found[0] == "{config}":
            raise CommandLineError(
                f"{string!r}: {{config}} needs a configuration file: "
                "add config_file=ConfigFile('config.yaml')"
            )
        valid = ", ".join(f"{{{name}}}" for name in places)
        raise CommandLineError(
            f"{string!r}: unknown placeholder {found[0]!r} (known: {valid} and, as arguments of "
            f"their own, {PARAMETERS} and {{param:NAME}}); write {{{{ and }}}} for braces"
        )

    return re.sub(r"\{\{|\}\}|\{([^{}]*)\}|[{}]", replacement, string)


def substitute_all(template: object, places: Mapping[str, str]) -> Plain:
    """Copy a template, with the placeholders in its strings substituted."""
    if isinstance(template, str):
        return substitute(template, places)
    if isinstance(template, list):
        return [substitute_all(element, places) for element in template]
    if isinstance(template, dict):
        return {key: substitute_all(value, places) for key, value in template.items()}
    return to_plain("template", template)
