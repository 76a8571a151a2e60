r"""Bounds on the time that a search with a regular expression takes, from its structure.

Python's ``re`` tries all ways in which a pattern can match, and cannot be interrupted. Their number
grows with every *ambiguous* repetition, one that can continue with the same character as what
follows it, such as ``.*`` in ``.*=``; ``\d+`` in ``\d+ `` is not. It is exponential if an ambiguous
repetition is repeated itself, as in ``(a+)+``.

`analyze` returns these bounds, and a probe: the pattern in a form that never matches, so that it
tries all ways in any text. Its time for the start of a line, times the number of ways in which each
of them may continue, bounds the time for a longer one.
"""

from __future__ import annotations

import math
import re
import sys
from functools import lru_cache
from importlib import import_module
from typing import Any, FrozenSet, NamedTuple, Tuple

_NEW = sys.version_info >= (3, 11)
_parser: Any = import_module("re._parser" if _NEW else "sre_parse")
_compiler: Any = import_module("re._compiler" if _NEW else "sre_compile")

_Node = Tuple[Any, Any]
_CHARACTERS = "".join(map(chr, range(1, 128))) + (
    "\x85\xa0\xb2\xb5\xe9\xdf\u0130\u0131\u0663\u2028\u4e2d\u2192\ufeff\U0001f680"
)
"""Of every category of characters one at least; those of the pattern are added."""

_FEW = 16  # choices that count as a factor, not as proportional to the length
_MAX_DEGREE = 8.0
_HUGE = 1e300


class Analysis(NamedTuple):
    """Bounds for a pattern; the number of ways is at most ``factor * length**degree``.

    Args:
        probe: The pattern in a form that tries all ways and never matches.
        literal: Text that every match contains.
        empty: Ways in which it can match nothing.
        size: Ways in which a match can continue by a character.
        degree: Degree of the number of ways; infinite if it grows exponentially.
        factor: Factor of the number of ways.
    """

    probe: Any
    literal: str
    empty: float
    size: float
    degree: float
    factor: float

    def find_safe_length(self, steps: float) -> int:
        """Return the length of texts in which a search stays within a number of steps."""
        shortest = int(math.log(max(1.0, steps / self.empty)) / math.log(self.size + 1.0)) - 1
        if math.isinf(self.degree):
            return max(0, shortest)
        order = self.degree + 2.0  # places to start at, and the way itself
        allowed = steps * math.gamma(order + 1.0) / self.factor
        return max(0, shortest, int(allowed ** (1.0 / order) - order))  # n + k over k

    def find_growth(self, times: float) -> int:
        """Return by how many characters a text may grow so that the time is at most multiplied so.

        Args:
            times: The factor that is allowed.
        """
        if times <= 1.0:
            return 0
        growth = math.log(max(1.0, times / self.empty)) / math.log(self.size + 1.0)
        if not math.isinf(self.degree):
            growth = max(growth, (times / self.factor) ** (1.0 / (self.degree + 1.0)) - 2.0)
        return int(growth)


class _Ways(NamedTuple):
    """Bounds for a part of a pattern, and the characters that it can begin with."""

    first: FrozenSet[str]  # noqa: UP006
    nullable: bool
    empty: float
    size: float
    degree: float
    factor: float


@lru_cache(maxsize=128)
def analyze(source: str) -> Analysis:
    """Return bounds for a valid pattern."""
    tree = _parser.parse(source)
    reader = _Reader(tree, source)
    ways = reader.read_sequence(tree, frozenset())
    never = _parser.parse("(?!)")[0]
    probe = _Prober(tree, never).build(tree)
    ignores_case = tree.state.flags & re.IGNORECASE
    literal = "" if ignores_case else max(_find_runs(tree), key=len)
    return Analysis(probe, literal, max(1.0, ways.empty), ways.size, ways.degree, ways.factor)


def _find_runs(nodes: Any) -> list[str]:
    """Return texts that every match of nodes in a row contains."""
    runs = [""]
    for op, value in nodes:
        kind = str(op)
        if kind == "LITERAL":
            runs[-1] += chr(value)
        elif kind == "SUBPATTERN" and not value[1]:  # without flags of its own
            runs += [*_find_runs(value[-1]), ""]
        else:
            runs.append("")
    return runs


