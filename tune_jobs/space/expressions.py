"""The small language of `when:` and `constraints:`: `warmup < epochs and optimizer == 'sgd'`.

A text is parsed by Python's own parser and accepted if every node of the tree is one of the few
that are evaluated here; nothing of it is ever run as Python. A name stands for a parameter. In a
configuration where that parameter is not active nothing can be said, so `holds` answers None,
unless the rest decides (`False and ...`, `True or ...`).
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.errors import ConfigError, did_you_mean

_MAX_LENGTH = 500
_MAX_DEPTH = 50
_MAX_BITS = 1024  # of a power; 2 ** 2 ** 99 would never end


class _Absent(Exception):
    """A name has no value in this configuration."""


@dataclass(frozen=True)
class Expression:
    """A parsed condition over the parameters of a configuration.

    Attributes:
        text: As written.
        names: The parameters that it mentions.
    """

    text: str
    names: frozenset[str]
    _tree: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, names: Collection[str] | None = None) -> Expression:
        """Check and keep an expression.

        Args:
            text: The expression.
            names: The parameters that exist; None when they are not known yet.

        Raises:
            ConfigError: it is not an expression of this language, or mentions no parameter or an
                unknown one; the message points at the column.
        """
        line = " ".join(text.strip().splitlines())
        if len(line) > _MAX_LENGTH:
            raise ConfigError(
                f"expression {line[:40]!r}... has {len(line)} characters: write at most "
                f"{_MAX_LENGTH}, or use a function"
            )
        tree = _parse(line)
        found = dict(_names(tree, line, depth=0))
        if not found:
            raise ConfigError(f"expression {line!r} mentions no parameter: it is always the same")
        if names is not None:
            for name, node in found.items():
                if name not in names:
                    raise _mistake(line, node, f"unknown name {name!r} {did_you_mean(name, names)}")
        return cls(line, frozenset(found), tree)

    def holds(self, params: Mapping[str, Any]) -> bool | None:
        """Whether it is true of a configuration; None if it needs an absent parameter.

        Raises:
            ConfigError: it cannot be computed: a text compared with a number, a division by zero.
        """
        try:
            return bool(_value(self._tree, params))
        except _Absent:
            return None
        except (TypeError, ValueError, ArithmeticError) as error:
            values = ", ".join(f"{name}={params.get(name)!r}" for name in sorted(self.names))
            raise ConfigError(
                f"expression {self.text!r} cannot be computed for {values}: {error}"
            ) from error


def _parse(line: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "invalid escape sequence" and its like
            return ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise ConfigError(
            f"expression {line!r} has a mistake at column {error.offset or 1}: {error.msg}"
        ) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ConfigError(f"expression {line!r} cannot be parsed: {error}") from None


def _mistake(line: str, node: ast.AST, problem: str) -> ConfigError:
    offset = getattr(node, "col_offset", 0)  # counted in bytes of UTF-8
    column = len(line.encode()[:offset].decode(errors="ignore")) + 1
    return ConfigError(f"expression {line!r}, column {column}: {problem}")


def _names(node: ast.expr, line: str, depth: int) -> Iterator[tuple[str, ast.expr]]:
    """Check that everything below a node belongs to the language; yields the parameters."""
    if depth > _MAX_DEPTH:
        raise _mistake(line, node, f"nested deeper than {_MAX_DEPTH}: make it simpler")
    match node:
        case ast.Name() | ast.Attribute():
            name = _dotted(node)
            if name is None:
                raise _mistake(line, node, "attributes are not available, only parameters")
            if name not in _CONSTANTS:
                yield name, node
            return
        case ast.Constant(value=bool() | int() | float() | str() | None):
            return
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=part):
            parts = [part]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            parts = [left, right]
        case ast.Compare(left=left, ops=ops, comparators=others) if _comparable(ops):
            parts = [left, *others]
        case ast.Call(func=ast.Name(id=function), args=parts, keywords=[]) if (
            function in _FUNCTIONS
        ):
            pass
        case _:
            raise _mistake(
                line,
                node,
                f"{ast.get_source_segment(line, node)!r} is not available: only comparisons, "
                f"and/or/not, + - * / // % **, in [...], and {', '.join(_FUNCTIONS)}",
            )
    for part in parts:
        yield from _names(part, line, depth + 1)


def _comparable(ops: list[ast.cmpop]) -> bool:
    return all(type(op) in _COMPARISONS for op in ops)


def _dotted(node: ast.expr) -> str | None:
    """`optimizer.lr` is the name of a parameter (Hydra, LightningCLI), not an attribute."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{owner}.{node.attr}"
    return None


def _value(node: ast.expr, params: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            return _lookup(_dotted(node) or "", params)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, params) for part in parts]
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _value(part, params)
        case ast.UnaryOp(operand=part):
            return -_number(_value(part, params))
        case ast.BoolOp(op=op, values=parts):
            return _decide(parts, params, decisive=isinstance(op, ast.Or))
        case ast.BinOp(left=left, op=operation, right=right):
            apply = _ARITHMETIC[type(operation)]
            return apply(_number(_value(left, params)), _number(_value(right, params)))
        case ast.Compare():
            return _compare(node, params)
        case ast.Call(func=ast.Name(id=function), args=parts):
            return _FUNCTIONS[function](*(_value(part, params) for part in parts))
    raise TypeError(f"{type(node).__name__} slipped through the check")  # pragma: no cover


def _lookup(name: str, params: Mapping[str, Any]) -> Any:
    if name in params:
        return params[name]
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    raise _Absent(name)


def _decide(parts: list[ast.expr], params: Mapping[str, Any], decisive: bool) -> bool:
    """`or` (decisive: True) and `and` (decisive: False), where an operand may be unknown."""
    absent = None
    for part in parts:
        try:
            if bool(_value(part, params)) is decisive:
                return decisive
        except _Absent as error:
            absent = error
    if absent is not None:
        raise absent
    return not decisive


def _compare(node: ast.Compare, params: Mapping[str, Any]) -> bool:
    left = _value(node.left, params)
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = _value(comparator, params)
        if not _COMPARISONS[type(op)](*_alike(left, right)):
            return False
        left = right
    return True


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Read a numeric text as a number if it meets one: PyYAML hands over `1e-5` as text."""
    try:
        if isinstance(left, str) and isinstance(right, int | float):
            return float(left), right
        if isinstance(left, int | float) and isinstance(right, str):
            return left, float(right)
    except ValueError:
        pass
    return left, right


def _contained(value: Any, items: Any) -> bool:
    if not isinstance(items, list | tuple):
        raise TypeError(f"{items!r} is not a list")
    return any(operator.eq(*_alike(value, item)) for item in items)


def _number(value: Any) -> int | float:
    if isinstance(value, str):
        value = float(value)
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value


def _power(base: float, exponent: float) -> float:
    if isinstance(base, int) and abs(exponent) * base.bit_length() > _MAX_BITS:
        raise OverflowError(f"{base} ** {exponent} is too large")
    result: float | complex = base**exponent
    if isinstance(result, complex) or not math.isfinite(result):
        raise OverflowError(f"{base} ** {exponent} is not a real number")
    return result


_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: _contained,
    ast.NotIn: lambda value, items: not _contained(value, items),
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs, "len": len}
# Beside Python's True, False and None, as somebody who writes YAML spells them.
_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None}
