"""The reference of study.yaml, rendered from the code that reads it."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from tune_jobs.backends.data_science.backend import DataScienceBackend
from tune_jobs.backends.data_science.definition import Infrastructure
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.config import choices, study_config
from tune_jobs.core.objectives import Metric
from tune_jobs.core.promotion import Promotion
from tune_jobs.oci.connection import Connection
from tune_jobs.script import from_yaml
from tune_jobs.script.command_line import CommandLine
from tune_jobs.space import search_space
from tune_jobs.space.yaml_arguments import argument_types

_ARGUMENT = re.compile(r"    (\w+(?:, \w+)*): (.*)")


def render_study_yaml() -> str:
    """Return the reference as Markdown."""
    return "\n\n".join(
        [
            "## Keys",
            *_render_keys("", study_config.documented_keys()),
            "## metric",
            _keys_of(Metric),
            "## parameters and constraints",
            _example(search_space),
            "## command_line",
            _keys_of(CommandLine),
            _render_styles(),
            "## promotion",
            _keys_of(Promotion),
            "## sampler",
            _render_choices(choices.SAMPLERS),
            "## pruner",
            _render_choices(choices.PRUNERS),
            *_render_backends(),
        ]
    )


def read_arguments(*documented: Any) -> dict[str, str]:
    """Return the arguments that docstrings describe, by name; earlier docstrings win."""
    found: dict[str, str] = {}
    for each in documented:
        names: list[str] = []
        for line in _section(inspect.getdoc(each) or "", ("Args:", "Attributes:")):
            if match := _ARGUMENT.fullmatch(line):
                names = [name for name in match[1].split(", ") if name not in found]
                found |= dict.fromkeys(names, match[2])
            elif line.strip():
                found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return {name: _as_markdown(text) for name, text in found.items()}


def _section(docstring: str, titles: Iterable[str]) -> Iterator[str]:
    inside = False
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            inside = line in titles
        elif inside:
            yield line


def _as_markdown(text: str) -> str:
    return text.replace("``", "`")


def _render_keys(prefix: str, keys: Mapping[str, str]) -> Iterator[str]:
    for key, text in keys.items():
        yield f"```{{confval}} {prefix}{key}\n{text}\n```"


def _keys_of(cls: type[Any]) -> str:
    documented = read_arguments(cls)
    return _table("key", {each.name: documented.get(each.name, "") for each in fields(cls)})


def _example(module: Any) -> str:
    """Return the first indented block of a module's docstring, as YAML."""
    block = re.search(r"(?:^    .*\n|^\n)+", f"{inspect.getdoc(module)}\n", re.MULTILINE)
    assert block is not None
    return f"```yaml\n{textwrap.dedent(block[0]).strip()}\n```"


def _render_styles() -> str:
    rows = {}
    for key, (style, main) in from_yaml._STYLES.items():
        settings = [f"`{each.name}`" for each in fields(style) if each.name != main]
        rows[key] = (
            f"{{class}}`~tune_jobs.{style.__name__}`",
            f"`{main}`" if main else "",
            ", ".join(settings),
        )
    return _table("style, its value, further settings", rows)


def _render_choices(classes: Mapping[str, type[Any]]) -> str:
    rows = {
        name: (f"`{cls.__name__}`", ", ".join(f"`{each}`" for each in argument_types(cls)))
        for name, cls in classes.items()
    }
    return _table("name, class, arguments", rows)


def _render_backends() -> Iterator[str]:
    documented = read_arguments(DataScienceBackend, DataScienceBackend.from_script, Infrastructure)
    documented["job"] = "OCID of an existing job, or path of a job in the YAML of ADS."
    yield "## backend: local"
    yield _arguments_of(LocalBackend, read_arguments(LocalBackend), without=("script", "python"))
    yield "## backend: data_science"
    yield _table("key", {key: documented[key] for key in ("job", "source", "conda")})
    yield _arguments_of(Infrastructure, documented)
    yield _arguments_of(DataScienceBackend, documented, without=("definition",))
    yield "### connection"
    yield _arguments_of(Connection, read_arguments(Connection))


def _arguments_of(
    cls: type[Any], documented: Mapping[str, str], without: Iterable[str] = ()
) -> str:
    names = [name for name in inspect.signature(cls).parameters if not name.startswith("_")]
    return _table("key", {name: documented[name] for name in names if name not in without})


def _table(header: str, rows: Mapping[str, str | tuple[str, ...]]) -> str:
    cells = {key: (row,) if isinstance(row, str) else row for key, row in rows.items()}
    width = 1 + max(map(len, cells.values()))
    titles = header.split(", ")
    titles += [""] * (width - len(titles))
    lines = [titles, ["---"] * width, *([f"`{key}`", *row] for key, row in cells.items())]
    return "\n".join(
        "| " + " | ".join(each.replace("|", "\\|") for each in line) + " |" for line in lines
    )
