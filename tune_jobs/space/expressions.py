"""The expressions of `when:` and `constraints:`, such as `warmup < epochs and optimizer == 'sgd'`.

Python's parser parses an expression, which is accepted if this module evaluates every node of the
tree; nothing is executed as Python. Names are parameters; one that Python does not accept is
written in backticks. If a configuration lacks one of them, `holds` returns None, unless the other
operands decide (`False and ...`, `True or ...`). Filters of trials are the same expressions, see
`matches`.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tune_jobs.errors import ConfigError, did_you_mean
from tune_jobs.space.operators import ARITHMETIC, ORDER

_MAX_LENGTH = 500
_MAX_DEPTH = 50
_MAX_BITS = 1024  # of a power, since 2 ** 2 ** 99 would never end


_TOKEN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`([^`]+)`""")
_MISTAKES = (
    (re.compile(r"&&?"), "and"),
    (re.compile(r"\|\|?"), "or"),
    (re.compile(r"<>|!==|=!"), "!="),
    (re.compile(r"===|=~|(?<![=!<>:])=(?!=)"), "=="),
    (re.compile(r"!(?!=)"), "not"),
    (re.compile("[\u2018\u2019]"), "'"),
    (re.compile("[\u201c\u201d]"), '"'),
)
"""Spellings of other languages, and ours."""

_FIRST_PLACEHOLDER = 0x4E00  # three bytes in UTF-8, as many as the shortest name in backticks


class _Absent(Exception):
    """A parameter is absent from the configuration."""


@dataclass(frozen=True)
class _Scope:
    """What names stand for.

    Args:
        params: Values by name.
        decided: Whether a comparison with an absent parameter is false.
    """

    params: Mapping[str, Any]
    decided: bool = False


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
        cls,
        source: str,
        names: Collection[str] | None = None,
        place: str = "",
        *,
        find_problem: Callable[[str], str] | None = None,
    ) -> Expression:
        """Parse an expression.

        Args:
            source: The expression.
            names: Parameters that exist; None if they are not known yet.
            place: Where it is written.
            find_problem: Returns what is wrong with a name, or an empty string; by default, a name
                must be one of ``names``.

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
        find_problem = find_problem or partial(_find_unknown, names=names)
        found = dict(_find_names(tree, line, depth=0))
        if not found:
            raise ConfigError(f"expression {line!r} contains no parameter: its value is constant")
        for name, node in found.items():
            if problem := find_problem(name):
                raise _error(line, node, problem)
        return cls(line, frozenset(found), tree, place=place)

    def holds(self, params: Mapping[str, Any]) -> bool | None:
        """Return whether the condition holds; None if it needs an absent parameter.

        Raises:
            ConfigError: If it cannot be evaluated: a string is compared with a number, or a number
                divided by zero.
        """
        return self._evaluate(_Scope(params))

    def matches(self, values: Mapping[str, Any]) -> bool:
        """Return whether the condition holds, where a comparison with an absent value is false.

        Raises:
            ConfigError: See `holds`.
        """
        return bool(self._evaluate(_Scope(values, decided=True)))

    def count_nodes(self) -> int:
        """Return the number of operations and operands, which an evaluation's time depends on."""
        return sum(1 for _ in ast.walk(self._tree))

    def find_comparisons(self) -> Iterator[tuple[str, Any, ConfigError]]:
        """Return the names that are compared with strings.

        Yields:
            The name, the string, and an error with its place, whose message lacks the problem.
        """
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            strings = [part for side in sides for part in _find_strings(side)]
            for name in filter(None, map(_join_dots, sides)):
                yield from ((name, s.value, _error(self.source, s, "")) for s in strings)

    def _evaluate(self, scope: _Scope) -> bool | None:
        params = scope.params
        try:
            return bool(_evaluate(self._tree, scope))
        except _Absent:
            return None
        except (TypeError, ValueError, ArithmeticError) as error:
            values = ", ".join(f"{name}={params.get(name)!r}" for name in sorted(self.names))
            raise ConfigError(
                f"expression {self.source!r} cannot be evaluated for {values}: {error}. Exclude "
                "such values with `and` or `or`, or change the expression"
            ) from error


