"""Evaluation of expressions and calls on partly unknown values."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from tune_jobs.init.interpreting import literals
from tune_jobs.init.interpreting.values import (
    UNKNOWN,
    BoundFunction,
    Call,
    Class,
    EnumMember,
    External,
    Function,
    Instance,
    Method,
    Module,
    Object,
    Place,
    Scope,
    Value,
    is_literal,
)

MAX_STEPS = 300_000
_MAX_CALLS = 30
MAX_UNROLLED = 100
"""Items of a literal up to which a loop over it is followed for each item."""


class Packages(Protocol):
    """Model of the packages that a program uses."""

    def call(self, evaluator: Evaluator, name: str, call: Call) -> Value:
        """Call a function or a class of a package."""
        ...

    def call_unknown(self, method: str, call: Call) -> Value:
        """Call a method of an object that is not known."""
        ...

    def item(self, name: str, key: Value, place: Place) -> Value:
        """Return an item of a package's object, such as ``sys.argv``."""
        ...

    def bind(self, name: str, value: Value, before: Value) -> None:
        """Note that a value is assigned to a variable, which had another before."""
        ...

    def loop(self, place: Place, variables: Sequence[str], *, endless: bool) -> None:
        """Note that a loop starts."""
        ...


class Exhausted(Exception):
    """The program is too large to be followed to its end."""


