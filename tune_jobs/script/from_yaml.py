"""Styles and configuration files from mappings, as read from YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields

from tune_jobs.errors import CommandLineError
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
    checked_mapping,
    expect,
)

# The key of each style, and the setting that the key's value is.
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


def style_from(where: str, spec: object) -> Style:
    if isinstance(spec, str):
        spec = {"option": spec} if spec.startswith("-") else {spec: None}
    if isinstance(spec, Mapping):
        # YAML 1.1 reads the bare keys `on` and `off`, which a Switch has, as booleans.
        spec = {{True: "on", False: "off"}.get(key, key): item for key, item in spec.items()}
    settings = checked_mapping(where, spec)
    chosen = [key for key in settings if key in _STYLES]
    if not chosen:
        check_keys(where, settings, _STYLES)
    expect(len(chosen) == 1, where, spec, f"give it one of the keys {', '.join(_STYLES)}")
    kind, main = _STYLES[chosen[0]]
    value = settings.pop(chosen[0])
    check_keys(where, settings, [each.name for each in fields(kind) if each.name != main])
    if value is not None:
        expect(main, f"{where}: {chosen[0]}", value, "this style has nothing to say here")
        settings[str(main)] = value
    try:
        return kind(**settings)
    except CommandLineError as error:
        raise CommandLineError(f"{where}: {error}") from None


def config_file_from(spec: object) -> ConfigFile:
    settings = {"name": spec} if isinstance(spec, str) else checked_mapping("config_file", spec)
    check_keys("config_file", settings, [each.name for each in fields(ConfigFile)])
    return ConfigFile(**settings)


def check_keys(where: str, given: Iterable[str], valid: Iterable[str]) -> None:
    valid = list(valid)
    for key in given:
        if key not in valid:
            near = difflib.get_close_matches(key, valid, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(valid)}"
            raise CommandLineError(f"{where}: unknown key {key!r}; {hint}")
