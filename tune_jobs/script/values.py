"""Conversion of parameter values to strings and documents, and validation of settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from tune_jobs.core.formatting import abbreviate
from tune_jobs.errors import CommandLineError

ParamValue: TypeAlias = (
    "bool | int | float | str | Sequence[ParamValue] | Mapping[str, ParamValue] | None"
)
"""Value of a parameter: JSON's types; NumPy scalars count as Python's."""
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
FLAG = re.compile(r"--?[^\s=-][^\s=]*")
KEY = re.compile(r"[^=]+")
PAIR = re.compile(r"(?!-)([^/]+)/(?!\1$)([^/]+)")
_ARGUMENT_LIMIT = 131_071  # bytes; Linux's MAX_ARG_STRLEN without the final NUL


# -- tokens -----------------------------------------------------------------------------------


def join_flag(flag: str, string: str) -> list[str]:
    """Return an option and its value in the form that every parser reads; see `Option`."""
    if len(flag) > 2:
        return [f"{flag}={string}"]
    return [flag + string] if string.startswith("-") else [flag, string]


def render_switch(on: str | None, off: str | None, value: Plain) -> list[str]:
    flag = None if value is None else on if value else off
    return [flag] if flag else []


def resolve_key(key: str | None, name: str) -> str:
    if key is None:
        check_key(f"parameter {name!r}: its key", name)
    return key or name


def reject_dash(name: str, strings: list[str], fix: str) -> None:
    for string in strings:
        if string.startswith("-") and string != "-":  # a dash alone means standard input
            raise CommandLineError(
                f"parameter {name!r}: most parsers read the separate argument "
                f"{abbreviate(string)} as an option: {fix}"
            )


def join_by_commas(name: str, strings: list[str]) -> str:
    """Join strings by commas.

    Raises:
        CommandLineError: If splitting the result would not return the same strings.
    """
    if any("," in string for string in strings) or strings == [""]:
        raise CommandLineError(
            f"parameter {name!r} is {abbreviate(strings)}, which would be ambiguous joined by "
            "commas: use many='json' or many='repeat'"
        )
    return ",".join(strings)


def validate_argument(owner: str, string: str) -> str:
    """Return the string.

    Raises:
        CommandLineError: If the kernel cannot pass it to a program.
    """
    if "\0" in string:
        raise CommandLineError(
            f"{owner} contains a NUL character, {abbreviate(string)}, which no argument or "
            "variable can hold: remove it"
        )
    size = len(encode_utf8(owner, string, "surrogateescape"))
    if size > _ARGUMENT_LIMIT:
        raise CommandLineError(
            f"{owner} is an argument of {size} bytes, but Linux passes at most "
            f"{_ARGUMENT_LIMIT}: write it to a configuration file with ConfigField"
        )
    return string


def encode_utf8(owner: str, string: str, errors: str) -> bytes:
    try:
        return string.encode("utf-8", errors)
    except UnicodeEncodeError as error:
        raise CommandLineError(
            f"{owner} contains the lone surrogate {string[error.start]!r} in "
            f"{abbreviate(string)}, which UTF-8 cannot encode: remove it"
        ) from None


# -- values and documents ---------------------------------------------------------------------


def to_plain(owner: str, value: object) -> Plain:
    """Convert a value to Python's own types; NumPy scalars and subclasses are unwrapped.

    Raises:
        CommandLineError: If the value is not made of JSON's types.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)  # repr(numpy.float64(0.1)) is not 0.1
    if isinstance(value, list | tuple):
        return [to_plain(owner, element) for element in value]
    if isinstance(value, Mapping):
        for key in value:
            require(isinstance(key, str), f"{owner}: the key", key, "it must be a string")
        return {str.__str__(key): to_plain(owner, element) for key, element in value.items()}
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        scalar = value.item()
        if isinstance(scalar, bool | int | float | str):
            return scalar
    raise CommandLineError(
        f"{owner} is {abbreviate(value)}, a {type(value).__name__}: convert it to a number, a "
        "string, True, False, None, or a list or dict of these (arrays have tolist())"
    )


