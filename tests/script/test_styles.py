"""Styles: how values and names are written."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest

from tune_jobs.core.attempts import Invocation
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.errors import CommandLineError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.styles import (
    Environment,
    Hydra,
    JsonField,
    KeyValue,
    Omit,
    Option,
    Positional,
    Style,
    Switch,
)

PATHS = RunPaths("/run/w", "/run/outputs", "/run/checkpoints", "/run/resume")


def argv(style: Style, value: Any, name: str = "x") -> list[str]:
    return list(CommandLine(parameters={name: style}).render({name: value}, PATHS).argv)


# --- Values -------------------------------------------------------------------------------------


class Color(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (63, "63"),
        (63.0, "63.0"),
        (-1e-05, "-1e-05"),
        (1e-320, "1e-320"),
        (0.1 + 0.2, "0.30000000000000004"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (10**20, "100000000000000000000"),
        (True, "true"),
        (False, "false"),
        ("", ""),
        ("a b", "a b"),
        ("{outputs} {{", "{outputs} {{"),
        ([64, "a", None, True], '[64, "a", null, true]'),
        ((64, 32), "[64, 32]"),
        ({"é": [1e-05]}, '{"é": [1e-05]}'),
        (np.int64(63), "63"),
        (np.float64(0.1), "0.1"),
        (np.float64(64), "64.0"),
        (np.bool_(True), "true"),
        (np.str_("a"), "a"),
        ([np.int64(1), np.float64(0.5)], "[1, 0.5]"),
        (np.array(7), "7"),
        (Color.RED, "red"),
        (Size.BIG, "3"),
    ],
)
def test_a_parameter_is_one_token_with_its_value_in_full(value: Any, text: str) -> None:
    assert CommandLine().render({"x": value}, PATHS).argv == (f"--x={text}",)


def test_none_is_left_out() -> None:
    assert CommandLine().render({"x": None, "y": 1}, PATHS).argv == ("--y=1",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", r"parameter 'x' contains a NUL character, '--x=a\\x00b'"),
        ("x" * 131_068, "parameter 'x' is an argument of 131072 bytes, but Linux passes at most"),
        ("é" * 70_000, "is an argument of 140004 bytes, .* ConfigField"),
        ("\ud800", r"parameter 'x' contains the lone surrogate '\\ud800'"),
        (np.array([1, 2]), r"parameter 'x' is array\(\[1, 2\]\), a ndarray: .* tolist"),
        (np.array([1]), "a ndarray"),
        (object, "parameter 'x' is <class 'object'>, a type"),
        (b"a", "parameter 'x' is b'a', a bytes"),
        ({1: 2}, "parameter 'x': the key is 1: it must be a string"),
        (np.longdouble(1), "a longdouble"),
    ],
)
def test_what_no_command_line_can_carry_is_refused(value: Any, message: str) -> None:
    with pytest.raises(CommandLineError, match=message):
        CommandLine().render({"x": value}, PATHS)


def test_the_longest_argument_that_linux_passes_is_accepted() -> None:
    (token,) = CommandLine().render({"x": "x" * 131_067}, PATHS).argv
    assert len(token) == 131_071


def test_bytes_that_python_could_not_decode_are_passed_on() -> None:
    assert CommandLine().render({"x": "\udcff"}, PATHS).argv == ("--x=\udcff",)


# --- Names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("naming", "name", "flag"),
    [
        ("dash", "batch_size", "--batch-size"),
        ("underscore", "batch-size", "--batch_size"),
        ("underscore", "batch_size", "--batch_size"),
        ("as_is", "batch-size_", "--batch-size_"),
        ("dash", "opt.lr", "--opt.lr"),
        ("dash", "C", "--C"),
    ],
)
def test_a_name_becomes_an_option(naming: Any, name: str, flag: str) -> None:
    assert CommandLine(naming=naming).render({name: 1}, PATHS).argv == (f"{flag}=1",)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "-a", "_a"])
def test_a_name_that_is_no_option_needs_a_description(name: str) -> None:
    with pytest.raises(CommandLineError, match=r"example with Option\('--flag'\)"):
        CommandLine().render({name: 1}, PATHS)
    assert argv(Option("--given"), 1, name) == ["--given=1"]


# --- Styles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "value", "tokens"),
    [
        (Option("--batch-size"), 64, ["--batch-size=64"]),
        (Option("-lr"), -1e-05, ["-lr=-1e-05"]),
        (Option("-b"), 64, ["-b", "64"]),
        (Option("-b"), -1e-05, ["-b-1e-05"]),
        (Option("-b"), "", ["-b", ""]),
        (Option("-b"), "=x", ["-b", "=x"]),
        (Option("--lr", separate=True), 0.1, ["--lr", "0.1"]),
        (Option("--lr", separate=True), "-", ["--lr", "-"]),
        (Option("--lr", separate=True, allow_dash=True), -0.1, ["--lr", "-0.1"]),
        (Option(booleans="True/False"), True, ["--x=True"]),
        (Option(booleans="1/0"), False, ["--x=0"]),
        (Option(booleans="--flag"), True, ["--x"]),
        (Option(booleans="--flag"), False, []),
        (Option(booleans="--flag"), 3, ["--x=3"]),
        (Option("--use-x", booleans="--flag/--no-flag"), True, ["--use-x"]),
        (Option("--use-x", booleans="--flag/--no-flag"), False, ["--no-use-x"]),
        (Option(none="None"), None, ["--x=None"]),
        (Option("--l", many="json"), [1, 2], ["--l=[1, 2]"]),
        (Option("--l", many="comma"), [64, 0.5, True, "a"], ["--l=64,0.5,true,a"]),
        (Option("--l", many="comma"), [], ["--l="]),
        (Option("--l", many="comma"), {"a": 1}, ['--l={"a": 1}']),
        (Option("--l", many="comma", none="-"), [1, None], ["--l=1,-"]),
        (Option("--l", many="repeat"), [64, "a,b", [1]], ["--l=64", "--l=a,b", "--l=[1]"]),
        (Option("--l", many="repeat"), 64, ["--l=64"]),
        (Option("-l", many="repeat"), [1, -1], ["-l", "1", "-l-1"]),
        (Option("--l", many="spread"), [64, 32], ["--l", "64", "32"]),
        (Option("--l", many="spread"), [], ["--l"]),
        (Option("--l", many="spread"), 64, ["--l=64"]),
        (Option("--l", many="spread"), None, []),
        (Option("--l", many="spread", allow_dash=True), [-1], ["--l", "-1"]),
        (Switch("--x"), True, ["--x"]),
        (Switch("--x"), False, []),
        (Switch("--x"), None, []),
        (Switch("--x", off="--no-x"), False, ["--no-x"]),
        (Switch(off="--no-x"), False, ["--no-x"]),
        (Switch(off="--no-x"), True, []),
        (Switch("--x"), np.bool_(True), ["--x"]),
        (Positional(), "small.csv", ["small.csv"]),
        (Positional(), None, []),
        (Positional(many="repeat"), [1, 2], ["1", "2"]),
        (Positional(allow_dash=True), -1, ["-1"]),
        (KeyValue(), "a b", ["x=a b"]),
        (KeyValue("layers[0].units"), 64, ["layers[0].units=64"]),
        (KeyValue("+optimizer.lr"), 1e-05, ["+optimizer.lr=1e-05"]),
        (KeyValue(many="repeat"), [1, 2], ["x=1", "x=2"]),
        (KeyValue(), None, []),
        (JsonField("--json"), "a", ['--json={"x": "a"}']),
        (JsonField("--json", "a.b"), None, ['--json={"a": {"b": null}}']),
        (JsonField("--json", ["a.b"]), 1, ['--json={"a.b": 1}']),
        (JsonField("--json", []), [1, "a"], ['--json=[1, "a"]']),
        (JsonField("-j", []), -1, ["-j-1"]),
        (JsonField(), True, ['{"x": true}']),
        (Omit(), 1, []),
    ],
)
def test_a_style_writes(style: Style, value: Any, tokens: list[str]) -> None:
    assert argv(style, value) == tokens


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # Verified with Hydra 1.3.8, as were 35,000 random values.
        (1e-05, "1e-05"),
        (None, "null"),
        (True, "true"),
        (float("inf"), "inf"),
        ("resnet-18", "resnet-18"),
        ("true", "'true'"),
        ("1e5", "'1e5'"),
        ("", "''"),
        ("a,b", "'a,b'"),
        ("it's", r"'it\'s'"),
        ("a\\b", r"'a\b'"),
        ("a\\'", r"'a\\\''"),
        ("a\\", r"'a\\'"),
        ([1, "a b", None], "[1,'a b',null]"),
        ({"a-b": {"c": 0.5}}, "{a-b:{c:0.5}}"),
    ],
)
def test_hydra_reads_values_in_its_own_grammar(value: Any, text: str) -> None:
    assert argv(Hydra("+opt.x"), value) == [f"+opt.x={text}"]


@pytest.mark.parametrize(
    ("style", "value", "message"),
    [
        (
            Option("--lr", separate=True),
            -0.1,
            r"argument '-0.1' as an option.*=value, or .*allow_dash",
        ),
        (
            Option(many="spread"),
            ["-a"],
            "read the separate argument '-a' as an option",
        ),
        (Positional(), -1, r"'--' and '\{param:x\}' to arguments and set allow_dash=True"),
        (
            Option(many="comma"),
            ["a,b"],
            r"'x' is \['a,b'\], which would be ambiguous",
        ),
        (Option(many="comma"), [""], "many='json' or many='repeat'"),
        (Option(many="repeat"), [], "parameter 'x' is an empty list, which many='repeat' cannot"),
        (Option(many="repeat"), [None], "parameter 'x' has None in a list: .* none='None'"),
        (Switch("--x"), 1, "parameter 'x' is 1: a Switch accepts True, False or None"),
        (Hydra(), "${a}", r"parameter 'x' is '\$\{a\}', but Hydra interpolates"),
        (Hydra(), {"a b": 1}, "parameter 'x': the key is 'a b': Hydra cannot quote keys"),
        (Environment(), "a\0", "parameter 'x' contains a NUL character"),
        (Environment(), "x" * 131_070, "parameter 'x' is an argument of 131072 bytes"),
    ],
)
def test_a_style_refuses_what_would_be_read_as_something_else(
    style: Style, value: Any, message: str
) -> None:
    with pytest.raises(CommandLineError, match=message):
        argv(style, value)


def test_environment_variables() -> None:
    line = CommandLine(
        parameters={
            "seed": Environment("SEED"),
            "lr": Environment(),
            "layers": Environment(many="comma"),
            "on": Environment("ON", booleans="1/0"),
            "off": Environment(),
        },
        booleans="--flag",
    )
    params: dict[str, Any] = {"seed": 3, "lr": "a=b", "layers": [1, 2], "on": True, "off": None}
    invocation = line.render(params, PATHS)
    assert invocation == Invocation((), {"SEED": "3", "lr": "a=b", "layers": "1,2", "ON": "1"}, {})


def test_a_text_in_place_of_a_flag_keeps_words_when_booleans_are_flags() -> None:
    line = CommandLine(parameters={"k": KeyValue()}, booleans="--flag/--no-flag")
    assert line.render({"k": True, "a": True, "b": False}, PATHS).argv == (
        "k=true",
        "--a",
        "--no-b",
    )


@pytest.mark.parametrize(
    ("default", "token"),
    [
        (Hydra(), "opt.lr='0.1'"),
        (KeyValue(), "opt.lr=0.1"),
        (Option(separate=True), "--opt.lr"),
        (JsonField("--json"), '--json={"opt": {"lr": "0.1"}}'),
        (Positional(), "0.1"),
    ],
)
def test_the_default_style_writes_what_has_no_description(default: Style, token: str) -> None:
    assert CommandLine(default=default).render({"opt.lr": "0.1"}, PATHS).argv[0] == token


def test_by_default_nothing_but_the_described_may_be_passed() -> None:
    line = CommandLine(default=Omit(), parameters={"lr": Option()})
    assert line.render({"lr": 1, "other": 2}, PATHS).argv == ("--lr=1",)
