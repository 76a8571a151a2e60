"""The examples of the documentation are executed, and what they say comes of them does."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

import tune_jobs
from tests.test_docs import DOCS, PAGES, ROOT
from tune_jobs import SimulatedBackend, SimulatedReport, SimulatedRun, Tuner, samplers
from tune_jobs.config.backend import make_backend
from tune_jobs.config.study_config import (
    StudyConfig,
    documented_keys,
    load_study,
    make_pruner,
    make_sampler,
)
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.files import read_metrics_file
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.from_yaml import _STYLES, parse_style
from tune_jobs.script.interface import as_interface
from tune_jobs.script.invocation_text import format_invocation
from tune_jobs.script.styles import ConfigFile
from tune_jobs.space.declaration import load_space
from tune_jobs.space.yaml_source import loads

HEAD = {
    "study": "s",
    "metric": "m",
    "direction": "maximize",
    "script": "train.py",
    "parameters": "{x: [1, 2]}",
}
"""What the shorter examples of study.yaml leave out."""

EXECUTED = [
    "howto/command_lines",
    "howto/early_stopping",
    "howto/metrics",
    "howto/search_spaces",
    "reference/command_line",
    "reference/tuner",
    "samplers",
]
"""Pages whose Python needs neither OCI nor another package, and takes no time."""


PUBLIC = {name: getattr(tune_jobs, name) for name in tune_jobs.__all__}


def find_yaml() -> Iterator[Any]:
    """Yield the blocks of YAML, each with the command line that follows it, or None."""
    for page in PAGES:
        found = re.findall(
            r"^```yaml\n(.*?)^```\n(?:\n```console\n\$ (.*?)\n```\n)?",
            page.read_text(),
            re.M | re.S,
        )
        for number, (block, command) in enumerate(found):
            yield pytest.param(block, command, id=f"{page.relative_to(ROOT)}-{number}")


def complete(block: str) -> str:
    """Return an example of a study.yaml with what it leaves out."""
    keys = set(re.findall(r"^(\w+):", block, re.M))
    head = dict(HEAD)
    if keys & {"module", "command"}:
        del head["script"]
    if "metrics" in keys:
        del head["metric"], head["direction"]
    if "goal" in block:
        head.pop("direction", None)
    return "".join(f"{k}: {v}\n" for k, v in head.items() if k not in keys) + block


def place_files(folder: Path) -> None:
    """Create the files that examples name."""
    for name in ("train.py", "train.sh", "train", "train_digits.py", "project/train.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    for name in ("data", "config", "package"):
        (folder / name).mkdir()
    for name in ("config/base.yaml", "package/__init__.py", "package/train.py", "train.csv"):
        (folder / name).write_text("")


def sample_first(config: StudyConfig) -> dict[str, Any]:
    """Return the configuration with the first choice or the lowest value of each parameter."""
    chosen: dict[str, Any] = {}
    for parameter in config.space.parameters:
        distribution = parameter.distribution
        if isinstance(distribution, optuna.distributions.CategoricalDistribution):
            chosen[parameter.name] = distribution.choices[0]
        elif distribution is not None:
            chosen[parameter.name] = distribution.low  # type: ignore[attr-defined]
    return config.space.sample(optuna.trial.FixedTrial(chosen))  # type: ignore[arg-type]


def render_command(config: StudyConfig, folder: Path) -> str:
    """Return the command line of a study's first configuration."""
    command = make_backend(config, folder).describe()["command"]
    assert isinstance(command, list)
    interface = as_interface(config.options.command_line)
    paths = RunPaths.below("RUN")
    invocation = interface.render(sample_first(config), paths)
    text = format_invocation(command, invocation)
    for path, shown in (
        (f"{folder}/", ""),
        (f"{paths.work}/", "WORK/"),
        (sys.executable, "python"),
    ):
        text = text.replace(path, shown)
    return text.replace("/usr/bin/env ", "env ")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(("block", "command"), list(find_yaml()))
def test_yaml_leads_to_the_command_that_is_shown(
    block: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place_files(tmp_path)
    file = tmp_path / "study.yaml"
    file.write_text(complete(block))
    config = load_study(file)
    make_pruner(config)
    make_sampler(config)
    make_backend(config, tmp_path)
    assert not command or render_command(config, tmp_path) == command.replace("./", "")
    if "\nconstraints:" in block:
        assert config.space.refusal(sample_first(config)) is None


def test_every_key_of_study_yaml_has_an_example() -> None:
    page = (DOCS / "reference/study_yaml.md").read_text()
    examples = "\n".join(re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S))
    assert set(documented_keys()) <= set(re.findall(r"^(\w+):", examples, re.M))


def find_rows(header: str) -> Iterator[Any]:
    """Yield the rows of the tables with a header; each cell without its backticks."""
    for page in PAGES:
        for table in re.findall(
            rf"^\| {re.escape(header)} \|\n\|[- |]+\|\n((?:\|.*\n)+)", page.read_text(), re.M
        ):
            for number, line in enumerate(table.splitlines()):
                cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                yield pytest.param(cells, id=f"{page.relative_to(ROOT)}-{number}")


