"""The reference of study.yaml, rendered from the code that reads it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from tune_jobs.backends.data_science.backend import DataScienceBackend
from tune_jobs.backends.data_science.controller_job import ControllerJob
from tune_jobs.backends.data_science.definition import Infrastructure
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.config import choices, study_config
from tune_jobs.core.objectives import Metric
from tune_jobs.core.promotion import Promotion
from tune_jobs.oci.connection import Connection
from tune_jobs.script import from_yaml
from tune_jobs.script.command_line import CommandLine
from tune_jobs.space.yaml_arguments import argument_types

_GOAL = "`minimize` or `maximize`; needed unless the file has a `direction`."
_ARGUMENT = re.compile(r"    (\w+(?:, \w+)*): (.*)")


def render_sections() -> dict[str, str]:
    """Return the generated sections of the reference, by name, as Markdown."""
    return {
        "keys": _render_keys(study_config.documented_keys()),
        "metric": _table("key", _describe_fields(Metric) | {"goal": _GOAL}),
        "command_line": _table("key", _describe_fields(CommandLine)),
        "styles": _render_styles(),
        "promotion": _table("key", _describe_fields(Promotion)),
        "sampler": _render_choices(choices.SAMPLERS),
        "pruner": _render_choices(choices.PRUNERS),
        "backend local": _render_local(),
        "backend data_science": _render_data_science(),
        "controller": _arguments_of(
            ControllerJob, read_arguments(ControllerJob), without=("infrastructure",)
        ),
    }


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


def _render_keys(keys: Mapping[str, str]) -> str:
    return "\n\n".join(f"```{{confval}} {key}\n{text}\n```" for key, text in keys.items())


def _describe_fields(cls: type[Any]) -> dict[str, str]:
    documented = read_arguments(cls)
    return {each.name: documented.get(each.name, "") for each in fields(cls)}


def _render_styles() -> str:
    rows = {}
    for key, (style, main) in from_yaml._STYLES.items():
        settings = [f"`{each.name}`" for each in fields(style) if each.name != main]
        rows[key] = (
            f"{{class}}`~tune_jobs.{style.__name__}`",
            f"`{main}`" if main else "",
            ", ".join(settings),
        )
    return _table("style, in Python, its value, further settings", rows)


def _render_choices(classes: Mapping[str, type[Any]]) -> str:
    rows = {
        name: (f"`{cls.__name__}`", ", ".join(f"`{each}`" for each in argument_types(cls)))
        for name, cls in classes.items()
    }
    return _table("name, class, arguments", rows)


def _render_local() -> str:
    return _arguments_of(LocalBackend, read_arguments(LocalBackend), without=("script", "python"))


def _render_data_science() -> str:
    documented = read_arguments(DataScienceBackend, DataScienceBackend.from_script, Infrastructure)
    documented["job"] = "OCID of an existing job, or path of a job in the YAML of ADS."
    return "\n\n".join(
        [
            _table("key", {key: documented[key] for key in ("job", "source", "conda")}),
            _arguments_of(Infrastructure, documented),
            _arguments_of(DataScienceBackend, documented, without=("definition",)),
            "The keys of `connection`:",
            _arguments_of(Connection, read_arguments(Connection)),
        ]
    )


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
