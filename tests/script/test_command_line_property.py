"""Scripts receive exactly the parameters: properties, tested with real processes."""

from __future__ import annotations

import json
import shlex
import string
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_jobs.core.job_runs import RunPaths
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.fixed_arguments import PARAMETERS
from tune_jobs.script.invocation_text import format_invocation
from tune_jobs.script.styles import (
    ConfigField,
    ConfigFile,
    Environment,
    JsonField,
    KeyValue,
    Option,
    Positional,
    Style,
    Switch,
)

ECHO = [sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "data" / "echo_argv.py")]
PATHS = RunPaths("/run/w", "/run/outputs", "/run/checkpoints", "/run/resume")

# Every example is a process, so there are few, each with many parameters.
processes = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

AWKWARD = ["", " ", "-", "-1", "-1e-05", "-x=1", "=", "a=b", "a b", "'", '"', "\\", "%s", "|", "!"]
AWKWARD += [
    "$HOME",
    "`id`",
    "\n",
    "\r\n",
    "{outputs}",
    "{{",
    "é",
    "日本語",
    "😀",
    "#",
    "*",
    "~",
    "@x",
]
texts = st.sampled_from(AWKWARD) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
)
numbers = st.integers() | st.floats() | st.sampled_from([1e-320, -1e-05, 1e16, 64.0, -0.0])
scalars = st.none() | st.booleans() | numbers | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8
)
names = st.text(string.ascii_lowercase + string.digits + ".", min_size=1).map("p{}".format)


