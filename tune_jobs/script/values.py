"""What one parameter's value becomes: plain values, texts, documents; checks of settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from tune_jobs.errors import CommandLineError

ParamValue: TypeAlias = (
    "bool | int | float | str | Sequence[ParamValue] | Mapping[str, ParamValue] | None"
)
"""What a parameter may be: JSON's types. numpy's scalars are taken as Python's."""
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
FLAG = re.compile(r"--?[^\s=-][^\s=]*")
KEY = re.compile(r"[^=]+")
PAIR = re.compile(r"(?!-)([^/]+)/(?!\1$)([^/]+)")
_ARGUMENT_LIMIT = 131_071  # bytes; Linux's MAX_ARG_STRLEN without the final NUL


# Tokens


def joined_tokens(flag: str, text: str) -> list[str]:
    """An option and its value as every parser reads them; see Option."""
    if len(flag) > 2:
        return [f"{flag}={text}"]
    return [flag + text] if text.startswith("-") else [flag, text]


def switch_tokens(on: str | None, off: str | None, value: Plain) -> list[str]:
    flag = None if value is None else on if value else off
    return [flag] if flag else []


def assignment_key(key: str | None, name: str) -> str:
    if key is None:
        check_key(f"parameter {name!r}: its key", name)
    return key or name


def refuse_dash(name: str, texts: list[str], fix: str) -> None:
    for text in texts:
        if text.startswith("-") and text != "-":  # a lone dash is standard input, to everyone
            raise CommandLineError(
                f"parameter {name!r} would put {shown(text)} on the command line as a word of "
                f"its own, and most parsers take it for an option: {fix}"
            )


def joined_by_commas(name: str, texts: list[str]) -> str:
    """The texts in one, if splitting it gives them back."""
    if any("," in text for text in texts) or texts == [""]:
        raise CommandLineError(
            f"parameter {name!r} is {shown(texts)}: joined by commas it could not be told apart "
            "again; write it with many='json' or many='repeat'"
        )
    return ",".join(texts)


def checked_argument(owner: str, text: str) -> str:
    """The text, if the kernel can pass it to a program."""
    if "\0" in text:
        raise CommandLineError(
            f"{owner} has a NUL character in it, {shown(text)}, which no argument or variable "
            "can carry: remove it"
        )
    size = len(checked_encoding(owner, text, "surrogateescape"))
    if size > _ARGUMENT_LIMIT:
        raise CommandLineError(
            f"{owner} makes an argument of {size} bytes and Linux passes at most "
            f"{_ARGUMENT_LIMIT}: write it into a configuration file with ConfigField"
        )
    return text


def checked_encoding(owner: str, text: str, errors: str) -> bytes:
    try:
        return text.encode("utf-8", errors)
    except UnicodeEncodeError as error:
        raise CommandLineError(
            f"{owner} has the lone surrogate {text[error.start]!r} in {shown(text)}, which is no "
            "character: remove it"
        ) from None


# Values and documents


def plain_value(owner: str, value: object) -> Plain:
    """The value in Python's own types, numpy's scalars and subclasses undone."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)  # repr(numpy.float64(0.1)) is not 0.1
    if isinstance(value, list | tuple):
        return [plain_value(owner, element) for element in value]
    if isinstance(value, Mapping):
        for key in value:
            expect(isinstance(key, str), f"{owner}: the key", key, "it must be text")
        return {str.__str__(key): plain_value(owner, element) for key, element in value.items()}
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        scalar = value.item()
        if isinstance(scalar, bool | int | float | str):
            return scalar
    raise CommandLineError(
        f"{owner} is {shown(value)}, a {type(value).__name__}: make it a number, a text, "
        "True, False, None, or a list or dict of these (an array has tolist())"
    )


def put_field(document: Plain, path: Sequence[str], value: Plain, name: str) -> Plain:
    """The document with the value at the path; objects that are missing on the way are added."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(document, dict):
        document[key] = put_field(document.get(key, {}), rest, value, name)
    elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
        document[int(key)] = put_field(document[int(key)], rest, value, name)
    else:
        raise CommandLineError(
            f"parameter {name!r}: its field has no {key!r} in the template, which has "
            f"{shown(document)} there: correct the field or the template"
        )
    return document


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def yaml_text(document: object) -> str:
    import yaml  # only when a YAML file is written

    class Dumper(yaml.SafeDumper):
        """Quotes every text that some version of YAML reads as anything else."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None if _is_plain_word(value) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )


def hydra_text(name: str, value: Plain) -> str:
    """The value in the grammar of Hydra 1.1 and later."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _hydra_text(name, value)
    if isinstance(value, list):
        return "[" + ",".join(hydra_text(name, element) for element in value) + "]"
    if isinstance(value, dict):
        for key in value:
            rule = "Hydra has no quoted keys; use letters, digits, '_', '-' and '.'"
            expect(_is_plain_word(key), f"parameter {name!r}: the key", key, rule)
        items = (f"{key}:{hydra_text(name, item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    return repr(value)


def _hydra_text(name: str, text: str) -> str:
    if "${" in text:
        raise CommandLineError(
            f"parameter {name!r} is {shown(text)}, and Hydra replaces ${{...}} in texts: "
            "remove it, or if that is meant, use KeyValue"
        )
    if _is_plain_word(text):
        return text
    # In Hydra's quotes a backslash means itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda run: run[1] * 2 + ("\\'" if run[2] else ""), text)
    return f"'{escaped}'"


def _is_plain_word(text: str) -> bool:
    """Whether YAML 1.1, YAML 1.2 and Hydra all read these characters as this text."""
    special = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
    word = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*", text)
    return word is not None and text.lower() not in special


# Checks of settings


def expect(good: object, what: str, value: object, rule: str) -> None:
    if not good:
        raise CommandLineError(f"{what} is {shown(value)}: {rule}")


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def check_settings(settings: object) -> None:
    """Raise if a setting is not of the type that it is declared with: YAML may bring any."""
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        what = f"{type(settings).__name__}: {name}"
        if get_origin(hint) is Literal:
            expect(value in get_args(hint), what, value, f"it must be one of {get_args(hint)}")
        elif hint is bool:
            expect(isinstance(value, bool), what, value, "it must be True or False")
        elif hint in (str, str | None):
            good = isinstance(value, str) or (value is None and hint is not str)
            expect(good, what, value, "it must be text; in YAML, quote it")


def check_booleans(what: str, booleans: str) -> None:
    good = booleans in ("--flag", "--flag/--no-flag") or PAIR.fullmatch(booleans)
    rule = "it must be two texts, 'true/false' or '1/0', or '--flag', or '--flag/--no-flag'"
    expect(good, what, booleans, rule)


def check_flag(what: str, flag: str | None) -> None:
    good = flag is None or FLAG.fullmatch(flag)
    expect(good, what, flag, "it must be an option such as '--batch-size' or '-b'")


def check_key(what: str, key: str | None) -> None:
    good = key is None or KEY.fullmatch(key)
    expect(good, what, key, "it must be text without '='")


def checked_template(what: str, template: object) -> Plain:
    return plain_value(what, checked_mapping(what, template))


def checked_mapping(what: str, value: object) -> dict[str, Any]:
    """A copy of the value, which must be a mapping with text for keys."""
    if not isinstance(value, Mapping):
        raise CommandLineError(f"{what} is {shown(value)}: it must be a mapping")
    for key in value:
        expect(isinstance(key, str), f"{what}: the key", key, "it must be text; in YAML, quote it")
    return dict(value)
