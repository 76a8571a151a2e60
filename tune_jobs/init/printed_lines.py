"""Samples of the lines that a script prints, from its source.

A sample is what a statement prints with a number in place of each value:

    print(f"epoch {epoch}: val_acc={acc:.3f}")            epoch 3: val_acc=0.50001
    print("loss: %.4f (%.2f%%)" % (loss, 100 * share))    loss: 0.50002 (0.50003%)
    print(json.dumps({"loss": loss, "acc": acc}))         {'loss': 0.50004, 'acc': 0.50005}
    bar.set_postfix(loss=loss.item())                     loss=0.50006

Each number occurs once, so that what reads it from the sample is known to read that value.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_PRINTING = {
    "print",
    "echo",
    "secho",
    "write",
    "info",
    "warning",
    "log",
    "log_info",
    "msg",
    "success",
}
_LOGGING = {"info", "log"}
_BARS = {"set_postfix", "set_postfix_str", "set_description", "set_description_str"}
_STEPS = re.compile(
    r"(.*_)?(epochs?|steps?|iter(ation)?s?|batch(_idx|_index)?|round|episode|i|it|idx|ep|update|t|n|num\w*)"
)
_FIELDS = re.compile(r"%(?:\((\w+)\))?[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[diouxXeEfFgGcrsa%]")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}:!]*)(?:![rsa])?(?::([^{}]*))?\}")
SAMPLE_NUMBER = re.compile(r"0\.5\d{7}")
"""Number that stands for a value."""
_MAX_LENGTH = 2000
_MAX_DEPTH = 20


@dataclass(frozen=True)
class PrintedLine:
    """Sample of what one statement prints.

    Attributes:
        text: The sample, which may be several lines.
        values: Expressions by the number that stands for them.
        file, line: Place of the statement.
        function: Name of the function around it; empty at the top.
        logged: Whether it goes to a logger, which may not show it.
    """

    text: str
    values: dict[str, str]
    file: str
    line: int
    function: str = ""
    logged: bool = False


@dataclass
class _Sampler:
    """Sampler of the statements of one file."""

    file: str
    first: int
    names: dict[str, ast.expr] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def number(self, node: ast.expr) -> str:
        """Return a number that stands for an expression."""
        source = ast.unparse(node)[:200]
        last = re.findall(r"[A-Za-z_]\w*", source)
        if last and _STEPS.fullmatch(last[0].lower()) and len(last) <= 2:
            return "3"
        self.count += 1
        written = f"0.{50_000_000 + self.first + self.count}"
        self.values[written] = source
        return written

    def sample(self, node: ast.expr, depth: int = 0) -> str:
        """Return a sample of an expression, printed."""
        if depth > _MAX_DEPTH:
            return self.number(node)
        match node:
            case ast.Constant(value=str(string)):
                return string
            case ast.Constant(value=value):
                return str(value)
            case ast.JoinedStr(values=parts):
                return "".join(self.sample(part, depth + 1) for part in parts)
            case ast.FormattedValue(value=value, format_spec=spec):
                return self._format(value, spec, depth)
            case ast.BinOp(left=left, op=ast.Add(), right=right) if _is_string(node):
                return self.sample(left, depth + 1) + self.sample(right, depth + 1)
            case ast.BinOp(left=left, op=ast.Mod(), right=right) if _is_string(left):
                parts = right.elts if isinstance(right, ast.Tuple) else [right]
                return self.percent(self.sample(left, depth + 1), parts, depth)
            case ast.Call(func=ast.Attribute(value=owner, attr="format")) if _is_string(owner):
                return self._braces(self.sample(owner, depth + 1), node, depth)
            case ast.Call(func=ast.Attribute(attr="dumps"), args=[first, *_]):
                return self.sample(first, depth + 1)
            case ast.Call(func=ast.Name(id="str" | "repr" | "dict"), args=[first]):
                return self.sample(first, depth + 1)
            case ast.Dict():
                return self._dict(node, depth)
            case ast.Name(id=name) if name in self.names:
                # Taken out while it is sampled, as `line = f"{line} ..."` contains itself.
                assigned = self.names.pop(name)
                sampled = self.sample(assigned, depth + 1)
                self.names[name] = assigned
                return sampled
        return self.number(node)

    def _format(self, value: ast.expr, spec: ast.expr | None, depth: int) -> str:
        sampled = self.sample(value, depth + 1)
        written = self.sample(spec, depth + 1) if spec else ""
        return f"{sampled}%" if written.endswith("%") else sampled

    def _dict(self, node: ast.Dict, depth: int) -> str:
        items = []
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                items.append(f"{str(key.value)!r}: {self.sample(value, depth + 1)}")
        return "{" + ", ".join(items) + "}"

    def percent(self, template: str, parts: list[ast.expr], depth: int) -> str:
        remaining = iter(parts)
        by_name = _name_items(parts[0]) if len(parts) == 1 else {}

        def fill(match: re.Match[str]) -> str:
            if match[0].endswith("%"):
                return "%"
            value = by_name.get(match[1]) if match[1] else next(remaining, None)
            return self.sample(value, depth + 1) if value is not None else "?"

        return _FIELDS.sub(fill, template)

    def _braces(self, template: str, call: ast.Call, depth: int) -> str:
        remaining = iter(call.args)
        keywords = {each.arg: each.value for each in call.keywords if each.arg}

        def fill(match: re.Match[str]) -> str:
            if match[0] in ("{{", "}}"):
                return match[0][0]
            name = re.split(r"[.\[]", match[1])[0]
            if name.isdecimal():
                value = call.args[int(name)] if int(name) < len(call.args) else None
            else:
                value = keywords.get(name) if name else next(remaining, None)
            if value is None:
                return "?"
            percent = "%" if (match[2] or "").endswith("%") else ""
            return self.sample(value, depth + 1) + percent

        return _BRACES.sub(fill, template)


def _name_items(node: ast.expr) -> dict[str, ast.expr]:
    """Return the items of a dict by their keys."""
    if not isinstance(node, ast.Dict):
        return {}
    pairs = zip(node.keys, node.values, strict=True)
    return {str(k.value): v for k, v in pairs if isinstance(k, ast.Constant)}


def _is_string(node: ast.expr) -> bool:
    """Return whether an expression is a string that is written here."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_string(left) or _is_string(right)
    return False


