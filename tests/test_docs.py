"""What the documentation says is true: links, commands, options, YAML and Python in it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tune_jobs
from tune_jobs import samplers
from tune_jobs.cli.main import build_parser
from tune_jobs.config.study_config import load_study

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
    ROOT / "tests/benchmarks/README.md",
]
OBJECTS = {"tuner": tune_jobs.Tuner, "study": None}
"""Variables of the examples whose methods are looked at."""


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the documentation's Sphinx extension."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    return importlib.import_module


def blocks(language: str) -> list[Any]:
    """Return the code blocks in a language, as parameters of a test."""
    found = []
    for page in PAGES:
        texts = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)
        for number, text in enumerate(texts):
            found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if "://" not in target:
            path = Path(os.path.normpath(page.parent / target))
            if path.parent == DOCS / "notebooks":  # copied there by the build
                path = ROOT / "notebooks" / f"{path.name}.ipynb"
            assert path.exists(), target


def test_the_readme_fits_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", pages, re.M))
    names = {f"tune_jobs.{name}" for name in tune_jobs.__all__ if name != "TuneJobsError"}
    names |= {f"tune_jobs.samplers.{name}" for name in samplers.__all__}
    assert names <= documented
    assert "tune_jobs.errors" in documented


def commands() -> list[Any]:
    """Return every command line of ``tune-jobs`` in the documentation, as words."""
    text = "\n".join(page.read_text() for page in PAGES)
    lines = dict.fromkeys(re.findall(r"^ *(tune-jobs [^>#\n]*)", text, re.M))
    return [pytest.param(shlex.split(line), id=line.strip()) for line in lines]


@pytest.mark.parametrize("words", commands())
def test_commands_are_accepted(words: list[str]) -> None:
    assert build_parser().parse_args(words[1:]).command


def test_the_example_study_is_accepted() -> None:
    load_study(ROOT / "notebooks/study.yaml")


def find_callee(node: ast.expr) -> Any:
    """Return the public object that a call in an example calls, or None."""
    if isinstance(node, ast.Name):
        if node.id in (*tune_jobs.__all__, *samplers.__all__):
            return getattr(tune_jobs, node.id, None) or getattr(samplers, node.id)
        return OBJECTS.get(node.id)
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "tune_jobs":
            return getattr(tune_jobs, node.attr)
        owner = find_callee(node.value)
        if inspect.isclass(owner):
            found = inspect.getattr_static(owner, node.attr)
            return partial(found, None) if inspect.isfunction(found) else getattr(owner, node.attr)
    return None


@pytest.mark.parametrize("block", blocks("python"))
def test_python_is_valid_and_calls_what_exists(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tune_jobs"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.Call) and (callee := find_callee(node.func)) is not None:
            keywords = {each.arg: None for each in node.keywords if each.arg is not None}
            inspect.signature(callee).bind_partial(*node.args, **keywords)


def test_modules_that_are_run_exist() -> None:
    text = "\n".join(page.read_text() for page in PAGES if page.name != "CHANGELOG.md")
    modules = set(re.findall(r"python -m (tests[\w.]+|tune_jobs[\w.]*)", text))
    assert modules
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module


def test_files_that_are_named_exist() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"`((?:tune_jobs|tests|samplers|notebooks)/[\w./]*)`", text))
    assert len(named) > 5
    assert not {name for name in named if not (ROOT / name).exists()}


def test_the_reference_of_the_command_has_every_option(
    extension: Callable[[str], Any],
) -> None:
    cli = extension("cli_reference")
    rendered = cli.render_cli()
    for name, command in cli.list_commands(build_parser()):
        section = rendered.split(f"## tune-jobs {name}\n")[1].split("\n## ")[0]
        for action in command._actions:
            if action.dest != "help":
                assert action.help, f"{name} {action.dest}"
                for flag in action.option_strings:
                    assert f"{flag}" in section


def test_the_reference_of_study_yaml_has_every_key(extension: Callable[[str], Any]) -> None:
    rendered = "\n".join(extension("study_yaml_reference").render_sections().values())
    example = (ROOT / "notebooks/study.yaml").read_text()
    keys = set(re.findall(r"^(\w+):", example, re.M))
    keys |= {"module", "command", "n_trials", "max_cost", "promotion", "duplicates", "prices"}
    for key in keys:
        described = re.search(rf"^```{{confval}} {key}\n(.+)", rendered, re.M)
        assert described, key
    for option in ("time_limit", "fallback_shapes", "compartment", "log_group", "job", "profile"):
        assert re.search(rf"^\| `{option}` \| \S.+\|$", rendered, re.M), option
    for name in ("hyperband", "median_stopping", "model_classes"):
        assert f"`{name}`" in rendered


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.search(r"^## (\d\S+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released is not None
    assert released[1] == version
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {version}\n" in citation
    assert f"\ndate-released: {released[2]}\n" in citation


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs tune_jobs[example]")
def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    text = (DOCS / "tutorial.md").read_text()
    script = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    (tmp_path / "tune.py").write_text(script.replace("n_trials=20", "n_trials=3"))
    (tmp_path / "train_digits.py").write_text((ROOT / "notebooks/train_digits.py").read_text())
    done = subprocess.run(
        [sys.executable, "tune.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--output-dir=RUNS/trial-000000-1/outputs" in done.stdout
    assert "model.joblib" in done.stdout