class _Reader:
    """Reader of a parsed pattern.

    Args:
        tree: The pattern.
        source: Its source, whose characters are told apart.
    """

    def __init__(self, tree: Any, source: str) -> None:
        self._tree = tree
        found = {*_CHARACTERS, *source, *_find_literals(tree)}
        self._characters = sorted({c for each in found for c in (each, each.lower(), each.upper())})
        self._all = frozenset(self._characters)

    def read_sequence(self, nodes: Any, follow: frozenset[str]) -> _Ways:
        """Return the bounds for nodes in a row.

        Args:
            nodes: The nodes.
            follow: Characters that what follows can begin with.
        """
        whole = _Ways(frozenset(), True, 1.0, 0.0, 0.0, 1.0)
        empty = 1.0
        for node in reversed(list(nodes)):
            after = whole.first | follow if whole.nullable else whole.first
            part = self._read(node, after)
            empty = min(_HUGE, empty * max(1.0, part.empty))
            whole = _Ways(
                part.first | whole.first if part.nullable else part.first,
                part.nullable and whole.nullable,
                min(_HUGE, part.empty * whole.empty),
                part.size + whole.size,
                part.degree + whole.degree,
                min(_HUGE, part.factor * whole.factor),
            )
        return whole._replace(size=min(_HUGE, whole.size * empty))

    def _read(self, node: _Node, follow: frozenset[str]) -> _Ways:
        kind, value = str(node[0]), node[1]
        if kind in ("LITERAL", "NOT_LITERAL", "ANY", "ANY_ALL", "IN", "RANGE"):
            return _Ways(self._find_matching(node), False, 0.0, 1.0, 0.0, 1.0)
        if kind in ("AT", "FAILURE", "SUCCESS"):
            return _Ways(frozenset(), True, 1.0, 0.0, 0.0, 1.0)
        if kind == "SUBPATTERN":
            return self.read_sequence(value[-1], follow)
        if kind == "ATOMIC_GROUP":
            return self.read_sequence(value, follow)
        if kind == "BRANCH":
            return self._join([self.read_sequence(each, follow) for each in value[1]], follow)
        if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeat(value[0], value[1], value[2], follow)
        if kind in ("ASSERT", "ASSERT_NOT"):
            inside = self.read_sequence(value[1], frozenset())
            return inside._replace(
                first=frozenset(), nullable=True, empty=inside.empty + 1, factor=inside.factor + 1
            )
        if kind == "GROUPREF_EXISTS":
            branches = [self.read_sequence(each or [], follow) for each in value[1:]]
            return self._join(branches, follow)
        unknown = 0.0 if kind.startswith("GROUPREF") else math.inf
        return _Ways(self._all, True, 1.0, 1.0, unknown, 1.0)

    def _join(self, branches: list[_Ways], follow: frozenset[str]) -> _Ways:
        """Return the bounds for alternatives."""
        seen: set[str] = set()
        distinct = True
        for branch in branches:
            begins = branch.first | follow if branch.nullable else branch.first
            distinct = distinct and not seen & begins
            seen |= begins
        factors = [branch.factor for branch in branches]
        return _Ways(
            frozenset().union(*(branch.first for branch in branches)),
            any(branch.nullable for branch in branches),
            sum(branch.empty for branch in branches),
            sum(branch.size for branch in branches),
            max(branch.degree for branch in branches),
            max(factors) if distinct else sum(factors),
        )

    def _repeat(self, low: int, high: Any, nodes: Any, follow: frozenset[str]) -> _Ways:
        """Return the bounds for a repetition."""
        endless = high == _parser.MAXREPEAT
        once = not endless and high <= 1
        first = self.read_sequence(nodes, frozenset()).first
        body = self.read_sequence(nodes, follow if once else follow | first)
        ambiguous = low != high and (body.nullable or bool(body.first & follow))
        empty = min(_HUGE, _power(max(1.0, body.empty), low))
        empty *= 1.0 if low == high else 1.0 + body.empty
        skipped = (low + 2 if endless else max(1, high)) if body.nullable else 2
        size = min(_HUGE, body.size * skipped * empty)
        choices = math.inf if endless else high - low + 1.0
        degree, factor = body.degree, body.factor
        if once:
            factor += ambiguous
        elif factor > 1.0 or degree > 0.0:
            rounds = math.inf if endless else high
            degree = degree * rounds if degree else 0.0
            factor = _power(factor, rounds) if rounds <= _FEW else math.inf
        if ambiguous and not once:
            degree, factor = (degree, factor * choices) if choices <= _FEW else (degree + 1, factor)
        if degree > _MAX_DEGREE or math.isinf(factor):
            degree, factor = math.inf, 1.0
        nullable = low == 0 or body.nullable
        return _Ways(body.first, nullable, empty if nullable else 0.0, size, degree, factor)

    def _find_matching(self, node: _Node) -> frozenset[str]:
        """Return the characters that a node matches."""
        one = _compiler.compile(_parser.SubPattern(self._tree.state, [node]))
        return frozenset(filter(one.fullmatch, self._characters))