class Evaluator(ABC):
    """Evaluator of expressions.

    Args:
        packages: Model of all packages that are not part of the program.
        max_steps: Statements and expressions after which the program is too large.
    """

    def __init__(self, packages: Packages, max_steps: int) -> None:
        self.packages = packages
        self._stack: list[ast.AST] = []
        self._steps, self._max_steps = 0, max_steps
        self._returned: list[Value] = []

    @abstractmethod
    def execute(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Follow statements."""

    @abstractmethod
    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Assign a value to a variable, an attribute or an item."""

    @abstractmethod
    def list_functions(self, file: str) -> dict[str, Function]:
        """Return the public functions that a module defines."""

    def return_value(self, value: Value) -> None:
        """Note a value that the current function may return."""
        self._returned.append(value)

    def count(self) -> None:
        """Count a step.

        Raises:
            Exhausted: If there were too many.
        """
        self._steps += 1
        if self._steps > self._max_steps:
            raise Exhausted

    # -- expressions --------------------------------------------------------------------------

    def evaluate(self, node: ast.expr, scope: Scope) -> Value:
        """Return the value of an expression."""
        self.count()
        match node:
            case ast.Constant(value=value):
                return value if is_literal(value) else UNKNOWN
            case ast.Name(id=name):
                found = scope.find(name)
                return found[0] if found else External(name)
            case ast.Attribute(value=owner, attr=name):
                return self.get_attribute(self.evaluate(owner, scope), name)
            case ast.Call():
                return self._evaluate_call(node, scope)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return self._evaluate_items(parts, scope)
            case ast.Dict():
                return self._evaluate_dict(node, scope)
            case ast.Lambda():
                return Function("<lambda>", node, scope)
            case ast.NamedExpr(target=target, value=inner):
                value = self.evaluate(inner, scope)
                self.assign(target, value, scope)
                return value
        return self._evaluate_operation(node, scope)

    def _evaluate_operation(self, node: ast.expr, scope: Scope) -> Value:
        match node:
            case ast.BinOp(left=left, op=operation, right=right):
                return self._apply(
                    operation, self.evaluate(left, scope), self.evaluate(right, scope)
                )
            case ast.UnaryOp(op=operation, operand=operand):
                return literals.apply_unary(operation, self.evaluate(operand, scope))
            case ast.Compare(left=left, ops=[operation], comparators=[right]):
                return literals.compare(
                    operation, self.evaluate(left, scope), self.evaluate(right, scope)
                )
            case ast.BoolOp(values=parts):
                return self._decide(node, [self.evaluate(part, scope) for part in parts])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition = self.evaluate(test, scope)
                return self._choose(
                    condition, self.evaluate(body, scope), self.evaluate(orelse, scope)
                )
            case ast.JoinedStr(values=parts):
                return self._join(parts, scope)
            case ast.Subscript(value=owner, slice=key):
                return self._evaluate_subscript(self.evaluate(owner, scope), key, scope)
            case ast.ListComp(elt=item) | ast.SetComp(elt=item) | ast.GeneratorExp(elt=item):
                return self._comprehend(item, node.generators, scope)
            case ast.DictComp(key=key, value=value, generators=generators):
                pair = ast.copy_location(ast.Tuple([key, value], ast.Load()), node)
                pairs = self._comprehend(pair, generators, scope)
                call = Call([pairs], {}, Place(scope.module, node.lineno))
                return self.packages.call(self, "dict", call)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.evaluate(child, scope)
        return UNKNOWN

    def _apply(self, operation: ast.operator, left: Value, right: Value) -> Value:
        if isinstance(left, Object) and right is not left:
            return left
        return literals.apply_binary(operation, left, right)

    def _decide(self, node: ast.BoolOp, values: Sequence[Value]) -> Value:
        """Return `or` and `and` of values; `setting or 0.1` is a setting with a default."""
        for value in values:
            if isinstance(value, Object) and isinstance(node.op, ast.Or):
                return value.with_default(values[-1])
            if not is_literal(value):
                return UNKNOWN
            if bool(value) is isinstance(node.op, ast.Or):
                return value
        return values[-1]

    def _choose(self, condition: Value, body: Value, orelse: Value) -> Value:
        if is_literal(condition):
            return body if condition else orelse
        for chosen, other in ((body, orelse), (orelse, body)):
            if isinstance(chosen, Object):
                return chosen.with_default(other)
        return UNKNOWN

    def _join(self, parts: Sequence[ast.expr], scope: Scope) -> Value:
        strings: list[str] = []
        for part in parts:
            match part:
                case ast.Constant(value=str(string)):
                    strings.append(string)
                case ast.FormattedValue(value=inner, format_spec=None):
                    value = self.evaluate(inner, scope)
                    if not isinstance(value, str | int):
                        return UNKNOWN
                    strings.append(str(value))
                case ast.FormattedValue(value=inner):
                    self.evaluate(inner, scope)
                    return UNKNOWN
        return "".join(strings)

    def _evaluate_items(self, parts: Sequence[ast.expr], scope: Scope) -> list[Value]:
        items: list[Value] = []
        for part in parts:
            if isinstance(part, ast.Starred):
                items += iterate(self.evaluate(part.value, scope)) or [UNKNOWN]
            else:
                items.append(self.evaluate(part, scope))
        return items

    def _evaluate_dict(self, node: ast.Dict, scope: Scope) -> dict[Value, Value]:
        items: dict[Value, Value] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            evaluated = self.evaluate(value, scope)
            if key is None:
                items.update(evaluated if isinstance(evaluated, dict) else {})
                continue
            name = self.evaluate(key, scope)
            if isinstance(name, str | int | float | bool):
                items[name] = evaluated
        return items

    def _evaluate_subscript(self, owner: Value, key: ast.expr, scope: Scope) -> Value:
        place = Place(scope.module, key.lineno)
        if isinstance(key, ast.Slice):
            start = self.evaluate(key.lower, scope) if key.lower else 0
            if isinstance(owner, External):
                return self.packages.item(owner.name, slice(start, None), place)
            return owner.item(slice(start, None)) if isinstance(owner, Object) else UNKNOWN
        index = self.evaluate(key, scope)
        if isinstance(owner, External):
            return self.packages.item(owner.name, index, place)
        if isinstance(owner, Object):
            return owner.item(index)
        return literals.subscript(owner, index)

    def _comprehend(
        self, item: ast.expr, generators: Sequence[ast.comprehension], scope: Scope
    ) -> Value:
        generator = generators[0]
        items = iterate(self.evaluate(generator.iter, scope))
        if items is None or len(generators) > 1 or len(items) > MAX_UNROLLED:
            return UNKNOWN
        inner = Scope(scope.module, scope)
        collected = []
        for each in items:
            self.assign(generator.target, each, inner)
            conditions = [self.evaluate(test, inner) for test in generator.ifs]
            if all(each is UNKNOWN or each for each in conditions):
                collected.append(self.evaluate(item, inner))
        return collected

    # -- attributes ---------------------------------------------------------------------------

    def get_attribute(self, owner: Value, name: str) -> Value:
        """Return an attribute of a value."""
        match owner:
            case External():
                return External(f"{owner.name}.{name}")
            case Module():
                found = owner.scope.find(name)
                return found[0] if found else UNKNOWN
            case EnumMember():
                return {"name": owner.name, "value": owner.value}.get(name, UNKNOWN)
            case Class():
                return self._get_class_attribute(owner, name)
            case Instance():
                return self._get_instance_attribute(owner, name)
            case Object():
                return owner.attribute(name)
        return Method(owner, name)

    def _get_class_attribute(self, owner: Class, name: str) -> Value:
        found = owner.find(name)
        if found is None:
            return UNKNOWN
        is_bound = isinstance(found[0], Function) and found[0].role == "classmethod"
        return BoundFunction(owner, found[0]) if is_bound else found[0]

    def _get_instance_attribute(self, owner: Instance, name: str) -> Value:
        if name in owner.attributes:
            return owner.attributes[name]
        found = owner.cls.find(name)
        if found is None:
            return owner.native.attribute(name) if owner.native else Method(UNKNOWN, name)
        if not isinstance(found[0], Function) or found[0].role == "staticmethod":
            return found[0]
        bound = BoundFunction(owner.cls if found[0].role == "classmethod" else owner, found[0])
        if found[0].role == "property":
            return self.call(bound, Call([], {}, found[0].place))
        return bound

    # -- calls --------------------------------------------------------------------------------

    def _evaluate_call(self, node: ast.Call, scope: Scope) -> Value:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
            return self._find_super(scope)
        function = self.evaluate(node.func, scope)
        args = self._evaluate_items(node.args, scope)
        keywords: dict[str, Value] = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value, scope)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            elif isinstance(value, dict):
                keywords |= {key: item for key, item in value.items() if isinstance(key, str)}
        return self.call(function, Call(args, keywords, Place(scope.module, node.lineno)))

    def _find_super(self, scope: Scope) -> Value:
        """Return what ``super()`` stands for: the instance, without its own class."""
        found = scope.find("self")
        receiver = found[0] if found else None
        if not isinstance(receiver, Instance):
            return UNKNOWN
        bases = [base for base in receiver.cls.bases if isinstance(base, Class)]
        if not bases:
            return receiver.native or UNKNOWN
        return Instance(bases[0], receiver.attributes, receiver.native)

    def call(self, function: Value, call: Call) -> Value:
        """Return the result of a call."""
        match function:
            case External(name=name):
                return self.packages.call(self, name, call)
            case Function():
                return self._call_function(function, call)
            case BoundFunction():
                args = [function.receiver, *call.args]
                return self._call_function(function.function, Call(args, call.keywords, call.place))
            case Class():
                return self._instantiate(function, call)
            case Method(receiver=receiver, name=name) if receiver is UNKNOWN:
                return self.packages.call_unknown(name, call)
            case Method(receiver=Object() as receiver, name=name):
                return receiver.call_method(name, call)
            case Method(receiver=receiver, name=name):
                return literals.call_method(receiver, name, call.args, call.keywords)
            case Object():
                return function.call(call)
        return UNKNOWN

    def _call_function(self, function: Function, call: Call) -> Value:
        node = function.node
        if node in self._stack or len(self._stack) >= _MAX_CALLS:
            return UNKNOWN
        scope = Scope(function.scope.module, function.scope)
        self._bind_arguments(function, call, scope)
        if isinstance(node, ast.Lambda):
            return self.evaluate(node.body, scope)
        outer, self._returned = self._returned, []
        self._stack.append(node)
        try:
            self.execute(node.body, scope)
            known = [value for value in self._returned if value is not UNKNOWN]
            return known[-1] if known else UNKNOWN
        finally:
            self._stack.pop()
            self._returned = outer

    def _bind_arguments(self, function: Function, call: Call, scope: Scope) -> None:
        arguments = function.node.args
        positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
        names = [*positional, *(each.arg for each in arguments.kwonlyargs)]
        defaults = self.get_defaults(function)
        bound = {name: defaults.get(name, UNKNOWN) for name in names}
        bound |= dict(zip(positional, call.args, strict=False))
        bound |= {name: value for name, value in call.keywords.items() if name in bound}
        if arguments.vararg:
            bound[arguments.vararg.arg] = list(call.args[len(positional) :])
        if arguments.kwarg:
            further = {k: v for k, v in call.keywords.items() if k not in names}
            bound[arguments.kwarg.arg] = further
        scope.names.update(bound)

    def get_defaults(self, function: Function) -> dict[str, Value]:
        """Return the defaults of a function's arguments."""
        arguments = function.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs: list[tuple[ast.arg, ast.expr | None]] = [
            *zip(reversed(positional), reversed(arguments.defaults), strict=False),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        return {a.arg: self.evaluate(d, function.scope) for a, d in pairs if d is not None}

    def _instantiate(self, cls: Class, call: Call) -> Value:
        instance = Instance(cls)
        for name in cls.external_bases():
            native = self.packages.call(
                self, name, Call([cls, *call.args], call.keywords, call.place)
            )
            if isinstance(native, Object):
                instance.native = native
        found = cls.find("__init__")
        if found is not None and isinstance(found[0], Function):
            args = [instance, *call.args]
            self._call_function(found[0], Call(args, call.keywords, call.place))
        return instance


def iterate(value: Value) -> list[Value] | None:
    """Return the items of a literal, an enumeration or an object; None if they are not known."""
    if isinstance(value, Object):
        return value.iterate()
    return list(list_members(value)) if isinstance(value, Class) else literals.iterate(value)


def list_members(value: Value) -> list[EnumMember]:
    """Return the members of an enumeration of the program."""
    members = value.scope.names.values() if isinstance(value, Class) else ()
    return [each for each in members if isinstance(each, EnumMember)]
