"""Types of values: builtins, functions that convert a string, and annotations."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tune_jobs.init.flags import Kind
from tune_jobs.init.interpreting.expressions import Evaluator, list_members
from tune_jobs.init.interpreting.values import (
    Class,
    External,
    Function,
    Scope,
    Value,
    is_literal,
)

KINDS: Mapping[str, Kind] = {
    "float": "float",
    "int": "int",
    "str": "str",
    "string": "str",
    "choice": "str",
    "long": "int",
    "bool": "bool",
    "Path": "path",
    "PurePath": "path",
    "PosixPath": "path",
    "FileType": "path",
    "File": "path",
    "open": "path",
    "PositiveInt": "int",
    "NonNegativeInt": "int",
    "PositiveFloat": "float",
    "NonNegativeFloat": "float",
    "strtobool": "bool",
    "str2bool": "bool",
}
_LISTS = {"list", "List", "Sequence", "tuple", "Tuple", "Iterable", "set", "Set"}
_TRUE = {"true", "True", "TRUE", "yes", "1"}


@dataclass(frozen=True)
class Hint:
    """Meaning of an annotation or of a function that converts a string.

    Attributes:
        kind: Type of the value, or of its items; None if it is not known.
        choices: Its values, if they are listed.
        many: Whether it is a list.
        optional: Whether None is a value, too.
        booleans: How True and False are written, if not as ``true`` and ``false``.
        cls: Class of the program that it names, unless it is an enumeration.
        members: Enumeration of the program that it names.
        metadata: Further arguments of ``Annotated``.
        caution: What a person has to know.
    """

    kind: Kind | None = None
    choices: tuple[Any, ...] = ()
    many: bool = False
    optional: bool = False
    booleans: str = ""
    cls: Class | None = None
    members: Class | None = None
    metadata: tuple[Value, ...] = ()
    caution: str = ""


def kind_of(value: object) -> Kind | None:
    """Return the type of a literal, or of the first item of a list."""
    if isinstance(value, list | tuple):
        return kind_of(value[0]) if value else None
    types: list[tuple[type, Kind]] = [(bool, "bool"), (int, "int"), (float, "float"), (str, "str")]
    return next((kind for each, kind in types if isinstance(value, each)), None)


def read_converter(value: Value) -> Hint:
    """Return what is known of a function that converts a string, such as ``type=float``."""
    match value:
        case External(name=name):
            kind = KINDS.get(name.rpartition(".")[2])
            return Hint(kind, caution="" if kind else f"it is converted by {name}()")
        case Class() if members := list_members(value):
            values = tuple(member.value for member in members)
            return Hint(kind_of(values), values, members=value)
        case Function():
            return _read_function(value)
        case str() if value in KINDS:  # optparse
            return Hint(KINDS[value])
    return Hint()


def _read_function(function: Function) -> Hint:
    """Guess what a converter returns from the functions that it calls."""
    nodes = list(ast.walk(function.node))
    called = {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    methods = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    strings = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    if "bool" in function.name.lower() or strings & _TRUE:
        lower = bool({"lower", "casefold"} & methods) or "true" in strings or "True" not in strings
        return Hint("bool", booleans="" if lower else "True/False")
    many = "split" in methods
    for word in ("float", "int", "Path"):
        if word in called:
            return Hint(KINDS[word], many=many, caution="it takes a list" if many else "")
    name = "a lambda" if function.name == "<lambda>" else f"{function.name}()"
    return Hint(caution=f"{name} converts it")


def read_annotation(node: ast.expr | None, scope: Scope, evaluator: Evaluator) -> Hint:
    """Return what an annotation says."""
    match node:
        case None | ast.Constant(value=None):
            return Hint(optional=True)
        case ast.Constant(value=str(string)):
            try:
                return read_annotation(ast.parse(string, mode="eval").body, scope, evaluator)
            except (SyntaxError, ValueError):
                return Hint()
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _unite([read_annotation(each, scope, evaluator) for each in (left, right)])
        case ast.Subscript(value=owner, slice=inner):
            return _read_generic(owner, inner, scope, evaluator)
    value = evaluator.evaluate(node, scope)
    if isinstance(value, Class) and not list_members(value):
        return Hint(cls=value)
    if isinstance(value, External) and value.name.rpartition(".")[2] in _LISTS:
        return Hint(many=True)
    return replace(read_converter(value), caution="")


def _read_generic(owner: ast.expr, inner: ast.expr, scope: Scope, evaluator: Evaluator) -> Hint:
    generic = evaluator.evaluate(owner, scope)
    name = generic.name.rpartition(".")[2] if isinstance(generic, External) else ""
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        values = tuple(filter(is_literal, (evaluator.evaluate(part, scope) for part in parts)))
        return Hint(kind_of(values), values)
    if name == "Annotated":
        metadata = tuple(evaluator.evaluate(part, scope) for part in parts[1:])
        return replace(read_annotation(parts[0], scope, evaluator), metadata=metadata)
    first = read_annotation(parts[0], scope, evaluator)
    if name in _LISTS:
        return replace(first, many=True)
    if name == "Union":
        return _unite([read_annotation(part, scope, evaluator) for part in parts])
    if name == "Optional":
        return replace(first, optional=True)
    return first if name in ("Final", "ClassVar", "Positional") else Hint()


def _unite(hints: list[Hint]) -> Hint:
    """Return the first alternative that says something; a number before a string."""
    order = {"float": 0, "int": 1, "bool": 2, "path": 3, "str": 4}
    said = [hint for hint in hints if hint.kind or hint.cls or hint.many]
    best = min(said, key=lambda hint: order.get(hint.kind or "", 3), default=Hint())
    return replace(best, optional=any(hint.optional for hint in hints))