def unquote(cell: str) -> str:
    found = re.match(r"`(.*?)`", cell)
    return found[1].replace(r"\|", "|") if found else cell


@pytest.mark.parametrize("row", list(find_rows("Python | study.yaml | value | written")))
def test_styles_write_what_the_table_says(row: list[str]) -> None:
    python, in_yaml, value, written = map(unquote, row)
    style = eval(python, PUBLIC)
    assert parse_style("x", loads(in_yaml, "x").plain()) == style
    file = ConfigFile("c.yaml") if row[3].endswith("in the file") else None
    arguments = ["{parameters}", *(["--config={config}"] if file else [])]
    line = CommandLine(arguments, {"x": style}, config_file=file)
    invocation = line.render({"x": eval(value)}, RunPaths.below("RUN"))
    if row[3].endswith("in the environment"):
        assert [f"{name}={text}" for name, text in invocation.env.items()] == [written]
    elif row[3].endswith("in the file"):
        assert [yaml.safe_load(text) for text in invocation.files.values()] == [
            yaml.safe_load(written)
        ]
    else:
        assert list(invocation.argv) == shlex.split(written)


def test_every_style_and_setting_is_in_the_table() -> None:
    rows = [
        [unquote(cell) for cell in row.values[0]]
        for row in find_rows("Python | study.yaml | value | written")
    ]
    for style, _ in _STYLES.values():
        assert any(row[0].startswith(f"{style.__name__}(") for row in rows), style
    settings = {each.name for style, _ in _STYLES.values() for each in fields(style)}
    given = {word for row in rows for word in re.findall(r"(\w+)=", row[0])}
    assert settings - {"flag", "on", "key", "variable", "field"} <= given


@pytest.mark.parametrize("row", list(find_rows("study.yaml | is in Python | and as an argument")))
def test_choices_are_what_the_table_says(row: list[str], tmp_path: Path) -> None:
    in_yaml, python, argument = map(unquote, row)
    file = tmp_path / "space.yaml"
    file.write_text(f"parameters:\n  x: [{in_yaml}]\n")
    params = load_space(file).sample(optuna.create_study().ask())
    assert repr(params["x"]) == repr(ast.literal_eval(python))
    assert list(CommandLine().render(params, RunPaths.below("R")).argv) == shlex.split(argument)


@pytest.mark.parametrize("row", list(find_rows("`pattern` | printed | value | step")))
def test_patterns_read_what_the_table_says(row: list[str]) -> None:
    pattern, printed, value, step = map(unquote, row)
    extractor = Extractor(["accuracy"], {"accuracy": pattern}, "epoch")
    records = extractor.feed(f"{printed}\n".encode(), 0.0) + extractor.finish(0.0)
    assert [(r.values["accuracy"], r.step) for r in records] == [
        (float(value), int(step) if step else None)
    ]


@pytest.mark.parametrize("row", list(find_rows("printed | `accuracy` | `epoch`")))
def test_lines_are_read_as_the_table_says(row: list[str]) -> None:
    printed, value, step = map(unquote, row)
    extractor = Extractor(["accuracy"], step="epoch")
    records = extractor.feed(f"{printed}\n".encode(), 0.0) + extractor.finish(0.0)
    read = [(r.values["accuracy"], r.step) for r in records]
    assert read == ([(float(value), int(step) if step else None)] if value else [])


def find_metrics_files() -> dict[str, str]:
    page = (DOCS / "howto/metrics.md").read_text()
    found = re.findall(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```", page, re.M | re.S)
    return dict(found)


@pytest.mark.parametrize(("name", "content"), find_metrics_files().items())
def test_metrics_files_are_read_as_the_page_says(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    records, problem = read_metrics_file(str(tmp_path / name), ["accuracy"], "epoch")
    assert problem is None
    assert [(r.step, r.values["accuracy"]) for r in records] == [(1, 0.9), (2, 0.91)]


def learn(run: SimulatedRun) -> list[SimulatedReport]:
    values = {"accuracy": 0.5, "loss": 0.5, "latency_ms": 1.0}
    return [SimulatedReport(60.0 * epoch, epoch, values) for epoch in (1, 2, 3)]


def create_names() -> dict[str, Any]:
    """Return the variables that the examples in Python do not define themselves."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names: dict[str, Any] = PUBLIC | {name: getattr(samplers, name) for name in samplers.__all__}
    study = optuna.create_study(study_name="digits", direction="maximize")
    backend = SimulatedBackend(learn)
    return names | {
        "__name__": "docs",
        "optuna": optuna,
        "tune_jobs": tune_jobs,
        "study": study,
        "space": suggest,
        "backend": backend,
        "tuner": Tuner(study, suggest, backend, metric="accuracy"),
    }


def suggest(trial: optuna.Trial) -> Mapping[str, Any]:
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64]),
    }


@pytest.mark.parametrize("page", EXECUTED)
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place_files(tmp_path)
    text = (DOCS / f"{page}.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert found
    names = create_names()
    for block in found:
        few = re.sub(r"n_trials=\d+", "n_trials=2", block)
        exec(compile(few, f"<{page}.md>", "exec"), names)
