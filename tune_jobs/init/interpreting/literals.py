"""Operations on literals, bounded in size and time.

An operation that fails, or that is not known to be cheap, returns `UNKNOWN`.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from tune_jobs.init.interpreting.values import UNKNOWN, Value, is_literal
from tune_jobs.space.operators import ARITHMETIC, ORDER

MAX_ITEMS = 1000
_MAX_STRING = 10_000
_MAX_NUMBER = 2.0**64
_MAX_EXPONENT = 64

_BINARY = {**ARITHMETIC, ast.Pow: operator.pow}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    **ORDER,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "bool": bool,
    "dict": dict,
    "float": float,
    "int": int,
    "len": len,
    "max": max,
    "min": min,
    "round": round,
    "str": str,
}
_STRING_METHODS = ("lower", "upper", "strip", "lstrip", "split", "replace", "title", "capitalize")


def apply_binary(operation: ast.operator, left: Value, right: Value) -> Value:
    """Apply an operator. Strings that are divided are paths, and are joined."""
    if isinstance(left, str):
        return _apply_to_string(operation, left, right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        joined = isinstance(operation, ast.Add) and len(left) + len(right) <= MAX_ITEMS
        return [*left, *right] if joined else UNKNOWN
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        return UNKNOWN
    if max(abs(left), abs(right)) > _MAX_NUMBER:
        return UNKNOWN
    if isinstance(operation, ast.Pow) and abs(right) > _MAX_EXPONENT:
        return UNKNOWN
    return _try(_BINARY.get(type(operation)), left, right)


def _apply_to_string(operation: ast.operator, left: str, right: Value) -> Value:
    if isinstance(operation, ast.Mod):
        return format_percent(left, right if isinstance(right, list | tuple) else [right])
    if not isinstance(right, str) or len(left) + len(right) > _MAX_STRING:
        return UNKNOWN
    if isinstance(operation, ast.Div):
        return f"{left}/{right}"
    return left + right if isinstance(operation, ast.Add) else UNKNOWN


def apply_unary(operation: ast.unaryop, operand: Value) -> Value:
    """Apply an operator."""
    return _try(_UNARY.get(type(operation)), operand) if is_literal(operand) else UNKNOWN


def compare(operation: ast.cmpop, left: Value, right: Value) -> Value:
    """Compare two literals."""
    if not (is_literal(left) and is_literal(right)):
        return UNKNOWN
    return _try(_COMPARISONS.get(type(operation)), left, right)


def subscript(container: Value, key: Value) -> Value:
    """Return an item of a list, a tuple or a dict."""
    if isinstance(container, list | tuple | dict | str) and isinstance(key, int | str):
        return _try(operator.getitem, container, key)
    return UNKNOWN


def iterate(value: Value) -> list[Value] | None:
    """Return the items of a literal; None if they are not known, or too many."""
    if isinstance(value, list | tuple | set | dict | str | range):
        items = list(islice(value, MAX_ITEMS + 1))
        return items if len(items) <= MAX_ITEMS else None
    return None


def format_percent(template: str, values: Sequence[Value]) -> Value:
    """Format a string whose fields are ``%s`` and ``%d`` without further settings."""
    fields = re.findall(r"%[^%]", template)
    plain = [each for each in values if isinstance(each, str | int)]
    if any(each not in ("%s", "%d") for each in fields) or len(plain) != len(fields):
        return UNKNOWN
    return _try(operator.mod, template, tuple(plain))


def format_braces(template: str, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
    """Format a string whose fields are ``{}`` or ``{name}`` without further settings."""
    values = [*args, *keywords.values()]
    plain = all(isinstance(each, str | int | float) for each in values)
    simple = re.fullmatch(r"(?:[^{}]|\{\w*\})*", template)
    return _try(template.format, *args, **keywords) if plain and simple else UNKNOWN


def call_method(
    receiver: Value, name: str, args: Sequence[Value], keywords: Mapping[str, Value]
) -> Value:
    """Call a method of a literal."""
    if isinstance(receiver, dict):
        return _call_dict_method(receiver, name, args, keywords)
    if isinstance(receiver, list) and len(args) == 1:
        return _call_list_method(receiver, name, args[0])
    if not isinstance(receiver, str) or len(receiver) > _MAX_STRING:
        return UNKNOWN
    if name == "format":
        return format_braces(receiver, args, keywords)
    if name == "join" and len(args) == 1:
        items = iterate(args[0])
        known = items is not None and all(isinstance(item, str) for item in items)
        return receiver.join(items or ()) if known else UNKNOWN
    if name in _STRING_METHODS and all(isinstance(a, str | int) and len(str(a)) < 9 for a in args):
        return _try(getattr(receiver, name), *args)
    return UNKNOWN


def _call_dict_method(
    receiver: dict[Value, Value], name: str, args: Sequence[Value], keywords: Mapping[str, Value]
) -> Value:
    match name:
        case "keys":
            return list(receiver)
        case "values":
            return list(receiver.values())
        case "items":
            return [list(pair) for pair in receiver.items()]
        case "copy":
            return dict(receiver)
        case "get" | "pop" if args:
            return _try(receiver.get, *args[:2])
        case "update":
            for each in args[:1]:
                receiver.update(each if isinstance(each, dict) else {})
            receiver.update(keywords)
            return None
    return UNKNOWN


def _call_list_method(receiver: list[Value], name: str, argument: Value) -> Value:
    if len(receiver) > MAX_ITEMS:
        return UNKNOWN
    if name == "append":
        receiver.append(argument)
    elif name == "extend":
        receiver.extend(iterate(argument) or ())
    return None


def call_builtin(name: str, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
    """Call a builtin function."""
    if name in ("list", "tuple", "set", "sorted", "reversed") and len(args) <= 1:
        return _collect(name, args)
    if name == "range" and all(isinstance(each, int) for each in args):
        return _try(range, *args)
    if name in ("zip", "enumerate"):
        columns = [iterate(each) for each in args]
        known = [column for column in columns if column is not None]
        if len(known) < len(columns):
            return UNKNOWN
        rows = zip(*known, strict=False) if name == "zip" else enumerate(known[0] if known else ())
        return [list(row) for row in rows]
    if name == "dict" and not args:
        return dict(keywords)
    if name in _FUNCTIONS and args and all(map(is_literal, args)):
        return _try(_FUNCTIONS[name], *args)
    return UNKNOWN


def _collect(name: str, args: Sequence[Value]) -> Value:
    items = iterate(args[0]) if args else []
    if items is None:
        return UNKNOWN
    if name == "sorted":
        # Not all of the items may be known or comparable; their order does not matter then.
        found = _try(sorted, items) if all(map(is_literal, items)) else items
        return items if found is UNKNOWN else found
    return list(reversed(items)) if name == "reversed" else items


def _try(function: Callable[..., Any] | None, *args: Value, **keywords: Value) -> Value:
    try:
        return UNKNOWN if function is None else function(*args, **keywords)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return UNKNOWN