def _find_unknown(name: str, names: Collection[str] | None) -> str:
    if names is None or name in names:
        return ""
    return f"unknown name {name!r} {did_you_mean(name, names)}"


def _find_strings(node: ast.expr) -> list[ast.Constant]:
    parts = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    return [p for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]


def _parse(line: str) -> ast.expr:
    replaced, quoted = _replace_quoted_names(line)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "invalid escape sequence"
            tree = ast.parse(replaced, mode="eval").body
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = quoted.get(node.id, node.id)
        return tree
    except SyntaxError as error:
        offset = len(replaced[: (error.offset or 1) - 1].encode())
        raise _explain_syntax(line, offset, error.msg) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ConfigError(f"expression {line!r} cannot be parsed: {error}") from None


def _replace_quoted_names(line: str) -> tuple[str, dict[str, str]]:
    """Replace names in backticks by identifiers of as many bytes; return these with the names."""
    names: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:  # a string
            return match[0]
        placeholder = chr(_FIRST_PLACEHOLDER + len(names))
        placeholder += "_" * (len(match[0].encode()) - len(placeholder.encode()))
        names[placeholder] = match[1]
        return placeholder

    return _TOKEN.sub(replace, line), names


def _explain_syntax(line: str, offset: int, problem: str) -> ConfigError:
    """Return an error about a spelling of another language, or else with Python's message."""
    plain = _TOKEN.sub(lambda match: " " * len(match[0]), line)
    for mistake, ours in _MISTAKES:
        if found := mistake.search(plain):
            problem = f"write {ours} instead of {found[0]}"
            offset = len(line[: found.start()].encode())
            break
    return _error_at(line, offset, problem)


def _error(line: str, node: ast.AST, problem: str) -> ConfigError:
    return _error_at(line, getattr(node, "col_offset", 0), problem)


def _error_at(line: str, offset: int, problem: str) -> ConfigError:
    """Return an error; the offset is in bytes of UTF-8."""
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


def _evaluate(node: ast.expr, scope: _Scope) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute():
            return _lookup(_join_dots(node) or "", scope)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_evaluate(part, scope) for part in parts]
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _evaluate(part, scope)
        case ast.UnaryOp(operand=part):
            return -_to_number(_evaluate(part, scope))
        case ast.BoolOp(op=op, values=parts):
            return _decide(parts, scope, decisive=isinstance(op, ast.Or))
        case ast.BinOp(left=left, op=operation, right=right):
            apply = _ARITHMETIC[type(operation)]
            return apply(_to_number(_evaluate(left, scope)), _to_number(_evaluate(right, scope)))
        case ast.Compare():
            return _compare(node, scope)
        case ast.Call(func=ast.Name(id=function), args=parts):
            return _FUNCTIONS[function](*(_evaluate(part, scope) for part in parts))
    raise TypeError(f"{type(node).__name__} was not rejected by the parser")  # pragma: no cover


def _lookup(name: str, scope: _Scope) -> Any:
    if name in scope.params:
        return scope.params[name]
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    raise _Absent(name)


def _decide(parts: list[ast.expr], scope: _Scope, decisive: bool) -> bool:
    """Evaluate `or` (decisive: True) or `and` (decisive: False); operands may be absent."""
    absent = None
    for part in parts:
        try:
            if bool(_evaluate(part, scope)) is decisive:
                return decisive
        except _Absent as error:
            absent = error
    if absent is not None:
        raise absent
    return not decisive


def _compare(node: ast.Compare, scope: _Scope) -> bool:
    try:
        return _compare_present(node, scope)
    except _Absent:
        if scope.decided:
            return False
        raise


def _compare_present(node: ast.Compare, scope: _Scope) -> bool:
    left = _evaluate(node.left, scope)
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = _evaluate(comparator, scope)
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
    if isinstance(value, str) and isinstance(items, str):
        return value in items
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
