"""Flags from the signatures of functions and the fields of dataclasses.

Packages differ in how they write such flags; a `Convention` says how.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tune_jobs.init.flags import Command, Flag, Many
from tune_jobs.init.interpreting.expressions import Evaluator, list_members
from tune_jobs.init.interpreting.values import (
    UNKNOWN,
    Call,
    Class,
    EnumMember,
    External,
    Function,
    Instance,
    Object,
    Place,
    Value,
    is_literal,
)
from tune_jobs.init.parsers.findings import Findings, Handler, find_literal
from tune_jobs.init.parsers.types import Hint, kind_of, read_annotation

_MAX_DEPTH = 5
_SKIPPED = ("self", "cls", "ctx")


@dataclass(frozen=True)
class Convention:
    """How a package writes the flags of a function or a dataclass.

    Attributes:
        dashes: Whether underscores become dashes.
        booleans: ``value`` (``--augment=true``), ``pair`` (``--augment``, ``--no-augment``), or
            ``toggle`` (the flag reverses the default).
        many: How lists are passed.
        nested: Whether the fields of a nested dataclass have its name as prefix.
        positional: Whether what has no default is positional.
        members: Whether an enumeration's members are named by ``name`` or ``value``.
        words: How True and False are written, if not as ``true`` and ``false``.
        methods: Whether the methods of a class are commands.
    """

    dashes: bool = False
    booleans: Literal["value", "pair", "toggle"] = "value"
    many: Many = "spread"
    nested: bool = True
    positional: bool = False
    members: Literal["name", "value"] = "name"
    words: str = ""
    methods: bool = False


class FieldSpec(Object):
    """Result of ``dataclasses.field()`` and its kin."""

    def __init__(self, call: Call, default: Value, help: str) -> None:
        self.arguments = call
        self.default = default
        self.help = help


@dataclass(frozen=True)
class Entry:
    """Argument of a function, or field of a dataclass."""

    name: str
    hint: Hint
    default: Value
    has_default: bool
    place: Place
    help: str = ""
    spec: Object | None = None


def read_arguments(function: Function, evaluator: Evaluator) -> Iterator[Entry]:
    """Yield the arguments of a function."""
    arguments = function.node.args
    defaults = evaluator.get_defaults(function)
    helps = read_docstring(function.node)
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if each.arg not in _SKIPPED:
            hint = read_annotation(each.annotation, function.scope, evaluator)
            yield _make_entry(
                each.arg,
                hint,
                defaults.get(each.arg, UNKNOWN),
                each.arg in defaults,
                Place(function.scope.module, each.lineno),
                helps.get(each.arg, ""),
            )


def read_fields(cls: Class, evaluator: Evaluator) -> Iterator[Entry]:
    """Yield the fields of a dataclass, those of its bases first."""
    for each in reversed(cls.lineage()):
        helps = read_docstring(each.node)
        for node in each.node.body:
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            name = node.target.id
            if "ClassVar" in ast.unparse(node.annotation):
                continue
            yield _make_entry(
                name,
                read_annotation(node.annotation, each.scope, evaluator),
                each.scope.names.get(name, UNKNOWN),
                node.value is not None,
                Place(each.scope.module, node.lineno),
                helps.get(name, ""),
            )


def _make_entry(
    name: str, hint: Hint, default: Value, has_default: bool, place: Place, help: str
) -> Entry:
    spec: Object | None = None
    if isinstance(default, FieldSpec):
        spec, help = default, default.help or help
        default, has_default = default.default, default.default is not Ellipsis
    elif isinstance(default, Object):
        spec = default
    else:
        spec = next((each for each in hint.metadata if isinstance(each, Object)), None)
    return Entry(name, hint, default, has_default, place, help, spec)


def read_docstring(node: ast.AST) -> dict[str, str]:
    """Return the first lines of the arguments that a docstring describes, by name."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {}
    found: dict[str, str] = {}
    for line in (ast.get_docstring(node) or "").splitlines():
        name, colon, text = line.strip().removeprefix(":param ").partition(":")
        name = name.partition("(")[0].strip()
        if colon and name.isidentifier() and text.strip():
            found.setdefault(name, text.strip())
    return found


def add_entries(
    command: Command,
    entries: Iterator[Entry],
    evaluator: Evaluator,
    convention: Convention,
    prefix: str = "",
) -> None:
    """Add the flags of a function's arguments or a dataclass's fields to a command."""
    for entry in entries:
        cls = entry.hint.cls
        if cls is not None and prefix.count(".") < _MAX_DEPTH:
            below = f"{prefix}{entry.name}." if convention.nested else prefix
            add_entries(command, read_fields(cls, evaluator), evaluator, convention, below)
            continue
        command.add(make_flag(entry, convention, prefix))