def run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> dict[str, Any]:
    result = subprocess.run([*ECHO, *argv], env=env or {}, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    seen: dict[str, Any] = json.loads(result.stdout)
    return seen


def same(one: object, other: object) -> bool:
    """Equal in value and type: 1 is not 1.0 is not True, and nan is nan."""
    return repr(one) == repr(other)


@processes
@given(st.dictionaries(names, texts | numbers | st.booleans(), max_size=25))
def test_each_parameter_is_one_token_that_arrives_unchanged(params: dict[str, Any]) -> None:
    argv = CommandLine(naming="as_is").render(params, PATHS).argv
    assert run(argv)["argv"] == list(argv)
    for token, (name, value) in zip(argv, params.items(), strict=True):
        key, _, text = token.partition("=")
        assert key == f"--{name}"
        if isinstance(value, bool):
            assert text == str(value).lower()
        else:
            assert same(type(value)(text), value)


@dataclass(frozen=True)
class Written:
    """A value, its style, and the arguments for argparse to read it."""

    style: Style
    keywords: dict[str, Any]
    value: object


def read_as(type_name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Written]:
    styles = st.sampled_from([Option(), Option("-b"), Option("-lr"), Option("--flag")])
    return st.builds(
        lambda style, value: Written(style, {"type": type_name}, value), styles, values
    )


# Before Python 3.13, argparse loses the value "--" in every form.
readable = texts.filter(lambda text: text != "--")
undashed = readable.filter(lambda text: not text.startswith("-"))
positive = st.integers(min_value=0) | st.floats(min_value=0)
written = st.one_of(
    read_as("int", st.integers()),
    read_as("float", st.floats()),
    read_as("str", readable),
    read_as("json", documents.filter(lambda value: isinstance(value, list | dict))),
    st.booleans().map(lambda on: Written(Switch("--on"), {"action": "store_true"}, on)),
    st.booleans().map(lambda on: Written(Switch(off="--off"), {"action": "store_false"}, on)),
    undashed.map(lambda text: Written(Option(separate=True), {}, text)),
    st.lists(readable, min_size=1).map(
        lambda items: Written(Option("-b", many="repeat"), {"action": "append"}, items)
    ),
    st.lists(st.floats(min_value=0)).map(
        lambda items: Written(Option(many="spread"), {"type": "float", "nargs": "*"}, items)
    ),
)


@processes
@given(st.lists(written, max_size=20))
def test_argparse_reads_back_every_value_with_its_type(values: list[Written]) -> None:
    """Give each style a flag of its own, so that one process reads all of them."""
    parameters: dict[str, Style] = {}
    options = []
    for number, each in enumerate(values):
        style, flag = with_own_flag(each.style, number)
        parameters[f"p{number}"] = style
        options.append([[flag], {**each.keywords, "dest": f"p{number}"}])
    params: dict[str, Any] = {f"p{number}": each.value for number, each in enumerate(values)}
    argv = CommandLine(parameters=parameters).render(params, PATHS).argv
    seen = run(argv, {"ECHO_OPTIONS": json.dumps(options)})
    assert same(seen["parsed"], params)


def with_own_flag(style: Style, number: int) -> tuple[Style, str]:
    if isinstance(style, Switch):
        flag = f"--switch{number}"
        return (Switch(flag) if style.on else Switch(off=flag)), flag
    assert isinstance(style, Option)
    kinds = {None: f"--p{number}", "--flag": f"--flag{number}", "-lr": f"-lr{number}"}
    flag = kinds.get(style.flag, f"-{string.ascii_uppercase[number]}")
    given_flag = None if style.flag is None else flag
    return Option(given_flag, separate=style.separate, many=style.many), flag


@processes
@given(
    texts, texts.filter(lambda text: not text.startswith("-") or text == "-"), scalars, documents
)
def test_the_other_places_that_a_value_can_be_in(
    text: str, positional: str, scalar: object, document: Any
) -> None:
    line = CommandLine(
        ["train", PARAMETERS, "--", "{param:last}"],
        {
            "variable": Environment("VARIABLE"),
            "first": Positional(),
            "last": Positional(allow_dash=True),
            "pair": KeyValue("+a.b[0]"),
            "scalar": JsonField("--json", "deep.scalar"),
            "document": JsonField("--json", "document"),
        },
    )
    params: dict[str, Any] = {
        "variable": text,
        "first": positional,
        "last": text,
        "pair": text,
        "scalar": scalar,
        "document": document,
    }
    invocation = line.render(params, PATHS)
    seen = run(invocation.argv, invocation.env)
    assert seen["env"]["VARIABLE"] == text
    command, first, pair, passed, dashes, last = seen["argv"]
    assert (command, first, dashes, last) == ("train", positional, "--", text)
    assert pair == f"+a.b[0]={text}"
    flag, _, json_text = passed.partition("=")
    assert flag == "--json"
    assert same(json.loads(json_text), {"deep": {"scalar": scalar}, "document": document})


@given(st.dictionaries(names.filter(lambda name: "." not in name), documents, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_configuration_file_says_what_the_parameters_are(params: dict[str, Any]) -> None:
    for name, load in (("config.yaml", yaml.safe_load), ("config.json", json.loads)):
        line = CommandLine(["{config}"], default=ConfigField(), config_file=ConfigFile(name))
        invocation = line.render(params, PATHS)
        assert invocation.argv == (f"/run/w/{name}",)
        assert same(load(invocation.files[name]), params)


@processes
@given(st.dictionaries(names, texts | numbers, max_size=15), texts)
def test_a_shell_runs_the_preview(params: dict[str, Any], variable: str) -> None:
    line = CommandLine(parameters={"v": Environment("VARIABLE")})
    invocation = line.render({**params, "v": variable}, PATHS)
    preview = format_invocation(ECHO, invocation)
    assert shlex.split(preview) == [f"VARIABLE={variable}", *ECHO, *invocation.argv]
    result = subprocess.run(["sh", "-c", preview], capture_output=True, check=True)
    seen = json.loads(result.stdout)
    assert seen["argv"] == list(invocation.argv)
    assert seen["env"]["VARIABLE"] == variable


@pytest.mark.parametrize("text", ["x" * 100_000, "é'$ \n" * 20_000])
def test_a_value_of_100_kb_arrives(text: str) -> None:
    argv = CommandLine().render({"text": text}, PATHS).argv
    assert run(argv)["argv"] == [f"--text={text}"]
