"""Parse styles and configuration files from mappings, as read from YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from tune_jobs.errors import CommandLineError, did_you_mean
from tune_jobs.script.styles import (
    ConfigField,
    ConfigFile,
    Environment,
    Hydra,
    JsonField,
    KeyValue,
    Omit,
    Option,
    Positional,
    Style,
    Switch,
)
from tune_jobs.script.values import (
    require,
    validate_mapping,
)

_STYLES: dict[str, tuple[type[Style], str | None]] = {
    "option": (Option, "flag"),
    "switch": (Switch, "on"),
    "positional": (Positional, None),
    "key": (KeyValue, "key"),
    "hydra": (Hydra, "key"),
    "environment": (Environment, "variable"),
    "json": (JsonField, "flag"),
    "config": (ConfigField, "field"),
    "omit": (Omit, None),
}
"""By key, each style and the setting that the key's value is."""


def parse_style(where: str, spec: object) -> Style:
    """Parse a style; see `CommandLine.from_dict`.

    Raises:
        CommandLineError: If a key is unknown or a value invalid; the message begins with ``where``.
    """
    if isinstance(spec, str):
        spec = {"option": spec} if spec.startswith("-") else {spec: None}
    if isinstance(spec, Mapping):
        # YAML 1.1 reads the unquoted keys `on` and `off` of a Switch as booleans.
        spec = {{True: "on", False: "off"}.get(key, key): item for key, item in spec.items()}
    settings = validate_mapping(where, spec)
    chosen = [key for key in settings if key in _STYLES]
    if not chosen:
        check_keys(where, settings, _STYLES)
    require(len(chosen) == 1, where, spec, f"use exactly one of the keys {', '.join(_STYLES)}")
    kind, main = _STYLES[chosen[0]]
    value = settings.pop(chosen[0])
    check_keys(where, settings, [each.name for each in fields(kind) if each.name != main])
    if value is not None:
        require(main, f"{where}: {chosen[0]}", value, "this style takes no value")
        settings[str(main)] = value
    try:
        return kind(**settings)
    except CommandLineError as error:
        raise CommandLineError(f"{where}: {error}") from None


def parse_config_file(spec: object) -> ConfigFile:
    """Parse a configuration file: its name, or a mapping of its settings.

    Raises:
        CommandLineError: If a key is unknown or a value invalid.
    """
    settings = {"name": spec} if isinstance(spec, str) else validate_mapping("config_file", spec)
    check_keys("config_file", settings, [each.name for each in fields(ConfigFile)])
    return ConfigFile(**settings)


def check_keys(where: str, given: Iterable[str], valid: Iterable[str]) -> None:
    """Reject unknown keys.

    Raises:
        CommandLineError: If a given key is not valid; the message suggests the closest one.
    """
    known = list(valid)
    for key in given:
        if key not in known:
            raise CommandLineError(f"{where}: unknown key {key!r} {did_you_mean(key, known)}")