def make_flag(entry: Entry, convention: Convention, prefix: str = "") -> Flag:
    """Return the flag of an argument or a field."""
    name = f"{prefix}{entry.name}"
    option = f"--{name.replace('_', '-') if convention.dashes else name}"
    positional = convention.positional and not entry.has_default
    default = entry.default
    if isinstance(default, EnumMember):
        default = getattr(default, convention.members)
    hint = entry.hint
    kind = hint.kind or kind_of(default) or kind_of(list(hint.choices))
    many = convention.many if hint.many or isinstance(default, list) else None
    flag = Flag(
        name=name,
        options=() if positional else (option,),
        carrier="positional" if positional else "option",
        kind=kind,
        default=find_literal(default),
        required=not entry.has_default,
        choices=_name_members(hint, convention),
        help=entry.help,
        many=many,
        booleans=convention.words if kind == "bool" else "",
        place=entry.place,
    )
    flag = _add_spec(flag, entry.spec)
    return _add_booleans(flag, convention) if kind == "bool" and not many else flag


def _name_members(hint: Hint, convention: Convention) -> tuple[Any, ...]:
    if convention.members == "value" or hint.members is None:
        return hint.choices
    return tuple(member.name for member in list_members(hint.members))


def _add_spec(flag: Flag, spec: Object | None) -> Flag:
    """Add what ``field()`` says: choices and ranges."""
    if not isinstance(spec, FieldSpec):
        return flag
    get = spec.arguments.get
    choices = get("choices")
    if isinstance(choices, list) and all(map(is_literal, choices)):
        flag = replace(flag, choices=tuple(choices))
    low = [each for each in (get("ge"), get("gt")) if isinstance(each, int | float)]
    high = [each for each in (get("le"), get("lt")) if isinstance(each, int | float)]
    return replace(flag, low=low[0] if low else None, high=high[0] if high else None)


def _add_booleans(flag: Flag, convention: Convention) -> Flag:
    if convention.booleans == "value" or not flag.options:
        return flag
    if convention.booleans == "toggle":
        return replace(flag, switch=True, default=False)
    head, dot, last = flag.option.removeprefix("--").rpartition(".")
    return replace(flag, switch=True, off=f"--{head}{dot}no-{last}")


class FieldObject(Object):
    """Item of ``dataclasses.fields()``."""

    def __init__(self, entry: Entry, type: Value) -> None:
        default = entry.default if entry.has_default else External("dataclasses.MISSING")
        metadata = {"help": entry.help} if entry.help else {}
        self._attributes = {
            "name": entry.name,
            "type": type,
            "default": default,
            "metadata": metadata,
        }

    def attribute(self, name: str) -> Value:
        """Return an attribute."""
        return self._attributes.get(name, UNKNOWN)


def _fields(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``dataclasses.fields(cls)``."""
    cls = call.get("class_or_instance", 0)
    cls = cls.cls if isinstance(cls, Instance) else cls
    if not isinstance(cls, Class):
        return UNKNOWN
    found = []
    for entry in read_fields(cls, evaluator):
        kind = External(entry.hint.kind) if entry.hint.kind in ("float", "int", "str") else UNKNOWN
        found.append(FieldObject(entry, External("bool") if entry.hint.kind == "bool" else kind))
    return found


def _asdict(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``dataclasses.asdict(instance)`` and ``vars(instance)``."""
    instance = call.args[0] if call.args else None
    if not isinstance(instance, Instance):
        return UNKNOWN
    entries = read_fields(instance.cls, evaluator)
    return {entry.name: instance.attributes.get(entry.name, entry.default) for entry in entries}


def _field(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``dataclasses.field`` and the functions of other packages that extend it."""
    factory = call.get("default_factory", default=call.get("factory"))
    default = call.get("default", 0, Ellipsis)
    if isinstance(factory, Function):
        default = evaluator.call(factory, Call([], {}, call.place))
    elif factory is not None:
        default = UNKNOWN
    metadata = call.get("metadata")
    help = metadata.get("help") if isinstance(metadata, dict) else None
    help = help or call.string("help") or call.string("description")
    return FieldSpec(call, default, help if isinstance(help, str) else "")


def _choice(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    """Model ``simple_parsing.choice("a", "b", default="a")``."""
    choices = [each for each in call.args if is_literal(each)]
    if len(choices) == 1 and isinstance(choices[0], list | dict):
        choices = list(choices[0])
    return FieldSpec(
        Call([], {**call.keywords, "choices": choices}, call.place),
        call.get("default", default=Ellipsis),
        call.string("help"),
    )


def _list_field(findings: Findings, evaluator: Evaluator, call: Call) -> Value:
    return FieldSpec(Call([], call.keywords, call.place), list(call.args), call.string("help"))


HANDLERS: Mapping[str, Handler] = {
    "dataclasses.field": _field,
    "dataclasses.fields": _fields,
    "dataclasses.asdict": _asdict,
    "vars": _asdict,
    "attrs.field": _field,
    "attr.ib": _field,
    "pydantic.Field": _field,
    "simple_parsing.field": _field,
    "simple_parsing.helpers.field": _field,
    "simple_parsing.choice": _choice,
    "simple_parsing.helpers.choice": _choice,
    "simple_parsing.list_field": _list_field,
    "simple_parsing.helpers.list_field": _list_field,
    "pyrallis.field": _field,
    "draccus.field": _field,
}
