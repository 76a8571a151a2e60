"""Hyperparameters that are written into a source, and names that it mentions."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from tune_jobs.init.flags import Flag
from tune_jobs.init.hyperparameters import propose
from tune_jobs.init.interpreting.modules import list_nodes
from tune_jobs.init.parsers.types import kind_of

ARGV = re.compile("argv")
_MAX_CONSTANTS = 10


def find_constants(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return the assignments and arguments that give a hyperparameter a number, with places."""
    found = []
    for file, tree in trees.items():
        for node in list_nodes(tree):
            for name, value in _find_named(node):
                number = value.value if isinstance(value, ast.Constant) else None
                if not isinstance(number, int | float) or isinstance(number, bool):
                    continue
                if propose(Flag(name, kind=kind_of(number), default=number)):
                    found.append(f"{file}:{value.lineno}: {name} = {number}")
    return list(dict.fromkeys(found))[:_MAX_CONSTANTS]


def _find_named(node: ast.AST) -> list[tuple[str, ast.expr]]:
    """Return the names that a node gives to values: variables, arguments, keys of a dict."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return [(name, value)]
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return [(name, value)]
        case ast.Call(keywords=keywords):
            return [(each.arg, each.value) for each in keywords if each.arg is not None]
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [
                (key.value, item)
                for key, item in pairs
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
    return []


def mentions(trees: Mapping[str, ast.Module], pattern: re.Pattern[str]) -> bool:
    """Return whether a program uses a name that a pattern matches."""
    return any(
        pattern.fullmatch(name)
        for tree in trees.values()
        for node in list_nodes(tree)
        for name in _list_names(node)
    )


def _list_names(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return [name]
        case ast.Import(names=aliases):
            return [alias.name for alias in aliases]
        case ast.ImportFrom(module=module, names=aliases):
            return [module or "", *(alias.name for alias in aliases)]
    return []