def set_field(document: Plain, path: Sequence[str], value: Plain, name: str) -> Plain:
    """Set the value at a path of a document; missing objects on the way are created.

    Raises:
        CommandLineError: If the path does not fit the document.
    """
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(document, dict):
        document[key] = set_field(document.get(key, {}), rest, value, name)
    elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
        document[int(key)] = set_field(document[int(key)], rest, value, name)
    else:
        raise CommandLineError(
            f"parameter {name!r}: its field needs {key!r}, but the template has "
            f"{abbreviate(document)} there: correct the field or the template"
        )
    return document


def to_json(value: object, indent: int | None = None) -> str:
    """Return what a script reads with Python's json module; NaN stays NaN, as it was suggested."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def to_yaml(document: object) -> str:
    import yaml  # only when a YAML file is written

    class Dumper(yaml.SafeDumper):
        """Quotes every string that some version of YAML reads as another type."""

    def represent_string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None if _is_unquoted_word(value) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, represent_string)
    return yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )


def to_hydra(name: str, value: Plain) -> str:
    """Render a value in the grammar of Hydra 1.1 and later."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote_hydra(name, value)
    if isinstance(value, list):
        return "[" + ",".join(to_hydra(name, element) for element in value) + "]"
    if isinstance(value, dict):
        for key in value:
            rule = "Hydra cannot quote keys: use letters, digits, '_', '-' and '.'"
            require(_is_unquoted_word(key), f"parameter {name!r}: the key", key, rule)
        items = (f"{key}:{to_hydra(name, item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    return repr(value)


def _quote_hydra(name: str, string: str) -> str:
    if "${" in string:
        raise CommandLineError(
            f"parameter {name!r} is {abbreviate(string)}, but Hydra interpolates ${{...}}: "
            "remove it, or use KeyValue if the interpolation is intended"
        )
    if _is_unquoted_word(string):
        return string
    # Between Hydra's quotes a backslash is literal, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda run: run[1] * 2 + ("\\'" if run[2] else ""), string)
    return f"'{escaped}'"


def _is_unquoted_word(string: str) -> bool:
    """Return whether YAML 1.1, YAML 1.2 and Hydra all read the unquoted string as itself."""
    special = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
    word = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*", string)
    return word is not None and string.lower() not in special


# -- validation -------------------------------------------------------------------------------


def require(good: object, what: str, value: object, rule: str) -> None:
    """Raise a CommandLineError about a value, unless ``good`` is true."""
    if not good:
        raise CommandLineError(f"{what} is {abbreviate(value)}: {rule}")


def check_settings(settings: object) -> None:
    """Check the types of a dataclass's settings, which YAML does not guarantee.

    Raises:
        CommandLineError: If a setting is not of its declared type.
    """
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        what = f"{type(settings).__name__}: {name}"
        if get_origin(hint) is Literal:
            require(value in get_args(hint), what, value, f"it must be one of {get_args(hint)}")
        elif hint is bool:
            require(isinstance(value, bool), what, value, "it must be True or False")
        elif hint in (str, str | None):
            good = isinstance(value, str) or (value is None and hint is not str)
            require(good, what, value, "it must be a string; in YAML, quote it")


def check_booleans(what: str, booleans: str) -> None:
    good = booleans in ("--flag", "--flag/--no-flag") or PAIR.fullmatch(booleans)
    rule = "write 'true/false', '1/0' or another pair, or '--flag', or '--flag/--no-flag'"
    require(good, what, booleans, rule)


def check_flag(what: str, flag: str | None) -> None:
    good = flag is None or FLAG.fullmatch(flag)
    require(good, what, flag, "it must be an option such as '--batch-size' or '-b'")


def check_key(what: str, key: str | None) -> None:
    good = key is None or KEY.fullmatch(key)
    require(good, what, key, "it must be a string without '='")


def validate_template(what: str, template: object) -> Plain:
    return to_plain(what, validate_mapping(what, template))


def validate_mapping(what: str, value: object) -> dict[str, Any]:
    """Return a copy of a mapping.

    Raises:
        CommandLineError: If the value is not a mapping, or a key is not a string.
    """
    if not isinstance(value, Mapping):
        raise CommandLineError(f"{what} is {abbreviate(value)}: it must be a mapping")
    for key in value:
        require(
            isinstance(key, str), f"{what}: the key", key, "it must be a string; in YAML, quote it"
        )
    return dict(value)