def sample_lines(trees: dict[str, ast.Module]) -> Iterator[PrintedLine]:
    """Yield samples of what the statements of a program print, in the order of its files."""
    count = 0
    for file, tree in trees.items():
        for function, call, names in _find_calls(tree):
            sampler = _Sampler(file, count, dict(names))
            text = _sample_call(sampler, call)
            count += sampler.count
            if text and sampler.values:
                name = _get_name(call.func)
                yield PrintedLine(
                    text[:_MAX_LENGTH],
                    sampler.values,
                    file,
                    call.lineno,
                    function,
                    name in _LOGGING and isinstance(call.func, ast.Attribute),
                )


def _find_calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call, dict[str, ast.expr]]]:
    """Yield the calls with the function around them and what its variables were assigned."""
    stack: list[tuple[ast.AST, str, dict[str, ast.expr]]] = [(tree, "", {})]
    while stack:
        node, function, names = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function, names = node.name, {}
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and _can_be_printed(node.value):
                    names[target.id] = node.value
        if isinstance(node, ast.Call):
            yield function, node, names
        children = [(child, function, names) for child in ast.iter_child_nodes(node)]
        stack.extend(reversed(children))


def _can_be_printed(node: ast.expr) -> bool:
    """Return whether an expression, printed, shows names: a string, or a dict with names."""
    if isinstance(node, ast.Dict):
        return all(isinstance(key, ast.Constant) for key in node.keys) and bool(node.keys)
    if isinstance(node, ast.BinOp | ast.Call):
        inner = node.left if isinstance(node, ast.BinOp) else node.func
        inner = inner.value if isinstance(inner, ast.Attribute) else inner
        return _is_string(inner) or _is_string(node)
    return isinstance(node, ast.JoinedStr)


def _sample_call(sampler: _Sampler, call: ast.Call) -> str:
    """Return a sample of what a call prints; empty if it prints nothing that is known."""
    name = _get_name(call.func)
    if name in _BARS:
        parts = [f"{each.arg}={sampler.sample(each.value)}" for each in call.keywords if each.arg]
        return ", ".join([*parts, *(sampler.sample(each) for each in call.args[:1])])
    if not (name in _PRINTING or "print" in name.lower()) or not call.args:
        return ""
    args = [each for each in call.args if not isinstance(each, ast.Starred)]
    if name in _LOGGING and isinstance(args[0], ast.Attribute):  # logger.log(logging.INFO, ...)
        args = args[1:]
    if not args:
        return ""
    if len(args) > 1 and _is_string(args[0]) and _FIELDS.search(sampler.sample(args[0])):
        return sampler.percent(sampler.sample(args[0]), args[1:], 0)
    separator = next((k.value for k in call.keywords if k.arg == "sep"), None)
    joined = sampler.sample(separator) if separator is not None else " "
    return joined.join(sampler.sample(each) for each in args)


def _get_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
