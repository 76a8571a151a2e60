"""Interpretation of a program's source on partly unknown values.

Nothing of the program is executed. Statements are followed in their order: both branches of an
`if` whose condition is unknown, the body of a loop once, or for each item of a literal; calls of
the program's own functions are followed into their bodies. What a call of another package does is
up to a `Packages`, which models argument parsers and the like and collects what it sees.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from tune_jobs.init.interpreting import literals
from tune_jobs.init.interpreting.expressions import (
    MAX_STEPS,
    MAX_UNROLLED,
    Evaluator,
    Exhausted,
    Packages,
    iterate,
)
from tune_jobs.init.interpreting.modules import Sources
from tune_jobs.init.interpreting.values import (
    UNKNOWN,
    Call,
    Class,
    EnumMember,
    External,
    Function,
    Module,
    Object,
    Place,
    Scope,
    Value,
    is_literal,
)

_ENUMS = ("Enum", "StrEnum", "IntEnum")


class Interpreter(Evaluator):
    """Interpreter of one program.

    Args:
        sources: Modules of the program.
        packages: Model of all other packages.
        max_steps: Statements and expressions after which the program is too large.
    """

    def __init__(self, sources: Sources, packages: Packages, max_steps: int = MAX_STEPS) -> None:
        super().__init__(packages, max_steps)
        self._sources = sources
        self._modules: dict[str, Module] = {}

    def run(self) -> bool:
        """Interpret the script; return whether it was followed to its end."""
        try:
            self._load(self._sources.main, "__main__")
        except (Exhausted, RecursionError):
            return False
        return True

    def call_function(self, name: str) -> Value:
        """Return the result of one of the script's functions."""
        module = self._modules.get(self._sources.main)
        found = module.scope.find(name) if module is not None else None
        try:
            return self.call(found[0], Call([], {}, Place("", 0))) if found else UNKNOWN
        except (Exhausted, RecursionError):
            return UNKNOWN

    def list_functions(self, file: str) -> dict[str, Function]:
        """Return the public functions that a module defines."""
        module = self._modules.get(file)
        names = module.scope.names if module is not None else {}
        return {
            name: value
            for name, value in names.items()
            if isinstance(value, Function) and value.scope.module == file and name[0] != "_"
        }

    # -- modules ------------------------------------------------------------------------------

    def _load(self, file: str, name: str) -> Module | None:
        if file in self._modules:
            return self._modules[file]
        tree = self._sources.parse(file)
        if tree is None:
            return None
        docstring = ast.get_docstring(tree, clean=False)
        scope = Scope(file, None, {"__name__": name, "__doc__": docstring, "__file__": UNKNOWN})
        module = self._modules[file] = Module(scope)
        self.execute(tree.body, scope)
        return module

    def _import(self, name: str, file: str, level: int = 0) -> Value:
        """Return a module of the program, or its name if it is none."""
        found = self._sources.find(name, file, level)
        module = self._load(found, name) if found else None
        return module or External(name)

    def _import_names(self, node: ast.ImportFrom, scope: Scope) -> None:
        name = node.module or ""
        module = self._import(name, scope.module, node.level) if name or node.level else UNKNOWN
        for alias in node.names:
            if alias.name == "*" and isinstance(module, Module):
                public = {k: v for k, v in module.scope.names.items() if not k.startswith("_")}
                scope.names.update(public)
                continue
            found = module.scope.find(alias.name) if isinstance(module, Module) else None
            if found is None:
                below = f"{name}.{alias.name}" if name else alias.name
                found = (self._import(below, scope.module, node.level),)
            scope.names[alias.asname or alias.name] = found[0]

    # -- statements ---------------------------------------------------------------------------

    def execute(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Follow statements."""
        for statement in body:
            self.count()
            self._execute_statement(statement, scope)

    def _execute_statement(self, node: ast.stmt, scope: Scope) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define_function(node, scope)
            case ast.ClassDef():
                self._define_class(node, scope)
            case ast.Import(names=names):
                for alias in names:
                    self._import_module(alias, scope)
            case ast.ImportFrom():
                self._import_names(node, scope)
            case ast.Return(value=value):
                self.return_value(self.evaluate(value, scope) if value else None)
            case ast.If():
                self._branch(node, scope)
            case ast.For() | ast.AsyncFor() | ast.While():
                self._loop(node, scope)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    value = self.evaluate(item.context_expr, scope)
                    if item.optional_vars is not None:
                        self.assign(item.optional_vars, value, scope)
                self.execute(body, scope)
            case ast.Try() | ast.TryStar():
                self.execute([*node.body, *node.orelse], scope)
                for handler in node.handlers:
                    self.execute(handler.body, scope)
                self.execute(node.finalbody, scope)
            case ast.Match(cases=cases):
                for case in cases:
                    self.execute(case.body, scope)
            case _:
                self._execute_assignment(node, scope)

    def _execute_assignment(self, node: ast.stmt, scope: Scope) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                evaluated = self.evaluate(value, scope)
                for target in targets:
                    self.assign(target, evaluated, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.assign(target, self.evaluate(value, scope), scope)
            case ast.AugAssign(target=target, op=operation, value=value):
                before = self.evaluate(target, scope)
                after = literals.apply_binary(operation, before, self.evaluate(value, scope))
                self.assign(target, after, scope)
            case ast.Expr(value=value):
                self.evaluate(value, scope)

    def _import_module(self, alias: ast.alias, scope: Scope) -> None:
        module = self._import(alias.name, scope.module)
        if alias.asname:
            scope.names[alias.asname] = module
        elif "." not in alias.name:
            scope.names[alias.name] = module
        else:
            first = alias.name.partition(".")[0]
            scope.names.setdefault(first, self._import(first, scope.module))

    def _branch(self, node: ast.If, scope: Scope) -> None:
        condition = self.evaluate(node.test, scope)
        if condition is UNKNOWN or not is_literal(condition):
            self.execute([*node.body, *node.orelse], scope)
        else:
            self.execute(node.body if condition else node.orelse, scope)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, scope: Scope) -> None:
        place = Place(scope.module, node.lineno)
        if isinstance(node, ast.While):
            endless = self.evaluate(node.test, scope) in (True, 1)
            self.packages.loop(place, [], endless=endless)
            self.execute([*node.body, *node.orelse], scope)
            return
        variables = [each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)]
        self.packages.loop(place, variables, endless=False)
        iterable = self.evaluate(node.iter, scope)
        items = None if isinstance(iterable, range) else iterate(iterable)
        if items is None or len(items) > MAX_UNROLLED:
            items = [UNKNOWN]
        for item in items:
            self.assign(node.target, item, scope)
            self.execute(node.body, scope)
        self.execute(node.orelse, scope)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Assign a value to a variable, an attribute or an item."""
        match target:
            case ast.Name(id=name):
                before = scope.names.get(name, UNKNOWN)
                scope.names[name] = value
                self.packages.bind(name, value, before)
            case ast.Attribute(value=owner, attr=name):
                receiver = self.evaluate(owner, scope)
                if isinstance(receiver, Object):
                    receiver.set_attribute(name, value)
                elif isinstance(receiver, Class | Module):
                    receiver.scope.names[name] = value
            case ast.Subscript(value=owner, slice=key):
                receiver, index = self.evaluate(owner, scope), self.evaluate(key, scope)
                if isinstance(receiver, dict) and isinstance(index, str | int):
                    receiver[index] = value
                elif isinstance(receiver, dict) and isinstance(index, Object):
                    index.assign_into(receiver, Place(scope.module, target.lineno))
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                self._unpack(parts, value, scope)
            case ast.Starred(value=inner):
                self.assign(inner, UNKNOWN, scope)

    def _unpack(self, parts: Sequence[ast.expr], value: Value, scope: Scope) -> None:
        items: Sequence[Value] = iterate(value) or []
        if isinstance(value, External):
            place = Place(scope.module, parts[0].lineno)
            items = [self.packages.item(value.name, i, place) for i in range(len(parts))]
        elif isinstance(value, Object):
            items = [value.item(i) for i in range(len(parts))]
        starred = any(isinstance(part, ast.Starred) for part in parts)
        if starred or len(items) != len(parts):
            items = [UNKNOWN] * len(parts)
        for part, item in zip(parts, items, strict=True):
            self.assign(part, item, scope)

    # -- definitions --------------------------------------------------------------------------

    def _define_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        value: Value = Function(node.name, node, scope, role=_find_role(node))
        scope.names[node.name] = value
        for decorator in reversed(node.decorator_list):
            function = self.evaluate(decorator, scope)
            call = Call([value], {}, Place(scope.module, decorator.lineno))
            decorated = self.call(function, call)
            # Most decorators return what can be called like the function itself.
            value = value if decorated is UNKNOWN else decorated
        scope.names[node.name] = value

    def _define_class(self, node: ast.ClassDef, scope: Scope) -> None:
        bases = tuple(self.evaluate(base, scope) for base in node.bases)
        decorators = tuple(self.evaluate(each, scope) for each in node.decorator_list)
        names = Scope(scope.module, scope)
        value = Class(node.name, node, bases, names, decorators)
        self.execute(node.body, names)
        if any(base.rpartition(".")[2] in _ENUMS for base in value.external_bases()):
            for name, item in names.names.items():
                if is_literal(item) and not name.startswith("_"):
                    names.names[name] = EnumMember(name, item)
        scope.names[node.name] = value
        for decorator in decorators:
            self.call(decorator, Call([value], {}, Place(scope.module, node.lineno)))


def _find_role(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    names = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
    return next(iter(names & {"staticmethod", "classmethod", "property"}), "")