class _Prober:
    """Builder of a pattern that tries all ways.

    Args:
        tree: The pattern.
        never: A node that never matches.
    """

    def __init__(self, tree: Any, never: _Node) -> None:
        self._state = tree.state
        self._never = never

    def build(self, nodes: Any) -> Any:
        """Return the compiled probe.

        An alternative that matches nothing keeps ``re`` from giving up at once where a text is
        shorter than any match.
        """
        nothing = self._sequence([self._never])
        probe = self._sequence([(_parser.BRANCH, (None, [self.exhaust(nodes), nothing]))])
        return _compiler.compile(probe)

    def exhaust(self, nodes: Any) -> Any:
        """Return nodes that try all ways and never match."""
        return self._sequence([*self._change(nodes), self._never])

    def _sequence(self, nodes: list[_Node]) -> Any:
        return _parser.SubPattern(self._state, nodes)

    def _change(self, nodes: Any) -> Any:
        return self._sequence([self._change_node(op, value) for op, value in nodes])

    def _change_node(self, op: Any, value: Any) -> _Node:
        """Return a node that tries all ways also where the first one that matches is taken."""
        kind = str(op)
        if kind == "SUBPATTERN":
            return op, (*value[:-1], self._change(value[-1]))
        if kind == "BRANCH":
            return op, (value[0], [self._change(each) for each in value[1]])
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            return op, (value[0], value[1], self._change(value[2]))
        if kind == "GROUPREF_EXISTS":
            return op, (value[0], *(each and self._change(each) for each in value[1:]))
        if kind == "POSSESSIVE_REPEAT":
            return self._try_first([(_parser.MAX_REPEAT, value)], (op, value))
        if kind == "ATOMIC_GROUP":
            return self._try_first(value, (op, value))
        if kind in ("ASSERT", "ASSERT_NOT") and value[0] > 0:
            return self._try_first(value[1], (op, value))
        return op, value

    def _try_first(self, nodes: Any, node: _Node) -> _Node:
        return _parser.BRANCH, (None, [self.exhaust(nodes), self._sequence([node])])


def _power(base: float, exponent: float) -> float:
    return 1.0 if base == 1.0 else min(_HUGE, math.exp(min(690.0, exponent * math.log(base))))


def _find_literals(nodes: Any) -> set[str]:
    """Return the characters in a pattern, and the ends of its ranges."""
    found: set[str] = set()
    for op, value in nodes:
        kind = str(op)
        if kind in ("LITERAL", "NOT_LITERAL"):
            found.add(chr(value))
        elif kind == "RANGE":
            found.update(chr(code) for code in value)
        elif kind == "IN":
            found |= _find_literals(value)
        elif kind == "BRANCH":
            found = found.union(*(_find_literals(each) for each in value[1]))
        elif kind == "ATOMIC_GROUP":
            found |= _find_literals(value)
        elif kind in ("SUBPATTERN", "ASSERT", "ASSERT_NOT") or kind.endswith("REPEAT"):
            found |= _find_literals(value[-1])
        elif kind == "GROUPREF_EXISTS":
            found = found.union(*(_find_literals(each) for each in value[1:] if each))
    return found
