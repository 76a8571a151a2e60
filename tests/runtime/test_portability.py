"""Every file of the runtime works on Python 3.8 with the standard library alone.

Static checks read every file that `copy_runtime` copies. Where a Python 3.8 is installed, every
module is imported there, too, without any site-packages.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.test_report import old_python
from tune_jobs.runtime.package import copy_runtime

LAZY = {"oci", "psutil", "yaml"}
"""Packages that functions may import where they are needed."""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runtime as it travels."""
    folder = tmp_path_factory.mktemp("artifact")
    copy_runtime(folder)
    return folder


@pytest.fixture(scope="module")
def trees(copied: Path) -> dict[str, ast.Module]:
    """Every file of it, as Python 3.8 parses it."""
    files = sorted(copied.rglob("*.py"))
    assert files
    return {
        str(file.relative_to(copied)): ast.parse(file.read_text(), feature_version=(3, 8))
        for file in files
    }


def imports(node: ast.AST) -> Iterator[str]:
    """The packages that a tree imports, except its own."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom) and found.level == 0:
            yield str(found.module)


def imported_at_start(tree: ast.Module) -> Iterator[str]:
    """What is imported with a module: not in functions, not for type checkers."""
    for node in tree.body:
        skipped = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        if not skipped:
            yield from imports(node)


def is_foreign(module: str) -> bool:
    """Whether a module is neither of the standard library nor of the runtime."""
    inside = module == "tune_jobs.runtime" or module.startswith("tune_jobs.runtime.")
    return not inside and module.partition(".")[0] not in sys.stdlib_module_names


def test_nothing_foreign_is_imported(trees: dict[str, ast.Module]) -> None:
    for name, tree in trees.items():
        assert not set(filter(is_foreign, imported_at_start(tree))), name


def test_functions_import_what_is_documented(trees: dict[str, ast.Module]) -> None:
    lazy = {
        module.partition(".")[0]
        for name, tree in trees.items()
        if name.startswith("tune_jobs/runtime/")
        for module in imports(tree)
        if is_foreign(module)
    }
    assert lazy == LAZY
    described = ast.get_docstring(trees["tune_jobs/runtime/__init__.py"])
    assert described is not None
    assert all(f"``{package}``" in described for package in lazy)


def test_no_annotation_is_evaluated(trees: dict[str, ast.Module]) -> None:
    """So that they may be written as on later versions."""
    for name, tree in trees.items():
        annotated = any(
            isinstance(node, ast.AnnAssign | ast.arg | ast.FunctionDef)
            and getattr(node, "annotation", getattr(node, "returns", None)) is not None
            for node in ast.walk(tree)
        )
        futures = [n for n in tree.body if isinstance(n, ast.ImportFrom)]
        assert not annotated or any(n.module == "__future__" for n in futures), name


class WithoutAnnotations(ast.NodeTransformer):
    """A tree of what is evaluated when a module runs."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if node.value is None else self.generic_visit(ast.Expr(node.value))


def test_types_are_subscripted_in_annotations_only(trees: dict[str, ast.Module]) -> None:
    """``list[int]`` and ``Iterator[int]`` fail where Python 3.8 evaluates them."""
    builtin = {"list", "dict", "set", "frozenset", "tuple", "type"}
    for name, tree in trees.items():
        abstract = {
            alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module == "collections.abc"
            for alias in node.names
        }
        evaluated = WithoutAnnotations().visit(ast.parse(ast.unparse(tree)))
        subscripted = {
            node.value.id
            for node in ast.walk(evaluated)
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
        }
        assert not subscripted & (builtin | abstract), name


def test_nothing_newer_than_python_3_8_is_used(copied: Path) -> None:
    command = [sys.executable, "-c", "from vermin.main import main; main()"]
    options = ["-t=3.8-", "--no-tips", "--violations", "--processes=1"]
    done = subprocess.run([*command, *options, str(copied)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Minimum required versions: 3.8" in done.stdout


IMPORT_ALL = """
import importlib, pkgutil, sys
import tune_jobs, tune_jobs.runtime
for name in tune_jobs.__all__:
    assert isinstance(name, str)
for module in pkgutil.walk_packages(tune_jobs.runtime.__path__, "tune_jobs.runtime."):
    importlib.import_module(module.name)
    print(module.name)
print(tune_jobs.__file__)
"""


@pytest.mark.parametrize("version", ["this Python", "Python 3.8"])
def test_every_module_is_imported_without_any_package(version: str, copied: Path) -> None:
    python = sys.executable if version == "this Python" else old_python()
    done = subprocess.run(
        [python, "-W", "error", "-S", "-B", "-c", IMPORT_ALL],
        env={"PYTHONPATH": str(copied), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *modules, package = done.stdout.splitlines()
    files = (copied / "tune_jobs" / "runtime").rglob("*.py")
    assert modules == sorted(
        f"tune_jobs.runtime.{file.stem}" for file in files if file.stem != "__init__"
    )
    assert package == str(copied / "tune_jobs" / "__init__.py")


def test_the_whole_folder_travels(copied: Path) -> None:
    root = Path(__file__).parents[2] / "tune_jobs"
    expected = {"__init__.py"} | {
        str(path.relative_to(root))
        for path in (root / "runtime").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    folder = copied / "tune_jobs"
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == expected
