"""Values of an interpreted program.

A literal is itself: a number, a string, None, or a list, tuple or dict of values. Everything else
is an instance of a class below; what cannot be known is `UNKNOWN`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""A literal, or an instance of a class of this module."""


class _Unknown:
    """Value that cannot be known without executing the program."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Place:
    """Place in the source.

    Attributes:
        file: Name of the file, relative to the script's folder.
        line: Line number, starting at 1.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class External:
    """Something that the program imports from elsewhere, or a builtin.

    Attributes:
        name: Dotted name, such as ``argparse.ArgumentParser`` or ``float``.
    """

    name: str


@dataclass(eq=False)
class Scope:
    """Variables of a module, a class or a call; lookups continue in the parent.

    Attributes:
        module: Name of the file, for places.
    """

    module: str
    parent: Scope | None = None
    names: dict[str, Value] = field(default_factory=dict)

    def find(self, name: str) -> Value | None:
        """Return the scope's own or an outer variable; None if there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return (scope.names[name],)
            scope = scope.parent
        return None


@dataclass(eq=False)
class Module:
    """Module of the program."""

    scope: Scope


@dataclass(eq=False)
class Function:
    """Function of the program.

    Attributes:
        options: What decorators have attached to it.
        role: ``staticmethod``, ``classmethod`` or ``property``; empty for any other function.
    """

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    options: list[Any] = field(default_factory=list)
    role: str = ""

    @property
    def place(self) -> Place:
        """Where it is defined."""
        return Place(self.scope.module, self.node.lineno)


@dataclass(eq=False)
class Class:
    """Class of the program.

    Attributes:
        bases: Base classes: `Class`, `External` or `UNKNOWN`.
        scope: Its attributes.
        decorators: What it is decorated with.
    """

    name: str
    node: ast.ClassDef
    bases: tuple[Value, ...]
    scope: Scope
    decorators: tuple[Value, ...] = ()

    def lineage(self) -> list[Class]:
        """Return the class and its bases in the program, in the order of attribute lookup."""
        found: dict[Class, None] = {self: None}
        for base in self.bases:
            if isinstance(base, Class):
                found |= dict.fromkeys(base.lineage())
        return list(found)

    def external_bases(self) -> list[str]:
        """Return the names of the bases outside of the program."""
        bases = [base for each in self.lineage() for base in each.bases]
        return [base.name for base in bases if isinstance(base, External)]

    def find(self, name: str) -> Value | None:
        """Return an attribute in a tuple of one; None if there is none."""
        for each in self.lineage():
            if name in each.scope.names:
                return (each.scope.names[name],)
        return None


@dataclass(frozen=True)
class EnumMember:
    """Member of an enumeration of the program."""

    name: str
    value: Value


@dataclass(frozen=True)
class Call:
    """Arguments of a call."""

    args: Sequence[Value]
    keywords: Mapping[str, Value]
    place: Place

    def get(self, name: str, position: int | None = None, default: Value = None) -> Value:
        """Return the argument of that name or position."""
        if name in self.keywords:
            return self.keywords[name]
        if position is not None and position < len(self.args):
            return self.args[position]
        return default

    def string(self, name: str, position: int | None = None) -> str:
        """Return an argument that is a string; empty if it is none."""
        value = self.get(name, position)
        return value if isinstance(value, str) else ""


class Object:
    """Object of a library that is modeled, such as an argument parser."""

    def attribute(self, name: str) -> Value:
        """Return an attribute; by default a method, which `call_method` calls."""
        return Method(self, name)

    def set_attribute(self, name: str, value: Value) -> None:
        """Set an attribute."""

    def call_method(self, name: str, call: Call) -> Value:
        """Call a method."""
        return UNKNOWN

    def call(self, call: Call) -> Value:
        """Call the object itself."""
        return UNKNOWN

    def item(self, key: Value) -> Value:
        """Return an item."""
        return UNKNOWN

    def iterate(self) -> list[Value] | None:
        """Return the items to follow a loop for; None if they are not known."""
        return None

    def assign_into(self, mapping: dict[Value, Value], place: Place) -> None:
        """Note that the object is the key of an assignment to a mapping."""

    def with_default(self, default: Value) -> Value:
        """Return the object where it is used with a default, as in ``setting or 0.1``."""
        return UNKNOWN


@dataclass(eq=False)
class Instance(Object):
    """Instance of a class of the program.

    Attributes:
        native: Instance of its base class, if that is modeled.
    """

    cls: Class
    attributes: dict[str, Value] = field(default_factory=dict)
    native: Object | None = None

    def set_attribute(self, name: str, value: Value) -> None:
        """Set an attribute."""
        self.attributes[name] = value


@dataclass(frozen=True)
class Method:
    """Method of an object, a literal or something unknown."""

    receiver: Value
    name: str


@dataclass(frozen=True)
class BoundFunction:
    """Function of a class of the program, bound to its first argument."""

    receiver: Value
    function: Function


def is_literal(value: Value) -> bool:
    """Return whether a value is known entirely and made of Python's literals."""
    if isinstance(value, list | tuple | set):
        return all(map(is_literal, value))
    if isinstance(value, dict):
        return all(is_literal(key) and is_literal(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)
