"""Flags of absl, and of TensorFlow 1, which has the same functions."""

from __future__ import annotations

from collections.abc import Mapping

from tune_jobs.init.flags import Flag, Kind, Many, Parser
from tune_jobs.init.interpreting.expressions import Evaluator, list_members
from tune_jobs.init.interpreting.values import (
    UNKNOWN,
    Call,
    EnumMember,
    Object,
    Value,
    is_literal,
)
from tune_jobs.init.parsers.findings import ConfigSource, Findings, Handler, find_literal

_KINDS: Mapping[str, tuple[Kind, Many | None]] = {
    "DEFINE_float": ("float", None),
    "DEFINE_integer": ("int", None),
    "DEFINE_bool": ("bool", None),
    "DEFINE_boolean": ("bool", None),
    "DEFINE_string": ("str", None),
    "DEFINE_enum": ("str", None),
    "DEFINE_enum_class": ("str", None),
    "DEFINE_list": ("str", "comma"),
    "DEFINE_spaceseplist": ("str", None),
    "DEFINE_multi_float": ("float", "repeat"),
    "DEFINE_multi_integer": ("int", "repeat"),
    "DEFINE_multi_string": ("str", "repeat"),
    "DEFINE_multi_enum": ("str", "repeat"),
}


def _find_parser(findings: Findings) -> Parser:
    """Return the parser of all flags of the program."""
    found = [each for each in findings.parsers if each.kind == "absl"]
    return found[0] if found else findings.new_parser("absl")


def _define(function: str) -> Handler:
    kind, many = _KINDS[function]
    is_enum = "enum" in function

    def handle(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
        name = call.string("name", 0)
        if not name:
            return UNKNOWN
        default = call.get("default", 1)
        default = default.name if isinstance(default, EnumMember) else find_literal(default)
        low, high = (find_literal(call.get(f"{side}_bound")) for side in ("lower", "upper"))
        flag = Flag(
            name=name,
            options=(f"--{name}",),
            kind=kind,
            default=default,
            required=call.get("required") is True,
            choices=_read_choices(call.get("enum_values", 2), call.get("enum_class", 2))
            if is_enum
            else (),
            help=call.string("help", 3 if is_enum else 2),
            switch=kind == "bool",
            off=f"--no{name}" if kind == "bool" else None,
            many=many,
            low=low,
            high=high,
            place=call.place,
        )
        _find_parser(findings).command.add(flag)
        return UNKNOWN

    return handle


def _read_choices(values: Value, members: Value) -> tuple[str, ...]:
    found = [each.name for each in list_members(members)] or values
    known = isinstance(found, list) and all(map(is_literal, found))
    return tuple(found) if known else ()


def _require(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    names = call.get("flag_name", 0, call.get("flag_names", 0))
    for name in names if isinstance(names, list) else [names]:
        if isinstance(name, str):
            _find_parser(findings).command.set(name, required=True)
    return UNKNOWN


def _run(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``app.run(main)``."""
    findings.use(_find_parser(findings), call.place)
    return evaluator.call(call.get("main", 0), Call([UNKNOWN], {}, call.place))


def _parse(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``FLAGS(sys.argv)``."""
    findings.use(_find_parser(findings), call.place)
    return [UNKNOWN]


def _define_config(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``config_flags.DEFINE_config_file``, whose file is a Python program."""
    name, path = call.string("name", 0), call.string("default", 1)
    parser = _find_parser(findings)
    parser.command.add(
        Flag(
            name,
            (f"--{name}",),
            kind="path",
            default=path or None,
            help=call.string("help_string", 2),
            place=call.place,
        )
    )
    findings.configs.append(ConfigSource(parser, "", path, None, call.place, flag=name))
    return UNKNOWN


class ConfigDict(Object):
    """``ml_collections.ConfigDict``.

    Attributes:
        items: Its settings; those below it are dicts.
    """

    def __init__(self, items: Value) -> None:
        self.items: dict[str, Value] = dict(items) if isinstance(items, dict) else {}

    def set_attribute(self, name: str, value: Value) -> None:
        """Set a setting."""
        self.items[name] = value.items if isinstance(value, ConfigDict) else value

    def attribute(self, name: str) -> Value:
        """Return a setting."""
        value = self.items.get(name, UNKNOWN)
        if isinstance(value, dict):
            below = ConfigDict({})
            below.items = value
            return below
        return super().attribute(name) if value is UNKNOWN else value


def _config_dict(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return ConfigDict(call.get("initial_dictionary", 0))


HANDLERS: Mapping[str, Handler] = {
    **{f"absl.flags.{name}": _define(name) for name in _KINDS},
    "absl.flags.mark_flag_as_required": _require,
    "absl.flags.mark_flags_as_required": _require,
    "absl.app.run": _run,
    "absl.flags.FLAGS": _parse,
    "ml_collections.ConfigDict": _config_dict,
    "ml_collections.config_dict.ConfigDict": _config_dict,
    "ml_collections.config_flags.DEFINE_config_file": _define_config,
    "ml_collections.config_flags.config_flags.DEFINE_config_file": _define_config,
}
TENSORFLOW: Mapping[str, Handler] = {f"flags.{name}": _define(name) for name in _KINDS}
"""By the end of the name: ``tf.app.flags.DEFINE_float``, ``tf.compat.v1.flags.DEFINE_float``."""
