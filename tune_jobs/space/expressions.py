"""The expressions of `when:` and `constraints:`, such as `warmup < epochs and optimizer == 'sgd'`.

Python's parser parses an expression, which is accepted if this module evaluates every node of the
tree; nothing is executed as Python. Names are parameters. If a configuration lacks one of them,
`holds` returns None, unless the other operands decide (`False and ...`, `True or ...`).
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
from tune_jobs.space.operators import ARITHMETIC, ORDER

_MAX_LENGTH = 500
_MAX_DEPTH = 50
_MAX_BITS = 1024  # of a power, since 2 ** 2 ** 99 would never end


class _Absent(Exception):
    """A parameter is absent from the configuration."""


@dataclass(frozen=True)
class Expression:
    """Parsed condition over the parameters of a configuration.

    Attributes:
        source: The expression as it was written.
        names: Parameters that it contains.
        place: Where it is written, such as ``study.yaml:12``; empty if it is not in a file.
    """

    source: str
    names: frozenset[str]
    place: str = field(default="", repr=False, compare=False, kw_only=True)
    _tree: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(
        cls, source: str, names: Collection[str] | None = None, place: str = ""
    ) -> Expression:
        """Parse an expression.

        Args:
            source: The expression.
            names: Parameters that exist; None if they are not known yet.
            place: Where it is written.

        Raises:
            ConfigError: If the expression is invalid, or contains no parameter or an unknown one;
                the message names the column.
        """
        line = " ".join(source.strip().splitlines())
        if len(line) > _MAX_LENGTH:
            raise ConfigError(
                f"expression {line[:40]!r}... has {len(line)} characters: use at most "
                f"{_MAX_LENGTH}, or a function"
            )
        tree = _parse(line)
        found = dict(_find_names(tree, line, depth=0))
        if not found:
            raise ConfigError(f"expression {line!r} contains no parameter: its value is constant")
        if names is not None:
            for name, node in found.items():
                if name not in names:
                    raise _error(line, node, f"unknown name {name!r} {did_you_mean(name, names)}")
        return cls(line, frozenset(found), tree, place=place)

    def holds(self, params: Mapping[str, Any]) -> bool | None:
        """Return whether the condition holds; None if it needs an absent parameter.

        Raises:
            ConfigError: If it cannot be evaluated: a string is compared with a number, or a number
                divided by zero.
        """
        try:
            return bool(_evaluate(self._tree, params))
        except _Absent:
            return None
        except (TypeError, ValueError, ArithmeticError) as error:
            values = ", ".join(f"{name}={params.get(name)!r}" for name in sorted(self.names))
            raise ConfigError(
                f"expression {self.source!r} cannot be evaluated for {values}: {error}. Exclude "
                "such values with `and` or `or`, or change the expression"
            ) from error


def _parse(line: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "invalid escape sequence"
            return ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise ConfigError(f"expression {line!r}, column {error.offset or 1}: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ConfigError(f"expression {line!r} cannot be parsed: {error}") from None


def _error(line: str, node: ast.AST, problem: str) -> ConfigError:
    offset = getattr(node, "col_offset", 0)  # in bytes of UTF-8
    column = len(line.encode()[:offset].decode(errors="ignore")) + 1
    return ConfigError(f"expression {line!r}, column {column}: {problem}")


def _find_names(node: ast.expr, line: str, depth: int) -> Iterator[tuple[str, ast.expr]]:
    """Check that a node and everything below it can be evaluated; yield the parameters."""
    if depth > _MAX_DEPTH:
        raise _error(line, node, f"nested deeper than {_MAX_DEPTH} levels: simplify it")
    match node:
        case ast.Name() | ast.Attribute():
            name = _join_dots(node)
            if name is None:
                raise _error(line, node, "attributes are not supported, only parameters")
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
        case ast.Compare(left=left, ops=ops, comparators=others) if _are_comparable(ops):
            parts = [left, *others]
        case ast.Call(func=ast.Name(id=function), args=parts, keywords=[]) if (
            function in _FUNCTIONS
        ):
            pass
        case _:
            raise _error(
                line,
                node,
                f"{ast.get_source_segment(line, node)!r} is not supported: use comparisons, "
                f"and/or/not, + - * / // % **, in [...], and {', '.join(_FUNCTIONS)}",
            )
    for part in parts:
        yield from _find_names(part, line, depth + 1)


def _are_comparable(ops: list[ast.cmpop]) -> bool:
    return all(type(op) in _COMPARISONS for op in ops)


def _join_dots(node: ast.expr) -> str | None:
    """Return a name with dots; `optimizer.lr` is a parameter, as in Hydra and LightningCLI."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _join_dots(node.value)):
        return f"{owner}.{node.attr}"
    return None


def _evaluate(node: ast.expr, params: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            return _lookup(_join_dots(node) or "", params)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_evaluate(part, params) for part in parts]
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _evaluate(part, params)
        case ast.UnaryOp(operand=part):
            return -_to_number(_evaluate(part, params))
        case ast.BoolOp(op=op, values=parts):
            return _decide(parts, params, decisive=isinstance(op, ast.Or))
        case ast.BinOp(left=left, op=operation, right=right):
            apply = _ARITHMETIC[type(operation)]
            return apply(_to_number(_evaluate(left, params)), _to_number(_evaluate(right, params)))
        case ast.Compare():
            return _compare(node, params)
        case ast.Call(func=ast.Name(id=function), args=parts):
            return _FUNCTIONS[function](*(_evaluate(part, params) for part in parts))
    raise TypeError(f"{type(node).__name__} was not rejected by the parser")  # pragma: no cover


def _lookup(name: str, params: Mapping[str, Any]) -> Any:
    if name in params:
        return params[name]
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    raise _Absent(name)


def _decide(parts: list[ast.expr], params: Mapping[str, Any], decisive: bool) -> bool:
    """Evaluate `or` (decisive: True) or `and` (decisive: False); operands may be absent."""
    absent = None
    for part in parts:
        try:
            if bool(_evaluate(part, params)) is decisive:
                return decisive
        except _Absent as error:
            absent = error
    if absent is not None:
        raise absent
    return not decisive


def _compare(node: ast.Compare, params: Mapping[str, Any]) -> bool:
    left = _evaluate(node.left, params)
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = _evaluate(comparator, params)
        if not _COMPARISONS[type(op)](*_convert_alike(left, right)):
            return False
        left = right
    return True


def _convert_alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Convert a numeric string that is compared with a number: PyYAML reads `1e-5` as a string."""
    try:
        if isinstance(left, str) and isinstance(right, int | float):
            return float(left), right
        if isinstance(left, int | float) and isinstance(right, str):
            return left, float(right)
    except ValueError:
        pass
    return left, right


def _is_contained(value: Any, items: Any) -> bool:
    if not isinstance(items, list | tuple):
        raise TypeError(f"{items!r} is not a list")
    return any(operator.eq(*_convert_alike(value, item)) for item in items)


def _to_number(value: Any) -> int | float:
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


_ARITHMETIC = {**ARITHMETIC, ast.Pow: _power}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    **ORDER,
    ast.In: _is_contained,
    ast.NotIn: lambda value, items: not _is_contained(value, items),
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs, "len": len}
# YAML's spelling of Python's True, False and None.
_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None}
